"""Find the claims in a notebook's code, each with its expression, what defines its names, and what it rests on."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import nbformat

from deepfm_helpers.press.kernels import as_python

STORED = {"recorded", "measurements"}
"""The functions that read numbers of earlier runs."""

CHANGING = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "sort"}
"""The methods that change the object on which they are called."""

SHORT = 100
"""A definition of more characters than this is shown only for a condition."""


@dataclass(frozen=True)
class Claim:
    """A call of ``claim``.

    Attributes:
        cell: position of the call's cell in the notebook, from 0.
        call: the call; its line numbers count from the beginning of the cell.
        holds: the expression that has to be true.
        definitions: the plain, short assignments above the call that define the names in the expression, without those
            of the first code cells, which load a chapter's data.
        conditions: conditions of the branches in which the call stands, the outermost first.
        conditions_defined: the same assignments for what stands in the conditions, also the long ones.
        on_records: whether the expression depends on numbers of earlier runs.
    """

    cell: int
    call: ast.Call
    holds: ast.expr
    definitions: tuple[str, ...]
    conditions: tuple[str, ...]
    conditions_defined: tuple[str, ...]
    on_records: bool

    @property
    def statement(self) -> str:
        """The sentence, if it is a plain text, and otherwise the expression that makes it."""
        text = self.call.args[0] if self.call.args else _keyword(self.call, "statement")
        return text.value if isinstance(text, ast.Constant) else f"`` {ast.unparse(text)} ``"

    @property
    def on(self) -> str:
        """The ground on which the claim says that it rests, see :data:`deepfm_helpers.claims.GROUNDS`."""
        ground = _keyword(self.call, "on")
        return "run" if ground is None else ast.literal_eval(ground)


def claims_of(notebook: nbformat.NotebookNode) -> list[Claim]:
    """Find the claims of a notebook, in the order of its code.

    Names are followed from cell to cell, through assignments, loops, comprehensions and functions.
    """
    reader = _Reader()
    for i, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            reader.cell = i
            reader.read(ast.parse(as_python(cell.source)).body)
            if "check_parameters(" in cell.source:
                reader.definitions.clear()
    return list(reader.claims.values())


class _Reader:
    """Reads statements in their order, and keeps for every name where its value comes from."""

    def __init__(self) -> None:
        self.cell = 0
        self.claims: dict[ast.Call, Claim] = {}
        self._conditions: list[str] = []
        self.definitions: dict[str, list[str]] = {}  # of a name, or of an entry such as a['b']
        self._stored = set(STORED)  # names whose values depend on numbers of earlier runs
        self._functions: dict[str, ast.AST] = {}

    def read(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            self._read(statement)

    def _read(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._assign(target, value, statement)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._bind(target, self._on_stored(value))
            case ast.AugAssign(target=target, value=value):
                self._bind(target, self._on_stored(value), keep=True)
            case ast.Expr(value=value):
                self._claim(value)
                if isinstance(value, ast.Call) and _name_of(value) in CHANGING:
                    self._change(value.func, self._on_stored(value))
            case ast.If(test=test, body=body, orelse=orelse):
                with self._under(ast.unparse(test)):
                    self.read(body)
                with self._under(f"not ({ast.unparse(test)})"):
                    self.read(orelse)
            case ast.For(target=target, iter=values, body=body, orelse=orelse):
                for _ in range(2):  # what the end of the body says reaches its beginning
                    self._bind(target, self._on_stored(values))
                    self.read(body)
                self.read(orelse)
            case ast.While(body=body, orelse=orelse):
                for _ in range(2):
                    self.read(body)
                self.read(orelse)
            case ast.With(items=items, body=body):
                for item in items:
                    if item.optional_vars:
                        self._bind(item.optional_vars, self._on_stored(item.context_expr))
                self.read(body)
            case ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=finalbody):
                self.read(body)
                errors = [ast.unparse(handler.type) if handler.type else "error" for handler in handlers]
                with self._under(f"no {', no '.join(errors)}"):
                    self.read(orelse)
                for handler, error in zip(handlers, errors, strict=True):
                    with self._under(error):
                        self.read(handler.body)
                self.read(finalbody)
            case ast.FunctionDef(name=name):
                self._functions[name] = statement
                self.definitions.pop(name, None)

    @contextmanager
    def _under(self, condition: str) -> Iterator[None]:
        """Read a branch: what it assigns may or may not be assigned afterwards."""
        self._conditions.append(condition)
        yield
        self._conditions.pop()

    def _assign(self, target: ast.expr, value: ast.expr, statement: ast.Assign) -> None:
        """Note which names a plain assignment defines, and how."""
        text = ast.unparse(statement)
        parts = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        before = {ast.unparse(part): self.definitions.get(ast.unparse(part), []) for part in parts}
        self._bind(target, self._on_stored(value))
        used = set(_free(value))
        for name, earlier in before.items():
            if "\n" not in text and (earlier or name not in used):
                self.definitions[name] = [*(earlier if name in used else []), text]

    def _bind(self, target: ast.expr, stored: bool, keep: bool = False) -> None:
        """Give a target a new value; forget what was known about it, unless it keeps a part of the old value."""
        self.definitions.pop(ast.unparse(target), None)
        match target:
            case ast.Name(id=name):
                self._functions.pop(name, None)
                for entry in [d for d in self.definitions if d.startswith((f"{name}[", f"{name}."))]:
                    del self.definitions[entry]
                if stored:
                    self._stored.add(name)
                elif not (keep or self._conditions):
                    self._stored.discard(name)
            case ast.Tuple(elts=elements) | ast.List(elts=elements):
                for element in elements:
                    self._bind(element, stored)
            case ast.Starred(value=inner):
                self._bind(inner, stored)
            case ast.Subscript(value=inner) | ast.Attribute(value=inner):
                self._change(inner, stored)

    def _change(self, value: ast.expr, stored: bool) -> None:
        """Note that the object behind a name was changed in place, by a method or in one of its entries."""
        while isinstance(value, ast.Subscript | ast.Attribute | ast.Call):
            value = value.func if isinstance(value, ast.Call) else value.value
        if isinstance(value, ast.Name):
            self.definitions.pop(value.id, None)
            if stored:
                self._stored.add(value.id)

    def _on_stored(self, node: ast.AST, asked: frozenset = frozenset()) -> bool:
        """Tell whether the value of an expression, or what a function returns, depends on numbers of earlier runs."""
        for name in _free(node):
            if name in self._functions:
                if name not in asked and self._on_stored(self._functions[name], asked | {name}):
                    return True
            elif name in self._stored:
                return True
        return False

    def _claim(self, value: ast.expr) -> None:
        for call in ast.walk(value):
            if isinstance(call, ast.Call) and _name_of(call) == "claim":
                holds = call.args[1] if len(call.args) > 1 else _keyword(call, "holds")
                self.claims[call] = Claim(
                    self.cell,
                    call,
                    holds,
                    self._defining(holds),
                    tuple(self._conditions),
                    self._defining(*map(_as_expression, self._conditions), longest=1000),
                    self._on_stored(holds),
                )

    def _defining(self, *expressions: ast.AST, longest: int = SHORT) -> tuple[str, ...]:
        """Return the definitions of the names and entries in expressions, in their order: all of a name's, or none."""
        found = {}
        for expression in expressions:
            free = set(_free(expression))
            for part in _in_order(expression):
                if not isinstance(part, ast.Name) or part.id in free:
                    defining = self.definitions.get(ast.unparse(part), [])
                    if all(len(text) <= longest for text in defining):
                        found |= dict.fromkeys(defining)
        return tuple(found)


def _as_expression(condition: str) -> ast.AST:
    try:
        return ast.parse(condition, mode="eval")
    except SyntaxError:  # of a try
        return ast.Constant(None)


def _in_order(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _in_order(child)


def _free(node: ast.AST) -> Iterator[str]:
    """Yield the names that an expression or a function reads from outside."""
    match node:
        case ast.Name(id=name, ctx=ast.Load()):
            yield name
            return
        case ast.Attribute(attr=name) if name in STORED:
            yield name
            bound = set()
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            bound = {n for generator in node.generators for n in _written(generator.target)}
        case ast.Lambda(args=arguments) | ast.FunctionDef(args=arguments):
            bound = {argument.arg for argument in ast.walk(arguments) if isinstance(argument, ast.arg)}
            if isinstance(node, ast.FunctionDef):
                bound |= set(_written(node))
        case _:
            bound = set()
    for child in ast.iter_child_nodes(node):
        yield from (name for name in _free(child) if name not in bound)


def _written(node: ast.AST) -> Iterator[str]:
    return (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)
