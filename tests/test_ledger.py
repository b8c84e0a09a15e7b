"""What the ledger reads from a notebook: expressions, definitions, conditions, and what a claim rests on."""

from pathlib import Path

import nbformat
import pytest

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press import claiming, ledger


def notebook(*cells: str) -> nbformat.NotebookNode:
    made = [nbformat.v4.new_markdown_cell("# A chapter\n\nIts text."), *map(nbformat.v4.new_code_cell, cells)]
    return nbformat.v4.new_notebook(cells=made)


def claims_of(*cells: str) -> list[claiming.Claim]:
    return claiming.claims_of(notebook(*cells))


def test_a_claim_is_found_with_its_cell_its_lines_and_its_statement():
    source = "for n in (1, 2):\n    claim(\n        f'{n}',\n        n > 0,\n    )\nclaim('b', holds=x == y)"
    first, second = claims_of("a = 1", source)
    assert (first.cell, first.call.lineno, first.call.end_lineno) == (2, 2, 5)
    assert [claiming.ast.unparse(claim.holds) for claim in (first, second)] == ["n > 0", "x == y"]
    assert [claim.statement for claim in (first, second)] == ["`` f'{n}' ``", "b"]
    assert [claim.on for claim in claims_of("claim('a', 1)\nclaim('b', 1, on='algebra')")] == [
        "run",
        "algebra",
    ]
    assert claims_of("%time claim('a', True)") == []


def test_short_plain_assignments_define_the_names_of_a_claim():
    cells = (
        "rmse = baselines()\nlong = f(" + "1 + " * 40 + "1)\nn = 1",
        "rmse['FM'] = error(y, fm)\nfour, two = errors\nn = n + len(train)\nn += 0\nkept = []\nkept.append(1)",
        "claim('', rmse['FM'] < rmse['offsets'] and four < long)\nfour = 9",
        "best = int(h.argmin()) + 1\nclaim('', best < n and kept and all(four for four in two))",
    )
    first, second = claims_of(*cells)
    assert first.definitions == ("rmse['FM'] = error(y, fm)", "four, two = errors")
    assert second.definitions == ("best = int(h.argmin()) + 1", "four, two = errors")


def test_a_definition_that_uses_the_name_itself_stands_with_the_one_before():
    (claim,) = claims_of("ok = n > 9\nok = ok and k < 3\nclaim('', ok)")
    assert claim.definitions == ("ok = n > 9", "ok = ok and k < 3")


@pytest.mark.parametrize("first", ["", "f = g(" + "1 + " * 40 + "1)\n", "f = []\nf.append(1)\n"])
def test_a_definition_that_uses_the_name_itself_never_stands_alone(first):
    (claim,) = claims_of(first + "f = f.T\nclaim('', f)")
    assert claim.definitions == ()


def test_what_every_chapter_begins_with_is_no_definition():
    (claim,) = claims_of(
        "check_parameters(seed=seed)\ndata = load(seed)", "n = len(data)\nclaim('', n < data.n)"
    )
    assert claim.definitions == ("n = len(data)",)


def test_the_conditions_of_a_claim_are_told_with_what_defines_them():
    source = """
trained = steps >= 40 and MANY
if trained and not small:
    if dataset == "ml-1m":
        claim("a", x < 1)
    else:
        claim("b", x < 1)
try:
    import keras
except ImportError:
    pass
else:
    claim("c", x < 1)
"""
    a, b, c = claims_of(source.replace("MANY", "k and " * 20 + "n"))
    assert a.conditions == ("trained and (not small)", "dataset == 'ml-1m'")
    assert b.conditions == ("trained and (not small)", "not (dataset == 'ml-1m')")
    assert c.conditions == ("no ImportError",)
    assert a.definitions == ()
    assert a.conditions_defined == ("trained = steps >= 40 and " + "k and " * 20 + "n",)


