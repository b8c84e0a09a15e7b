"""Tell which numbered equations of a chapter are checked, and what is wrong with the checks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

import nbformat

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press.kernels import as_python, outputs_of

_LABEL = re.compile(r"^\$\$ *\(([^()\s]+)\) *$", re.MULTILINE)


def labels_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the labels of the numbered equations in the text of a notebook, in their order."""
    return [
        label
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for label in _LABEL.findall(cell.source)
    ]


def equation_problems(notebook: nbformat.NotebookNode, labels: Iterable[str]) -> list[str]:
    """List what is wrong with the checks of numbered equations, one sentence each.

    Each has to be checked by :func:`deepfm_helpers.equations.verify`, in an executed cell of its own chapter.

    Args:
        notebook: the chapter.
        labels: the labels of its numbered equations.
    """
    calls = _checks_of(notebook)
    ran = {content.get("equation") for _, content in outputs_of(notebook, CLAIM_MIME)}
    problems = []
    for label in labels:
        if label not in calls:
            problems.append(
                f"equation {label} has no check; add verify({label!r}, …) to a cell of its chapter"
            )
        elif label not in ran:
            problems.append(f"the check of equation {label} did not run; execute its chapter")
    for label, sides in calls.items():
        if label not in labels:
            problems.append(f"verify({label!r}, …) names no numbered equation of its chapter")
        if len(sides) < 2 or len(set(sides)) < len(sides):
            problems.append(
                f"the check of equation {label} asserts nothing; compare two sides that are computed differently"
            )
    return problems


def _checks_of(notebook: nbformat.NotebookNode) -> dict[object, list[str]]:
    """Return the code of the sides that each call of ``verify`` compares, by the label that it names."""
    trees = [ast.parse(as_python(cell.source)) for cell in notebook.cells if cell.cell_type == "code"]
    return {
        getattr(label, "value", None): [ast.unparse(side) for side in sides]
        for tree in trees
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "verify"
        for label, _, *sides in [call.args]
    }
