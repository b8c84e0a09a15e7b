"""Rerun a notebook with other parameters: read what it declares, check the values, run it once.

A notebook declares its parameters in the code cell tagged ``parameters``, one per line::

    k: int = 8  # length of the vectors

:mod:`ast` reads this cell; it is never executed.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import nbformat

from deepfm_helpers.features import FIELDS
from deepfm_helpers.lacking import lacking
from deepfm_helpers.parameters import DESCRIPTION, checked, is_folder, shown
from deepfm_helpers.press import kernels

SCALARS = {"int": int, "float": (int, float), "str": str, "bool": bool}


class Parameter(NamedTuple):
    """One line of a parameters cell: ``name: annotation = default  # help``.

    The annotation is the text in the cell, without quotes; it is empty if there is none.
    """

    name: str
    annotation: str
    default: object
    help: str


def declared(notebook: str | Path) -> dict[str, Parameter]:
    """Read the parameters of a notebook, by name, in the order of its parameters cell; without a cell there are none.

    Annotations may be int, float, str, bool, ``list[...]``, ``Literal[...]`` and ``X | None``, in quotes or not.

    Raises:
        ValueError: a line of the parameters cell cannot be read (the message names notebook and line); there are two
            such cells; the notebook is the result of a run; or the file is not a notebook.
        OSError: the file cannot be read.
    """
    return _declared(Path(notebook), _read(Path(notebook)))


def complete(notebook: str | Path, parameters: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return all parameters of a notebook for a run, in the declared order, as plain Python values.

    A parameter that is not given gets its default, which has to keep the same rules.

    Raises:
        ValueError: the notebook does not have the parameter; it has a parameter without a rule in
            `deepfm_helpers.parameters`, or one that no later cell uses; a value is not allowed; or see `declared`.
        TypeError: a value has the wrong type.
        OSError: the file cannot be read.
    """
    (values,) = complete_all(notebook, [parameters or {}])
    return values


def complete_all(notebook: str | Path, points: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
    """Complete the parameters of many runs of one notebook, which is read once; see `complete`, also for the errors."""
    path = Path(notebook)
    content = _read(path)
    allowed = _declared(path, content)
    used = _loaded(path, content)
    folders = _takes_folders(content)
    return [_completed(path, allowed, used, folders, point) for point in points]


def _completed(
    path: Path, allowed: Mapping[str, Parameter], used: set[str], folders: bool, given: Mapping
) -> dict[str, object]:
    if unknown := [str(name) for name in given if name not in allowed]:
        known = ", ".join(allowed) or "none: no cell is tagged parameters"
        raise ValueError(f"{path.name} has no parameter {', '.join(unknown)}; it has {known}")
    if unused := [name for name in allowed if name not in used]:
        raise ValueError(
            f"{path.name}: no cell after the parameters uses {', '.join(unused)}: use it there, or drop its line"
        )
    values = {}
    for name, parameter in allowed.items():
        if not folders and is_folder(name, given.get(name)):
            raise ValueError(
                f"{path.name}: parameter {name} = {shown(given[name])}: this notebook is about the datasets of the "
                f"book; those that take a folder are {', '.join(_notebooks_for_folders(path)) or 'none of this folder'}"
            )
        try:
            values[name] = _checked(parameter, given.get(name, parameter.default), folders)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path.name}: {error}") from None
    if "dataset" in values and "fields" in values:
        _fit_fields(path, values, given)
    return values


def _fit_fields(path: Path, values: dict[str, object], given: Mapping) -> None:
    """Leave in ``values``, of the default fields, those that the dataset has; a folder has fields of its own, so none.

    Raises:
        ValueError: the dataset lacks a field that is asked for.
    """
    dataset = values["dataset"]
    if is_folder("dataset", dataset):
        if "fields" in given:
            raise ValueError(
                f"{path.name}: parameter fields: a folder has the fields that its {DESCRIPTION} names; leave fields out"
            )
        del values["fields"]
    elif lost := [name for name in values["fields"] if FIELDS[name].column in lacking(dataset)]:
        if "fields" in given:
            raise ValueError(
                f"{path.name}: parameter fields: {dataset} has no {', '.join(lost)}; leave out what it lacks"
            )
        values["fields"] = [name for name in values["fields"] if name not in lost]