@pytest.mark.parametrize(
    "source",
    [
        "claim('', recorded('01').frame().a.min() > 0)",
        "claim('', records.measurements('rmse').value.min() > 0)",
        "r = recorded('01')\na = [run['x'] for run in r.runs]\nclaim('', min(a) > 0)",
        "a, (b, *c) = f(recorded('01'))\nclaim('', c)",
        "a = {}\na['x'] = recorded('01')\nclaim('', a)",
        "a = []\nfor run in recorded('01').runs:\n    a.append(run)\nclaim('', a)",
        "a = {}\nfor run in recorded('01').runs:\n    a.setdefault('x', []).append(run)\nclaim('', a)",
        "try:\n    r = recorded('01')\nexcept FileNotFoundError:\n    r = None\nclaim('', r)",
        "r = recorded('01')\nif r:\n    r = 1\nclaim('', r)",
        "def f():\n    return g()\ndef g():\n    return r\nr = recorded('01')\na = f()\nclaim('', a)",
        "a = 0\nfor x in y:\n    b = a\n    a = recorded('01')\nclaim('', b)",
        "with recorded('01') as a:\n    pass\na += 1\nclaim('', a)",
    ],
)
def test_a_claim_on_stored_numbers_is_known_as_one(source):
    (claim,) = claims_of(source)
    assert claim.on_records


@pytest.mark.parametrize(
    "source",
    [
        "r = recorded('01')\nclaim('', x > 0)",
        "r = recorded('01')\nr = 1\nclaim('', r)",
        "say([r for r in recorded('01').runs])\nr = 1\nclaim('', r)",
        "r = recorded('01')\nclaim('', all(r > 0 for r in x) and f(lambda r: r))",
        "def f(r):\n    s = r\n    return s\nr = s = recorded('01')\nclaim('', f(2))",
        "if len(recorded('01').runs):\n    claim('', x)",
    ],
)
def test_a_claim_on_the_numbers_of_the_run_is_not_taken_for_one_on_stored_numbers(source):
    (claim,) = claims_of(source)
    assert not claim.on_records


def executed(path: Path, *cells: str, stated: dict[int, list[tuple]]) -> Path:
    """Write a notebook whose code cells, counted from 1, state (line, statement, ground)."""
    made = notebook(*cells)
    for cell, claims in stated.items():
        for line, statement, ground in claims:
            content = {"statement": statement, "line": line, "on": ground}
            output = nbformat.v4.new_output("display_data", {CLAIM_MIME: content, "text/plain": statement})
            made.cells[cell].outputs.append(output)
    nbformat.write(made, path)
    return path


def test_the_ledger_tells_grounds_definitions_and_conditions_and_counts(tmp_path):
    one = executed(
        tmp_path / "01_one.ipynb",
        "a = f(x)\nclaim('A', a > 0)\nif ml_1m:\n    claim('Never', a < 9)\n"
        "long = n > 3\nif long:\n    claim('B', a < 1)",
        "claim('C', 1 == 1, on='algebra')\nclaim('D', recorded('01').x > a, on='records')",
        stated={1: [(2, "A.", "run"), (7, "B.", "run")], 2: [(1, "C.", "algebra"), (2, "D.", "records")]},
    )
    two = executed(tmp_path / "02_two.ipynb", "%time claim('E', True)", stated={1: [(1, "E.", "run")]})
    page = ledger.ledger([one, two])
    head, first, second = page.split("## ")
    assert "**In all: 5 claims: 3 checked on the numbers of the chapter's own run, " in head
    assert first.splitlines() == [
        "[A chapter](../notebooks/01_one.ipynb)",
        "",
        "4 claims: 2 checked on the numbers of the chapter's own run, "
        "1 checked on recorded runs or stored measurements, 1 by algebra.",
        "",
        *("1. A.  ", "   `` a > 0 ``  ", "   where `` a = f(x) ``"),
        *("1. B.  ", "   `` a < 1 ``  ", "   where `` a = f(x) ``  "),
        *("   only if `` long ``  ", "   where `` long = n > 3 ``"),
        *("1. C. *(by algebra)*  ", "   `` 1 == 1 ``"),
        "1. D. *(checked on recorded runs or stored measurements)*  ",
        *("   `` recorded('01').x > a ``  ", "   where `` a = f(x) ``"),
        "",
        "Not checked here, because a condition did not hold:",
        "",
        *("1. Never  ", "   `` a < 9 ``  ", "   where `` a = f(x) ``  ", "   only if `` ml_1m ``"),
        "",
        "(claims-02_two)=",
    ]
    assert "1. E.  \n   checked in the cell that states it\n" in second
