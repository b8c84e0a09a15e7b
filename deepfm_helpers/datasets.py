"""MovieLens as three typed frames: find or fetch the files, verify them, read them strictly, join them.

Most readers need `load` and `join` only. `load_ratings`, `load_movies` and `load_users` read any folder whose files
have one of the three published formats, which they recognise by the file names:

=========  ============  ==========  =================
dataset    ml-1m         ml-100k     ml-100k (RecBole)
=========  ============  ==========  =================
ratings    ratings.dat   u.data      ml-100k.inter
movies     movies.dat    u.item      ml-100k.item
users      users.dat     u.user      ml-100k.user
separator  ``::``        tab, ``|``  tab
encoding   Latin-1       Latin-1     UTF-8
=========  ============  ==========  =================
"""

import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfm_helpers.fetching import Located, locate
from deepfm_helpers.planted import Truth, planted
from deepfm_helpers.schema import (
    AGES,
    CODEBOOK_1M,
    CODEBOOK_100K,
    COLUMNS,
    GENDERS,
    GENRES,
    OCCUPATIONS,
    OCCUPATIONS_100K,
    DataError,
    MovieLens,
    Provenance,
    fingerprint,
)

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
PLANTED: dict[str, dict[str, int]] = {
    "planted": {},
    "planted-small": {"n_users": 400, "n_movies": 250, "n_ratings": 5_000},
}
"""The datasets that are drawn, with the sizes in which they differ from the defaults of `planted`."""

LARGEST_ID = int(np.iinfo("int32").max)


def load(name: str, *, folder: Folder | None = None, **planted_options: Any) -> MovieLens:
    """Return a dataset; fetch it first if it is nowhere on this machine.

    Args:
        name: "ml-100k", "ml-1m", "planted", or "planted-small", on which a notebook runs in seconds.
        folder: a data folder that holds `name` as a subfolder, or is that subfolder; `load` then looks nowhere else.
            Without it, `load` tries the folder that DEEPFM_DATA names, then the cache (DEEPFM_CACHE, else the user's
            cache folder), then the network.
        planted_options: arguments of `planted`, for planted data alone.

    Raises:
        DataError: the dataset cannot be fetched, its files are not the published ones, or an environment variable
            leads nowhere.
        ValueError: the name is unknown, the options are for another dataset, or see `planted`.
    """
    if name in PLANTED:
        return replace(planted(**PLANTED[name] | planted_options), name=name)
    if planted_options:
        raise ValueError(f"{name} takes no {', '.join(planted_options)}: only planted data has options")
    return _read(name, locate(name, folder=folder))


def load_ratings(folder: Folder) -> pd.DataFrame:
    """Read the ratings in a folder: uid, mid, rating (1 to 5), timestamp (seconds since 1970).

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a pair (uid, mid); the message says
            which file, line and value.
    """
    path, form = _find(folder, RATINGS)
    try:
        numbers = _read_numbers(path, form)
    except (ValueError, OverflowError) as error:
        for _ in _rows(path, form):  # slower, and stops with the line that breaks a rule
            pass
        raise DataError(f"{path}: {error}") from error
    pairs = numbers["uid"] * (numbers["mid"].max() + 1) + numbers["mid"]
    if (row := _first(pairs.duplicated())) is not None:
        uid, mid = numbers["uid"].iat[row], numbers["mid"].iat[row]
        raise _error(path, form.line(row), f"user {uid} has already rated film {mid}")
    return numbers.astype(COLUMNS["ratings"])


def load_movies(folder: Folder) -> pd.DataFrame:
    """Read the films in a folder: mid, movie_name, movie_genre ("Comedy|Drama").

    Blanks around a title are dropped. Genres keep the order of the file, which is alphabetical in ml-100k.

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a mid; the message says which file,
            line and value.
    """
    return _read_table(folder, MOVIES, "mid")


