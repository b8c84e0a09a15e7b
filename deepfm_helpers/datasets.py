"""MovieLens as three typed frames: find or fetch the files, verify them, read them strictly, join them.

Most readers need `load` and `join` only. `load_ratings`, `load_movies` and `load_users` read any folder that holds
files of one of the published forms in `catalogue.DATASETS`, which they recognise by the file names.
"""

import io
import os
from collections.abc import Iterator
from dataclasses import replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfm_helpers.catalogue import DATASETS, LARGEST_ID, TABLES, Form, Format
from deepfm_helpers.fetching import Located, locate
from deepfm_helpers.planted import Truth, planted
from deepfm_helpers.schema import COLUMNS, DataError, MovieLens, Provenance, fingerprint

__all__ = [
    "DataError",
    "MovieLens",
    "Provenance",
    "Truth",
    "fingerprint",
    "join",
    "load",
    "load_movies",
    "load_ratings",
    "load_users",
    "locate",
    "planted",
]

Folder = str | os.PathLike[str]
FORMS = [form for dataset in DATASETS.values() for form in dataset.forms]
BLOCK = 2**24  # bytes of ratings that are read at a time


def load(name: str, *, folder: Folder | None = None, **planted_options: Any) -> MovieLens:
    """Return a dataset; fetch it first if it is nowhere on this machine.

    Args:
        name: one of {names}. On "planted-small" a notebook runs in seconds.
        folder: a data folder that holds `name` as a subfolder or its archive, or is one of the two; `load` then looks
            nowhere else.
            Without it, `load` tries the folder that DEEPFM_DATA names, then the cache (DEEPFM_CACHE, else the user's
            cache folder), then the network.
        planted_options: arguments of `planted`, for planted data alone.

    Raises:
        DataError: the dataset cannot be fetched, its files are not the published ones, or an environment variable
            leads nowhere.
        ValueError: the name is unknown, the options are for another dataset, or see `planted`.
    """
    if name in DATASETS and not DATASETS[name].forms:
        n_ratings, n_users, n_movies = DATASETS[name].sizes
        sizes = {"n_users": n_users, "n_movies": n_movies, "n_ratings": n_ratings}
        return replace(planted(**sizes | planted_options), name=name)
    if planted_options:
        raise ValueError(f"{name} takes no {', '.join(planted_options)}: only planted data has options")
    return _read(name, locate(name, folder=folder))


load.__doc__ = (load.__doc__ or "").replace("{names}", ", ".join(f'"{name}"' for name in DATASETS))


def load_ratings(folder: Folder) -> pd.DataFrame:
    """Read the ratings in a folder: uid, mid, rating (in stars), timestamp (seconds since 1970).

    Beside the result, memory holds one block of the file at a time, and at the end a number for each pair.

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a pair (uid, mid); the message says
            which file, line and value.
    """
    path, written = _find(folder, "ratings")
    frames = []
    for line, block in _blocks(path, written):
        try:
            frames.append(_read_numbers(block, written))
        except (ValueError, OverflowError) as error:
            for _ in _rows(path, written, line, block):  # slower, and stops with the line that breaks a rule
                pass
            raise DataError(f"{path}: {error}") from error
    ratings = pd.concat(frames, ignore_index=True)
    pairs = ratings["uid"].astype("int64") * (int(ratings["mid"].max()) + 1) + ratings["mid"]
    if (row := _first(pairs.duplicated())) is not None:
        uid, mid = ratings["uid"].iat[row], ratings["mid"].iat[row]
        raise _error(path, row + 1 + bool(written.header), f"user {uid} has already rated film {mid}")
    return ratings


def load_movies(folder: Folder) -> pd.DataFrame:
    """Read the films in a folder: mid, movie_name, movie_genre ("Comedy|Drama").

    Blanks around a title are dropped. Genres keep the order of the file, which is alphabetical in ml-100k, and its
    words: the CSV files write "Children". A film without genres has "".

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a mid; the message says which file,
            line and value.
    """
    return _read_table(folder, "movies")


