"""Compute digests of what a result depends on: the code that made it, the modules that this code imports, the data.

Comments, docstrings and layout of a module do not count, unless the code looks at source code itself.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

import nbformat

from deepfm_helpers.press.checkout import Checkout
from deepfm_helpers.press.kernels import as_python

PACKAGE = "deepfm_helpers"
FOLLOWED = {PACKAGE, "benchmarks"}
"""The packages of the checkout whose imports are followed."""

NEUTRAL = {
    "plots", "claims", "page", "tables", "parameters", "processes", "exercises", "asking", "equations", "lacking",
    "folders",
}  # fmt: skip
"""Modules that do not change recorded numbers: they show or check, or act only if several processes train together
or the data is a folder or lacks something that MovieLens-1M has."""


def digest(*content: object) -> str:
    """Return the digest of anything that JSON can hold, as 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of the bytes of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def code_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the sources of the code cells, which determine what a notebook computes."""
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def digest_of_notebook(here: Checkout, path: Path, *others: object) -> str:
    """Return the digest of a notebook's code, of all that this code reaches in the checkout, and of ``others``."""
    sources = code_of(nbformat.read(path, as_version=4))
    return digest(path.stem, sources, reached(here, "\n".join(map(as_python, sources))), others)


def digest_of_run(here: Checkout, path: Path) -> str:
    """Return the digest of what can change the numbers that a notebook records: its code and the modules it reaches.

    The digest leaves out cells after the last one that records, sentences, claims, questions, comments and layout, the
    modules in `NEUTRAL`, and numbers recorded before.
    """
    cells = [as_python(source) for source in code_of(nbformat.read(path, as_version=4))]
    parsed = [ast.parse(cell) for cell in cells]
    uses = Counter(name for cell in parsed for name in _names(cell))
    shared = {name for name, number in uses.items() if number > 1}
    trees = [_Computing().visit(cell) for cell in parsed if not _only_asks(cell, shared)]
    last = max((i for i, tree in enumerate(trees) if "record" in _called(tree)), default=len(trees) - 1)
    whole = ast.parse("\n".join(cells))
    return digest(
        path.stem, [ast.unparse(t) for t in trees[: last + 1]], _modules(here, whole, leave_out=NEUTRAL)
    )


ASKING = {"predict", "reveal", "verify"}
"""A chapter may ask for a guess, answer it, and check an equation without a new record."""


def _only_asks(cell: ast.Module, shared: Collection[str]) -> bool:
    """Tell whether a cell only calls the functions in `ASKING`, and defines functions that no other cell uses."""
    functions = [node.name for node in cell.body if isinstance(node, ast.FunctionDef)]
    calls = [node.value for node in cell.body if isinstance(node, ast.Expr)]
    return (
        len(functions) + len(calls) == len(cell.body)
        and bool(calls)
        and all(_called(call, deep=False) & ASKING for call in calls)
        and not set(functions) & set(shared)
    )


def _names(cell: ast.Module) -> set[str]:
    return {node.id for node in ast.walk(cell) if isinstance(node, ast.Name)}


class _Computing(ast.NodeTransformer):
    """Takes sentences, claims, checks of equations and questions, with the imports of the last two, out of a cell."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if getattr(node, "body", None) == []:
            node.body = [ast.Pass()]
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if _called(node.value, deep=False) & ({"say", "claim"} | ASKING) else node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom | None:
        return None if node.module in (f"{PACKAGE}.asking", f"{PACKAGE}.equations") else node


def _called(tree: ast.AST, deep: bool = True) -> set[str]:
    """Return the names of the functions that a tree calls; without ``deep``, of the one that its root calls."""
    calls = [n for n in (ast.walk(tree) if deep else [tree]) if isinstance(n, ast.Call)]
    return {call.func.id for call in calls if isinstance(call.func, ast.Name)}


def digest_of_module(here: Checkout, name: str, *others: object) -> str:
    """Return the digest of a module, such as ``press.live``, of all that it reaches, and of ``others``."""
    return digest(reached(here, f"import {PACKAGE}.{name}"), others)


def reached(here: Checkout, source: str, leave_out: Collection[str] = ()) -> dict[str, str]:
    """Return the files that ``source`` reaches, modules by import, and records and notebooks by name.

    Args:
        here: the checkout.
        source: Python code.
        leave_out: names of modules that do not count, with the modules that they alone import.

    Returns:
        path below the root -> what counts, that is, the code of a module, the digest of a notebook that the source
        runs, or the SHA-256 of a file of recorded numbers.
    """
    tree = ast.parse(source)
    looks_at_source = "inspect" in {name.split(".")[0] for name in _imports(tree)}
    found = _modules(here, tree, with_prose=looks_at_source, leave_out=leave_out)
    read = [path for path in (here.package / "records").glob("*.json") if path.stem in source]
    if "measurements(" in source:
        read.append(here.root / "benchmarks" / "results.json")
    for path in filter(Path.is_file, read):
        found[path.relative_to(here.root).as_posix()] = digest_of_file(path)
    for path in here.notebooks.glob("*.ipynb"):
        if path.name in source:
            found[path.relative_to(here.root).as_posix()] = digest_of_run(here, path)
    return found


def _modules(
    here: Checkout,
    tree: ast.AST,
    *,
    with_prose: bool = False,
    leave_out: Collection[str] = (),
) -> dict[str, str]:
    """Return the modules of the package that a tree reaches: path below the root -> code."""
    found: dict[str, str] = {}
    due = [here.package / "__init__.py", *_files(here, tree)]
    while due:
        path = due.pop()
        name = path.relative_to(here.root).as_posix()
        if name not in found and path.stem not in leave_out:
            text = path.read_text(encoding="utf-8")
            found[name] = text if with_prose else without_prose(text)
            due += _files(here, ast.parse(text))
    return found


def imported(here: Checkout, path: Path) -> set[Path]:
    """Return the files of the package that a file imports directly; tests compare the maps of the package with them."""
    return set(_files(here, ast.parse(path.read_text(encoding="utf-8"))))


def _files(here: Checkout, tree: ast.AST) -> Iterator[Path]:
    for name in _imports(tree):
        if name.split(".")[0] in FOLLOWED:
            path = here.root.joinpath(*name.split("."))
            for candidate in (path.with_suffix(".py"), path / "__init__.py"):
                if candidate.is_file():
                    yield candidate


def _imports(tree: ast.AST) -> Iterator[str]:
    """Yield the names of all modules that the imports in a tree may mean; ``from a import b`` may mean ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def without_prose(text: str) -> str:
    """Return the code of a module without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [statement for statement in body if not _is_text(statement)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
