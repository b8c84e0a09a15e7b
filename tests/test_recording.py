"""Records: the sweep file whose runs are stored, how they are stored, and that chapters read them back."""

import json
from pathlib import Path

import nbformat
import pytest

from deepfm_helpers import records
from deepfm_helpers.page import RUNTIME
from deepfm_helpers.press.checkout import HERE, BuildFailed, Checkout
from deepfm_helpers.press.digests import digest_of_run
from deepfm_helpers.sweeps import plans, recording


def finished(sweep: Path, notebook: str, seed: int, **changes) -> None:
    """Leave a finished run in a sweep's folder."""
    run = {
        "name": f"{notebook}-{seed:016x}",
        "notebook": notebook,
        "parameters": {"dataset": "ml-1m", "seed": seed, "hidden": [8, 4]},
        "metrics": {"rmse": 0.123456789 + seed, "losses": [1.0, seed / 3], "parts": {"a": seed / 7}},
        "seconds": 12.345,
        "date": f"2026-11-{20 + seed}",
        "fingerprint": "f" * 64,
        "digest": "d" * 16,
        "versions": {"python": "3"},
        "threads": 1,
    } | changes
    folder = sweep / "runs" / run["name"]
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Checkout:
    """A checkout whose records the reader's function finds."""
    monkeypatch.setattr(records, "files", lambda _: tmp_path / "deepfm_helpers")
    return Checkout(tmp_path)


def test_what_runs_recorded_is_stored_in_columns_and_read_back_by_run(here, tmp_path):
    for seed in (2, 1):
        finished(tmp_path / "sweep", "01_one", seed)
    finished(tmp_path / "sweep", "02_two", 5)
    assert [path.name for path in recording.store(here, tmp_path / "sweep")] == ["01_one.json", "02_two.json"]

    stored = json.loads((here.package / "records" / "01_one.json").read_text())
    assert stored["varied"] == {"seed": [1, 2]}
    assert stored["metrics"]["rmse"] == [1.12346, 2.12346]
    assert stored["parameters"] == {"dataset": "ml-1m", "hidden": [8, 4]}

    record = records.recorded("01_one")
    assert (record.date, record.digest, record.threads) == ("2026-11-22", "d" * 16, 1)
    assert [run["parameters"]["seed"] for run in record.runs] == [1, 2]
    assert record.runs[1]["metrics"] == {"rmse": 2.12346, "losses": [1.0, 0.666667], "parts": {"a": 0.285714}}
    assert record.runs[1]["seconds"] == 12.3
    assert record.frame().losses.tolist() == [[1.0, 0.333333], [1.0, 0.666667]]
    table = record.table()
    assert table.index.tolist() == ["rmse"]
    assert table.loc["rmse"].tolist() == pytest.approx([1.62346, 0.5**0.5, 2])


@pytest.mark.parametrize("key", recording.SAME)
def test_runs_that_were_not_made_alike_are_no_record(here, tmp_path, key):
    finished(tmp_path / "sweep", "01_one", 1)
    finished(tmp_path / "sweep", "01_one", 2, **{key: "another"})
    with pytest.raises(ValueError, match=f"01_one: its runs differ in {key}"):
        recording.store(here, tmp_path / "sweep")
    assert not (here.package / "records").exists()


def test_a_notebook_that_recorded_nothing_has_no_record(here, tmp_path):
    finished(tmp_path / "sweep", "01_one", 1, metrics={})
    with pytest.raises(ValueError, match="01_one recorded nothing"):
        recording.store(here, tmp_path / "sweep")


def test_only_notebooks_of_the_sweep_file_can_be_asked_for(monkeypatch):
    monkeypatch.setattr(plans, "fingerprint", lambda _: "f" * 64)
    with pytest.raises(
        BuildFailed, match=r"records\.yml and gallery\.yml have no runs of 11_state_of_the_art"
    ):
        recording.make(HERE, ["11_state_of_the_art"], Path("nowhere"))


