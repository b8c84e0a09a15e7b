"""The run that is made again for a commit: how it is chosen, what is reported, and the check itself."""

import json
from pathlib import Path

import nbformat
import pytest
import spot_check

from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.records import Recorded, recorded
from deepfm_helpers.sweeps import recording


def record(name: str, *seconds: float) -> Recorded:
    """A record with a run for each number of seconds, whose seeds count from 1."""
    made = [{"parameters": {"seed": i}, "metrics": {}, "seconds": s} for i, s in enumerate(seconds, 1)]
    return Recorded(name, {}, "f", "d", {}, "2026-11-26", 1, made)


def test_each_commit_names_a_run_that_is_short_enough():
    among = {"01_one": record("01_one", 10, 500, 20), "02_two": record("02_two", 900), "03": record("03", 1)}
    chosen = [spot_check.choose(f"{i:x}", among) for i in range(6)]
    assert [(name, run["parameters"]["seed"]) for name, run in chosen] == [
        *[("01_one", 1), ("03", 1), ("01_one", 3), ("03", 1), ("01_one", 1), ("03", 1)]
    ]
    assert spot_check.choose("0", {"02_two": record("02_two", 900)}) is None


@pytest.fixture
def notebook(tmp_path) -> Path:
    """A notebook that records a whole number, a sum and a result with a tolerance."""
    parameters = "seed: int = 1  # the seed"
    code = (
        "from deepfm_helpers.records import record\nrecord(n=7 * seed, third=seed / 3, name='uid')",
        "record(within=0.01, rmse=0.9 + seed / 1000, curve=[1.0, 0.5])",
    )
    cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [nbformat.v4.new_code_cell(source) for source in code]
    path = tmp_path / "tiny.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_what_differs_is_told_with_notebook_seed_metric_and_both_values(notebook, tmp_path):
    right = {"n": 14, "third": 0.666667, "name": "uid", "rmse": 0.907, "curve": [1.0, 0.505], "gone": None}
    run = {"parameters": {"seed": 2}, "metrics": right}
    assert spot_check.differences(notebook, run, 1, tmp_path / "again") == []
    wrong = right | {"n": 15, "third": 0.66668, "rmse": 0.92, "curve": [1.0, 0.52], "more": 1}
    told = spot_check.differences(notebook, run | {"metrics": wrong}, 1, tmp_path / "again")
    assert told == [
        "tiny, seed 2, curve[1]: stored 0.52, in this run 0.5 (within 0.01)",
        "tiny, seed 2, more: is stored, and was not recorded now",
        "tiny, seed 2, n: stored 15, in this run 14",
        "tiny, seed 2, rmse: stored 0.92, in this run 0.902 (within 0.01)",
        "tiny, seed 2, third: stored 0.66668, in this run 0.6666666666666666",
    ]


def test_a_run_that_fails_is_an_error(notebook, tmp_path):
    content = json.loads(notebook.read_text())
    content["cells"][-1]["source"] = "seed / 0"
    notebook.write_text(json.dumps(content))
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        spot_check.differences(notebook, {"parameters": {"seed": 2}, "metrics": {}}, 1, tmp_path / "again")


@pytest.mark.records
def test_a_recorded_run_comes_out_as_it_was_recorded(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFM_DATA", str(real_data("ml-1m")))
    commit = HERE.git("rev-parse", "HEAD") or pytest.skip("no commit that could name a run")
    old = recording.stale(HERE)  # the stage `records` lists them
    names = [path.stem for path in (HERE.package / "records").glob("*.json") if path.stem not in old]
    assert names
    name, run = spot_check.choose(commit, {name: recorded(name) for name in names})
    print(name, run["parameters"], f"recorded in {run['seconds']:.0f} seconds")
    (notebook,) = HERE.select([name])
    assert spot_check.differences(notebook, run, recorded(name).threads, tmp_path) == []
