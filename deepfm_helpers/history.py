"""Fields made from the training rows themselves: when a rating was given, and who rated what (chapter 11).

Everything here depends on the training rows alone, and there only on the fact that a user rated a film and on the
time; the stars do not enter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from deepfm_helpers.columns import column_of, ids_of, seconds, whole_numbers
from deepfm_helpers.features import FIELDS, Feature

DAY = 86_400  # seconds


@dataclass(frozen=True)
class Day(Feature):
    """The day of the rating, counted from 1 on the first day of training; a day outside training becomes the nearest
    training day."""

    start: int = 0

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        days = (seconds(frame, f"feature {self.name}") - self.start) // DAY + 1
        return days.clip(1, self.size).astype(np.int32)[:, None]

    def labels(self, codebook: Mapping[str, Mapping] | None = None) -> list[str]:
        return [_date(self.start + i * DAY) for i in range(self.size)]


@dataclass(frozen=True)
class SinceFirst(Feature):
    """The time since the user's first training rating, in bins that double; bin 1 is the first quarter of an hour.

    `first[uid]` is the time of that rating, in seconds since 1970. A user without one counts as rating for the first
    time. A rating without a uid gets id 0.
    """

    first: np.ndarray = field(default=None, repr=False, compare=False)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        what = f"feature {self.name}"
        uid = ids_of(column_of(frame, "uid", what), what, len(self.first) - 1)[:, 0]
        quarters = np.maximum(seconds(frame, what) - self.first[uid], 0) / (DAY / 96)
        bins = (1 + np.log2(1 + quarters)).clip(1, self.size)
        return np.where(uid > 0, bins, 0).astype(np.int32)[:, None]

    def labels(self, codebook: Mapping[str, Mapping] | None = None) -> list[str]:
        return [f"from {0.25 * (2**i - 1):,g} hours" for i in range(self.size)]


@dataclass(frozen=True)
class Stretch(Feature):
    """The stretch of a user's ratings that a rating falls into; the stretches of all users are numbered from 1.

    `starts` holds, in order, uid · 2³³ + the time at which each stretch begins, in seconds since 1970; a user's first
    stretch begins at time 0. A user without a stretch gets id 0.
    """

    wide: bool = True
    penalty: float = 60.0
    starts: np.ndarray = field(default=None, repr=False, compare=False)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        uid, timestamp = _who_and_when(frame, f"feature {self.name}")
        found = np.searchsorted(self.starts, _moment(uid, timestamp), "right")
        owner = self.starts[np.maximum(found - 1, 0)] >> 33
        return np.where((owner == uid) & (uid > 0), found, 0).astype(np.int32)[:, None]

    def labels(self, codebook: Mapping[str, Mapping] | None = None) -> list[str]:
        return [
            f"user {uid} from {_date(start)}" if start else f"user {uid} from the start"
            for uid, start in zip(*np.divmod(self.starts, 2**33), strict=True)
        ]


def _date(timestamp: int) -> str:
    return str(np.datetime64(int(timestamp), "s").astype("datetime64[D]"))


def _moment(uid: np.ndarray, timestamp: np.ndarray) -> np.ndarray:
    return (uid << 33) + timestamp


def _who_and_when(rows: pd.DataFrame, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns uid and timestamp (seconds since 1970) of rows, int64 (n,) each."""
    return whole_numbers(column_of(rows, "uid", what), what), seconds(rows, what)


def stretches(
    train: pd.DataFrame, lengths: Sequence[int] = (8, 16, 32), seed: int = 0
) -> tuple[Stretch, ...]:
    """Describes one wide field for each length: each user's training ratings, in order of time, cut into stretches.

    Ratings that a person gives in one sitting resemble each other: they share the mood, the evening, the page of films.
    Every user's n ratings are cut into round(n / length) stretches, at least one, of about equal numbers of ratings.
    All cuts of a length are then moved by one random fraction of a stretch, so that each seed cuts elsewhere.

    Args:
        train: training rows, with uid and timestamp.
        lengths: approximate numbers of ratings in a stretch.
        seed: seed of the random fractions.

    Raises:
        KeyError: the rows lack uid or timestamp.
        ValueError: a length is below 1, there are no rows, or a time is
            missing, lies before 1970 or is no whole number of seconds.
    """
    if not all(length >= 1 for length in lengths):
        raise ValueError(f"lengths = {tuple(lengths)}: a stretch holds at least one rating")
    uid, timestamp = _who_and_when(_some(train), "stretches of the training rows")
    order = np.lexsort((timestamp, uid))
    uid, timestamp = uid[order], timestamp[order]
    first = np.flatnonzero(np.r_[True, uid[1:] != uid[:-1]])
    n = np.diff(np.r_[first, len(uid)])
    position, n = np.arange(len(uid)) - np.repeat(first, n), np.repeat(n, n)
    fields = []
    for length, share in zip(lengths, np.random.default_rng(seed).random(len(lengths)), strict=True):
        number = np.maximum(np.round(n / length), 1)
        stretch = (position * number / n + share).astype(np.int64)
        begins = (position == 0) | np.r_[True, stretch[1:] != stretch[:-1]]
        starts = np.unique(_moment(uid, np.where(position == 0, 0, timestamp))[begins])
        fields.append(Stretch(f"stretch_{length}", "single", "timestamp", len(starts), starts=starts))
    return tuple(fields)


