"""Your own data as one object: typed frames, joined rows, a split, and the fields of a model.

>>> import pandas as pd
>>> from deepfm_helpers import features
>>> from deepfm_helpers.own import data
>>> rows = pd.DataFrame({"user": [1, 1, 2, 2, 3, 3] * 4, "item": ["a", "b"] * 12, "rating": [5, 4, 3, 1, 2, 3] * 4})
>>> users = pd.DataFrame({"user": [1, 2, 3], "city": ["Lyon", "Graz", "Lyon"]})
>>> own = data.from_frames(rows, users, repeats=True)
>>> own
OwnData('frames': 24 rows, 3 users, 2 items; frames in memory)
>>> train, validation, test = own.split()
>>> fields = own.fields(train)
>>> [(field.name, field.kind, field.size) for field in fields]
[('uid', 'single', 3), ('mid', 'single', 2), ('city', 'single', 2)]
>>> x, y = features.df2xy(train, fields)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import features
from deepfm_helpers.own.cells import Place, first, refuse, shown
from deepfm_helpers.own.fields import field_of
from deepfm_helpers.own.files import Table, of_frame
from deepfm_helpers.own.files import read as read_table
from deepfm_helpers.own.guessing import columns_of, entries_of_rows
from deepfm_helpers.own.layouts import FILE, PRESETS, ROLES, Column, Layout, Split
from deepfm_helpers.schema import DataError, Provenance

OWNERS = {"rows": "rating", "users": "user", "items": "film"}
"""The tables, and the words with which a `features.Feature` says what it describes."""

KEYS = {"users": "uid", "items": "mid"}
"""The tables that are joined to the rows, and the columns that join them."""


class Part(NamedTuple):
    """A column as a part of the dataset.

    Attributes:
        column: what is known about it.
        section: what it describes: "users", "items" or "rows".
        name: its name in the joined rows.
        is_field: whether it becomes a field of the model.
    """

    column: Column
    section: str
    name: str
    is_field: bool


class Described:
    """What follows from the description of a dataset alone, from its attribute `layout`."""

    layout: Layout

    @property
    def task(self) -> str:
        """What the target is: "rating", or "click" for 0 and 1."""
        return self.layout.task

    @property
    def range(self) -> tuple[float, float]:
        """Lowest and highest target."""
        return self.layout.range

    def columns(self) -> list[Part]:
        """Returns the columns: user, item, those of users, items and rows, target and time."""
        roles, rows = self.layout.roles, self.layout.rows.columns
        found = [
            Part(rows[roles["user"]], "users", "uid", True),
            Part(rows[roles["item"]], "items", "mid", True),
        ]
        for section in ("users", "items", "rows"):
            source = self.layout.sources.get(section)
            for name, column in source.columns.items() if source else ():
                if name not in self.layout.names(section):
                    found.append(Part(column, section, name, column.kind != "text"))
        ends = [role for role in ("target", "time") if role in roles]
        return found + [Part(rows[roles[role]], "rows", ROLES[role], False) for role in ends]


@dataclass(frozen=True, eq=False, repr=False)
class OwnData(Described):
    """A dataset of one's own in the form that the book uses.

    Attributes:
        name: name of the folder, or "frames".
        layout: what is known about the tables, see `layouts`.
        rows: the joined rows: uid, mid, rating (float32, in the unit of the target), timestamp (int64, seconds since
            1970; if there is a time), then the other columns of rows, users and items.
        users: uid and the columns of users, one row per user; without such a table the users of the rows.
        items: mid and the columns of items, one row per item; without such a table the items of the rows.
        parts: "train", "validation", "test" -> positions in `rows`, ascending.
        provenance: where the bytes came from.
    """

    name: str
    layout: Layout
    rows: pd.DataFrame
    users: pd.DataFrame
    items: pd.DataFrame
    parts: dict[str, np.ndarray]
    provenance: Provenance

    def __repr__(self) -> str:
        sizes = f"{len(self.rows):,} rows, {len(self.users):,} users, {len(self.items):,} items"
        return f"OwnData({self.name!r}: {sizes}; {self.provenance.source})"

    @property
    def sizes(self) -> dict[str, int]:
        """The number of rows of each part of the split ("train", "validation", "test")."""
        return {name: len(at) for name, at in self.parts.items()}

    @property
    def title(self) -> str | None:
        """The column of `items` that says to people which item it is, a text, called title or name if there is one."""
        columns = self.layout.items.columns.values() if self.layout.items else ()
        texts = [column.name for column in columns if column.kind == "text"]
        named = [name for name in texts if re.fullmatch(r"(.*_)?(title|name)", name, re.IGNORECASE)]
        return next(iter(named + texts), None)

    @property
    def ratings(self) -> pd.DataFrame:
        """The rows, under the name that `recommending.TwoSides` knows."""
        return self.rows

    @property
    def movies(self) -> pd.DataFrame:
        """The items, under the name that `recommending.TwoSides` knows."""
        return self.items

    def split(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Returns training, validation and test rows, each in the order of the file."""
        return tuple(self.rows.iloc[at] for at in self.parts.values())

    def learned(self) -> pd.DataFrame:
        """Returns the training and validation rows together, in the order of the file."""
        return self.rows.drop(index=self.rows.index[self.parts["test"]])

    def fields(self, train: pd.DataFrame | None = None) -> tuple[features.Feature, ...]:
        """Describes the fields of a model: user, item, then the columns of users, items and rows.

        The target, the time that orders the rows and columns of kind "text" are no fields.

        Args:
            train: training rows, from which values, means and spreads come; None: those of the split.

        Raises:
            DataError: see `fields.field_of`.
        """
        train = self.split()[0] if train is None else train
        return tuple(
            field_of(part.column, OWNERS[part.section], part.name, train[part.name])
            for part in self.columns()
            if part.is_field
        )


