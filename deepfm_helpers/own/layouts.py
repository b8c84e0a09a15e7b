"""What `dataset.toml` says about a folder of tables: its files, the kinds of their columns, the task and the split.

A whole description looks like this; what is not marked as optional is needed::

    task = "rating"                  # "rating", or "click" for a target of 0 and 1
    rare = 5                         # optional: values with fewer than 5 training rows get no id of their own
    repeats = true                   # optional: rows may repeat user, item and time

    [rows]
    files = ["ratings.csv"]          # several files with one header are read as one table; "rows/*.parquet" is all such
    user = "customer"                # the columns that hold the user, the item and the target
    item = "book"
    target = "stars"
    range = [1, 5]                   # lowest and highest target; for ratings
    time = "when"                    # optional: the column that orders the rows
    encoding = "latin-1"             # optional: "utf-8" (the default), "utf-8-sig", "latin-1" or "cp1252"
    separator = ";"                  # optional: by default a tab in .tsv files, and a comma in others
    stream = true                    # optional, for Parquet files: the rows never all lie in memory, see `large`

    [rows.columns]                   # every column of the header, with its kind
    customer = "single"
    book = {kind = "single", whole = true}
    stars = "numeric"
    when = {kind = "time", unit = "ms"}
    shelf = {kind = "single", hashed = 1000}

    [items]                          # optional, and so is [users]
    files = ["books.tsv"]
    key = "book"                     # the column that holds the item; each item has one row

    [items.columns]
    book = {kind = "single", whole = true}
    title = "text"
    subjects = {kind = "multi", separator = "|", none = "(none)"}

    [split]                          # optional; these are the defaults
    by = "random"                    # "random", "time" (the latest rows are held out) or "user" (whole users are)
    validation = 0.1
    test = 0.1
    seed = 0

Files may be CSV, TSV or Parquet files; the ending says which. A name with `*`, `?` or `[` stands for all files that
match it, in the order of their names. A cell of a Parquet file holds what a cell of a CSV file would hold: a list is a
text with separators, and a single value that is a whole number needs whole = true. `KINDS` says what the kinds mean.
The time that `[rows]` names orders the rows; any other column of times is a field, scaled like a number. What a column
describes follows from the table in which it stands: the user, the item or the row.
"""

from __future__ import annotations

import codecs
import json
import math
import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

from deepfm_helpers.schema import DataError

FILE = "dataset.toml"
PRESETS = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}
"""Descriptions that come with the package, by name; `movielens` fits the folders ml-latest-small and ml-32m.

:meta hide-value:"""

TASKS = ("rating", "click")
KINDS = {
    "numeric": "a number; as a field it is scaled by the mean and the spread of the training rows",
    "single": "one value, such as a city; with whole = true, values are whole numbers",
    "multi": "several values in one cell, with a separator between them",
    "time": "seconds (or, with unit = 'ms', milliseconds) since 1970, or a date in the form of ISO 8601",
    "text": "what the model does not see",
}
"""What the columns of each kind hold."""

ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252")
SEPARATORS = ",;\t|"  # the usual ones, for hints and guesses
SPLITS = ("random", "time", "user")
ROLES = {"user": "uid", "item": "mid", "target": "rating", "time": "timestamp"}
"""The four columns that every dataset of the book has, under the names that they have in its joined rows."""

