"""The reusable code of the book "DeepFM, Taken Apart".

Importing the package is cheap: a submodule is loaded when it is first used, and TensorFlow only when a
model is built. The arrows between the modules point one way::

    datasets -> features -> training -> evaluation -> plots
    anatomy, layers -> models -> training
    columns -> features -> history
    features -> saving
    history, models, training, evaluation -> recipes
    anatomy, features -> scoring, sides; ranking, scoring, sides -> recommending
    chapters, reruns, build, checks, pages, printing: at the edge
"""

import importlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads: its C++ log is noise on a page

__version__ = "0.1.0"
__all__ = [
    "anatomy",
    "build",
    "chapters",
    "checks",
    "columns",
    "datasets",
    "evaluation",
    "features",
    "history",
    "layers",
    "models",
    "plots",
    "ranking",
    "recipes",
    "recommending",
    "reruns",
    "saving",
    "training",
]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