def read(folder: str | Path, layout: Layout | str | Path | None = None) -> OwnData:
    """Reads the tables of a folder.

    Args:
        folder: the folder.
        layout: a description, the name of one in `layouts.PRESETS`, or the path of a file that holds one; None:
            `dataset.toml` in the folder.

    Raises:
        DataError: the description or a table breaks a rule; the message says which file, line and column, and what to
            do next. Or the description says that the rows do not fit in memory.
    """
    folder = Path(folder)
    layout = layout_of(folder, layout)
    if layout.stream:
        raise DataError(
            f"{folder}: with stream = true the rows never lie in memory all at once, and here they have to; only "
            "deepfm fit and deepfm score do without. If the rows fit in memory, drop stream = true"
        )
    tables = {section: read_table(folder, source) for section, source in layout.sources.items()}
    digests = {name: digest for table in tables.values() for name, digest in table.digests.items()}
    return _assembled(folder.resolve().name, layout, tables, str(folder), digests)


def layout_of(folder: str | Path, layout: Layout | str | Path | None = None) -> Layout:
    """Returns the description of a folder; arguments and errors are those of `read`, which reads the tables, too."""
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    if isinstance(layout, Layout):
        return layout
    return Layout.read(folder / FILE if layout is None else PRESETS.get(str(layout), layout))


