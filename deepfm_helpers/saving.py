"""Saves a trained model with its fields, that is, with the ids of their values, in one file (chapter 12).

The file is the `.keras` archive that Keras writes, with one more member, `features.json`. So model and fields stay
together, and Keras alone can still read the model.

>>> from deepfm_helpers import datasets, features, models, saving
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> fields = features.describe(data, ("uid", "mid", "genre"))
>>> *_, model = models.deep_fm_model(features=fields, mean_rating=3.5)  # not trained yet
>>> saving.save(model, fields, "_build/saved.keras")
>>> again, same = saving.load("_build/saved.keras")
>>> same == fields, again.count_params() == model.count_params()
(True, True)
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from deepfm_helpers.features import Feature
from deepfm_helpers.files import replacing
from deepfm_helpers.schema import DataError

MEMBER = "features.json"


def save(model, features: Sequence[Feature], path: str | Path) -> None:
    """Writes a model and its fields to one file; if that fails, whatever was at `path` stays.

    Args:
        model: a Keras model, such as the last of `models.deep_fm_model`.
        features: the fields with which the model was built.
        path: path of the file, which ends in ".keras".

    Raises:
        ValueError: the path has another ending, or the inputs of the model are not those of the fields.
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path = {str(path)!r}: the name of a saved model ends in .keras")
    inputs = {i.name: i.shape[1] for i in model.inputs}
    if inputs != (described := {f.input_name: f.slots for f in features}):
        raise ValueError(
            f"the model's inputs, with their slots, are {inputs}, and those of the features {described}: "
            "give the features that the model was built with"
        )
    text = json.dumps([f.to_dict() for f in features], indent=1, ensure_ascii=False)
    with replacing(path) as part:
        model.save(part)
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(MEMBER, text)


def load(path: str | Path) -> tuple:
    """Reads what `save` wrote.

    Returns:
        The model, not compiled, and its fields, a tuple of `features.Feature`.

    Raises:
        FileNotFoundError: there is no such file.
        schema.DataError: the file is damaged, `save` did not write it, or it names a class of fields that no imported
            module defines.
    """
    from deepfm_helpers import history, layers  # noqa: F401  (their fields and layers can then be read)
    from deepfm_helpers._keras import keras

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; saving.save writes one")
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(f"{broken} in it is not what was written")
            written = json.loads(archive.read(MEMBER)) if MEMBER in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}): save the model again, or copy the file again"
        ) from None
    if written is None:
        raise DataError(
            f"{path} holds no {MEMBER}: it was not written by saving.save, but by Keras alone perhaps"
        )
    try:
        fields = tuple(Feature.from_dict(field) for field in written)
    except (ValueError, AttributeError) as error:
        raise DataError(f"{path}: {error}") from error
    return keras.models.load_model(path, compile=False), fields