@pytest.fixture
def books(here, tmp_path, monkeypatch) -> Checkout:
    """The checkout with a notebook, sweep files that ask for two runs of it, locked versions, and the record."""
    cells = [
        nbformat.v4.new_code_cell(
            "dataset: str = 'ml-1m'  # data\nseed: int = 1  # seed", metadata={"tags": ["parameters"]}
        ),
        nbformat.v4.new_code_cell("record(rmse=seed + len(dataset))"),
    ]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book").mkdir()
    notebook = here.notebooks / "01_one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    (tmp_path / "book" / "records.yml").write_text("notebook: ../notebooks/01_one.ipynb\nseeds: 1-2\n")
    (tmp_path / "book" / "gallery.yml").write_text("notebook: ../notebooks/01_one.ipynb\nfixed: {seed: 2}\n")
    pins = "\n".join(f"{name}==1.0 \\\n    --hash=sha256:0" for name in RUNTIME if name != "numpy")
    pins += "\nnumpy==1.0 ; python_full_version < '3.12' \\\nnumpy==2.0 ; python_full_version >= '3.12' \\\nother==5 \\"
    (tmp_path / "constraints.txt").write_text(f"# locked\n{pins}\n")
    monkeypatch.setattr(plans, "fingerprint_at_hand", lambda dataset: dataset and "f" * 64)
    for seed in (1, 2):
        finished(
            tmp_path / "sweep",
            "01_one",
            seed,
            parameters={"dataset": "ml-1m", "seed": seed},
            digest=digest_of_run(HERE, notebook),
            versions={"python": "3.11.7"} | dict.fromkeys(RUNTIME, "1.0"),
        )
    recording.store(here, tmp_path / "sweep")
    return here


def change(here: Checkout, **changes) -> None:
    path = here.package / "records" / "01_one.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_record_of_todays_code_data_and_versions_with_all_its_runs_is_not_stale(books, capsys):
    assert recording.stale(books) == {}
    assert recording.main(["--stale"], books) == 0
    assert capsys.readouterr().out == "all records are up to date\n"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": None}, "has no digest of its code"),
        ({"digest": "d" * 16}, "was made by other code"),
        ({"fingerprint": "e" * 64}, "was made from other data"),
        ({"versions": {"python": "3.11.7"} | dict.fromkeys(RUNTIME, "1.0") | {"keras": "0.9"}},
         "was made with keras 0.9 (locked: 1.0)"),
        ({"versions": {"python": "3.12.1"} | dict.fromkeys(RUNTIME, "1.0")},
         "was made with numpy 1.0 (locked: 2.0)"),
        ({"versions": {"python": "3.11.7"} | {name: "1.0" for name in RUNTIME if name != "scipy"}},
         "was made with scipy unknown (locked: 1.0)"),
        ({"varied": {"seed": [1]}, "seconds": [1.0]}, "lacks 1 of the 2 runs that are asked for (seed 2)"),
    ],
)  # fmt: skip
def test_a_stale_record_is_told_with_the_reason(books, capsys, changes, told):
    change(books, **changes)
    assert recording.stale(books) == {"01_one": [told]}
    assert recording.main(["--stale", "01"], books) == 1
    assert f"01_one: {told}\n1 records were not made with today's" in capsys.readouterr().out


def test_changed_code_makes_a_record_stale_and_a_changed_sentence_does_not(books):
    path = books.notebooks / "01_one.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell("say('a sentence')"))
    nbformat.write(notebook, path)
    assert recording.stale(books) == {}
    notebook.cells[1].source = "record(rmse=seed - len(dataset))"
    nbformat.write(notebook, path)
    assert recording.stale(books) == {"01_one": ["was made by other code"]}


def test_a_record_that_is_missing_and_one_that_nothing_asks_for_are_told(books):
    record = books.package / "records" / "01_one.json"
    record.rename(record.with_name("00_gone.json"))
    assert recording.stale(books) == {
        "00_gone": ["no run of it is asked for in records.yml or gallery.yml"],
        "01_one": ["is not stored"],
    }


def test_data_that_is_not_at_hand_is_not_fetched_for_a_comparison(books, monkeypatch):
    change(books, fingerprint="e" * 64)
    monkeypatch.setattr(plans, "fingerprint_at_hand", lambda dataset: None)
    assert recording.stale(books) == {}


def test_only_data_on_this_machine_has_a_fingerprint_at_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(plans, "fingerprint", lambda dataset: f"of {dataset}")
    monkeypatch.setenv("DEEPFM_CACHE", str(tmp_path))
    monkeypatch.delenv("DEEPFM_DATA", raising=False)
    assert plans.fingerprint_at_hand("ml-1m") is None
    (tmp_path / "ml-1m").mkdir()
    assert plans.fingerprint_at_hand("ml-1m") == "of ml-1m"
    assert plans.fingerprint_at_hand("planted") == "of planted"
