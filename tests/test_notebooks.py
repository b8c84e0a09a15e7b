"""The stored chapters: fit to be shown, and guarded wherever their digits are not compared."""

import ast
import builtins
import re
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest

from deepfm_helpers.checkers import EXERCISES
from deepfm_helpers.exercises import CHECK_MIME
from deepfm_helpers.press import checks, kernels, provenance, reruns
from deepfm_helpers.press.checkout import DEFAULT, HERE
from deepfm_helpers.press.claiming import claims_of
from deepfm_helpers.press.digests import digest_of_run
from deepfm_helpers.press.ledger import ledger

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
WITHOUT_DATASET = {"17_your_own_data"}  # it draws a table of its own
FOLDERS = {"18_after_training", "one_training"}  # they take a folder of one's own for their dataset
every_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@every_chapter
def test_a_chapter_is_fit_to_be_stored(path):
    assert checks.notebook_problems(path) == []


@every_chapter
def test_the_stored_outputs_are_those_of_todays_code(path):
    """Its page says which code made it; `make execute` stores outputs and digest together."""
    assert provenance.kept_digest(nbformat.read(path, as_version=4)) == digest_of_run(HERE, path)


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
def test_a_claim_or_a_record_guards_what_a_marked_cell_shows(path):
    """What a training made is not compared digit by digit; something near it is.

    An answer to a guess shows again what a cell before it has shown; a check of an equation shows nothing of the run.
    """
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    code = [
        cell
        for cell in cells
        if not re.match(r"(# needs .*\n)?(predict|reveal)\(", cell.source) and "verify(" not in cell.source
    ]
    for i, cell in enumerate(code[:-1]):  # the last is the stamp
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            near = "".join(other.source for other in code[i : i + 4])
            assert "claim(" in near or "record(" in near, cell.source


@every_chapter
def test_stored_numbers_come_with_their_date_and_command(path):
    """A page with recorded runs or stored measurements says when they were made, and how to make them again."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    code = ast.parse("\n".join(kernels.as_python(cell.source) for cell in cells))
    calls = [
        node for node in ast.walk(code) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]

    def asked(name):
        return {ast.unparse(call) for call in calls if call.func.id == name}

    assert not asked("recorded") or asked("origin")
    assert len(asked("measured_on")) >= len(asked("measurements"))  # every task once


@every_chapter
def test_every_parameter_is_typed_documented_checked_and_used(path):
    parameters = reruns.declared(path)
    if path.stem in WITHOUT_DATASET:
        assert next(iter(parameters)) == "seed"
        assert "datasets" not in path.read_text(encoding="utf-8")
    else:
        assert list(parameters)[:2] == ["dataset", "seed"]
        assert reruns.complete(path)["dataset"] == DEFAULT
    assert all(parameter.annotation and parameter.help for parameter in parameters.values())
    checked = [
        {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        for cell in nbformat.read(path, as_version=4).cells
        if cell.cell_type == "code" and "check_parameters(" in cell.source
        for call in ast.walk(ast.parse(cell.source))
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "check_parameters"
    ]
    assert checked == [
        {name: name for name in parameters} | ({"folders": "True"} if path.stem in FOLDERS else {})
    ]


def test_every_exercise_is_asked_once_and_its_solution_is_right():
    """In the cell for the reader's answer nothing is attempted; the folded solution answers."""
    told = []
    for path in CHAPTERS:
        for cell in nbformat.read(path, as_version=4).cells:
            outcomes = [
                o.data[CHECK_MIME] for o in cell.get("outputs", []) if CHECK_MIME in o.get("data", {})
            ]
            kind = "open" if "exercise" in cell.metadata.get("tags", []) else "right"
            assert all(o["outcome"] == kind for o in outcomes), f"{path.stem}: {cell.source}"
            told += [(o["exercise"], kind) for o in outcomes]
    assert sorted(told) == sorted((name, kind) for name in EXERCISES for kind in ("open", "right"))


NUMBER_OR_SIGN = re.compile(
    r"\d|½|\b(two|three|four|five|six|seven|eight|nine|ten|half|third|eighth|ninth|tenths|hundredth)\b"
    r"|\b(positive|negative|above|below|more|less|fewer|larger|smaller)\b"
)


@every_chapter
def test_every_exercise_names_what_shows_a_reader_without_a_computer_that_they_are_right(path):
    """One sentence ends its text: "You are right if …", with a number or a sign."""
    cells = nbformat.read(path, as_version=4).cells
    for text, cell in pairwise(cells):
        if "exercise" not in cell.metadata.get("tags", []):
            continue
        assert text.cell_type == "markdown", cell.source
        asked = " ".join(text.source.rpartition("\n**")[2].split())
        assert asked.count("You are right if") == 1, asked
        said = re.search(r"You are right if\b([^?!]+)\.$", asked)
        assert said is not None, f'"You are right if …" is not the last sentence: {asked}'
        assert NUMBER_OR_SIGN.search(said[1]), f"neither a number nor a sign: {said[0]}"


def test_the_table_of_contents_holds_every_chapter():
    entries = [entry for entry in HERE.contents() if entry.startswith("notebooks/")]
    assert entries == [f"notebooks/{path.stem}" for path in CHAPTERS]


def test_the_ledger_is_that_of_the_stored_chapters():
    assert (ROOT / "book" / "ledger.md").read_text(encoding="utf-8") == ledger(CHAPTERS)


@every_chapter
def test_a_claim_on_stored_numbers_says_so_and_no_other_does(path):
    wrong = [
        f"{claim.statement}: on={claim.on!r}, and its expression "
        + ("reads recorded numbers" if claim.on_records else "reads none that were recorded")
        for claim in claims_of(nbformat.read(path, as_version=4))
        if (claim.on == "records") != claim.on_records
    ]
    assert wrong == []


@every_chapter
def test_the_expression_of_a_claim_names_something_that_the_notebook_made(path):
    """An expression of constants and built-in functions alone is as true as it was when it was typed."""
    for claim in claims_of(nbformat.read(path, as_version=4)):
        names = {node.id for node in ast.walk(claim.holds) if isinstance(node, ast.Name)}
        assert names - set(dir(builtins)), f"{claim.statement}: {ast.unparse(claim.holds)}"