def describe(data, train: pd.DataFrame, components: int = 250, seed: int = 0) -> tuple[Feature, ...]:
    """Describes four fields made from the training rows: day, since_first, rated and raters.

    `rated` is the set of films that a user rated and `raters` the set of users who rated a film, both as
    principal components, see `who_rated_what`.

    Args:
        data: a `datasets.MovieLens`; says how many users and films there are.
        train: training rows, with uid, mid and timestamp.
        components: how many components stand for each set.
        seed: seed of the draw from which `who_rated_what` starts.

    Raises:
        KeyError: a frame lacks a column.
        ValueError: there are no rows, a time is missing, lies before 1970 or is no whole number of seconds, or see
            `who_rated_what`.
    """
    what = "history of the training rows"
    uid, timestamp = _who_and_when(_some(train), what)
    sizes = FIELDS["uid"].described(data.users).size, FIELDS["mid"].described(data.movies).size
    users, films = who_rated_what(train, sizes, components, seed)
    first = np.full(sizes[0] + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, uid, timestamp)
    start = int(timestamp.min()) // DAY * DAY
    n_days = int((timestamp.max() - start) // DAY + 1)
    return (
        Day("day", "single", "timestamp", n_days, start=start),
        SinceFirst("since_first", "single", "timestamp", 18, first=first),
        Feature("rated", "known", "uid", sizes[0], table=users, owner="user", penalty=15.0),
        Feature("raters", "known", "mid", sizes[1], table=films, owner="film", penalty=15.0),
    )


def _some(rows: pd.DataFrame) -> pd.DataFrame:
    if not len(rows):
        raise ValueError("there are no training rows")
    return rows


def who_rated_what(
    train: pd.DataFrame, sizes: tuple[int, int], components: int, seed: int = 0, iterations: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the leading principal components of the matrix "user u rated film i", and the numbers of ratings.

    The matrix holds 1 / √(n_u · n_i) where u rated i in the training rows, and 0 elsewhere; n_u and n_i are the
    numbers of ratings of the user and of the film. Subspace iteration from a random start (Halko, Martinsson and
    Tropp, *Finding Structure with Randomness*, 2011, algorithm 4.4) finds its singular vectors, with products that
    visit the ratings only.

    Args:
        train: training rows, with uid and mid.
        sizes: largest uid and largest mid.
        components: how many components to compute.
        seed: seed of the random start.
        iterations: rounds of the iteration.

    Returns:
        Tables (largest uid + 1, components + 1) and (largest mid + 1, components + 1), float32. Each component
        has variance 1 / components over the ids; the last column is the logarithm of the number of ratings, less its
        mean. The components of an id without a rating are zeros.

    Raises:
        KeyError: the rows lack uid or mid.
        ValueError: `components` is below 1 or above one of the `sizes`, or an id is above its size.
    """
    ids = [
        ids_of(column_of(train, key, "who rated what"), "who rated what", size)
        for key, size in zip(("uid", "mid"), sizes, strict=True)
    ]
    pairs = np.unique(np.concatenate(ids, axis=1), axis=0)
    pairs = pairs[(pairs > 0).all(axis=1)]
    shape = sizes[0] + 1, sizes[1] + 1
    if not 0 < components < min(shape):
        raise ValueError(
            f"components = {components}: choose 1 to {min(shape) - 1} for {shape} users and films"
        )
    counts = [np.maximum(np.bincount(ids, minlength=n), 1) for ids, n in zip(pairs.T, shape, strict=True)]
    values = 1 / np.sqrt(counts[0][pairs[:, 0]] * counts[1][pairs[:, 1]])
    matrix = sparse.csr_array((values.astype(np.float32), tuple(pairs.T)), shape)
    transposed = matrix.T.tocsr()

    spare = min(16, min(shape) - components)
    films = np.random.default_rng(seed).normal(size=(shape[1], components + spare)).astype(np.float32)
    for _ in range(iterations):
        films, _ = np.linalg.qr(transposed @ (matrix @ films))
    users, _, turn = np.linalg.svd(matrix @ films, full_matrices=False)
    tables = (users[:, :components], (films @ turn.T)[:, :components])
    return tuple(_scaled(table, count) for table, count in zip(tables, counts, strict=True))


def _scaled(vectors: np.ndarray, count: np.ndarray) -> np.ndarray:
    spread = np.maximum(vectors[1:].std(axis=0), 1e-9) * np.sqrt(vectors.shape[1])
    log = np.log(count)
    return np.column_stack([vectors / spread, log - log.mean()]).astype(np.float32)