def from_frames(
    rows: pd.DataFrame,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    *,
    task: str = "rating",
    user: str = "user",
    item: str = "item",
    target: str | None = None,
    time: str | None = None,
    range: tuple[float, float] | None = None,
    columns: Mapping[str, Any] | None = None,
    rare: int = 1,
    repeats: bool = False,
    split: Mapping[str, Any] | None = None,
) -> OwnData:
    """Makes the object that `read` makes, of frames.

    Args:
        rows: one row per rating or click.
        users, items: one row per user and item; they name the user and the item as the rows do.
        task: "rating", or "click" for targets 0 and 1.
        user, item, target, time: the columns of the rows that hold them; the target is called like the task by default.
        range: lowest and highest rating; None: those of the rows.
        columns: name -> kind, or kind and options as in `dataset.toml`, such as {"kind": "multi", "separator": "|"};
            for columns that it does not name, see `guessing.columns_of`. Messages say options as `dataset.toml` writes
            them: "whole = true" is {"kind": "single", "whole": True} here.
        rare, repeats, split: as in `dataset.toml`, see `layouts`.

    Raises:
        DataError: a column or a cell breaks a rule; the message names the frame, the row (counted from 0) and the
            column, and says what to do next.
    """
    frames = {"rows": rows, "users": users, "items": items}
    frames = {section: frame for section, frame in frames.items() if frame is not None}
    roles = {"user": user, "item": item, "target": target or task} | ({"time": time} if time else {})
    described = dict(columns or {})
    entries: dict[str, Any] = {"task": task, "rare": rare, "repeats": repeats}
    for section, frame in frames.items():
        if not frame.columns.is_unique:
            twice = frame.columns[frame.columns.duplicated()][0]
            raise DataError(f"frame {section}: column {twice!r} is there twice; rename one of the two")
        if section == "rows":
            entries[section] = entries_of_rows(frame, roles)
        else:
            key = roles[section.removesuffix("s")]
            of_key = {key: entries["rows"]["columns"][key]} if key in entries["rows"]["columns"] else {}
            entries[section] = {"key": key, "columns": columns_of(frame) | of_key}
        entries[section]["columns"] |= {name: described[name] for name in described if name in frame}
    if unknown := [name for name in described if not any(name in frame for frame in frames.values())]:
        raise DataError(f"from_frames: columns names {unknown[0]!r}, which no frame has")
    if task == "rating":
        numbers = pd.to_numeric(rows[roles["target"]], errors="coerce") if roles["target"] in rows else None
        if range is None and numbers is not None and numbers.nunique() > 1:
            range = (float(numbers.min()), float(numbers.max()))
        entries["rows"]["range"] = list(range or (0.0, 1.0))
    if split is not None:
        entries["split"] = dict(split)
    layout = Layout.of(entries, "from_frames")
    tables = {}
    for section, source in layout.sources.items():
        place = _row_of(section)
        tables[section] = Table(of_frame(frames[section], source, place, f"frame {section}"), place, {})
    return _assembled("frames", layout, tables, "frames in memory", {})


def _row_of(section: str) -> Place:
    return lambda row: f"frame {section}, row {row}"


def _assembled(name: str, layout: Layout, tables: dict[str, Table], source: str, digests: dict) -> OwnData:
    """Checks what concerns several columns or tables, joins them and draws the split."""
    frames = {section: table.frame.rename(columns=layout.names(section)) for section, table in tables.items()}
    place = tables["rows"].place
    rows = frames["rows"] = as_rows(frames["rows"])
    targets = tables["rows"].frame[layout.roles["target"]]
    check_targets(targets, layout, place)
    check_difference(targets.min(), targets.max(), layout, place(0))
    _check_repeats(rows, layout, place)
    joined = rows
    for section, key in KEYS.items():
        if section in tables:
            joined = Side(tables[section], layout, section).joined(joined, place)
        else:
            frames[section] = pd.DataFrame({key: np.sort(rows[key].unique())})
    provenance = Provenance(source, digests, fingerprint(frames))
    parts = _parts(rows, layout)
    return OwnData(name, layout, joined, frames["users"], frames["items"], parts, provenance)