def _notebooks_for_folders(path: Path) -> list[str]:
    """Return the notebooks beside this one that take a folder."""
    return [one.name for one in sorted(path.parent.glob("*.ipynb")) if _takes_folders(_read(one))]


def _takes_folders(notebook: nbformat.NotebookNode) -> bool:
    """Tell whether a notebook checks its parameters with ``folders=True``."""
    return any(
        re.search(r"\bcheck_parameters\([^)]*\bfolders=True", cell.source)
        for cell in notebook.cells
        if cell.cell_type == "code"
    )


def parse_value(text: str) -> object:
    """Read a parameter from a command line: as a Python literal if it is one, otherwise as the text itself.

    Digits after a leading zero stay a text: 007 does not mean 7.
    """
    if re.match(r"\s*[+-]?0[\d_]", text):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def run(
    notebook: str | Path,
    output: str | Path,
    parameters: Mapping[str, object] | None = None,
    *,
    timeout: int = 1800,
    **how: object,
) -> dict[str, object]:
    """Execute ``notebook`` with ``parameters``, which are checked before anything runs; see `kernels.run`.

    Args:
        notebook: path of the notebook.
        output: path of the executed notebook.
        parameters: values by name; parameters that are not given keep their defaults.
        timeout: seconds that one cell may take.
        how: further arguments of `kernels.run`.

    Returns:
        The recorded metrics.

    Raises:
        ValueError, TypeError: the parameters are not those of the notebook, see `complete`.
        RunFailed: a cell raised, took too long or lost its kernel.
        OSError: the notebook cannot be read or ``output`` cannot be written.
    """
    values = complete(notebook, parameters)
    asked = {name: values[name] for name in parameters or {}}
    return kernels.run(Path(notebook), Path(output), asked, timeout, **how).metrics


def _read(path: Path) -> nbformat.NotebookNode:
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, KeyError, AttributeError, nbformat.ValidationError) as error:
        raise ValueError(f"{path} is no notebook: {' '.join(str(error).split())[:200]}") from None


def _cells(notebook: nbformat.NotebookNode, tag: str) -> list[int]:
    return [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "code" and tag in cell.metadata.get("tags", [])
    ]


def _declared(path: Path, notebook: nbformat.NotebookNode) -> dict[str, Parameter]:
    if _cells(notebook, "injected-parameters"):
        raise ValueError(f"{path.name} is the result of a run: name the notebook that it was made from")
    tagged = _cells(notebook, "parameters")
    if len(tagged) > 1:
        raise ValueError(
            f"{path.name}: cells {', '.join(str(i + 1) for i in tagged)} are tagged parameters; only one can be"
        )
    if not tagged:
        return {}
    found: dict[str, Parameter] = {}
    source = notebook.cells[tagged[0]].source
    where = f"{path.name}, parameters cell"
    try:
        statements, comments = ast.parse(source).body, _comments(source)
    except SyntaxError as error:
        raise ValueError(f"{where}, line {error.lineno}: {error.msg}") from None
    for statement in statements:
        try:
            name, annotation, default = _parts(statement)
            if name in found:
                raise ValueError(f"{name} stands in an earlier line too")
        except ValueError as error:
            line = source.splitlines()[statement.lineno - 1].strip()
            raise ValueError(f"{where}, line {statement.lineno}, {line!r}: {error}") from None
        found[name] = Parameter(name, annotation, default, comments.get(statement.end_lineno, ""))
    return found


def _comments(source: str) -> dict[int, str]:
    """Return the comments by line; a # inside a string does not begin one."""
    return {
        token.start[0]: token.string.lstrip("#").strip()
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }


