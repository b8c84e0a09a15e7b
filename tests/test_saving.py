"""A saved model and its fields: they come back as they were, never half written, and damage is reported."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from deepfm_helpers import datasets, features, models, recommending, saving
from deepfm_helpers._keras import keras
from deepfm_helpers.schema import DataError


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted", n_users=40, n_movies=30, n_ratings=300, seed=4)


def build(fields, **options):
    return models.deep_fm_model(
        features=fields, **({"k": 3, "dnn_dim": (6,), "embedding_spread": 0.5, "mean_rating": 3.5} | options)
    )[-1]


@pytest.fixture
def saved(data, tmp_path):
    fields = features.describe(data)
    model, path = build(fields), tmp_path / "likes.keras"
    saving.save(model, fields, path)
    return model, fields, path


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_a_saved_model_makes_the_same_list_in_a_fresh_process(data, saved):
    model, fields, path = saved
    code = f"""
from deepfm_helpers import datasets, recommending, saving
data = datasets.load("planted", n_users=40, n_movies=30, n_ratings=300, seed=4)
model, fields = saving.load({str(path)!r})
print(recommending.recommend(model, 3, 5, data=data, features=fields).mid.tolist())
"""
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.strip() == str(recommending.recommend(model, 3, 5, data=data).mid.tolist())
    assert saving.load(path)[1] == fields


def test_keras_alone_reads_the_model_too(saved):
    model, _, path = saved
    assert same_weights(keras.models.load_model(path, compile=False), model)


def test_a_second_save_takes_the_place_of_the_first(data, saved):
    _, _, path = saved
    fields = features.describe(data, ("uid", "mid", "year"))
    model = build(fields, k=2)
    saving.save(model, fields, path)
    again, back = saving.load(path)
    assert back == fields
    assert same_weights(again, model)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("fails", ["model", "fields", "archive"])
def test_a_save_that_fails_leaves_the_old_one_whole(data, saved, monkeypatch, fails):
    model, fields, path = saved
    before = path.read_bytes()
    others = features.describe(data, ("uid", "mid"))
    other = build(others, k=2)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    if fails == "model":
        monkeypatch.setattr(other, "save", full)
    elif fails == "fields":
        monkeypatch.setattr(features.Feature, "to_dict", full)
    else:
        monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="No space left"):
        saving.save(other, others, path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    again, back = saving.load(path)
    assert back == fields
    assert same_weights(again, model)


def test_fields_of_another_model_are_refused_before_anything_is_written(data, saved):
    model, fields, path = saved
    before = path.read_bytes()
    fewer_slots = features.describe(data, slots=1)
    for wrong in (fields[:-1], fewer_slots, (*fields, features.cross(*fields[2:4]))):
        with pytest.raises(ValueError, match="give the features that the model was built with"):
            saving.save(model, wrong, path)
    with pytest.raises(ValueError, match=r"ends in \.keras"):
        saving.save(model, fields, path.with_suffix(".h5"))
    assert path.read_bytes() == before


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.keras: there is no such file"):
        saving.load(tmp_path / "nothing.keras")
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        saving.load(tmp_path)


def test_a_file_that_keras_alone_wrote_is_said_to_have_no_fields(saved):
    model, _, path = saved
    model.save(path)
    with pytest.raises(DataError, match=r"holds no features\.json.*not written by saving\.save"):
        saving.load(path)


@pytest.mark.parametrize("kept", [0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_damaged(saved, kept):
    path = saved[2]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=r"likes\.keras is damaged .* save the model again"):
        saving.load(path)


def test_a_changed_byte_is_noticed_or_changes_nothing(saved):
    model, fields, path = saved
    whole = path.read_bytes()
    messages = []
    for place in np.random.default_rng(0).integers(len(whole), size=40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            again, back = saving.load(path)
        except DataError as error:
            messages.append(str(error))
        else:
            assert back == fields
            assert same_weights(again, model)
    assert len(messages) > 20
    assert all(path.name in message for message in messages)


def test_fields_of_an_unknown_class_name_the_file(saved):
    _, _, path = saved
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr(saving.MEMBER, '[{"field": "Moon", "name": "moon"}]')
    with pytest.raises(DataError, match=r"likes\.keras: no class of fields is called 'Moon'"):
        saving.load(path)