def load_users(folder: Folder) -> pd.DataFrame:
    """Read the users in a folder: uid, gender, age, occupation (code), zip.

    The files of ml-100k hold the occupation as a word, which becomes its place in the alphabetical list, from 0.

    Raises:
        DataError: the folder has no such file, or a line breaks a rule or repeats a uid; the message says which file,
            line and value.
    """
    return _read_table(folder, USERS, "uid")


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
    ratings, movies, users = load_ratings(path), load_movies(path), load_users(path)
    provenance = Provenance(source, files, fingerprint(ratings, movies, users))
    codebook = CODEBOOK_1M if name == "ml-1m" else CODEBOOK_100K
    return MovieLens(name, ratings, movies, users, codebook, provenance)


@dataclass(frozen=True)
class _Format:
    """The layout of one published file; `parse` turns the text fields of a line into a row."""

    file: str
    separator: str
    fields: int
    parse: Callable[[list[str]], tuple]
    encoding: str = "latin-1"
    header: str = ""

    def line(self, row: int) -> int:
        """Return the number, from 1, of the line that holds a row."""
        return row + (2 if self.header else 1)


def _find(folder: Folder, formats: tuple[_Format, ...]) -> tuple[Path, _Format]:
    for form in formats:
        path = Path(os.path.expanduser(folder), form.file)
        if path.is_file():
            return path, form
    raise DataError(f"{folder}: none of {', '.join(form.file for form in formats)} is in this folder")


def _error(path: Path, line: int, message: str) -> DataError:
    return DataError(f"{path}, line {line}: {message}; fetch the file again, or correct this line")


def _read_numbers(path: Path, form: _Format) -> pd.DataFrame:
    """Read four columns of whole numbers in one go; raise ValueError or OverflowError if anything is unusual.

    pandas' fast reader needs a separator of one character, hence the replacement. What this reader would forgive
    (blanks, signs, quotes, missing or surplus fields) is ruled out before or after.
    """
    separator, header = form.separator.encode(), form.header.encode()
    text = path.read_bytes().replace(b"\r\n", b"\n")
    if not text.startswith(header):
        raise ValueError("unexpected header")
    body = text[len(header) + 1 :] if header else text
    if body.translate(None, b"0123456789\n" + separator):
        raise ValueError("a character that belongs to no number")
    if io.BytesIO(body).readline().count(separator) != form.fields - 1:  # the reader holds the others to it
        raise ValueError("wrong number of columns")
    columns = list(COLUMNS["ratings"])
    table = pd.read_csv(
        io.BytesIO(body.replace(separator, b"\t")),
        sep="\t",
        header=None,
        names=columns,
        dtype="int64",
        skip_blank_lines=False,
    )
    if not table["rating"].between(1, 5).all():
        raise ValueError("a rating outside 1 to 5")
    if table[["uid", "mid"]].min().min() < 1 or table[["uid", "mid"]].max().max() > LARGEST_ID:
        raise ValueError("an id out of range")
    return table


