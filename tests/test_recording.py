"""Records: the sweep file whose runs are stored, how they are stored, and that chapters read them back."""

import json
from pathlib import Path

import nbformat
import pytest

from deepfm_helpers import records
from deepfm_helpers.page import RUNTIME, versions
from deepfm_helpers.press.checkout import HERE, BuildFailed, Checkout
from deepfm_helpers.press.digests import digest_of_run
from deepfm_helpers.sweeps import engine, plans, recording, runs


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


# -- records that one run confirms

CODE = "from deepfm_helpers.records import record\nrecord(n=7 * seed)\nrecord(within=0.01, rmse=0.9 + seed / 100)"
SEED = "seed: int = 1  # the seed"


def chapter(here: Checkout, name: str, code: str) -> Path:
    """Write a notebook with the parameter seed and a cell."""
    cells = [
        nbformat.v4.new_code_cell(SEED, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(code),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = here.notebooks / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def older(here, tmp_path, monkeypatch) -> Checkout:
    """The checkout with two notebooks and records of older code, of which seed 2 was the shortest run."""
    (tmp_path / "book").mkdir()
    names = ("01_one", "02_two")
    asked = [f"notebook: {chapter(here, name, CODE)}\nseeds: 1-3\n" for name in names]
    for file, text in zip(recording.FILES, asked, strict=True):
        (tmp_path / "book" / file).write_text(text)
    pins = (f"{n}=={v}\n" for n, v in versions().items() if n != "python" and v != "not installed")
    (tmp_path / "constraints.txt").write_text("".join(pins))
    for name in names:
        for seed, seconds in enumerate((9.0, 4.0, 5.0), 1):
            finished(
                tmp_path / "sweep",
                name,
                seed,
                parameters={"seed": seed},
                metrics={"n": 7 * seed, "rmse": 0.9 + seed / 100},
                fingerprint=None,
                versions=versions(),
                seconds=seconds,
            )
    recording.store(here, tmp_path / "sweep")
    monkeypatch.setattr(recording, "SETTING", runs.Setting())  # cold kernels: they need no TensorFlow
    return here


@pytest.fixture
def made(monkeypatch) -> list[str]:
    """Let this process make the runs, without Dask; return what grows by the label of each run that it makes."""
    labels = []

    def run(plan, folder, *, say, setting, **how) -> engine.Outcome:
        outcome = engine.Outcome()
        for one in plan.runs:
            if runs.state_of(runs.folder_of(folder, one.name)) != "finished":
                labels.append(f"{one.notebook.stem} {one.parameters['seed']}")
            if error := runs.execute(one, folder, setting).error:
                outcome.failed[one.name] = error
        return outcome

    monkeypatch.setattr(engine, "run", run)
    return labels


def text_of(here: Checkout, name: str) -> str:
    return (here.package / "records" / f"{name}.json").read_text()


def test_a_record_whose_shortest_run_comes_out_again_counts_as_made_by_todays_code(older, capsys):
    before = text_of(older, "01_one")
    assert recording.stale(older) == dict.fromkeys(("01_one", "02_two"), ["was made by other code"])
    assert recording.main(["--confirm", "01", "--jobs", "1"], older) == 0
    told = capsys.readouterr().out
    assert "01_one: confirmed, seed 2 came out as it is stored\n" in told
    assert told.endswith("all records are up to date\n")
    today = digest_of_run(HERE, older.notebooks / "01_one.ipynb")
    assert text_of(older, "01_one") == before.replace("d" * 16, today)
    assert [*recording.stale(older)] == ["02_two"]  # it was not named


def test_a_record_that_differs_stays_as_it_is_and_the_others_are_confirmed(older, made, capsys):
    change(older, metrics={"n": [7, 15, 21], "rmse": [0.91, 0.94, 0.93]})
    before = text_of(older, "01_one")
    assert recording.main(["--confirm"], older) == 1
    assert made == ["01_one 2", "02_two 2"]
    told = capsys.readouterr().out
    assert "01_one, seed 2, n: stored 15, in this run 14\n" in told
    assert "01_one, seed 2, rmse: stored 0.94, in this run 0.92 (within 0.01)\n" in told
    assert told.endswith('make all their runs anew: `make record NB="01_one"`\n')
    assert text_of(older, "01_one") == before
    assert [*recording.stale(older)] == ["01_one"]


def test_numbers_that_moved_within_their_tolerance_are_counted(older, made, capsys):
    change(older, metrics={"n": [7, 14, 21], "rmse": [0.91, 0.925, 0.93]})
    assert recording.main(["--confirm", "01"], older) == 0
    assert (
        "came out as it is stored, 1 of its numbers only within their tolerances\n" in capsys.readouterr().out
    )


def test_a_run_that_fails_confirms_nothing(older, made, capsys):
    chapter(older, "01_one", f"{CODE}\n1 / (seed - 2)")
    assert recording.main(["--confirm"], older) == 1
    told = capsys.readouterr().out
    assert "01_one: its run failed: 01_one.ipynb, cell [3]: ZeroDivisionError" in told
    assert [*recording.stale(older)] == ["01_one"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"digest": None}, "has no digest of its code"),
        ({"varied": {"seed": [1, 2]}, "seconds": [1.0, 2.0]},
         "was made by other code; lacks 1 of the 3 runs that are asked for (seed 3)"),
        ({"versions": versions() | {"keras": "0.9"}},
         f"was made by other code; was made with keras 0.9 (locked: {versions()['keras']})"),
        ({"versions": versions() | {"python": "3.11.0"}},
         f"was made with python 3.11.0 (installed: {versions()['python']})"),
        ({"fingerprint": "e" * 64}, "was made from other data"),
    ],
)  # fmt: skip
def test_a_record_that_is_stale_for_another_reason_is_refused_with_it(older, made, capsys, changes, told):
    change(older, **changes)
    before = text_of(older, "01_one")
    assert recording.main(["--confirm", "01"], older) == 1
    assert capsys.readouterr().out == (
        f"01_one: {told}; one run cannot confirm this record\n"
        'make all their runs anew: `make record NB="01_one"`\n'
    )
    assert made == []
    assert text_of(older, "01_one") == before


def test_nothing_is_made_again_for_records_that_are_not_stale(books, made, capsys):
    before = text_of(books, "01_one")
    assert recording.main(["--confirm"], books) == 0
    assert capsys.readouterr().out == "all records are up to date\n"
    assert made == []
    assert text_of(books, "01_one") == before


def test_after_an_interruption_what_is_finished_is_not_made_again(older, made, monkeypatch, capsys):
    execute = runs.execute

    def interrupted(run, *how) -> runs.Result:
        if run.notebook.stem == "02_two":
            raise KeyboardInterrupt
        return execute(run, *how)

    before = {name: text_of(older, name) for name in ("01_one", "02_two")}
    monkeypatch.setattr(runs, "execute", interrupted)
    assert recording.main(["--confirm"], older) == 130
    assert {name: text_of(older, name) for name in before} == before
    made.clear()
    monkeypatch.setattr(runs, "execute", execute)
    assert recording.main(["--confirm"], older) == 0
    assert made == ["02_two 2"]
    assert recording.stale(older) == {}


def test_records_are_stale_or_confirmed_but_not_both_at_once(older, capsys):
    with pytest.raises(SystemExit):
        recording.main(["--stale", "--confirm"], older)
    assert "not allowed with argument --stale" in capsys.readouterr().err
