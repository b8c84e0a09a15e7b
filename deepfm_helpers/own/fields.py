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

import numpy as np
import pandas as pd

from deepfm_helpers.columns import column_of, finite_numbers
from deepfm_helpers.features import FIELDS, Feature
from deepfm_helpers.own.layouts import Column
from deepfm_helpers.schema import DataError


@dataclass(frozen=True)
class Scaled(Feature):
    """A numeric field in units of its spread: (number − mean) / spread; a missing number counts as the mean.

    Attributes:
        mean, spread: mean and standard deviation of the training rows, in the unit of the column.
    """

    mean: float = 0.0
    spread: float = 1.0

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        what = f"feature {self.name}"
        filled = column_of(frame, self.column, what).fillna(self.mean)
        return ((finite_numbers(filled, what) - self.mean) / self.spread).astype(np.float32)[:, None]


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
    """Describes a column as a field, from the cells of the training rows.

    Args:
        column: the column.
        owner: "user", "film" or "rating": what the column describes.
        name: name of the column in the joined rows.
        cells: the column in the training rows, with the types of `cells.typed`.

    Raises:
        DataError: the training rows hold no number, or no value that is frequent enough for an id of its own.
    """
    known = FIELDS[name] if name in ("uid", "mid") else None
    common = {"name": known.name if known else column.field, "column": name, "owner": owner}
    common["penalty"] = (known or Feature).penalty
    if column.kind in ("numeric", "time"):
        numbers = finite_numbers(cells.dropna(), f"column {column.name!r}")
        if not len(numbers):
            raise DataError(
                f"column {column.name!r}: the training rows hold no number; declare the column as 'text'"
            )
        spread = float(numbers.std()) if numbers.min() < numbers.max() else 1.0
        return Scaled(kind="numeric", mean=float(numbers.mean()), spread=spread, **common)
    if column.hashed:
        return Hashed(kind="single", size=column.hashed, **common)
    rows = cells.value_counts()
    rows = rows[rows > 0]
    if column.kind == "single":
        vocabulary = _frequent(column, dict(zip(rows.index.tolist(), rows.tolist(), strict=True)))
        return Feature(kind="single", size=len(vocabulary), vocabulary=vocabulary, **common)
    options = {"separator": column.separator, "none": column.none}
    lists = [(Listed("", "multi", "", **options).read(cell), n) for cell, n in rows.items()]
    counts: Counter = Counter()
    for values, n in lists:
        counts.update(dict.fromkeys(values, n))
    vocabulary = _frequent(column, counts)
    slots = max(len(set(values) & set(vocabulary)) for values, _ in lists)
    return Listed(kind="multi", size=len(vocabulary), vocabulary=vocabulary, slots=slots, **options, **common)


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
