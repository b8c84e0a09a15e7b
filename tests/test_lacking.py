"""Pages on data without a table of users, and on a folder of one's own: what runs, what is left out, what is said."""

import ast
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import shares
import small_files

from deepfm_helpers import datasets, lacking
from deepfm_helpers.catalogue import DATASETS
from deepfm_helpers.lacking import ABSENT, LEFT_OUT_MIME, left_out
from deepfm_helpers.own import folders
from deepfm_helpers.press import checks, kernels, reruns
from deepfm_helpers.schema import COLUMNS, DataError
from deepfm_helpers.sweeps import plans

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
WITHOUT = ("gender", "age", "occupation", "zip")
SHORT = {
    "01_loading": {},
    "02_genre_multi_hot": {},
    "03_first_order": {"epochs": 2},
    "06_deepfm": {"epochs": 1, "n_seeds": 1},
    "07_training": {"epochs": 2, "n_seeds": 1},
    "08_reading_the_log": {"epochs": 1},
    "10_repairs": {"epochs": 1},
    "15_museum": {"epochs": 1, "n_seeds": 1},
    "strict_reading": {},
}
"""The chapters that meet what ml-latest-small lacks and take seconds, with parameters that keep them short."""


def without(source: str, **namespace: object):
    return left_out(source, "bare", WITHOUT, namespace)


def test_a_dataset_lacks_the_columns_of_the_tables_that_no_form_has():
    for name in DATASETS:
        known = lacking.lacking(name)
        assert known == (() if DATASETS[name].codebook else WITHOUT)
        assert {*known} <= {column for columns in COLUMNS.values() for column in columns}


def test_fields_that_are_there_are_kept_and_the_others_are_told(capsys):
    data = SimpleNamespace(
        name="bare",
        ratings=pd.DataFrame({"uid": [1], "mid": [1]}),
        movies=pd.DataFrame({"mid": [1], "movie_genre": ["War"]}),
        users=pd.DataFrame({"uid": [1]}),
    )
    assert lacking.there(data, ("uid", "mid", "age", "genre")) == ["uid", "mid", "genre"]
    assert "has no age, so the fields of this page are uid, mid and genre" in capsys.readouterr().out
    assert lacking.there(data, ["mid"]) == ["mid"]
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="bare has no age and gender: choose other fields"):
        lacking.there(data, ["age", "gender"])


def test_a_cell_that_says_what_it_needs_is_left_out_with_what_it_binds():
    found = without(
        "# needs occupation\nimport keras\nnames = ['a']\nfound = []\ncodes = train.x\nframe['x'] = codes"
    )
    assert found.reason == "`bare` has no occupation"
    assert [ast.unparse(one) for one in found.kept] == ["import keras", "names = ['a']"]
    assert found.lost == ["codes", "found", "frame"]
    assert without("# needs wings\ncodes = train.x") is None
    assert without("codes = train.occupation  # needs occupation") is None


@pytest.mark.parametrize(
    "source",
    [
        "y = x + 1",
        "x += 1",
        "def f():\n    return x",
        "y = [x for _ in range(3)]",
        "for y in x:\n    pass",
        "if y:\n    pass\nelif x:\n    pass",
        "with open(x) as file:\n    pass",
        "x['new'] = 1",
        "claim(f'{x:.1f} stars', True)",
        "try:\n    pass\nexcept x:\n    pass",
    ],
)
def test_a_cell_that_loads_what_is_not_there_is_left_out(source):
    assert without(source, x=ABSENT).reason == "this needs what a cell above would have computed"
    assert without(source, x=1) is None


@pytest.mark.parametrize(
    "source",
    [
        "x = 1\ny = x",
        "for x in range(3):\n    y = x",
        "for s in [1]:\n    x = s\n    y = x",
        "y = [x for x in range(3)]",
        "def f(x):\n    return x",
        "import x\nx.y",
        "with open('f') as x:\n    x.read()",
        "f(x=1)",
        "a.x",
    ],
)
def test_a_cell_that_binds_a_name_before_it_loads_it_runs(source):
    assert without(source, x=ABSENT, a=1, f=1) is None


def test_of_a_dependent_cell_the_functions_stay_that_need_nothing_and_loops_keep_their_variable():
    found = without(
        "def f():\n    return 1\ndef g():\n    return x\nfor seed in (1, 2):\n    y = x", x=ABSENT
    )
    assert [one.name for one in found.kept] == ["f"]
    assert found.lost == ["g", "y"]


