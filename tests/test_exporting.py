"""Models for a server: read again by a process that has neither this package nor Keras, from cells to predictions."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from test_own_use import deepfm, dishes, refused

from deepfm_helpers import anatomy, datasets, features, models, saving, training
from deepfm_helpers.features import Feature
from deepfm_helpers.own import data, exporting, keeping, scoring, serving
from deepfm_helpers.own.fields import Hashed
from deepfm_helpers.own.layouts import FILE

needs_onnx = pytest.mark.skipif(
    not (find_spec("tf2onnx") and find_spec("onnxruntime")), reason='needs the extra "onnx"'
)

ALONE = """
import sys
sys.modules |= dict.fromkeys(["deepfm_helpers", "keras"])  # importing one of them fails
exec(compile(open(sys.argv[1]).read(), sys.argv[1], "exec"), {"__name__": "__main__", "__file__": sys.argv.pop(1)})
"""


def untrained(fields, **options):
    """A model with weights that make large differences between scores."""
    training.set_seed(3)
    return models.deep_fm_model(features=fields, k=4, dnn_dim=(8, 4), embedding_spread=0.4, **options)[-1]


def alone(folder, table) -> np.ndarray:
    """What serving.py beside a model prints, in a process that cannot import this package or Keras."""
    program = [sys.executable, "-c", ALONE, str(folder / "serving.py"), str(table)]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(program, capture_output=True, text=True, env=environment, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    title, *numbers = done.stdout.split()
    assert title == "score"
    return np.array(numbers, "f4")


@pytest.fixture(scope="module", params=["points", "ordered"])
def made(request, tmp_path_factory):
    """The file of a model of ratings or clicks, its dataset, and a table of rows with cells that are missing or new."""
    folder = dishes(tmp_path_factory.mktemp("exported") / request.param, request.param, 400)
    toml = (folder / FILE).read_text()
    toml = toml.replace(
        'meal = "single"', 'meal = {kind = "single", hashed = 5}\nday = {kind = "single", whole = true}'
    )
    (folder / FILE).write_text(toml)
    rows = pd.read_csv(folder / "log.csv")
    rows["day"] = np.arange(len(rows)) % 7
    rows.to_csv(folder / "log.csv", index=False)
    own = data.read(folder)
    fields = own.fields()
    model = untrained(fields, task=own.task, mean_rating=0.3 if own.task == "click" else 50.0)
    saving.save(model, fields, folder / "model.keras", {FILE: own.layout.written()})

    wide = rows.merge(pd.read_csv(folder / "guests.csv")).merge(pd.read_csv(folder / "dishes.csv"))
    wide = wide.drop(columns=["points", "ordered"], errors="ignore").astype(object).head(60)
    for row, (column, cell) in enumerate(
        [("guest", "nobody"), ("dish", "unknown"), ("meal", None), ("age", None), ("spices", "mint|salt"),
         ("day", 12), ("price", None), ("diet", "new"), ("spices", "none"), ("spices", None)]
    ):  # fmt: skip
        wide.loc[row, column] = cell
    wide.to_csv(folder / "wide.csv", index=False)
    return folder


def test_a_process_without_this_package_makes_the_same_predictions_of_the_same_cells(made, capsys):
    printed = deepfm(capsys, "export", made / "model.keras", made / "served" / "1")
    assert f"next: python {made / 'served' / '1' / 'serving.py'} ROWS.csv" in printed
    assert {path.name for path in (made / "served").iterdir()} == {"1"}
    kept = keeping.load(made / "model.keras")
    wanted = scoring.scores(kept, scoring.read(kept, made / "wide.csv"))
    found = alone(made / "served" / "1", made / "wide.csv")
    assert np.ptp(wanted) > 0.2
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_the_description_names_the_columns_as_the_dataset_does(made):
    kept = keeping.load(made / "model.keras")
    described = exporting.description(kept.model, kept.fields, kept.layout)
    rules = {field["column"]: field["rule"] for field in described["fields"]}
    assert rules == {
        "guest": "value", "dish": "value", "diet": "value", "age": "number", "kind": "value", "spices": "list",
        "price": "number", "meal": "bucket", "day": "value",
    }  # fmt: skip
    if kept.layout.task == "click":
        assert (described["output"], described["range"]) == ("probability", None)
    else:
        assert (described["output"], described["range"]) == ("score", [0.0, 100.0])


@needs_onnx
def test_an_onnx_file_predicts_the_same(made, capsys):
    import onnxruntime

    deepfm(capsys, "export", "--onnx", made / "model.keras", made / "both" / "1")
    kept = keeping.load(made / "model.keras")
    rows = scoring.read(kept, made / "wide.csv")
    session = onnxruntime.InferenceSession(made / "both" / "1" / "model.onnx")
    inputs = {field.input_name: field.encode(rows) for field in kept.fields}
    (found,) = session.run(None, inputs)
    np.testing.assert_allclose(found[:, 0], scoring.scores(kept, rows), rtol=1e-5, atol=1e-5)


def test_without_the_packages_of_onnx_it_says_how_to_get_them(made, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    message = refused(capsys, "export", "--onnx", made / "model.keras", made / "lacking")
    assert 'pip install "deepfm_helpers[onnx]"' in message
    assert not (made / "lacking").exists()


def test_a_folder_that_is_there_stays_as_it_is(made, capsys):
    kept = made / "there"
    kept.mkdir()
    (kept / "note.txt").write_text("mine")
    assert "is there already" in refused(capsys, "export", made / "model.keras", kept)
    assert [path.name for path in kept.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("change", [1e-3, np.nan])
def test_what_predicts_something_else_gets_no_name(tmp_path, monkeypatch, change):
    fields = [Feature("uid", "single", "uid", 3), Feature("mid", "single", "mid", 2)]
    model, compare = untrained(fields), exporting._compare

    def after_a_change(*arguments):
        anatomy.head(model).layer.w0.assign_add(change)
        return compare(*arguments)

    monkeypatch.setattr(exporting, "_compare", after_a_change)
    with pytest.raises(RuntimeError, match="saved_model.pb predicts something else than the model"):
        exporting.export(model, fields, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_the_chapters_is_exported_with_its_own_ids(tmp_path):
    movies = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
    fields = features.describe(movies, ("uid", "mid", "occupation", "genre", "year"))
    model = untrained(fields, mean_rating=3.5)
    made = exporting.export(model, fields, tmp_path / "1")
    assert made.difference <= exporting.SAME
    described = json.loads((made.folder / "fields.json").read_text(encoding="utf-8"))
    rules = {field["field"]: field["rule"] for field in described["fields"]}
    assert rules == {"uid": "id", "mid": "id", "occupation": "value", "genre": "list", "year": "code"}
    rows = datasets.join(movies.ratings, movies.movies, movies.users)
    for field, entry in zip(fields[:-1], described["fields"], strict=False):
        np.testing.assert_array_equal(serving.encode(entry, rows[field.column].tolist()), field.encode(rows))
    with pytest.raises(NotImplementedError, match="features.Year.encode"):
        serving.encode(described["fields"][-1], ["Film (1999)"])


@pytest.mark.parametrize(
    ("field", "cells", "ids"),
    [
        (Feature("uid", "single", "uid", 3), ["1", "3", "4", "", None, "0"], [1, 3, 0, 0, 0, 0]),
        (Feature("age", "single", "age", 2, (25, 40)), ["25", 40, "41", ""], [1, 2, 0, 0]),
        (Feature("size", "numeric", "size"), ["2.5", -1], [2.5, -1]),
        (
            Feature("genre", "multi", "genre", 3, ("war", "drama", "comedy"), 2),
            ["Drama", "Comedy|War|Drama", "", "Western|War"],
            [[2, 0], [3, 1], [0, 0], [1, 0]],
        ),
        (
            Feature("genre", "multi", "genre", 3, ("war", "drama", "comedy"), 2, "pre"),
            ["Comedy|War|Drama"],
            [[1, 2]],
        ),
    ],
)
def test_the_rules_give_the_ids_of_the_fields(field, cells, ids):
    entry = exporting._rule_of(field, None)
    np.testing.assert_array_equal(
        serving.encode(json.loads(json.dumps(entry)), cells), np.reshape(ids, (len(cells), -1))
    )


def test_a_missing_number_without_a_rule_is_refused():
    entry = exporting._rule_of(Feature("size", "numeric", "size"), None)
    with pytest.raises(ValueError, match="column size: a number is missing"):
        serving.encode(entry, ["1", ""])


def test_a_bucket_is_that_of_the_whole_number():
    field = Hashed("day", "single", "day", 50)
    entry = exporting._rule_of(field, None) | {"whole": True}
    assert serving.encode(entry, ["7", 7, "007"])[:, 0].tolist() == [field.bucket(7)] * 3


def test_fields_of_another_model_are_refused(tmp_path):
    fields = [Feature("uid", "single", "uid", 3), Feature("mid", "single", "mid", 2)]
    with pytest.raises(ValueError, match="inputs are input_uid, input_mid"):
        exporting.export(untrained(fields), fields[:1], tmp_path / "1")
    assert list(tmp_path.iterdir()) == []
