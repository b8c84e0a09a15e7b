"""Running notebooks with other parameters: small ones made here, and every chapter with each of its parameters."""

import json
import math
import sys
from pathlib import Path

import nbformat
import pytest
import shares
from jupyter_client.manager import AsyncKernelManager

from deepfm_helpers import files
from deepfm_helpers.press import checks, kernels, reruns

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))
SMALL = {
    "dataset": "planted-small", "seed": 20261, "n_seeds": 1, "k": 6, "batch_size": 1024, "steps_per_epoch": 80,
}  # fmt: skip
"""What the reruns of the chapters begin with, where a chapter has it; `SMALLER` for those that train most."""

SMALLER = {
    "07_training": {"epochs": 6},
    "09_contributions": {"epochs": 3},
    "10_repairs": {"epochs": 2, "steps_per_epoch": 160},
    "12_recommending": {"epochs": 2},
    "13_reruns": {"epochs": 2},
    "14_recovery": {"epochs": 2},
    "16_clicks": {"epochs": 2},
    "17_your_own_data": {"epochs": 2},
    "one_training": {"epochs": 3, "batch_size": 20, "learning_rate": 0.02},
}
OTHER = {
    "dataset": "planted", "directions": "both", "seed": 2, "n_seeds": 2, "epochs": 7, "patience": 1, "k": 3, "n": 5,
    "batch_size": 2048, "steps_per_epoch": 40, "hidden": [8], "dropout": 0.4, "penalty": 0.5, "noise": 0.8,
    "learning_rate": 0.01, "averaging": 0.9, "fields": ["uid", "mid"],
}  # fmt: skip
"""The second value of every parameter; each is changed alone."""