def _rows(path: Path, form: _Format) -> Iterator[tuple[int, tuple]]:
    """Yield line number and parsed row of every line of a file; raise DataError at the first malformed one."""
    try:
        text = path.read_bytes().decode(form.encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not {form.encoding} text") from error
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if form.header and (not lines or lines[0] != form.header):
        raise _error(path, 1, f"expected the header {form.header!r}, found {lines[0] if lines else ''!r}")
    start = 1 if form.header else 0
    if len(lines) == start:
        raise DataError(f"{path}: the file is empty; fetch it again")
    for number, line in enumerate(lines[start:], start + 1):
        fields = line.split(form.separator)
        if len(fields) != form.fields:
            found = f"columns separated by {form.separator!r}: {len(fields)} instead of {form.fields}"
            raise _error(path, number, f"{found}, in {line!r}")
        try:
            yield number, form.parse(fields)
        except ValueError as error:
            raise _error(path, number, str(error)) from error


def _read_table(folder: Folder, formats: tuple[_Format, ...], key: str) -> pd.DataFrame:
    path, form = _find(folder, formats)
    columns = COLUMNS["movies" if key == "mid" else "users"]
    seen, rows = set(), []
    for number, row in _rows(path, form):
        if row[0] in seen:
            raise _error(path, number, f"{key} {row[0]} appears a second time")
        seen.add(row[0])
        rows.append(row)
    frame = pd.DataFrame(rows, columns=list(columns))
    return frame.astype({column: dtype for column, dtype in columns.items() if dtype != "str"})


def _whole(text: str, what: str, lowest: int = 1, highest: int = LARGEST_ID) -> int:
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise ValueError(f"{what} {text!r} is not a whole number from {lowest} to {highest}")
    return int(text)


def _one_of(text: str, what: str, allowed: tuple[str, ...]) -> str:
    if text not in allowed:
        raise ValueError(f"{what} {text!r} is unknown: expected one of {', '.join(allowed)}")
    return text


def _text(text: str, what: str) -> str:
    if not text.strip():
        raise ValueError(f"{what} is empty")
    return text.strip()


def _rating(fields: list[str]) -> tuple:
    uid, mid, rating, timestamp = fields
    return (
        _whole(uid, "uid"),
        _whole(mid, "mid"),
        _whole(rating, "rating", 1, 5),
        _whole(timestamp, "timestamp", 0, 2**63 - 1),
    )


def _film(mid: str, name: str, genres: list[str]) -> tuple:
    if not genres:
        raise ValueError("the film has no genre")
    for genre in genres:
        _one_of(genre, "genre", GENRES_100K)
    if len(set(genres)) < len(genres):
        raise ValueError(f"the genres {'|'.join(genres)!r} name one twice")
    return _whole(mid, "mid"), _text(name, "the title"), "|".join(genres)


def _film_1m(fields: list[str]) -> tuple:
    mid, name, genres = fields
    return _film(mid, name, genres.split("|"))


def _film_100k(fields: list[str]) -> tuple:
    mid, name, *_, flags = *fields[:5], fields[5:]
    for flag in flags:
        _one_of(flag, "genre flag", ("0", "1"))
    return _film(mid, name, [genre for genre, flag in zip(GENRES_100K, flags, strict=True) if flag == "1"])


def _film_recbole(fields: list[str]) -> tuple:
    mid, name, year, genres = fields
    if name == "unkonwn":  # film 267, spelled so in that copy
        name = "unknown"
    elif year:
        name = f"{name} ({year})"
    return _film(mid, name, genres.split(" "))


def _user(uid: str, gender: str, age: int, occupation: int, zip_code: str) -> tuple:
    return (
        _whole(uid, "uid"),
        _one_of(gender, "gender", tuple(GENDERS)),
        age,
        occupation,
        _text(zip_code, "the zip"),
    )


def _user_1m(fields: list[str]) -> tuple:
    uid, gender, age, occupation, zip_code = fields
    _one_of(age, "age code", tuple(map(str, AGES)))
    return _user(uid, gender, int(age), _whole(occupation, "occupation", 0, len(OCCUPATIONS) - 1), zip_code)


def _user_100k(fields: list[str]) -> tuple:
    uid, age, gender, occupation, zip_code = fields
    code = OCCUPATIONS_100K.index(_one_of(occupation, "occupation", OCCUPATIONS_100K))
    return _user(uid, gender, _whole(age, "age", 1, 150), code, zip_code)


GENRES_100K = ("unknown", *GENRES)
RATINGS = (
    _Format("ratings.dat", "::", 4, _rating),
    _Format("u.data", "\t", 4, _rating),
    _Format(
        "ml-100k.inter", "\t", 4, _rating, "utf-8",
        "user_id:token\titem_id:token\trating:float\ttimestamp:float",
    ),
)  # fmt: skip
MOVIES = (
    _Format("movies.dat", "::", 3, _film_1m),
    _Format("u.item", "|", 5 + len(GENRES_100K), _film_100k),
    _Format(
        "ml-100k.item", "\t", 4, _film_recbole, "utf-8",
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
    ),
)  # fmt: skip
USERS = (
    _Format("users.dat", "::", 5, _user_1m),
    _Format("u.user", "|", 5, _user_100k),
    _Format(
        "ml-100k.user", "\t", 5, _user_100k, "utf-8",
        "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
    ),
)  # fmt: skip


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
