"""The fields that the columns of your own data become: numbers that are scaled, lists, and values in buckets.

A value with few training rows has id 0, as a missing or an unknown value has everywhere in the book. A model learns
little about a value that it meets three times; together, such values train the row of id 0, and a value that turns up
only later then finds a vector that stands for "something rare" in place of one that was never trained. In a list, id 0
is padding, so a rare value of a list counts as if it were not there.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from deepfm_helpers.columns import column_of, finite_numbers
from deepfm_helpers.features import FIELDS, Feature
from deepfm_helpers.own.layouts import Column
from deepfm_helpers.schema import DataError

BLOCK = 2**16
"""Numbers whose mean is computed at once, see `Moments`."""

TOGETHER = 2**20
"""Different cells of several parts that are counted together, see `Tally`."""


@dataclass(frozen=True)
class Scaled(Feature):
    """A numeric field in units of its spread: (number − mean) / spread; a missing number counts as the mean.

    Attributes:
        mean: mean of the training rows, in the unit of the column.
        spread: their standard deviation, in the same unit.
    """

    mean: float = 0.0
    spread: float = 1.0

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        what = f"feature {self.name}"
        filled = column_of(frame, self.column, what).fillna(self.mean)
        return ((finite_numbers(filled, what) - self.mean) / self.spread).astype(np.float32)[:, None]


@dataclass(frozen=True)
class Single(Feature):
    """A single-valued field of text or whole numbers, which looks up many cells at once."""

    @cached_property
    def _index(self) -> pd.Index:
        return pd.Index(self.vocabulary, dtype=object if self._holds == "string" else None)

    @cached_property
    def _holds(self) -> str:
        return pd.api.types.infer_dtype(self.vocabulary)

    def _ids(self, cells: pd.Index) -> np.ndarray:
        if self._holds != pd.api.types.infer_dtype(cells):
            return super()._ids(cells)  # which names a cell of another type
        return (self._index.get_indexer(cells) + 1).astype(np.int32)[:, None]


@dataclass(frozen=True)
class Listed(Feature):
    """A multi-valued field whose cells hold values with a separator between them, exactly as they are spelt.

    Attributes:
        separator: what stands between two values.
        none: a cell that says that there is no value.
    """

    separator: str = "|"
    none: str = ""

    def read(self, cell) -> Sequence:
        return [] if cell in ("", self.none) else cell.split(self.separator)


@dataclass(frozen=True)
class Hashed(Feature):
    """A single-valued field with `size` buckets in place of a vocabulary; a missing value has id 0.

    The bucket follows from the value alone (the first eight bytes of its BLAKE2b digest, modulo `size`), so that it is
    the same in every process. Different values may share a bucket (Weinberger et al. 2009).
    """

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        codes, cells = pd.factorize(column_of(frame, self.column, f"feature {self.name}"))
        # A missing value has the code −1, the last row.
        return np.array([*map(self.bucket, cells), 0], np.int32)[codes][:, None]

    def bucket(self, value) -> int:
        """Returns the id of a value, from 1 to `size`."""
        digest = hashlib.blake2b(str(value).encode(), digest_size=8).digest()
        return 1 + int.from_bytes(digest, "little") % self.size


def field_of(column: Column, owner: str, name: str, cells: pd.Series) -> Feature:
    """Describes a column as a field, from the cells of the training rows; arguments and errors are those of `Tally`."""
    tally = Tally(column, owner, name)
    tally.add(cells)
    return tally.field()


class Tally:
    """Counts the cells of a column part by part, and describes the column as a field.

    The field depends on the cells and their order, and not on the parts in which they come. What is kept grows with the
    number of different values (of a multi column: of different cells), and not with the rows; of numbers and hashed
    values no value is kept.

    Args:
        column: the column.
        owner: "user", "film" or "rating": what the column describes.
        name: name of the column in the joined rows.
    """

    def __init__(self, column: Column, owner: str, name: str):
        self.column, self.moments = column, Moments()
        self._rows: list[pd.Series] = []  # how many rows hold a cell, of a part or of several parts together
        known = FIELDS[name] if name in ("uid", "mid") else None
        self._common = {"name": known.name if known else column.field, "column": name, "owner": owner}
        self._common["penalty"] = (known or Feature).penalty

    def add(self, cells: pd.Series) -> None:
        """Counts further training rows.

        Args:
            cells: the column in these rows, with the types of `cells.typed`.
        """
        if self.column.kind in ("numeric", "time"):
            self.moments.add(finite_numbers(cells.dropna(), f"column {self.column.name!r}"))
        elif not self.column.hashed:
            rows = cells.value_counts()
            self._rows.append(rows[rows > 0])
            if sum(map(len, self._rows[1:])) > max(TOGETHER, len(self._rows[0])):
                self._rows = [_together(self._rows)]

    def field(self) -> Feature:
        """Returns the field that the rows so far call for.

        Raises:
            DataError: the training rows hold no number, or no value that is frequent enough for an id of its own.
        """
        column, common = self.column, self._common
        if column.kind in ("numeric", "time"):
            if not self.moments.n:
                raise DataError(
                    f"column {column.name!r}: the training rows hold no number; declare the column as 'text'"
                )
            spread = self.moments.spread if self.moments.low < self.moments.high else 1.0
            return Scaled(kind="numeric", mean=self.moments.mean, spread=spread, **common)
        if column.hashed:
            return Hashed(kind="single", size=column.hashed, **common)
        if column.kind == "single":
            vocabulary = _frequent(column, self._counts())
            return Single(kind="single", size=len(vocabulary), vocabulary=vocabulary, **common)
        options = {"separator": column.separator, "none": column.none}
        lists = [(Listed("", "multi", "", **options).read(cell), n) for cell, n in self._counts().items()]
        counts: Counter = Counter()
        for values, n in lists:
            counts.update(dict.fromkeys(values, n))
        vocabulary = _frequent(column, counts)
        slots = max(len(set(values) & set(vocabulary)) for values, _ in lists)
        return Listed(
            kind="multi", size=len(vocabulary), vocabulary=vocabulary, slots=slots, **options, **common
        )

    def _counts(self) -> dict:
        """Returns cell -> number of rows that hold it."""
        rows = _together(self._rows)
        return dict(zip(rows.index.tolist(), rows.tolist(), strict=True))


def _together(rows: list[pd.Series]) -> pd.Series:
    return pd.concat(rows).groupby(level=0, sort=False).sum() if len(rows) > 1 else rows[0]


class Moments:
    """Mean and standard deviation of numbers that arrive part by part (Chan, Golub and LeVeque 1983).

    The numbers are added up in blocks of `BLOCK`, whatever the parts: so the same numbers in the same order give the
    same result to the last bit, in one part or in many.

    Attributes:
        low: smallest number so far.
        high: largest number so far.
    """

    def __init__(self):
        self.low, self.high = np.inf, -np.inf
        self._sums = (0, 0.0, 0.0)  # how many, their mean, the sum of their squared distances from it
        self._left = np.zeros(0)

    def add(self, numbers: np.ndarray) -> None:
        """Adds finite numbers, float64 (n,)."""
        self.low = min(self.low, float(numbers.min(initial=np.inf)))
        self.high = max(self.high, float(numbers.max(initial=-np.inf)))
        waiting = np.concatenate([self._left, numbers])
        whole = len(waiting) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            self._sums = _with(self._sums, waiting[start : start + BLOCK])
        self._left = waiting[whole:].copy()

    @property
    def n(self) -> int:
        """How many numbers there are so far."""
        return self._sums[0] + len(self._left)

    @property
    def mean(self) -> float:
        """Their mean."""
        return _with(self._sums, self._left)[1]

    @property
    def spread(self) -> float:
        """Their standard deviation, with the divisor n."""
        return float(np.sqrt(_with(self._sums, self._left)[2] / self.n))


def _with(sums: tuple[int, float, float], numbers: np.ndarray) -> tuple[int, float, float]:
    """Returns number, mean and sum of squared distances after further numbers."""
    n, mean, squares = sums
    if not len(numbers):
        return sums
    more, theirs = len(numbers), float(numbers.mean())
    of_theirs = float(np.square(numbers - theirs).sum())
    if not n:
        return more, theirs, of_theirs
    apart = theirs - mean
    return (
        n + more,
        mean + apart * more / (n + more),
        squares + of_theirs + apart**2 * n * more / (n + more),
    )


def _frequent(column: Column, counts: dict) -> tuple:
    """Returns the values with enough training rows, sorted."""
    kept = tuple(sorted(value for value, n in counts.items() if n >= column.rare))
    if not kept:
        most = max(counts.values(), default=0)
        raise DataError(
            f"column {column.name!r}: rare = {column.rare} leaves no value, since the most frequent one has {most} "
            "training rows; choose a smaller number, or declare the column as 'text'"
        )
    return kept
