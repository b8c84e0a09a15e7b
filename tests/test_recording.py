"""Records: the sweep file whose runs are stored, how they are stored, and that chapters read them back."""

import json
from pathlib import Path

import pytest

from deepfm_helpers import records
from deepfm_helpers.press.checkout import HERE, BuildFailed, Checkout
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