def load_users(folder: Folder) -> pd.DataFrame:
    """Read the users in a folder: uid, gender, age, occupation (code), zip.

    The files of ml-100k hold the occupation as a word, which becomes its place in the alphabetical list, from 0. A form
    without a file of users gives uid alone, of everyone who has rated a film.

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a uid; the message says which file,
            line and value.
    """
    if "users" not in _form(folder, "users", "ratings").tables:
        return _raters(load_ratings(folder))
    return _read_table(folder, "users")


def join(ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> pd.DataFrame:
    """Return the ratings with the columns of their film and their user beside them.

    The left join on mid and uid keeps the rows, their order and their index. Text columns become pandas categories,
    so that even 32 million rows fit into memory.

    Raises:
        DataError: a column is in two frames, an id is missing or is not a whole number, or the film or the user of a
            rating has no row or several.
    """
    _check_columns(ratings, movies, users)
    columns = {}
    for key, frame, what in (("mid", movies, "films"), ("uid", users, "users")):
        known, ids = _ids(frame, key, what), _ids(ratings, key, "ratings")
        if not known.is_unique:
            twice = known[known.duplicated()].iat[0]
            raise DataError(f"{key} {twice} appears twice in the frame of the {what}: drop one of the rows")
        positions = pd.Index(known).get_indexer(ids)
        if (row := _first(positions < 0)) is not None:
            raise DataError(
                f"row {ratings.index[row]} of the ratings: {key} {ids.iat[row]} is not in the frame "
                f"of the {what}: add it there, or drop its ratings"
            )
        for column in frame.columns.drop(key):
            values = frame[column]
            if not pd.api.types.is_numeric_dtype(values):
                values = values.astype("category")
            columns[column] = values.array.take(positions)
    return ratings.assign(**columns)


def _read(name: str, located: Located) -> MovieLens:
    path, source, files = located
    ratings, movies = load_ratings(path), load_movies(path)
    users = load_users(path) if "users" in _form(path, *TABLES).tables else _raters(ratings)
    provenance = Provenance(source, files, fingerprint(ratings, movies, users))
    record = DATASETS[name]
    return MovieLens(name, ratings, movies, users, record.codebook, record.range, provenance)


def _raters(ratings: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"uid": np.unique(ratings["uid"])})


def _form(folder: Folder, *tables: str) -> Form:
    """Return the published form of which a folder holds the file of one of the tables."""
    files = {form.tables[table][0]: form for form in FORMS for table in tables if table in form.tables}
    for file, form in files.items():
        if Path(os.path.expanduser(folder), file).is_file():
            return form
    raise DataError(f"{folder}: none of {', '.join(files)} is in this folder")


def _find(folder: Folder, table: str) -> tuple[Path, Format]:
    file, written = _form(folder, table).tables[table]
    return Path(os.path.expanduser(folder), file), written


def _error(path: Path, line: int, message: str) -> DataError:
    return DataError(f"{path}, line {line}: {message}; fetch the file again, or correct this line")


def _blocks(path: Path, written: Format, size: int = BLOCK) -> Iterator[tuple[int, bytes]]:
    """Yield the rows of a file in blocks of whole lines, each with the number of its first line.

    Raises:
        DataError: the header is another one, or there is no row.
    """
    with path.open("rb") as file:
        if written.header:
            found = file.readline().removesuffix(b"\n").removesuffix(b"\r")
            if found != written.header.encode():
                found = found.decode(written.encoding, "replace")
                raise _error(path, 1, f"expected the header {written.header!r}, found {found!r}")
        first = line = 2 if written.header else 1
        while block := file.read(size) + file.readline():
            yield line, block.replace(b"\r\n", b"\n")
            line += block.count(b"\n") or 1
    if line == first:
        raise DataError(f"{path}: the file is empty; fetch it again")