def test_a_running_notebook_leaves_out_says_so_and_goes_on(tmp_path):
    code, markdown = nbformat.v4.new_code_cell, nbformat.v4.new_markdown_cell
    cells = [
        markdown("# Tiny"),
        code(
            'dataset: str = "ml-latest-small"  # the data\nseed: int = 1  # seed',
            metadata={"tags": ["parameters"]},
        ),
        code(
            "from deepfm_helpers.claims import claim, say\nfrom deepfm_helpers.parameters import check_parameters\n"
            "from deepfm_helpers.records import record\ncheck_parameters(dataset=dataset, seed=seed)"
        ),
        code("# needs age\nseed, older = 5, data.users.age + 1"),
        code("claim('They are older.', older.min() > 1)"),
        code("%matplotlib inline\nolder = 3"),
        code("record(dataset=dataset, seed=seed, older=older)"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = tmp_path / "tiny.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    assert reruns.run(path, tmp_path / "out.ipynb") == {"dataset": "ml-latest-small", "seed": 1, "older": 3}
    first, left, dependent = (
        cell.outputs[0].data["text/markdown"] for cell in nbformat.read(tmp_path / "out.ipynb", 4).cells[2:5]
    )
    assert "it has no gender, age, occupation and zip" in first
    assert "from 0.5 to 5 stars" in first
    assert left == "*Left out: `ml-latest-small` has no age.*"
    assert dependent == "*Left out: this needs what a cell above would have computed.*"


def left_out_of(path: Path) -> tuple[dict[str, set[str]], list[nbformat.NotebookNode]]:
    """Without running a chapter: question -> which of its two calls stay, and the cells that are left out."""
    namespace, left, questions = {}, [], {}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        source = kernels.as_python(cell.source)
        if found := left_out(source, "bare", WITHOUT, namespace):
            left.append(cell)
            namespace |= dict.fromkeys(set(found.lost) - set(reruns.declared(path)), ABSENT)
            continue
        bound: set[str] = set()
        lacking._loaded(ast.parse(source).body, bound)
        namespace |= dict.fromkeys(bound)
        for call, name in re.findall(r"\b(predict|reveal)\(\s*\"([a-z0-9-]+)\"", source):
            questions.setdefault(name, set()).add(call)
    return questions, left


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_question_is_left_without_its_answer(path):
    questions, left = left_out_of(path)
    assert {name: calls for name, calls in questions.items() if len(calls) == 1} == {}
    assert not [
        cell for cell in left if "stamp(" in cell.source or "parameters" in cell.metadata.get("tags", [])
    ]


@pytest.mark.reruns
def test_chapters_run_on_data_without_users(tmp_path, real_data, warm_how):
    """The files are made of those of ml-100k, in the form of ml-latest-small."""
    made = datasets.load("ml-100k", folder=real_data("ml-100k"))
    small_files.write_latest_small(tmp_path / "data", made)
    how = {"environment": {"DEEPFM_DATA": str(tmp_path / "data")}}
    for name in shares.share([*SHORT]):
        path, output = next(p for p in CHAPTERS if p.stem == name), tmp_path / f"{name}.ipynb"
        reruns.run(path, output, {"dataset": "ml-latest-small"} | SHORT[name], **how)
        assert checks.notebook_problems(output) == []
        _, left = left_out_of(path)
        told = [*kernels.outputs_of(nbformat.read(output, as_version=4), LEFT_OUT_MIME)]
        assert len(told) == len(left)


LAYOUT = """
task = "{task}"
repeats = true

[rows]
files = ["log.csv"]
user = "guest"
item = "dish"
target = "points"
{range}

[rows.columns]
guest = "single"
dish = "single"
points = "numeric"
meal = "single"
"""


@pytest.fixture
def folder(tmp_path):
    """A folder of ratings from 0 to 100."""
    place = tmp_path / "a place" / "dishes"
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    guest, dish = rng.integers(0, 40, 3_000), rng.integers(0, 30, 3_000)
    points = np.clip(50 + 20 * rng.normal(size=40)[guest] + 10 * rng.normal(size=3_000), 0, 100).round(1)
    meal = rng.choice(["noon", "night"], 3_000)
    rows = pd.DataFrame({"guest": guest, "dish": dish, "points": points, "meal": meal})
    rows.astype({"guest": str, "dish": str}).to_csv(place / "log.csv", index=False)
    (place / "dataset.toml").write_text(LAYOUT.format(task="rating", range="range = [0, 100]"), "utf-8")
    return place


def test_a_folder_is_in_stars_and_does_not_tell_its_place(folder, capsys):
    read = folders.read(str(folder))
    points = pd.read_csv(folder / "log.csv").points
    assert read.fields == ["uid", "mid", "meal"]
    assert read.joined is read.data.ratings
    np.testing.assert_allclose(read.joined.rating * read.star, points, rtol=1e-5)
    assert np.isclose(read.joined.rating.std(ddof=0), 1.1, atol=1e-3)
    np.testing.assert_allclose(np.multiply(read.data.range, read.star), (0, 100))
    assert str(folder.parent) not in repr((read.data, read.data.provenance))
    assert f"one star on this page is {read.star:.4g} of `points`" in capsys.readouterr().out


def test_a_folder_of_clicks_is_refused(folder):
    rows = pd.read_csv(folder / "log.csv")
    rows.assign(points=(rows.points > 50).astype(int)).to_csv(folder / "log.csv", index=False)
    (folder / "dataset.toml").write_text(LAYOUT.format(task="click", range=""), "utf-8")
    with pytest.raises(
        DataError, match="dishes: this notebook is about ratings, and the target .* is a click"
    ):
        folders.read(str(folder))


def notebook(stem: str) -> Path:
    return next(path for path in CHAPTERS if path.stem == stem)


def test_a_folder_is_made_absolute_and_only_where_it_is_taken(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    values = reruns.complete(notebook("one_training"), {"dataset": "dishes"})
    assert values["dataset"] == folder.as_posix()
    assert "fields" not in values  # those of the folder
    with pytest.raises(ValueError, match="fields that its dataset.toml names; leave fields out"):
        reruns.complete(notebook("one_training"), {"dataset": "dishes", "fields": ["uid"]})
    with pytest.raises(ValueError, match=r"take a folder are 18_after_training\.ipynb, one_training\.ipynb$"):
        reruns.complete(notebook("03_first_order"), {"dataset": "dishes"})
    with pytest.raises(ValueError, match="planted-small, or a folder that holds dataset.toml"):
        reruns.complete(notebook("one_training"), {"dataset": "nothing"})


def test_default_fields_are_those_of_the_data_and_others_are_refused():
    values = reruns.complete(notebook("one_training"), {"dataset": "ml-latest-small"})
    assert values["fields"] == ["uid", "mid", "genre"]
    with pytest.raises(
        ValueError, match="parameter fields: ml-latest-small has no age; leave out what it lacks"
    ):
        reruns.complete(notebook("one_training"), {"dataset": "ml-latest-small", "fields": ["uid", "age"]})


def test_a_sweep_names_a_folder_and_knows_its_rows(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    asked = {"notebook": str(notebook("one_training")), "grid": {"dataset": ["dishes", "planted-small"]}}
    own, planted = plans.Plan.of(asked).runs
    assert own.parameters["dataset"] == folder.as_posix()
    assert own.fingerprint not in (None, planted.fingerprint)
    plan = plans.Plan.of(asked)
    assert plan.labels()[own.name] == "dataset=dishes"
    assert str(folder.parent) not in repr(plan.resolved())


def test_the_path_of_a_folder_is_not_stored(tmp_path, folder):
    code = nbformat.v4.new_code_cell
    cells = [
        code('dataset: str = "planted"  # data\nseed: int = 1  # seed', metadata={"tags": ["parameters"]}),
        code(
            "from deepfm_helpers.parameters import check_parameters\nfrom deepfm_helpers.records import record\n"
            "check_parameters(dataset=dataset, seed=seed, folders=True)\nprint(dataset)\n"
            "record(found=dataset, seed=seed)"
        ),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    odd = folder.rename(folder.parent / 'größe "1"')
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "tiny.ipynb"
    )
    found = reruns.run(tmp_path / "tiny.ipynb", tmp_path / "out.ipynb", {"dataset": str(odd)})["found"]
    assert found == odd.as_posix()
    stored = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    assert tmp_path.name not in (tmp_path / "out.ipynb").read_text("utf-8")
    assert stored.metadata.papermill.parameters["dataset"] == odd.name
    namespace: dict = {}
    exec(stored.cells[1].source, namespace)
    assert namespace["dataset"] == odd.name


@pytest.mark.reruns
def test_one_training_takes_a_folder(tmp_path, folder, warm_how):
    asked = {"dataset": str(folder), "epochs": 3, "k": 2, "hidden": [], "batch_size": 64}
    metrics = reruns.run(notebook("one_training"), tmp_path / "out.ipynb", asked, **warm_how)
    assert checks.notebook_problems(tmp_path / "out.ipynb") == []
    spread = pd.read_csv(folder / "log.csv").points.std(ddof=0) / metrics["star"]
    assert metrics["test_rmse"] < 0.8 * spread  # who rates says much here
