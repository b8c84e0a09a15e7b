"""What every dataset of the book looks like: three typed frames, what their codes mean, and their origin."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = {
    "ratings": {"uid": "int32", "mid": "int32", "rating": "float32", "timestamp": "int64"},
    "movies": {"mid": "int32", "movie_name": "str", "movie_genre": "str"},
    "users": {"uid": "int32", "gender": "str", "age": "int32", "occupation": "int32", "zip": "str"},
}


class DataError(ValueError):
    """Raised for data that cannot be used; the message says what is wrong, where, and what to do next."""


@dataclass(frozen=True)
class Provenance:
    """Where a dataset's bytes came from.

    Attributes:
        source: the place, in words.
        files: name -> hash of each file that was read: the published one, or its SHA-256 if none is published.
        fingerprint: SHA-256 of the content of the frames, see `fingerprint`.
    """

    source: str
    files: dict[str, str]
    fingerprint: str


@dataclass(frozen=True, eq=False, repr=False)
class MovieLens:
    """A dataset in the form that the book uses.

    Attributes:
        name: its name in `catalogue.DATASETS`.
        ratings: uid int32, mid int32, rating float32 (in stars), timestamp int64 (seconds since 1970).
        movies: mid int32, movie_name str, movie_genre str (genres joined by "|"; "" for a film that has none).
        users: uid int32, gender str, age int32, occupation int32, zip str; of data without a table of users, uid
            alone. The age is a bucket code on ml-1m and planted data, years on ml-100k.
        codebook: column -> {code: label} for the columns that hold codes.
        range: lowest and highest rating that can be given, in stars.
        provenance: where the bytes came from.
        truth: the model that drew the ratings, for planted data; None for real data.
    """

    name: str
    ratings: pd.DataFrame
    movies: pd.DataFrame
    users: pd.DataFrame
    codebook: Mapping[str, Mapping[Any, str]]
    range: tuple[float, float]
    provenance: Provenance
    truth: Any = None

    def __repr__(self) -> str:
        sizes = f"{len(self.ratings):,} ratings, {len(self.users):,} users, {len(self.movies):,} films"
        return f"MovieLens({self.name!r}: {sizes}; {self.provenance.source})"


def fingerprint(ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> str:
    """Return the SHA-256 of the content of the three frames, as 64 hexadecimal digits.

    The order of the rows counts, the index does not. Numbers enter as little-endian bytes and text as UTF-8 lines, so
    the same content has the same fingerprint on every platform and in every published format. A missing value enters
    as a mark of its own; a column that the dataset does not have enters not at all.
    """
    digest = hashlib.sha256()
    for table, frame in {"ratings": ratings, "movies": movies, "users": users}.items():
        for column, dtype in COLUMNS[table].items():
            if column not in frame:
                continue
            digest.update(f"{table}.{column} {len(frame)}\n".encode())
            missing = frame[column].isna()
            if dtype == "str":
                digest.update("\n".join(frame[column].astype(object).mask(missing, "\0")).encode())
            else:
                kind = np.dtype("float64" if missing.any() else dtype).newbyteorder("<")
                numbers = frame[column].to_numpy(kind.newbyteorder("=")).astype(kind, copy=False)
                digest.update(np.ascontiguousarray(numbers).data)
    return digest.hexdigest()