def _read_numbers(block: bytes, written: Format) -> pd.DataFrame:
    """Read ratings in one go; raise ValueError or OverflowError if anything is unusual.

    pandas' fast reader needs a separator of one character, hence the replacement. What this reader would forgive
    (blanks, signs, quotes, missing or surplus cells) is ruled out before or after.
    """
    separator = written.separator.encode()
    if block.translate(None, b"".join(map(str.encode, written.stars)) + b"0123456789\n" + separator):
        raise ValueError("a character that belongs to no number")
    # The reader holds the other lines to the first one.
    if io.BytesIO(block).readline().count(separator) != written.cells - 1:
        raise ValueError("wrong number of columns")
    columns = COLUMNS["ratings"]
    table = pd.read_csv(
        io.BytesIO(block.replace(separator, b"\t")),
        sep="\t",
        header=None,
        names=list(columns),
        dtype=dict.fromkeys(columns, "int64") | {"rating": "str"},
        skip_blank_lines=False,
    )
    ratings = table["rating"].map(written.stars)
    if ratings.isna().any():
        raise ValueError("a rating that nobody can give")
    if block.count(b".") != len(table) * ("." in next(iter(written.stars))):
        raise ValueError("an id or a time with a point")
    if table[["uid", "mid"]].min().min() < 1 or table[["uid", "mid"]].max().max() > LARGEST_ID:
        raise ValueError("an id out of range")
    return table.assign(rating=ratings).astype(columns)


def _rows(path: Path, written: Format, start: int, block: bytes) -> Iterator[tuple[int, tuple]]:
    """Yield line number and row of every line of a block; raise DataError at the first malformed one."""
    for number, line in enumerate(block.removesuffix(b"\n").split(b"\n"), start):
        try:
            yield number, written.row(line.decode(written.encoding))
        except ValueError as error:
            raise _error(path, number, str(error)) from error


def _read_table(folder: Folder, table: str) -> pd.DataFrame:
    path, written = _find(folder, table)
    columns = COLUMNS[table]
    seen, rows = set(), []
    for start, block in _blocks(path, written):
        for number, row in _rows(path, written, start, block):
            if row[0] in seen:
                raise _error(path, number, f"{next(iter(columns))} {row[0]} appears a second time")
            seen.add(row[0])
            rows.append(row)
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype({column: dtype for column, dtype in columns.items() if dtype != "str"})


def _check_columns(ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> None:
    """Raise DataError unless mid and uid connect the frames and every other column is in one of them alone."""
    places: dict[str, list[str]] = {"mid": [], "uid": []}
    for what, frame in (("ratings", ratings), ("films", movies), ("users", users)):
        for column in frame.columns:
            places.setdefault(column, []).append(f"the {what}")
    for key, expected in (("mid", ["the ratings", "the films"]), ("uid", ["the ratings", "the users"])):
        if (found := places.pop(key)) != expected:
            raise DataError(
                f"column {key} is in {' and '.join(found) or 'none of the frames'}; "
                f"it must be in {' and '.join(expected)}, once each"
            )
    if twice := [f"{column} ({' and '.join(found)})" for column, found in places.items() if len(found) > 1]:
        raise DataError(f"columns that stand twice: {', '.join(twice)}; drop or rename one of each")


def _ids(frame: pd.DataFrame, key: str, what: str) -> pd.Series:
    """Return a column of ids; raise DataError at the first that is missing or is not a whole number."""
    ids = frame[key]
    if pd.api.types.is_integer_dtype(ids) and not ids.hasnans:
        return ids
    for row, value in ids.items():
        if pd.isna(value):
            raise DataError(f"row {row} of the {what}: {key} is missing; fill it in, or drop the row")
        if not isinstance(value, Real) or isinstance(value, bool) or value % 1:
            raise DataError(
                f"row {row} of the {what}: {key} {value!r} ({type(value).__name__}) is no whole number; "
                "convert the column to integers"
            )
    return ids.astype("int64")


def _first(flags: Any) -> int | None:
    """Return the position of the first true value, None if there is none."""
    flags = np.asarray(flags)
    return int(flags.argmax()) if flags.any() else None
