"""What a dataset lacks, and how a page does without it: a cell that needs a missing column is left out, and says so.

Of the people in `ml-latest-small` and `ml-32m` nothing is known but what they rated. A cell that asks for their age
would stop the page there. So it says in its first comment what it needs::

    # needs occupation
    codes = train.occupation.to_numpy()

On data without occupations a line takes the place of its outputs, and each name that the cell would have bound stands
for nothing. A later cell that loads such a name is left out as well, so that a claim runs with all that it needs, or
not at all. Imports and constants of such a cell stay; of a cell that is left out for its names, so do the functions
that load none of them.
`watch`, which :func:`deepfm_helpers.parameters.check_parameters` calls, arranges that.
"""

import ast
import re
import symtable
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

from IPython import get_ipython
from IPython.display import display

from deepfm_helpers.catalogue import DATASETS
from deepfm_helpers.claims import say
from deepfm_helpers.features import FIELDS, FRAMES
from deepfm_helpers.schema import COLUMNS

LEFT_OUT_MIME = "application/vnd.deepfm.left-out+json"


class Absent:
    """What a name of a notebook stands for if the cell that binds it was left out."""


ABSENT = Absent()


def lacking(dataset: str) -> tuple[str, ...]:
    """Return the columns, out of `schema.COLUMNS`, that a dataset of the catalogue does not have.

    >>> from deepfm_helpers.lacking import lacking
    >>> lacking("ml-latest-small")
    ('gender', 'age', 'occupation', 'zip')
    >>> lacking("ml-1m")
    ()
    """
    forms = DATASETS[dataset].forms
    tables = {table for form in forms for table in form.tables} if forms else set(COLUMNS)
    columns = (column for table in COLUMNS if table not in tables for column in COLUMNS[table])
    return tuple(column for column in columns if column != "uid")


def there(data, names: Sequence[str]) -> list[str]:
    """Return the names of fields whose columns the data has; if some are missing, say which are left.

    Args:
        data: a `datasets.MovieLens`.
        names: names out of `features.FIELDS`.

    Raises:
        ValueError: the data has none of them.
    """
    found = [name for name in names if FIELDS[name].column in getattr(data, FRAMES[FIELDS[name].owner])]
    if not found:
        raise ValueError(f"{data.name} has no {_listed(names)}: choose other fields, such as uid and mid")
    if len(found) < len(names):
        lost = _listed([name for name in names if name not in found])
        say(f"`{data.name}` has no {lost}, so the fields of this page are {_listed(found)}.")
    return found


def watch(dataset: str, parameters: Iterable[str] = ()) -> None:
    """Say what a dataset lacks, and leave out the cells from here on that need it; outside a notebook do nothing.

    Args:
        dataset: its name in `catalogue.DATASETS`.
        parameters: names that keep their values, whatever a cell that is left out would do with them.
    """
    if (shell := get_ipython()) is None:
        return
    transformers = shell.input_transformers_post
    transformers[:] = [one for one in transformers if not isinstance(one, _LeavingOut)]
    if columns := lacking(dataset):
        transformers.append(_LeavingOut(shell, dataset, columns, set(parameters)))
        low, high = DATASETS[dataset].range
        say(
            f"`{dataset}` knows nothing of its users but their ratings: it has no {_listed(columns)}. "
            "Where a cell needs one of these columns, or what such a cell would have computed, a line says that it "
            "is left out, with its claims. "
            f"Ratings go from {low:g} to {high:g} stars. Text that speaks of other stars or fields, and of results "
            "that are not here, is about data that has them."
        )


def leave_out(reason: str, *names: str) -> None:
    """Take the place of a cell that is left out: say why, and let the names that it would bind stand for nothing."""
    text = f"*Left out: {reason}.*"
    display({LEFT_OUT_MIME: {"reason": reason}, "text/markdown": text, "text/plain": text}, raw=True)
    get_ipython().user_ns.update(dict.fromkeys(names, ABSENT))


class LeftOut(NamedTuple):
    """A cell that is left out: why, its statements that run all the same, and the names that it would have bound."""

    reason: str
    kept: list[ast.stmt]
    lost: list[str]


def left_out(
    source: str, dataset: str, columns: Sequence[str], namespace: Mapping[str, object]
) -> LeftOut | None:
    """Tell whether a cell is left out; None: it runs.

    Args:
        source: the cell, as plain Python.
        dataset: name of the dataset.
        columns: what it lacks.
        namespace: the names of the notebook; those of cells that were left out stand for `ABSENT`.

    Raises:
        SyntaxError: the cell is no Python.
    """
    absent = {name for name, value in namespace.items() if value is ABSENT}
    statements = ast.parse(source).body
    asked = re.findall(r"\w+", _first_comment(source))
    if missing := [column for column in columns if column in asked]:
        reason = f"`{dataset}` has no {_listed(missing)}"
        kept = [one for one in statements if _needs_nothing(one)]
    elif _load(statements, absent):
        reason = "this needs what a cell above would have computed"
        kept = [
            one
            for one in statements
            if _needs_nothing(one)
            or (isinstance(one, (ast.FunctionDef, ast.ClassDef)) and not _load([one], absent))
        ]
    else:
        return None
    lost = {name for one in statements if one not in kept for name in _bound(one)}
    return LeftOut(reason, kept, sorted(lost))


