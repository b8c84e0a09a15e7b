"""Tables whose rows do not fit in memory: read part by part, split, counted, and joined with users and items.

A folder whose `dataset.toml` says ``stream = true`` below ``[rows]`` is read here. Its rows stand in Parquet files, of
which at most `files.AT_ONCE` rows are in memory at a time. What lies in memory as a whole:

- the tables of users and items;
- one byte for each row, which says to which part of the split the row belongs. While the split is drawn, it takes more
  for each row: about 7 bytes at random, and 20 by time or by user;
- the values of the fields and how often each of them stands in the training rows.

The split is that of `features.split_rows`, row by row, and the fields are those of the same rows in memory: a test
compares them. What takes all rows at once is refused: whether rows repeat (so `repeats = true` is needed), lists of
items, and the history of users and items.

>>> from pathlib import Path
>>> import pandas as pd
>>> from deepfm_helpers.own import large
>>> folder = Path("_build/large")
>>> folder.mkdir(parents=True, exist_ok=True)
>>> rows = pd.DataFrame({"user": ["ann", "bob"] * 20, "item": [1, 2, 3, 4] * 10, "stars": [5.0, 1, 4, 2, 3] * 8})
>>> for number in (1, 2):
...     rows.to_parquet(folder / f"rows-{number}.parquet")
>>> _ = (folder / "dataset.toml").write_text('''
... task = "rating"
... repeats = true
... [rows]
... files = ["rows-*.parquet"]
... stream = true
... user = "user"
... item = "item"
... target = "stars"
... range = [1, 5]
... [rows.columns]
... user = "single"
... item = {kind = "single", whole = true}
... stars = "numeric"
... ''')
>>> own = large.read(folder)
>>> own
LargeData('large': 80 rows; _build/large)
>>> own.sizes
{'train': 64, 'validation': 8, 'test': 8}
>>> [(field.name, field.size) for field in own.fields()]
[('uid', 2), ('mid', 4)]
>>> sum(len(part) for part in own.frames("validation", "test"))
16
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers.columns import END_OF_TIME
from deepfm_helpers.features import Feature
from deepfm_helpers.own import files
from deepfm_helpers.own.cells import Place
from deepfm_helpers.own.data import (
    KEYS,
    OWNERS,
    Described,
    Side,
    as_rows,
    check_difference,
    check_targets,
    empty_part,
    fingerprint,
    layout_of,
)
from deepfm_helpers.own.fields import Moments, Tally
from deepfm_helpers.own.layouts import Layout, Split
from deepfm_helpers.schema import DataError, Provenance

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False, repr=False)
class LargeData(Described):
    """A dataset of one's own whose rows are read part by part.

    Attributes:
        name: name of the folder.
        folder: the folder.
        layout: what is known about the tables, see `layouts`.
        seed: the seed by which the validation rows were drawn.
        sides: "users", "items" -> their tables, those that there are.
        part: for each row the position of its part in `PARTS`, uint8 (n,).
        provenance: where the bytes came from. The fingerprint is that of the users and items and of the files of the
            rows, and so it differs from that of the same rows in memory.
    """

    name: str
    folder: Path
    layout: Layout
    seed: int
    sides: dict[str, Side]
    part: np.ndarray
    provenance: Provenance

    def __repr__(self) -> str:
        return f"LargeData({self.name!r}: {len(self.part):,} rows; {self.provenance.source})"

    @property
    def sizes(self) -> dict[str, int]:
        """The number of rows of each part of the split ("train", "validation", "test")."""
        return _sizes(self.part)

    def frames(self, *names: str) -> Iterator[pd.DataFrame]:
        """Yields the joined rows of one or several parts of the split, in the order of the files, frame by frame.

        Args:
            names: "train", "validation", "test".

        Raises:
            DataError: the files have changed since they were read, or see `read`.
        """
        for rows, _ in self._frames(names):
            yield rows

    def _frames(self, names: Iterable[str]) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yields what `frames` yields, with the part of each row, see `PARTS`."""
        wanted = np.isin(np.arange(len(PARTS)), [PARTS.index(name) for name in names])
        start = 0
        for rows, place in _parts(self.folder, self.layout):
            part = self.part[start : start + len(rows)]
            start += len(rows)
            if start > len(self.part):
                break
            at = np.flatnonzero(wanted[part])
            if len(at):
                kept = rows.iloc[at].reset_index(drop=True)
                for side in self.sides.values():
                    kept = side.joined(kept, lambda row, place=place, at=at: place(int(at[row])))
                yield kept, part[at]
        if start != len(self.part):
            raise DataError(
                f"{self.folder}: the files of the rows held {len(self.part):,} rows when they were read, and now hold "
                "another number; read the folder again"
            )

    def fields(self, *names: str) -> tuple[Feature, ...]:
        """Describes the fields of a model, in one pass over the rows; they are those of `OwnData.fields`.

        Args:
            names: the parts of the split from whose rows values, means and spreads come; none: "train".

        Raises:
            DataError: see `fields.field_of`.
        """
        ((fields, _),) = self.counted(names or PARTS[:1])
        return fields

    def counted(self, *groups: Sequence[str]) -> list[tuple[tuple[Feature, ...], Moments]]:
        """Describes the fields and the targets of several groups of rows, in one pass over the rows.

        Args:
            groups: for each group the parts of the split that it holds, such as ("train", "validation").

        Returns:
            For each group its fields and what is known about its targets.

        Raises:
            DataError: see `fields.field_of`.
        """
        described = [part for part in self.columns() if part.is_field]
        tallies = [
            {part.name: Tally(part.column, OWNERS[part.section], part.name) for part in described}
            for _ in groups
        ]
        targets = [Moments() for _ in groups]
        for rows, part in self._frames({name for names in groups for name in names}):
            for names, of_fields, moments in zip(groups, tallies, targets, strict=True):
                mine = rows[np.isin(part, [PARTS.index(name) for name in names])]
                moments.add(mine["rating"].to_numpy("float64"))
                for name, tally in of_fields.items():
                    tally.add(mine[name])
        fields = [tuple(tally.field() for tally in of_fields.values()) for of_fields in tallies]
        return list(zip(fields, targets, strict=True))


