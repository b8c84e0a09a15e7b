"""Saves a trained model with its fields, that is, with the ids of their values, in one file (chapter 12).

The file is the `.keras` archive that Keras writes, with one more member, `features.json`. So model and fields stay
together, and Keras alone can still read the model. Other texts can lie beside them.

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

import importlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from deepfm_helpers.features import Feature
from deepfm_helpers.files import replacing
from deepfm_helpers.schema import DataError

MEMBER = "features.json"


def save(
    model, features: Sequence[Feature], path: str | Path, texts: Mapping[str, str] | None = None
) -> None:
    """Writes a model and its fields to one file; if that fails, whatever was at `path` stays.

    Args:
        model: a Keras model, such as the last of `models.deep_fm_model`.
        features: the fields with which the model was built.
        path: path of the file, which ends in ".keras".
        texts: name -> text of further members of the file, see `text`.

    Raises:
        ValueError: the path has another ending, or the inputs of the model are not those of the fields.
    """
    path = checked(path)
    inputs = {i.name: i.shape[1] for i in model.inputs}
    if inputs != (described := {f.input_name: f.slots for f in features}):
        raise ValueError(
            f"the model's inputs, with their slots, are {inputs}, and those of the features {described}: "
            "give the features that the model was built with"
        )
    written = [{"module": type(f).__module__} | f.to_dict() for f in features]
    members = {MEMBER: json.dumps(written, indent=1, ensure_ascii=False)} | dict(texts or {})
    with replacing(path) as part:
        model.save(part)
        with zipfile.ZipFile(part, "a", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def checked(path: str | Path) -> Path:
    """Returns the path under which a model can be saved.

    Raises:
        ValueError: it does not end in ".keras".
    """
    path = Path(path)
    if path.suffix != ".keras":
        raise ValueError(f"path = {str(path)!r}: the name of a saved model ends in .keras")
    return path


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
    member = text(path, MEMBER)
    if member is None:
        raise DataError(
            f"{path} holds no {MEMBER}: it was not written by saving.save, but by Keras alone perhaps"
        )
    try:
        fields = tuple(_field(written) for written in json.loads(member))
    except (ValueError, AttributeError, ImportError) as error:
        raise DataError(f"{path}: {error}") from error
    return keras.models.load_model(path, compile=False), fields


def text(path: str | Path, member: str) -> str | None:
    """Returns one of the texts that `save` wrote beside a model, None if there is none of this name.

    Raises:
        FileNotFoundError: there is no such file.
        schema.DataError: the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; saving.save writes one")
    try:
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            if broken := archive.testzip():
                raise zipfile.BadZipFile(f"{broken} in it is not what was written")
            return archive.read(member).decode("utf-8") if member in archive.namelist() else None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise DataError(
            f"{path} is damaged ({error}): save the model again, or copy the file again"
        ) from None


def _field(written: Mapping) -> Feature:
    """Returns a field; a module of this package that defines its class is imported first, any other is not."""
    attributes = dict(written)
    module = attributes.pop("module", "")
    if module.startswith(f"{__package__}."):
        importlib.import_module(module)
    return Feature.from_dict(attributes)