TIMES = {"slope_pair_loop", "slope_matrix_form", "slope_fast_form", "training_seconds"}
"""Recorded numbers that are another in every run."""


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with a parameters cell and the given code cells; return its path."""

    def write(*code: str) -> Path:
        parameters = nbformat.v4.new_code_cell("seed: int = 1  # the seed", metadata={"tags": ["parameters"]})
        cells = [nbformat.v4.new_markdown_cell("# Tiny"), parameters, *map(nbformat.v4.new_code_cell, code)]
        path = tmp_path / "in" / "tiny.ipynb"
        path.parent.mkdir(exist_ok=True)
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
        return path

    return write


def test_a_rerun_uses_the_parameters_and_reads_the_records_back(notebook, tmp_path):
    path = notebook(
        "from deepfm_helpers.records import record\nrecord(double=2 * seed, first=1)\nrecord(first=seed)",
        "from pathlib import Path\nprint(Path.cwd().name)",
    )
    before = path.read_bytes()
    output = tmp_path / "deep" / "out.ipynb"
    assert reruns.run(path, output, {"seed": 21}) == {"double": 42, "first": 21}
    assert kernels.metrics_of(output) == {"double": 42, "first": 21}
    assert path.read_bytes() == before
    executed = nbformat.read(output, as_version=4)
    assert executed.cells[-1].outputs[0].text == "in\n"  # the kernel works in the notebook's folder
    assert executed.metadata.papermill == {"parameters": {"seed": 21}}
    assert checks.notebook_problems(output) == []


def test_a_misspelt_parameter_is_an_error_that_names_the_allowed_ones(notebook, tmp_path):
    with pytest.raises(ValueError, match=r"tiny\.ipynb has no parameter sead; it has seed"):
        reruns.run(notebook("seed"), tmp_path / "out.ipynb", {"sead": 3})
    assert not (tmp_path / "out.ipynb").exists()


def test_a_failing_cell_names_itself_and_leaves_the_old_output(notebook, tmp_path):
    output = tmp_path / "out.ipynb"
    output.write_text("old")
    with pytest.raises(kernels.RunFailed, match=r"(?s)tiny\.ipynb, cell \[2\].*ZeroDivisionError") as caught:
        reruns.run(notebook("seed / 0"), output)
    assert "\x1b" not in str(caught.value)
    assert output.read_text() == "old"


def test_a_cell_that_takes_too_long_is_stopped(notebook, tmp_path):
    with pytest.raises(kernels.RunFailed, match="tiny.ipynb"):
        reruns.run(notebook("import time\ntime.sleep(60 + seed)"), tmp_path / "out.ipynb", timeout=2)


def silent_at_first(number: int) -> type:
    """A class of kernel managers whose first ``number`` kernels end at once, as after the loss of a port."""

    class Silent(AsyncKernelManager):
        started = 0

        def format_kernel_cmd(self, *args, **how):
            Silent.started += 1
            command = super().format_kernel_cmd(*args, **how)
            return [sys.executable, "-c", "raise SystemExit(1)"] if Silent.started <= number else command

    return Silent


def test_a_kernel_that_never_answers_is_replaced(notebook, tmp_path):
    path = notebook("from deepfm_helpers.records import record\nrecord(double=2 * seed)")
    manager = silent_at_first(kernels.STARTS - 1)
    ran = kernels.run(path, tmp_path / "out.ipynb", {"seed": 4}, 60, manager=manager)
    assert ran.metrics == {"double": 8}
    assert manager.started == kernels.STARTS
    assert ran.processor_seconds > 0


def test_a_run_whose_kernels_never_answer_has_failed(notebook, tmp_path):
    manager = silent_at_first(100)
    with pytest.raises(kernels.RunFailed, match=r"tiny\.ipynb: none of 3 kernels answered: Kernel died"):
        kernels.run(notebook("seed"), tmp_path / "out.ipynb", {}, 60, manager=manager)
    assert manager.started == kernels.STARTS
    assert not (tmp_path / "out.ipynb").exists()


def test_a_cell_that_ends_its_kernel_runs_once(notebook, tmp_path):
    with pytest.raises(kernels.RunFailed, match="Kernel died"):
        reruns.run(notebook("open('ran', 'a').write('x')\nimport os\nos._exit(seed)"), tmp_path / "out.ipynb")
    assert (tmp_path / "in" / "ran").read_text() == "x"


def test_a_kernel_that_dies_is_reported(notebook, tmp_path):
    with pytest.raises(kernels.RunFailed, match="tiny.ipynb"):
        reruns.run(notebook("import os\nos._exit(seed)"), tmp_path / "out.ipynb")
    assert list(tmp_path.glob("*.part")) == []


def test_a_run_that_could_not_be_stored_does_not_begin(notebook, tmp_path):
    mark = tmp_path / "ran"
    path = notebook(f"open({str(mark)!r}, 'w').write(str(seed))")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder: name the file to write"):
        reruns.run(path, tmp_path / "folder")
    with pytest.raises(OSError, match="tiny.ipynb"):
        reruns.run(path, path / "out.ipynb")
    assert not mark.exists()


def test_the_kernel_is_this_python_in_an_environment_of_its_own(notebook, tmp_path, monkeypatch):
    kernels_of_another = tmp_path / "jupyter" / "kernels" / "python3"
    kernels_of_another.mkdir(parents=True)
    spec = {"argv": ["/no/such/python", "{connection_file}"], "display_name": "x", "language": "python"}
    (kernels_of_another / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    output = tmp_path / "out.ipynb"
    path = notebook(
        "import matplotlib.pyplot as plt\n_ = plt.plot([1, 2])",
        "import os, sys\nfrom deepfm_helpers.records import record\n"
        "record(seed=seed, python=sys.executable, log=os.environ['TF_CPP_MIN_LOG_LEVEL'])",
    )
    assert reruns.run(path, output) == {"seed": 1, "python": sys.executable, "log": "3"}
    (figure,) = nbformat.read(output, as_version=4).cells[2].outputs
    assert "image/png" in figure.data


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a" / "file.txt"
    files.write_whole(target, "one\n")
    with pytest.raises(UnicodeEncodeError):
        files.write_whole(target, "\ud800")
    assert target.read_bytes() == b"one\n"
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def moved(metrics: dict, others: dict) -> bool:
    """Whether two runs recorded something that differs by more than rounding does."""
    differ = [name for name in metrics.keys() | others.keys() if metrics.get(name) != others.get(name)]
    differ = [name for name in differ if name not in TIMES]
    return any(not same(metrics.get(name), others.get(name)) for name in differ)


def same(value: object, other: object) -> bool:
    """Whether two recorded values are equal, numbers but for rounding."""
    if isinstance(value, dict) and isinstance(other, dict):
        return value.keys() == other.keys() and all(same(value[key], other[key]) for key in value)
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(map(same, value, other))
    if isinstance(value, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(value, other, rel_tol=1e-5, abs_tol=1e-9)
    return value == other


def test_two_runs_are_told_apart_by_more_than_rounding_and_time():
    run = {"rmse": 0.5, "by_field": {"uid": [1.0, 2]}, "strongest": "uid", "slope_fast_form": 1.0}
    for changes in ({}, {"rmse": 0.5 + 1e-9}, {"slope_fast_form": 2.0}):
        assert not moved(run, run | changes)
    for changes in ({"rmse": 0.501}, {"by_field": {"uid": [1.0]}}, {"strongest": "mid"}, {"more": 1}):
        assert moved(run, run | changes)


@pytest.mark.reruns
@pytest.mark.parametrize("path", CHAPTERS[::-1], ids=lambda path: path.stem)
def test_every_parameter_of_a_chapter_moves_a_recorded_number(path, tmp_path, warm_how):
    declared = reruns.declared(path)
    assert "seed" in declared
    small = {name: value for name, value in (SMALL | SMALLER.get(path.stem, {})).items() if name in declared}

    def run(notebook: Path, **changes) -> dict:
        output = tmp_path / "out.ipynb"
        metrics = reruns.run(notebook, output, small | changes, **warm_how)
        assert checks.notebook_problems(output) == []
        assert json.loads(json.dumps(metrics)) == metrics
        return metrics

    base, idle, recording = run(path), {}, until_it_has_recorded(path, tmp_path)
    for name in shares.share([*declared]):
        try:
            if not moved(base, run(path if name == "dataset" else recording, **{name: OTHER[name]})):
                idle[name] = "changes nothing that is recorded"
        except (kernels.RunFailed, AssertionError) as error:
            idle[name] = str(error)
    assert idle == {}


def until_it_has_recorded(path: Path, folder: Path) -> Path:
    """Write a copy of a chapter that ends with its last record; what comes after cannot move one."""
    notebook = nbformat.read(path, as_version=4)
    last = max(i for i, cell in enumerate(notebook.cells) if "record(" in cell.source)
    notebook.cells = notebook.cells[: last + 1]
    nbformat.write(notebook, folder / path.name)
    return folder / path.name