def read(folder: str | Path, layout: Layout | str | Path | None = None, seed: int | None = None) -> LargeData:
    """Reads the tables of a folder, the rows part by part: checks every cell, and draws the split.

    Args:
        folder: the folder.
        layout: see `data.read`.
        seed: seed by which the validation rows are drawn; None: the seed of the split.

    Raises:
        DataError: the description or a table breaks a rule, or the description does not say ``stream = true``; the
            message says which file, row group, row and column, and what to do next.
    """
    folder = Path(folder)
    layout = layout_of(folder, layout)
    if not layout.stream:
        raise DataError(
            f"{folder}: the description does not say stream = true below [rows]; write it there, or use data.read"
        )
    tables = {
        section: files.read(folder, layout.sources[section]) for section in KEYS if section in layout.sources
    }
    sides = {section: Side(table, layout, section) for section, table in tables.items()}
    paths = files.named(folder, layout.rows)
    n = sum(map(files.rows_of_parquet, paths.values()))
    by, start = layout.split.by, 0
    column = {"time": np.empty(n, np.int64), "user": np.empty(n, np.int32)}.get(by)
    known: dict = {}  # user -> number of the user, in the order in which they turn up
    low, high, first_place = np.inf, -np.inf, ""
    for rows, place in _parts(folder, layout):
        for side in sides.values():
            side.joined(rows, place)
        low, high = min(low, rows["rating"].min()), max(high, rows["rating"].max())
        first_place = first_place or place(0)
        if by == "time":
            column[start : start + len(rows)] = rows["timestamp"]
        elif by == "user":
            codes, users = pd.factorize(rows["uid"])
            numbers = np.array([known.setdefault(user, len(known)) for user in users.tolist()], np.int32)
            column[start : start + len(rows)] = numbers[codes]
        start += len(rows)
    check_difference(low, high, layout, first_place)
    seed = layout.split.seed if seed is None else seed
    digests = {name: files.digest(path) for name, path in paths.items()}
    of_sides = {section: table.frame for section, table in tables.items()}
    whole = hashlib.sha256(json.dumps([fingerprint(of_sides), list(digests.values())]).encode()).hexdigest()
    for table in tables.values():
        digests |= table.digests
    part = split(layout.split, n, column, seed)
    provenance = Provenance(str(folder), digests, whole)
    return LargeData(folder.resolve().name, folder, layout, seed, sides, part, provenance)


def _parts(folder: Path, layout: Layout) -> Iterator[tuple[pd.DataFrame, Place]]:
    """Yields the rows part by part under the names of the book, not joined, with the places where they stand."""
    target = layout.roles["target"]
    for path in files.named(folder, layout.rows).values():
        for cells, place in files.parquet(path, layout.rows):
            check_targets(cells[target], layout, place)
            yield as_rows(cells.rename(columns=layout.names("rows"))), place


def split(how: Split, n: int, column: np.ndarray | None, seed: int) -> np.ndarray:
    """Divides n rows as `data.read` divides them in memory; returns the part of each row, uint8 (n,), see `PARTS`.

    Args:
        how: the split.
        n: number of rows.
        column: the times of the rows, int64 (n,), for a split by time; the numbers of their users, counted from 0 in
            the order in which they turn up, int32 (n,), for a split by user; None for a split at random.
        seed: seed by which the validation rows are drawn; that of the split draws the test rows.

    Raises:
        DataError: a part would be empty.
    """
    part = np.zeros(n, np.uint8)
    test = _held(how.by, n, column, how.test, how.seed)
    part[test] = PARTS.index("test")
    np.logical_not(test, out=test)  # the rest
    n_rest = int(np.count_nonzero(test))
    column = None if column is None else column[test]
    part[test] = _held(how.by, n_rest, column, how.validation / (1 - how.test), seed)
    if not all(_sizes(part).values()):
        raise empty_part(how, n)
    return part


def _sizes(part: np.ndarray) -> dict[str, int]:
    return {name: int(np.count_nonzero(part == number)) for number, name in enumerate(PARTS)}


def _held(by: str, n: int, column: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """Returns which of n rows `features.split_rows` holds out, bool (n,), in less memory than it takes."""
    n_held = round(share * n)
    rng, held = np.random.default_rng(seed), np.zeros(n, bool)
    if by == "random":
        order = np.arange(n, dtype=np.uint32 if n < 2**32 else np.uint64)
        rng.shuffle(order)  # which moves narrow numbers as `permutation` moves wide ones
        held[order[:n_held]] = True
    elif by == "time":
        n_kept = n - n_held
        # The time until which that many rows may be kept; of the rows with this very time, the first ones are.
        last = bisect_left(range(END_OF_TIME), n_kept, key=lambda time: np.count_nonzero(column <= time))
        np.greater(column, last, out=held)
        ties = np.flatnonzero(column == last)
        held[ties[n_kept - np.count_nonzero(column < last) :]] = True
    else:
        counts = np.bincount(column)
        users = np.flatnonzero(counts)
        users = users[rng.permutation(len(users))]
        rows_before = np.cumsum(counts[users]) - counts[users]
        of_users = np.zeros(len(counts), bool)
        of_users[users[rows_before < n_held]] = True
        np.take(of_users, column, out=held, mode="clip")  # the other mode would need a copy
    return held
