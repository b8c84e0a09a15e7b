"""Writes a model for a server: a SavedModel, which TensorFlow reads without this package, and how values become ids.

>>> import tensorflow as tf
>>> from deepfm_helpers import datasets, features, models
>>> from deepfm_helpers.own import exporting
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> fields = features.describe(data, ("uid", "mid", "genre"))
>>> *_, model = models.deep_fm_model(features=fields, mean_rating=3.5)  # not trained yet
>>> exporting.export(model, fields, "_build/served/1").folder.name
'1'
>>> served = tf.saved_model.load("_build/served/1").signatures["serving_default"]
>>> row = {"input_uid": [[7]], "input_mid": [[2]], "input_genre": [[1] + [0] * (fields[2].slots - 1)]}
>>> served(**{name: tf.constant(ids) for name, ids in row.items()})["score"].shape
TensorShape([1, 1])

The inputs are the ids and numbers that `Feature.encode` makes. `fields.json` in the same folder says how they follow
from the values of a row, and `serving.py`, a copy of `own.serving`, does what it says.

Each export is tested before it gets its name: the file is read again, and has to predict for random rows what the
model predicts, to `SAME`. A folder that is there already stays as it is; servers such as TensorFlow Serving expect a
new folder, with a larger number, for each version of a model.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from deepfm_helpers import anatomy
from deepfm_helpers.features import Feature
from deepfm_helpers.files import write_whole
from deepfm_helpers.own import serving
from deepfm_helpers.own.fields import Hashed, Listed, Scaled, Single
from deepfm_helpers.own.layouts import Column, Layout

SAME = 1e-5
"""How far two predictions of a row may lie apart, in units of the prediction where it is larger than 1."""

FIELDS = "fields.json"
ONNX = "model.onnx"
OUTPUTS = {"rating": "score", "click": "probability"}
ROWS_TO_COMPARE = 256


class Export(NamedTuple):
    """What was written: the folder, and the largest distance between two predictions of a row, in units of `SAME`'s."""

    folder: Path
    difference: float


def export(
    model, fields: Sequence[Feature], folder: str | Path, *, layout: Layout | None = None, onnx: bool = False
) -> Export:
    """Writes a model to a new folder, whole or not at all: the SavedModel, `fields.json` and `serving.py`.

    Args:
        model: a whole model of `models`, possibly loaded from a file.
        fields: its fields.
        folder: the folder to make.
        layout: the description of the dataset that the model was trained on. With it, `fields.json` names the columns
            as the dataset does, and predictions are cut to the range of the ratings, as `scoring.scores` cuts them.
        onnx: write `model.onnx` too, with the same inputs and output.

    Raises:
        FileExistsError: the folder is there already.
        ImportError: ONNX is asked for, and a package is missing.
        ValueError: Keras computes with another backend than TensorFlow, or the fields are not those of the model.
        RuntimeError: a file that was written predicts something else than the model.
    """
    from deepfm_helpers._keras import keras

    folder = Path(folder)
    if keras.backend.backend() != "tensorflow":
        raise ValueError("a SavedModel is written by TensorFlow; start Python with KERAS_BACKEND=tensorflow")
    if os.path.lexists(folder):
        raise FileExistsError(f"{folder} is there already; name a new folder, or remove that one first")
    if onnx:
        _require_onnx()
    described = description(model, fields, layout)
    predicting = _predicting(model, described["output"], described["range"])
    with _new(folder) as part:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the converters use inside
            predicting.export(part, format="tf_saved_model", verbose=False)
            if onnx:
                signature = [keras.InputSpec(shape=i.shape, dtype=i.dtype, name=i.name) for i in model.inputs]
                predicting.export(str(part / ONNX), format="onnx", verbose=False, input_signature=[signature])
        write_whole(part / FIELDS, json.dumps(described, indent=1, ensure_ascii=False) + "\n")
        shutil.copyfile(serving.__file__, part / "serving.py")
        difference = _compare(predicting, fields, part, onnx)
    return Export(folder, difference)


def description(model, fields: Sequence[Feature], layout: Layout | None = None) -> dict:
    """Returns what `fields.json` holds, in JSON's types: how the inputs follow from a row, and what comes out.

    Args:
        model, fields, layout: see `export`.

    Raises:
        ValueError: the fields are not those of the model.
    """
    by_input, inputs = {f.input_name: f for f in fields}, {i.name: i.shape[1] for i in model.inputs}
    if inputs != {name: f.slots for name, f in by_input.items()}:
        raise ValueError(
            f"the model's inputs are {', '.join(inputs)}, the fields are for {', '.join(by_input)}: "
            "give the fields that the model was built with, with their slots"
        )
    task = anatomy.task(model)
    columns = _columns(layout) if layout else {}
    return {
        "task": task,
        "output": OUTPUTS[task],
        "range": list(layout.range) if layout and task == "rating" else None,
        "fields": [_rule_of(by_input[name], columns.get(by_input[name].column)) for name in inputs],
    }