class _LeavingOut:
    """Puts `leave_out` in place of a cell that is left out; one of the input transformers of IPython."""

    def __init__(self, shell, dataset: str, columns: Sequence[str], parameters: Set[str]):
        self.shell, self.dataset, self.columns, self.parameters = shell, dataset, columns, parameters

    def __call__(self, lines: list[str]) -> list[str]:
        try:
            found = left_out("".join(lines), self.dataset, self.columns, self.shell.user_ns)
        except SyntaxError:  # the shell will say so
            return lines
        if found is None:
            return lines
        lost = [name for name in found.lost if name not in self.parameters]
        arguments = ", ".join(map(repr, (found.reason, *lost)))
        call = ast.parse(f"__import__({__name__!r}, fromlist=['*']).leave_out({arguments})").body
        return ast.unparse([*found.kept, *call]).splitlines(keepends=True)


def _needs_nothing(one: ast.stmt) -> bool:
    """Tell whether a statement imports something or names a constant that is not empty, as what is filled later is."""
    if not isinstance(one, ast.Assign):
        return isinstance(one, (ast.Import, ast.ImportFrom))
    try:
        full = bool(ast.literal_eval(one.value))
    except (ValueError, TypeError):
        return False
    return full and all(isinstance(target, ast.Name) for target in one.targets)


def _first_comment(source: str) -> str:
    found = re.match(r"\s*# needs (.*)", source)
    return found[1] if found else ""


def _listed(names: Sequence[str]) -> str:
    *some, last = names
    return f"{', '.join(some)} and {last}" if some else last


def _load(statements: Sequence[ast.stmt], names: Set[str]) -> bool:
    """Tell whether statements load one of the names of the notebook, in their functions too, before they bind it."""
    return bool(_loaded(statements, set()) & names)


def _loaded(statements: Sequence[ast.stmt], bound: set[str]) -> set[str]:
    """Return the names that statements load before they bind them; add those that they bind to ``bound``."""
    found: set[str] = set()
    for one in statements:
        bodies = [getattr(one, name, []) for name in ("body", "orelse", "finalbody")]
        if isinstance(one, (ast.For, ast.While, ast.If, ast.With, ast.Try)):
            items = getattr(one, "items", [])
            heads = [getattr(one, "iter", None), getattr(one, "test", None), *(i.context_expr for i in items)]
            heads += [handler.type for handler in getattr(one, "handlers", [])]
            for head in filter(None, heads):
                found |= _referenced(ast.Expr(head)) - bound
            bound |= _targets(one)
            bodies += [handler.body for handler in getattr(one, "handlers", [])]
            for body in bodies:
                found |= _loaded(body, bound)
        else:
            found |= _referenced(one) - bound
            bound |= _names(one)
    return found


def _targets(one: ast.stmt) -> set[str]:
    """Return the names that the head of a loop, a `with` or an `except` binds."""
    targets = [getattr(one, "target", None), *(item.optional_vars for item in getattr(one, "items", []))]
    named = {name.id for t in filter(None, targets) for name in ast.walk(t) if isinstance(name, ast.Name)}
    return named | {handler.name for handler in getattr(one, "handlers", []) if handler.name}


def _names(one: ast.stmt) -> set[str]:
    """Return the names that a statement binds in the notebook, not those of its functions and comprehensions."""
    return {s.get_name() for s in _table(one).get_symbols() if s.is_assigned() or s.is_imported()}


def _bound(one: ast.stmt) -> set[str]:
    """Return the names that a statement binds, and those into whose objects it writes, as in ``table["new"] = …``.

    The variable of a loop is no result, so it stays what it was.
    """
    written = {
        name.id
        for node in ast.walk(one)
        if isinstance(node, (ast.Subscript, ast.Attribute)) and isinstance(node.ctx, ast.Store)
        for name in ast.walk(node.value)
        if isinstance(name, ast.Name)
    }
    loops = {name for node in ast.walk(one) if isinstance(node, ast.For) for name in _targets(node)}
    return (_names(one) | written) - loops


def _referenced(one: ast.stmt) -> set[str]:
    """Return the names of the notebook that a statement loads, and those that its functions load."""
    table = _table(one)
    found = {s.get_name() for s in table.get_symbols() if s.is_referenced()} | set(_of_functions(table))
    changed = (node.target for node in ast.walk(one) if isinstance(node, ast.AugAssign))
    return found | {target.id for target in changed if isinstance(target, ast.Name)}


def _of_functions(table: symtable.SymbolTable) -> Iterator[str]:
    for child in table.get_children():
        yield from (s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced())
        yield from _of_functions(child)


def _table(one: ast.stmt) -> symtable.SymbolTable:
    return symtable.symtable(ast.unparse(one), "cell", "exec")
