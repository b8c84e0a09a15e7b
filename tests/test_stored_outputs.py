"""The comparison of stored outputs accepts the digits of another processor and notices a wrong output."""

import copy
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import run_all

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press import reruns
from deepfm_helpers.records import RECORD_MIME

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """An executed notebook, to be compared with a fresh run."""
    folder = tmp_path_factory.mktemp("stored")
    parameters = nbformat.v4.new_code_cell("seed: int = 1  # the seed", metadata={"tags": ["parameters"]})
    code = (
        "import numpy as np\nfrom deepfm_helpers import page, plots\npage.figures_as_svg()",
        "from deepfm_helpers.claims import claim, say\nfrom deepfm_helpers.records import record",
        "print(f'sum {seed + 1}')",
        "record(double=2 * seed, sum=np.random.permutation([0.1, 0.2, 0.3]).sum())",
        "claim('it is even', 2 * seed % 2 == 0)\nsay(f'it is {2 * seed}')",
        "_ = plots.new_axes().plot(np.random.rand(9))",
        *3 * ["rmse = 0.9 + 0.01 * np.random.rand()\nrecord(within=0.05, rmse=rmse)\nrmse"],
        "claim('it is small', rmse < 1)\nprint(rmse)",
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_markdown_cell("# T"), parameters, *map(nbformat.v4.new_code_cell, code)]
    for cell in cells[-4:]:
        cell.metadata["tags"] = ["nbval-ignore-output"]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "source.ipynb"
    )
    reruns.run(folder / "source.ipynb", folder / "stored.ipynb")
    return nbformat.read(folder / "stored.ipynb", as_version=4)


def compare(notebook: nbformat.NotebookNode, folder: Path) -> tuple[dict[int, str], str]:
    """Compare a notebook with a fresh run, with the options of `make test`; return its cells' verdicts, and all."""
    path = folder / "stored.ipynb"
    nbformat.write(notebook, path)
    options = [option for option in run_all.STORED if option not in ("-n", "2", "notebooks")]
    command = [
        sys.executable,
        *options,
        "-p",
        "no:cacheprovider",
        "-rA",
        "--color=no",
        "--rootdir",
        folder,
        path,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    verdicts = re.findall(r"^(PASSED|FAILED) .*::Cell (\d+)", done.stdout, re.M)
    return {int(cell): verdict for verdict, cell in verdicts}, done.stdout


def test_a_right_stored_output_passes(stored, tmp_path):
    verdicts, text = compare(stored, tmp_path)
    assert verdicts == dict.fromkeys(range(11), "PASSED"), text


def test_a_record_states_its_tolerance_to_readers_and_programs(stored):
    counted, trained = (stored.cells[i].outputs[0] for i in (5, 8))
    assert counted.metadata == {}
    assert counted.data["text/plain"].startswith("recorded:\n")
    assert trained.metadata == {RECORD_MIME: {"within": 0.05}}
    assert trained.data["text/plain"].startswith("recorded, to within 0.05 on any processor:\n")
    assert set(trained.data[RECORD_MIME]) == {"rmse"}


def test_a_figure_is_kept_as_svg(stored):
    (figure,) = (output for output in stored.cells[7].outputs if "data" in output)
    assert set(figure.data) == {"image/svg+xml", "text/plain"}
    assert "<dc:date>" not in figure.data["image/svg+xml"]


def test_a_wrong_stored_output_fails_where_it_is_wrong(stored, tmp_path):
    notebook = copy.deepcopy(stored)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    cells[3].outputs[0].text = "sum 3\n"
    cells[4].outputs[0].data[RECORD_MIME]["double"] = 3
    cells[5].outputs[0].data[CLAIM_MIME]["statement"] = "it is odd"
    cells[6].outputs = []  # a figure has to be there, whatever it shows
    cells[7].outputs[0].data[RECORD_MIME]["rmse"] += 0.07
    cells[8].outputs[0].metadata = {}
    cells[9].outputs[0].data["text/plain"] = "recorded, to within 0.05 on any processor:\n  rmse = 0.1"
    cells[10].outputs[0].data[CLAIM_MIME]["statement"] = "it is large"
    verdicts, text = compare(notebook, tmp_path)
    right = dict.fromkeys(range(3), "PASSED")
    assert verdicts == right | dict.fromkeys(range(3, 11), "FAILED"), text
    assert "states no tolerance, its cell within=0.05: store it anew with `make execute`" in text


def test_what_a_marked_cell_prints_is_not_compared(stored, tmp_path):
    notebook = copy.deepcopy(stored)
    notebook.cells[-1].outputs[-1].text = "0.1\n"
    verdicts, text = compare(notebook, tmp_path)
    assert verdicts == dict.fromkeys(range(11), "PASSED"), text
