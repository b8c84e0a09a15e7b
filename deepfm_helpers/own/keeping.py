"""Keeps a model of your own data in one file, with all that it takes to read further rows, and a report beside it.

The file is that of `saving.save`; `dataset.toml`, the description of the dataset, is one more member of it.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deepfm_helpers import saving
from deepfm_helpers.features import Feature
from deepfm_helpers.files import write_whole
from deepfm_helpers.own import judging
from deepfm_helpers.own.fitting import Fit
from deepfm_helpers.own.layouts import FILE, Layout
from deepfm_helpers.schema import DataError


@dataclass(frozen=True)
class Kept:
    """A model that was read from a file.

    Attributes:
        path: the file.
        model: the Keras model.
        fields: its fields, in the order of its inputs.
        layout: the description of the dataset that it was trained on.
    """

    path: Path
    model: object
    fields: tuple[Feature, ...]
    layout: Layout


def save(fit: Fit, path: str | Path) -> Path:
    """Writes a model to a file that ends in ".keras", and its report beside it; each is written whole or not at all.

    Returns:
        The path of the report: that of the model, with the ending ".json".

    Raises:
        ValueError: the path has another ending.
    """
    path = saving.checked(path)
    saving.save(fit.model, fit.fields, path, {FILE: fit.data.layout.written()})
    write_whole(path.with_suffix(".json"), json.dumps(report(fit), indent=1, ensure_ascii=False) + "\n")
    return path.with_suffix(".json")


def load(path: str | Path) -> Kept:
    """Reads what `save` wrote.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is damaged, or `save` did not write it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; deepfm fit writes one")
    written = saving.text(path, FILE)
    if written is None:
        raise DataError(
            f"{path} holds no {FILE}: it is no model of a dataset of your own; deepfm fit makes one"
        )
    layout = Layout.of(tomllib.loads(written), f"{FILE} in {path}")
    return Kept(path, *saving.load(path), layout)


def report(fit: Fit) -> dict:
    """Returns what made a model and how good it is, in JSON's types; a measure that is not defined is None."""
    data = fit.data
    return {
        "dataset": data.name,
        "fingerprint": data.provenance.fingerprint,
        "files": data.provenance.files,
        "task": data.task,
        "rows": data.sizes,
        "fields": [field.name for field in fit.fields],
        "parameters": fit.model.count_params(),
        "recipe": {
            name: dict(part) if isinstance(part, Mapping) else part for name, part in fit.recipe.items()
        },
        "unit": fit.unit,
        "seed": fit.seed,
        "epochs": fit.epochs,
        "validation": fit.validation,
        "test": {
            name: {measure: _defined(value) for measure, value in row.items()}
            for name, row in fit.figures.to_dict("index").items()
        },
        "decisive": judging.DECISIVE[data.task],
        "margin": {name: _defined(value) for name, value in fit.margin._asdict().items()},
        "seconds": round(fit.seconds, 3),
        "versions": {name: version(name) for name in ("keras", "tensorflow", "numpy", "pandas")},
    }


def _defined(value):
    return None if isinstance(value, float) and math.isnan(value) else value