def _columns(layout: Layout) -> dict[str, Column]:
    """Returns the columns of a dataset by their names in the joined rows; user and item are those of the rows."""
    found = {}
    for section, source in layout.sources.items():
        names = layout.names(section)
        for name, column in source.columns.items():
            if column.kind != "text":  # which no model reads
                found.setdefault(names.get(name, name), column)
    return found


def _rule_of(field: Feature, column: Column | None) -> dict:
    """Describes how a cell becomes an input, by one of the rules of `serving`."""
    entry = {
        "field": field.name,
        "input": field.input_name,
        "column": column.name if column else field.column,
        "dtype": "float32" if field.kind == "numeric" else "int32",
        "slots": field.slots,
    }
    values = field.to_dict()["vocabulary"]
    alike = values is not None and {type(value) for value in values} in ({str}, {int}, {float}, set())
    kind = type(field)
    if kind is Scaled:
        numbers = {"mean": field.mean, "spread": field.spread, "missing": field.mean}
        seconds = {"unit": "seconds since 1970"} if column and column.kind == "time" else {}
        return entry | {"rule": "number", **numbers, **seconds}
    if kind is Hashed:
        return entry | {"rule": "bucket", "size": field.size, "whole": bool(column and column.whole)}
    if kind is Listed and alike:
        how = {"separator": field.separator, "none": field.none, "lower": False}
        return entry | {"rule": "list", **how, "truncating": field.truncating, "values": values}
    if kind is Feature and field.kind == "numeric":
        return entry | {"rule": "number", "mean": 0.0, "spread": 1.0, "missing": None}
    if kind is Feature and field.kind == "multi" and alike:
        how = {"separator": "|", "none": "", "lower": True}  # as `Feature.read` reads genres
        return entry | {"rule": "list", **how, "truncating": field.truncating, "values": values}
    if kind in (Feature, Single) and field.kind in ("single", "known") and (values is None or alike):
        return entry | (
            {"rule": "id", "size": field.size} if values is None else {"rule": "value", "values": values}
        )
    return entry | {"rule": "code", "class": f"{kind.__module__}.{kind.__qualname__}"}


def _predicting(model, output: str, range: Sequence[float] | None):
    """Returns the model with a named output, cut to a range."""
    from deepfm_helpers._keras import keras

    predicted = keras.ops.clip(model.output, *range) if range else model.output
    return keras.Model(model.inputs, {output: predicted})


@contextmanager
def _new(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder that gets the name of `folder` at the end; if the body fails, it is removed."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = folder.with_name(f".part-{os.getpid()}-{folder.name}")
    try:
        yield part
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _compare(predicting, fields: Sequence[Feature], folder: Path, onnx: bool) -> float:
    """Predicts random rows with the model and with what was written; returns how far the predictions lie apart.

    Raises:
        RuntimeError: they are not the same.
    """
    import tensorflow as tf

    rng = np.random.default_rng(0)
    rows = {
        f.input_name: rng.normal(size=(ROWS_TO_COMPARE, 1)).astype("float32")
        if f.kind == "numeric"
        else rng.integers(0, f.size + 1, (ROWS_TO_COMPARE, f.slots), dtype="int32")
        for f in fields
    }
    (output,) = predicting.output
    wanted = predicting(rows, training=False)[output].numpy()
    served = tf.saved_model.load(str(folder)).signatures["serving_default"]
    found = {
        "saved_model.pb": served(**{name: tf.constant(ids) for name, ids in rows.items()})[output].numpy()
    }
    if onnx:
        import onnxruntime

        session = onnxruntime.InferenceSession(folder / ONNX, providers=["CPUExecutionProvider"])
        found[ONNX] = session.run([output], rows)[0]
    largest = 0.0
    for name, predicted in found.items():
        apart = np.abs(predicted - wanted) / np.maximum(1, np.abs(wanted))
        if not (apart <= SAME).all():  # also where a prediction is NaN
            raise RuntimeError(
                f"{name} predicts something else than the model, by up to {apart.max():.3g}, so {folder.parent} "
                "keeps no export; is a weight not finite?"
            )
        largest = max(largest, float(apart.max()))
    return largest


def _require_onnx() -> None:
    for module in ("tf2onnx", "onnxruntime"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(module)
        except ImportError as error:
            raise ImportError(
                'ONNX files need tf2onnx and onnxruntime; install them with: pip install "deepfm_helpers[onnx]"'
            ) from error