def _parts(statement: ast.stmt) -> tuple[str, str, object]:
    """Return name, annotation and default of a statement; raise ValueError, without the place, for any other one."""
    form = "expected `name: type = value  # help`"
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        target, annotation = statement.target, statement.annotation
    elif isinstance(statement, ast.Assign) and [type(t) for t in statement.targets] == [ast.Name]:
        target, annotation = statement.targets[0], None
    else:
        raise ValueError(form)
    if statement.value is None:
        raise ValueError(f"{target.id} has no default; {form}")
    try:
        default = ast.literal_eval(statement.value)
    except (ValueError, TypeError):
        raise ValueError(
            f"the default of {target.id} is computed; only a literal can be read without running the cell"
        ) from None
    if annotation is None:
        if default is None:
            raise ValueError(f"None does not say what else {target.id} may be; {form}")
        return target.id, "", default
    annotation = _unquoted(annotation)
    _fits(annotation, default)  # raises if the annotation cannot be read
    return target.id, ast.unparse(annotation), default


def _unquoted(annotation: ast.expr) -> ast.expr:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return _unquoted(ast.parse(annotation.value, mode="eval").body)
        except SyntaxError:
            raise ValueError(f"the type {annotation.value!r} cannot be read") from None
    return annotation


def _fits(annotation: ast.expr, value: object) -> bool:
    """Tell whether a plain value has the annotated type; an int fits float, and a bool fits no number.

    Raises:
        ValueError: the annotation cannot be read.
    """
    annotation = _unquoted(annotation)
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return value is None
    if isinstance(annotation, ast.Name) and annotation.id in SCALARS:
        return isinstance(value, SCALARS[annotation.id]) and (
            annotation.id == "bool" or not isinstance(value, bool)
        )
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return any([_fits(annotation.left, value), _fits(annotation.right, value)])
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value).rpartition(".")[2]
        if outer == "list":
            _fits(annotation.slice, None)  # raises for an empty list too
            return isinstance(value, list) and all(_fits(annotation.slice, one) for one in value)
        if outer == "Literal":
            choices = ast.literal_eval(annotation.slice)
            choices = choices if isinstance(choices, tuple) else (choices,)
            return any(type(value) is type(choice) and value == choice for choice in choices)
    raise ValueError(
        f"the type {ast.unparse(annotation)} cannot be read; "
        "expected int, float, str, bool, list[...], Literal[...] or X | None"
    )


def _checked(parameter: Parameter, value: object, folders: bool) -> object:
    """Return the plain form of a value that table and annotation allow; for None the annotation alone decides."""
    name, text = parameter.name, parameter.annotation
    annotation = ast.parse(text, mode="eval").body if text else None
    if value is None and annotation is not None and _fits(annotation, None):
        return None
    plain = checked(name, value, folders=folders)
    if annotation is not None and not (_fits(annotation, plain) or _fits(annotation, value)):
        raise TypeError(f"parameter {name} = {shown(value)}: the notebook declares it as {text}")
    return plain


def _loaded(path: Path, notebook: nbformat.NotebookNode) -> set[str]:
    """Return the names that the code cells after the parameters load, apart from loading them to check them."""
    names: set[str] = set()
    (start,) = _cells(notebook, "parameters") or [0]
    for i, cell in enumerate(notebook.cells[start + 1 :], start + 2):
        if cell.cell_type == "code":
            try:
                tree = ast.parse(kernels.as_python(cell.source))
            except SyntaxError as error:
                raise ValueError(f"{path.name}, cell {i}, line {error.lineno}: {error.msg}") from None
            names.update(_loads(tree))
    return names


def _loads(node: ast.AST) -> Iterator[str]:
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    if called.rpartition(".")[2] == "check_parameters":
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        yield node.id
    if called.startswith("get_ipython()"):  # a magic: its code is a string
        for part in ast.walk(node):
            if isinstance(part, ast.Constant):
                yield from re.findall(r"\w+", str(part.value))
    for child in ast.iter_child_nodes(node):
        yield from _loads(child)
