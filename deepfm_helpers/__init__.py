"""The reusable code of the book "DeepFM, Taken Apart".

Importing the package is cheap: a submodule is loaded when it is first used, and TensorFlow only with a module
that builds or trains models. A module uses only modules on the lines above its own::

    schema, catalogue, columns, arrays, files, _keras
    fetching, planted
    datasets
    features
    history, layers, anatomy, processes
    models, batches, optimizers, checkpoints
    training, evaluation, saving, builders, clicks, later
    recipes
    scoring, ranking, neighbours
    sides
    recommending
    candidates, live
    plots
    claims
    lacking
    parameters
    records, tables, grading, asking
    equations, page, checkers
    exercises

A chapter may import any of them. What executes, checks, builds and prints the book is in `deepfm_helpers.press`; what
makes many runs of a notebook is in `deepfm_helpers.sweeps`. What reads tables of your own is in `deepfm_helpers.own`.
"""

import importlib
import os
import pkgutil

# This must come before TensorFlow loads: its native log is noise on a page. A level that the reader has set stays.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
__all__ = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
