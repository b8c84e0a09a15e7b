"""Write the ledger of claims: a page with each claim, the expression that has to be true, and what it rests on."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import nbformat

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press.claiming import Claim, claims_of

RESTS = {
    "run": "checked on the numbers of the chapter's own run",
    "records": "checked on recorded runs or stored measurements",
    "algebra": "by algebra",
}
"""What a claim can rest on, see :data:`deepfm_helpers.claims.GROUNDS`, in the words of the page."""

HEAD = """\
# The ledger of claims

Every claim that the chapters make stands here, with the expression that has to be true for it and, where they
are short, the assignments that define the names in the expression. Use it as an index: the claims stand in the
order of the chapters, each heading leads to its chapter, and your browser's search finds any word of a claim or
any name in its expression.

Each claim is checked when its chapter runs: if it does not hold, the notebook stops, and with it the build of
the book. What that proves depends on what the claim rests on.

- **The chapter's own run.** The expression holds numbers that the run has just computed, from the data and
  the seed that stand at the end of the chapter. Other data or another seed can refute the claim.
- **Recorded runs**, marked so. The expression holds numbers that earlier runs have left in a file. The run of
  the chapter checks the file, not the code that made it; [How this book is tested](how_it_is_tested.md) says
  what does.
- **Algebra**, marked so. The statement follows from definitions or from constants written on the page. The
  check catches a slip in the code, and nothing else.

Some claims are stated only under a condition, such as a training that was long enough. The condition stands
with the claim (`data.truth is None` means that the ratings are real, not planted); where it did not hold, the
claim was not checked.

The page is generated from the executed chapters.
"""


def ledger(notebooks: Iterable[Path]) -> str:
    """Return the page that lists the claims of the executed ``notebooks``."""
    chapters, total = [], Counter()
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        entries, grounds = _entries(notebook)
        total += grounds
        if entries:
            title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
            chapters += [
                "",
                f"(claims-{path.stem})=",
                f"## [{title}](../notebooks/{path.name})",
                "",
                _counted(grounds),
                "",
                *entries,
            ]
    return "\n".join([HEAD, f"**In all: {_counted(total)}**", *chapters, ""])


def summary(notebook: nbformat.NotebookNode) -> str:
    """Say how many claims an executed notebook has made, in all and by what they rest on."""
    return _counted(_entries(notebook)[1])


def _entries(notebook: nbformat.NotebookNode) -> tuple[list[str], Counter]:
    """Return the items of a chapter's list, and the number of its claims by what they rest on."""
    claims = claims_of(notebook)
    entries, grounds, stated = [], Counter(), set()
    for i, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if content := output.get("data", {}).get(CLAIM_MIME):
                found = _at(claims, i, content["line"])
                ground = content.get("on", "run")
                grounds[ground] += 1
                stated.add(found)
                mark = "" if ground == "run" else f" *({RESTS[ground]})*"
                if equation := content.get("equation"):
                    entries.append(f"1. {{eq}}`{equation}`: {content['statement']}{mark}")
                else:
                    entries.append(f"1. {content['statement']}{mark}" + _check(found))
    unstated = [claim for claim in claims if claim not in stated]
    if unstated and entries:
        entries += ["", "Not checked here, because a condition did not hold:", ""]
        entries += [f"1. {claim.statement}" + _check(claim) for claim in unstated]
    return entries, grounds


def _at(claims: Iterable[Claim], cell: int, line: int) -> Claim | None:
    """Return the claim whose call is on a line of a cell; None for a call inside a magic."""
    here = (c for c in claims if c.cell == cell and c.call.lineno <= line <= c.call.end_lineno)
    return next(here, None)


def _check(claim: Claim | None) -> str:
    """Return the lines below a statement: the expression, what defines its names, and when the claim is stated."""
    if claim is None:
        return "  \n   checked in the cell that states it"
    lines = [_code(ast.unparse(claim.holds)) + _where(claim.definitions)]
    if claim.conditions:
        conditions = " and ".join(map(_code, claim.conditions))
        lines.append(f"only if {conditions}" + _where(claim.conditions_defined))
    return "".join(f"  \n   {line}" for line in lines)


def _where(definitions: Iterable[str]) -> str:
    return f"  \n   where {', '.join(map(_code, definitions))}" if definitions else ""


def _code(text: str) -> str:
    return f"`` {text} ``"


def _counted(grounds: Counter) -> str:
    """Say how many claims there are, in all and by what they rest on."""
    parts = [f"{grounds[ground]} {words}" for ground, words in RESTS.items() if grounds[ground]]
    number = grounds.total()
    return f"{number} claim{'s' if number != 1 else ''}: {', '.join(parts)}." if parts else "no claims."