def as_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns rows whose columns have the names of the book: uid, mid, rating and timestamp first; float32 targets."""
    ordered = [column for column in ROLES.values() if column in frame]
    return frame[[*ordered, *frame.columns.drop(ordered)]].astype({"rating": "float32"})


def check_targets(targets: pd.Series, layout: Layout, place: Place) -> None:
    """Raises DataError at the first target that the task or the range rules out."""
    low, high = layout.range
    wrong = ~targets.isin((0, 1)) if layout.task == "click" else ~targets.between(low, high)
    if (row := first(wrong)) is not None:
        wanted = (
            "0 or 1, as the task 'click' needs"
            if layout.task == "click"
            else f"in the range {low:g} to {high:g}"
        )
        refuse(place(row), layout.roles["target"], f"{shown(targets[row])} is not {wanted}; correct the cell")


def check_difference(low: float, high: float, layout: Layout, place: str) -> None:
    """Raises DataError if the lowest and the highest target are the same."""
    if low == high:
        refuse(
            place,
            layout.roles["target"],
            f"here and in all other rows the target is {shown(float(low))}, so there is nothing to learn; "
            "add rows with another target",
        )


def _check_repeats(rows: pd.DataFrame, layout: Layout, place: Place) -> None:
    if layout.repeats:
        return
    keys = [key for key in ("uid", "mid", "timestamp") if key in rows]
    (users, _), (items, values) = pd.factorize(rows["uid"]), pd.factorize(rows["mid"])
    # Few pairs of user and item repeat, and only those rows can repeat the time as well.
    suspects = rows[pd.Series(users * len(values) + items).duplicated(keep=False).to_numpy()]
    repeated = suspects.index[suspects.duplicated(keys)]
    if repeated.empty:
        return
    row = int(repeated[0])
    before = first((rows[keys] == rows.loc[row, keys].tolist()).all(axis=1))
    named = [layout.roles[role] for role, key in ROLES.items() if key in keys]
    raise DataError(
        f"{place(row)}: {', '.join(named)} are those of {place(before)}; drop one of the rows, or allow "
        f"it with repeats = true (at the top of {FILE}, if there is one)"
    )


class Side:
    """A table of users or items that can be joined to rows.

    Args:
        table: the table.
        layout: the description of the dataset.
        section: "users" or "items".

    Raises:
        DataError: a user or an item has two rows.
    """

    def __init__(self, table: Table, layout: Layout, section: str):
        source = layout.sources[section]
        keys = table.frame[source.key]
        if (row := first(keys.duplicated())) is not None:
            before = table.place(first(keys == keys[row]))
            refuse(
                table.place(row), source.key, f"{shown(keys[row])} is also in {before}; drop one of the rows"
            )
        self.there = ", ".join(source.files) or f"the frame of {section}"
        self.role = layout.roles[section.removesuffix("s")]
        self.key, self.index, self.columns = KEYS[section], pd.Index(keys), {}
        for name, column in source.columns.items():
            if name != source.key and column.kind != "text":
                cells = table.frame[name]
                text = not pd.api.types.is_numeric_dtype(cells)
                self.columns[name] = (cells.astype("category") if text else cells).array

    def joined(self, rows: pd.DataFrame, place: Place) -> pd.DataFrame:
        """Returns rows with the columns of their user or item beside them; text becomes a pandas category.

        Args:
            rows: rows with uid or mid, and a plain index.
            place: says where a row stands.

        Raises:
            DataError: the table lacks the user or the item of a row.
        """
        at = self.index.get_indexer(rows[self.key])
        if (row := first(at < 0)) is not None:
            strange = shown(rows[self.key][row])
            refuse(place(row), self.role, f"{strange} is not in {self.there}; add it there, or drop its rows")
        return rows.assign(**{name: cells.take(at) for name, cells in self.columns.items()})


def _parts(rows: pd.DataFrame, layout: Layout) -> dict[str, np.ndarray]:
    split = layout.split
    narrow = rows[[key for key in ("uid", "timestamp") if key in rows]]
    try:
        rest, test = features.split_rows(narrow, split.test, split.seed, split.by)
        train, validation = features.split_rows(
            rest, split.validation / (1 - split.test), split.seed, split.by
        )
    except ValueError as error:
        raise empty_part(split, len(rows)) from error
    return {
        "train": train.index.to_numpy(),
        "validation": validation.index.to_numpy(),
        "test": test.index.to_numpy(),
    }


def empty_part(split: Split, n: int) -> DataError:
    """Returns the error that n rows are too few for a split."""
    return DataError(
        f"the split by {split.by} of {n:,} rows into validation = {split.validation} and "
        f"test = {split.test} leaves a part empty; add rows, or choose other shares"
    )


def fingerprint(frames: Mapping[str, pd.DataFrame]) -> str:
    """Returns the SHA-256 of the content of frames with a plain index, as 64 hexadecimal digits.

    As in `schema.fingerprint`, numbers enter as little-endian float64 or int64, text as UTF-8 with its lengths, and a
    missing value as a mark of its own.
    """
    digest = hashlib.sha256()
    for section in sorted(frames):
        for name, cells in frames[section].items():
            digest.update(f"{section}.{name} {len(cells)}\n".encode())
            if pd.api.types.is_integer_dtype(cells) and not cells.hasnans:
                digest.update(cells.to_numpy("<i8").data)
            elif pd.api.types.is_numeric_dtype(cells):
                digest.update(cells.to_numpy("<f8", na_value=np.nan).data)
            else:
                texts = [b"-" if pd.isna(cell) else f"={cell}".encode() for cell in cells]
                digest.update(np.array([len(text) for text in texts], "<i8").data)
                digest.update(b"".join(texts))
    return digest.hexdigest()
