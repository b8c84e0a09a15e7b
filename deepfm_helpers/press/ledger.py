"""The ledger of claims: a page that lists what the chapters claim, with the expression that has to be true."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import nbformat

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.press.kernels import outputs_of


def ledger(notebooks: Iterable[Path]) -> str:
    """The page that lists every claim of the executed ``notebooks`` with the expression that must be true."""
    lines = [
        "# The ledger of claims",
        "",
        "Every claim that a chapter makes about the data or the model stands here with the expression that",
        "has to be true for it. Each is checked whenever its chapter runs: if it does not hold, the notebook",
        "stops, and with it the build of the book. The page is generated from the executed chapters.",
    ]
    total = 0
    for path in notebooks:
        notebook = nbformat.read(path, as_version=4)
        claims = [
            (content["statement"], _check_of(cell.source, content["line"]))
            for cell, content in outputs_of(notebook, CLAIM_MIME)
        ]
        total += len(claims)
        if claims:
            title = notebook.cells[0].source.splitlines()[0].removeprefix("# ")
            lines += ["", f"## [{title}](../notebooks/{path.name})", ""]
            lines += [f"1. {statement}  \n   {check}" for statement, check in claims]
    return "\n".join([*lines, "", f"Claims in all: {total}.", ""])


def _check_of(source: str, line: int) -> str:
    """The second argument of the ``claim`` on ``line`` of a cell, as inline code."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a cell with IPython magic
        tree = ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.lineno <= line <= node.end_lineno:
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            values = node.args[1:2] or [k.value for k in node.keywords if k.arg == "holds"]
            if name == "claim" and values:
                return f"`` {ast.unparse(values[0])} ``"
    return "checked in the cell that states it"
