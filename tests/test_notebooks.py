"""The stored chapters: fit to be shown, and compared by a tool that does notice a wrong output."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from deepfm_helpers import records
from deepfm_helpers.parameters import check_parameters
from deepfm_helpers.press import checks, kernels, reruns
from deepfm_helpers.press.checkout import DEFAULT, HERE
from deepfm_helpers.press.ledger import ledger

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@every_chapter
def test_a_chapter_is_fit_to_be_stored(path):
    assert checks.notebook_problems(path) == []


@every_chapter
def test_a_chapter_has_the_bones_of_a_chapter(path):
    cells = nbformat.read(path, as_version=4).cells
    assert "stamp(" in cells[-1].source
    sources = "\n".join(cell.source for cell in cells)
    assert "check_parameters(" in sources
    assert "image/png" not in {
        mime for c in cells for o in c.get("outputs", []) for mime in o.get("data", {})
    }
    assert len(kernels.metrics_of(path)) > 0 or "record(" not in sources
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "!" not in re.sub(r"!\[|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$", "", text, flags=re.S), (
        "an exclamation mark in the prose"
    )
    for heading in ("Exercises", "Traps"):
        assert re.search(rf"^## .*{heading}", text, re.M | re.I), f"no section {heading}"


@every_chapter
def test_every_parameter_is_typed_documented_and_checked(path):
    cell = next(
        c for c in nbformat.read(path, as_version=4).cells if "parameters" in c.metadata.get("tags", [])
    )
    allowed = reruns.allowed_parameters(path)
    lines = ast.parse(cell.source).body
    assert [line.target.id for line in lines] == list(allowed)
    assert list(allowed)[:2] == ["dataset", "seed"]
    for parameter in allowed.values():
        assert parameter.type in ("int", "float", "str", "bool")
        assert parameter.help, f"{parameter.name} has no comment"
        check_parameters(**{parameter.name: ast.literal_eval(parameter.default)})
    assert ast.literal_eval(allowed["dataset"].default) == DEFAULT


def test_the_table_of_contents_holds_every_chapter():
    entries = [entry for entry in HERE.contents() if entry.startswith("notebooks/")]
    assert entries == [f"notebooks/{path.stem}" for path in CHAPTERS]


def test_the_ledger_is_that_of_the_stored_chapters():
    assert (ROOT / "book" / "ledger.md").read_text(encoding="utf-8") == ledger(CHAPTERS)


def test_a_record_belongs_to_a_chapter():
    for path in (ROOT / "deepfm_helpers" / "records").glob("*.json"):
        record = records.record_of(path.stem)
        assert path.stem in {chapter.stem for chapter in CHAPTERS}
        assert record["notebook"] == path.stem
        assert record["dataset"] == "ml-1m"
        assert len({run["parameters"]["seed"] for run in record["runs"]}) == len(record["runs"]) >= 3
        assert all(run["metrics"] for run in record["runs"])


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """An executed notebook, to be compared with a fresh run."""
    folder = tmp_path_factory.mktemp("stored")
    parameters = nbformat.v4.new_code_cell("seed: int = 1  # the seed", metadata={"tags": ["parameters"]})
    code = (
        "from deepfm_helpers.claims import claim, say\nfrom deepfm_helpers.records import record",
        "print(f'sum {seed + 1}')",
        "record(double=2 * seed)\nclaim('it is even', 2 * seed % 2 == 0)\nsay(f'it is {2 * seed}')",
        "import numpy as np\nfrom deepfm_helpers import page, plots\npage.figures_as_svg()",
        "_ = plots.new_axes().plot(np.random.rand(9))",
    )
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_markdown_cell("# T"), parameters, *map(nbformat.v4.new_code_cell, code)]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "source.ipynb"
    )
    reruns.run(folder / "source.ipynb", folder / "stored.ipynb")
    return folder / "stored.ipynb"


def compare(path: Path) -> subprocess.CompletedProcess:
    """Compare one notebook with a fresh run, with the options of `make test`."""
    options = [
        "--nbval",
        "--nbval-current-env",
        f"--nbval-sanitize-with={ROOT / 'tests' / 'nbval_sanitize.cfg'}",
    ]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(path.parent),
        *options,
    ]
    return subprocess.run([*command, str(path)], capture_output=True, text=True, check=False)


def test_a_right_stored_output_passes(stored):
    done = compare(stored)
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_a_figure_is_kept_as_svg_and_has_to_be_there_whatever_it_shows(stored, tmp_path):
    notebook = nbformat.read(stored, as_version=4)
    (figure,) = (output for output in notebook.cells[-1].outputs if "data" in output)
    assert set(figure.data) == {"image/svg+xml", "text/plain"}
    assert "<dc:date>" not in figure.data["image/svg+xml"]
    notebook.cells[-1].outputs = []
    nbformat.write(notebook, tmp_path / "none.ipynb")
    done = compare(tmp_path / "none.ipynb")
    assert done.returncode == 1, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"), [("sum 2", "sum 3"), ('"double": 2', '"double": 3'), ("it is even", "it is odd")]
)
def test_a_wrong_stored_output_fails(stored, tmp_path, right, wrong):
    text = stored.read_text(encoding="utf-8")
    outputs = text.index('"outputs": [\n    {')
    assert right in text[outputs:]
    spoilt = tmp_path / "spoilt.ipynb"
    spoilt.write_text(text[:outputs] + text[outputs:].replace(right, wrong, 1), encoding="utf-8")
    done = compare(spoilt)
    assert done.returncode == 1, done.stdout
    assert "1 failed, 5 passed" in done.stdout
