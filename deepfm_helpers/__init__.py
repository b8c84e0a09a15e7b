"""The reusable code of the book "DeepFM, Taken Apart".

Importing the package is cheap: a submodule is loaded when it is first used, and TensorFlow only when a
model is built. The arrows between the modules point one way::

    datasets -> features -> training -> evaluation -> plots
    layers -> models -> training
    batches, checkpoints, optimizers -> training
    features -> history
    history, models, training, evaluation -> recipes
    features, models, evaluation -> recommending
    chapters, reruns, build, checks, pages, printing: at the edge
"""

import importlib
import os

# Before TensorFlow loads: its native log is noise on a page. A level that the reader has set stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
__all__ = [
    "batches",
    "build",
    "chapters",
    "checkpoints",
    "checks",
    "datasets",
    "evaluation",
    "features",
    "history",
    "layers",
    "models",
    "optimizers",
    "plots",
    "recipes",
    "recommending",
    "reruns",
    "training",
]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