RESERVED = {"first_order", "fields", "times", "deep"}
"""Names that mean something else than a field in the penalties of a recipe."""


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name in the header.
        kind: one of `KINDS`.
        whole: the values of a single column are whole numbers, not text.
        separator: what stands between the values of a multi column.
        none: the text with which a multi column says that there is no value; an empty cell says so, too.
        unit: "s" or "ms", for a time that is written as a number.
        rare: a value with fewer training rows than this has no id of its own.
        hashed: number of buckets into which the values are hashed; 0: each value has an id of its own.
    """

    name: str
    kind: str
    whole: bool = False
    separator: str = ""
    none: str = ""
    unit: str = "s"
    rare: int = 1
    hashed: int = 0

    @property
    def field(self) -> str:
        """The name of the column as a field, of letters, digits and underscores, so that it can name a Keras input."""
        return re.sub(r"\W", "_", self.name)


@dataclass(frozen=True)
class Source:
    """One table: the rows, the users or the items.

    Attributes:
        section: "rows", "users" or "items".
        files: names of its files below the folder, or patterns such as ``rows/*.parquet``; empty for a frame.
        columns: the columns by name.
        required: the columns in which no cell may be empty.
        key: the column that holds the user or the item, in the tables of users and items; "" in the rows.
        separator: what stands between two cells; "": a tab in .tsv files, a comma in others.
        encoding: one of `ENCODINGS`.
    """

    section: str
    files: tuple[str, ...]
    columns: dict[str, Column]
    required: frozenset[str]
    key: str = ""
    separator: str = ""
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Split:
    """How rows are divided.

    Attributes:
        by: one of `SPLITS`, see `features.split_rows`.
        validation: share of all rows that are validation rows, between 0 and 1.
        test: share of all rows that are test rows, between 0 and 1.
        seed: seed of the draw.
    """

    by: str = "random"
    validation: float = 0.1
    test: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class Layout:
    """What is known about a dataset before its tables are read; see the beginning of this module.

    Attributes:
        task: "rating" or "click".
        rows: the table with one row per rating or click.
        users: the table that describes users, or None.
        items: the table that describes items, or None.
        roles: "user", "item", "target" and, if there is one, "time" -> the column of the rows that holds it.
        range: lowest and highest target.
        repeats: whether rows may repeat user, item and time.
        stream: whether the rows are read part by part and never lie in memory all at once, see `large`.
        split: how rows are divided.
        entries: the entries of the file, from which all this was made.
    """

    task: str
    rows: Source
    users: Source | None
    items: Source | None
    roles: dict[str, str]
    range: tuple[float, float]
    repeats: bool = False
    stream: bool = False
    split: Split = Split()
    entries: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def sources(self) -> dict[str, Source]:
        """The tables that there are (rows, users, items), by section."""
        found = {"rows": self.rows, "users": self.users, "items": self.items}
        return {section: source for section, source in found.items() if source}

    def names(self, section: str) -> dict[str, str]:
        """Return the columns of a section that have another name in the book: name in the file -> name in the book."""
        if section == "rows":
            return {column: ROLES[role] for role, column in self.roles.items()}
        return {self.sources[section].key: ROLES[section.removesuffix("s")]}

    @staticmethod
    def read(path: str | Path) -> Layout:
        """Read a description from a file.

        Raises:
            DataError: the file cannot be read, is no TOML, or breaks a rule; the message says where and what to do.
        """
        path = Path(path)
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); deepfm describe proposes such a file"
            ) from error
        except UnicodeDecodeError as error:
            line = 1 + error.object.count(b"\n", 0, error.start)
            raise DataError(
                f"{path}, line {line}: a byte that is not UTF-8; save the file as UTF-8"
            ) from error
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{path}: no TOML: {error}; correct this line") from error
        layout = Layout.of(entries, str(path))
        for section, source in layout.sources.items():
            if not source.files:
                raise DataError(f"{path}, [{section}]: files is missing; name them, as in files = ['a.csv']")
        return layout

    @staticmethod
    def of(entries: Mapping[str, Any], where: str) -> Layout:
        """Make a description of the entries of a file; an error message begins with ``where``.

        Raises:
            DataError: an entry is missing, unknown or wrong, or two entries contradict each other.
        """
        top = _Section(where, entries)
        task = top.take("task", _one_of(TASKS))
        rare = top.take("rare", _whole(1), 1)
        repeats = top.take("repeats", FLAG, False)
        rows = top.inside("rows")
        time = {"time": rows.take("time", NAME)} if "time" in rows else {}
        roles = {role: rows.take(role, NAME) for role in ("user", "item", "target")} | time
        range_ = (0.0, 1.0) if task == "click" else tuple(map(float, rows.take("range", RANGE)))
        stream = rows.take("stream", FLAG, False)
        sources = {"rows": _source(rows, rare, frozenset(roles.values()))}
        for section in ("users", "items"):
            sources[section] = None
            if section in top:
                one = top.inside(section)
                key = one.take("key", NAME)
                sources[section] = _source(one, rare, frozenset([key]), key)
        split = _split(top.inside("split")) if "split" in top else Split()
        top.close()
        layout = Layout(
            task,
            **sources,
            roles=roles,
            range=range_,
            repeats=repeats,
            stream=stream,
            split=split,
            entries=entries,
        )
        _check_roles(layout, where)
        _check_stream(layout, where)
        _check_names(layout, where)
        return layout

    def written(self) -> str:
        """Return the description as the text of a file that `read` reads."""
        return "\n\n".join(_written(self.entries)) + "\n"


class _Rule(NamedTuple):
    wanted: str
    accepts: Callable[[Any], bool]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _whole(least: int) -> _Rule:
    return _Rule(
        f"a whole number from {least} on", lambda v: _is_number(v) and isinstance(v, int) and v >= least
    )


def _one_of(choices: Collection[str]) -> _Rule:
    quoted = ", ".join(f'"{choice}"' for choice in choices)
    return _Rule(f"one of {quoted}", lambda v: isinstance(v, str) and v in choices)


TEXT = _Rule("a text that is not empty", lambda v: isinstance(v, str) and v != "")
NAME = _Rule("the name of a column", TEXT.accepts)
FLAG = _Rule("true or false", lambda v: isinstance(v, bool))
SHARE = _Rule("a number between 0 and 1", lambda v: _is_number(v) and 0 < v < 1)
SEPARATOR = _Rule(
    "one ASCII character other than a quote or a line end",
    lambda v: isinstance(v, str) and len(v) == 1 and v.isascii() and v not in '"\r\n',
)
FILES = _Rule(
    "a list of different file names",
    lambda v: isinstance(v, list) and all(map(TEXT.accepts, v)) and 0 < len(set(v)) == len(v),
)
RANGE = _Rule(
    "a list of two numbers, the lower one first",
    lambda v: isinstance(v, (list, tuple)) and len(v) == 2 and all(map(_is_number, v)) and v[0] < v[1],
)


class _Section:
    """Takes the entries out of a section, one after the other; what is left over at the end is unknown."""

    def __init__(self, where: str, entries: object, name: str = ""):
        self.where = f"{where}, [{name}]" if name else where
        self._file, self._name = where, name
        if not isinstance(entries, Mapping):
            raise DataError(f"{self.where}: must be a section, and is {entries!r}")
        self._left, self._known = dict(entries), []

    def __contains__(self, key: str) -> bool:
        self._known.append(key)
        return key in self._left

    def take(self, key: str, rule: _Rule, default: Any = None) -> Any:
        if key not in self:
            if default is None:
                self._refuse_misspelt(key)
                raise DataError(f"{self.where}: {key} is missing; it has to be {rule.wanted}")
            return default
        value = self._left.pop(key)
        if not rule.accepts(value):
            raise DataError(f"{self.where}: {key} = {value!r} must be {rule.wanted}")
        return value

    def inside(self, key: str) -> _Section:
        if key not in self:
            self._refuse_misspelt(key)
            raise DataError(f"{self.where}: the section [{self._name and self._name + '.'}{key}] is missing")
        return _Section(self._file, self._left.pop(key), f"{self._name}.{key}" if self._name else key)

    def items(self):
        return self._left.items()

    def close(self) -> None:
        """Raise DataError for an entry that nobody took."""
        for key in self._left:
            raise DataError(f"{self.where}: unknown key {key!r}{nearest(key, self._known)}")

    def _refuse_misspelt(self, wanted: str) -> None:
        for key in get_close_matches(wanted, self._left, 1):
            raise DataError(f"{self.where}: unknown key {key!r}; did you mean {wanted!r}?")


def nearest(name: str, known: Collection[str]) -> str:
    """Return the end of a message about an unknown name: the known name that looks like it, or all of them."""
    known = list(dict.fromkeys(known))
    near = get_close_matches(name, known, 1) or [k for k in known if k.lower() == name.lower()]
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"


def _source(section: _Section, rare: int, required: frozenset[str], key: str = "") -> Source:
    files = tuple(section.take("files", FILES, []))
    separator = section.take("separator", SEPARATOR, "")
    encoding = section.take("encoding", _one_of(ENCODINGS), "utf-8")
    columns = section.inside("columns")
    section.close()
    found = {name: _column(columns.where, name, entry, rare) for name, entry in columns.items()}
    name = section.where.rpartition("[")[2].rstrip("]")
    return Source(name, files, found, required, key, separator, encoding)


_OPTIONS = {"numeric": (), "single": ("whole", "hashed", "rare"), "multi": ("separator", "none", "rare")}
_OPTIONS |= {"time": ("unit",), "text": ()}
_OPTION = {
    "whole": FLAG,
    "hashed": _whole(2),
    "rare": _whole(1),
    "separator": TEXT,
    "none": TEXT,
    "unit": _one_of(("s", "ms")),
}


def _column(where: str, name: str, entry: object, rare: int) -> Column:
    where = f"{where}, column {name!r}"
    section = _Section(where, {"kind": entry} if isinstance(entry, str) else entry)
    kind = section.take("kind", _Rule("a text", lambda v: isinstance(v, str)))
    if kind not in KINDS:
        raise DataError(f"{where}: unknown kind {kind!r}{nearest(kind, KINDS)}")
    options = {
        option: section.take(option, _OPTION[option]) for option in _OPTIONS[kind] if option in section
    }
    section.close()
    if kind == "multi" and "separator" not in options:
        raise DataError(f"{where}: separator is missing; say what stands between two values, such as '|'")
    if "rare" in options and "hashed" in options:
        raise DataError(f"{where}: rare and hashed exclude each other, since a bucket has no value; drop one")
    return Column(name, kind, **{"rare": rare} | options)


def _split(section: _Section) -> Split:
    split = Split(
        section.take("by", _one_of(SPLITS), Split.by),
        section.take("validation", SHARE, Split.validation),
        section.take("test", SHARE, Split.test),
        section.take("seed", _whole(0), Split.seed),
    )
    section.close()
    if split.validation + split.test >= 1:
        raise DataError(
            f"{section.where}: validation = {split.validation} and test = {split.test} leave no training row; "
            "their sum has to be below 1"
        )
    return split


def _check_roles(layout: Layout, where: str) -> None:
    """Raise DataError unless user, item, target, time and the keys are columns of the kinds that they need."""
    roles, rows = layout.roles, layout.rows.columns
    kinds = {"user": "single", "item": "single", "target": "numeric", "time": "time"}
    for role, name in roles.items():
        if name not in rows:
            raise DataError(
                f"{where}, [rows]: {role} = {name!r} is not among the columns{nearest(name, rows)}"
            )
        if rows[name].kind != kinds[role]:
            raise DataError(
                f"{where}, [rows]: {role} = {name!r} is of kind {rows[name].kind!r}; it has to be {kinds[role]!r}"
            )
        if twice := [other for other in roles if other != role and roles[other] == name]:
            raise DataError(f"{where}, [rows]: {role} and {twice[0]} are both {name!r}; name two columns")
    if layout.split.by == "time" and "time" not in roles:
        raise DataError(
            f"{where}, [split]: by = 'time' needs a column of times; name it, as time = … in [rows]"
        )
    for section in ("users", "items"):
        if source := layout.sources.get(section):
            role = section.removesuffix("s")
            key, column = source.columns.get(source.key), rows[roles[role]]
            if not key:
                near = nearest(source.key, source.columns)
                raise DataError(f"{where}, [{section}]: key = {source.key!r} is not among the columns{near}")
            if (key.kind, key.whole) != (column.kind, column.whole):
                raise DataError(
                    f"{where}, [{section}]: key {key.name!r} and the {role} {column.name!r} of the rows differ in "
                    "kind: write both as 'single', or both with whole = true"
                )


def _check_stream(layout: Layout, where: str) -> None:
    """Raise DataError if rows shall be read part by part, and cannot be."""
    if not layout.stream:
        return
    if not layout.repeats:
        raise DataError(
            f"{where}: with stream = true nobody can see whether rows repeat user, item and time, since that takes all "
            "rows at once; write repeats = true at the top of the file"
        )
    for name in layout.rows.files:
        if not name.endswith(".parquet"):
            raise DataError(
                f"{where}, [rows]: stream = true reads Parquet files, and {name!r} is none; write the rows as Parquet, "
                "for example with pyarrow.csv.open_csv and pyarrow.parquet.ParquetWriter, or drop stream = true"
            )


def _check_names(layout: Layout, where: str) -> None:
    """Raise DataError if two columns would have one name in the joined rows, or two fields in the model."""
    joined: dict[str, str] = {}
    named: dict[str, str] = {}
    taken = {ROLES[role]: f"the {role}" for role in ROLES}
    for section, source in layout.sources.items():
        for name, column in source.columns.items():
            names = layout.names(section)
            if name in names or (column.kind == "text" and (section == "rows" or name not in names.values())):
                continue
            place = f"{where}, [{section}.columns], column {name!r}"
            if column.field in taken:
                raise DataError(
                    f"{place}: the book keeps this name for {taken[column.field]}; rename the column"
                )
            if column.field in RESERVED:
                raise DataError(f"{place}: in a recipe this name means something else; rename the column")
            if name in joined:
                raise DataError(
                    f"{place}: [{joined[name]}] has a column of this name, too; rename one of them"
                )
            if column.field in named:
                raise DataError(
                    f"{place}: as a field it would be called {column.field!r}, like {named[column.field]!r}; "
                    "rename one of them"
                )
            joined[name], named[column.field] = section, name


def _written(entries: Mapping[str, Any], name: str = "") -> list[str]:
    """Return entries as blocks of TOML: first the values of a section, then the sections in it."""
    columns = name.endswith(".columns")
    sections = {} if columns else {k: v for k, v in entries.items() if isinstance(v, Mapping)}
    lines = [f"{_key(k)} = {_value(v)}" for k, v in entries.items() if k not in sections]
    head = [f"[{name}]"] if name else []
    blocks = ["\n".join(head + lines)] if lines or name else []
    for key, section in sections.items():
        blocks += _written(section, f"{name}.{key}" if name else key)
    return blocks


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def encoding_mark(start: bytes) -> str:
    """Return the encoding whose byte order mark begins a file, "" if none does."""
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    return next((name for mark, name in marks.items() if start.startswith(mark)), "")
