"""The datasets of the book: one record for each says all that has to be known before its files are read.

`DATASETS` is the only place that knows them by name. Reading, fetching, the choices of parameters and the commands
follow from it, and tests compare the lists in the pages, the notebooks and the Makefile with it.

===========  ===============  ===============  ===================  ======================
dataset      ml-1m            ml-100k          ml-100k (RecBole)    ml-latest-small, ml-32m
===========  ===============  ===============  ===================  ======================
ratings      ratings.dat      u.data           ml-100k.inter        ratings.csv
films        movies.dat       u.item           ml-100k.item         movies.csv
users        users.dat        u.user           ml-100k.user         none
separator    ``::``           tab, ``|``       tab                  ``,``
encoding     Latin-1          Latin-1          UTF-8                UTF-8
ratings are  whole stars      whole stars      whole stars          half stars
===========  ===============  ===============  ===================  ======================
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

GENRES = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
GENRES_100K = ("unknown", *GENRES)
GENRES_CSV = (*(genre.replace("Children's", "Children") for genre in GENRES), "IMAX")
NO_GENRE = "(no genres listed)"  # so the CSV files say that a film has none
GENDERS = {"F": "female", "M": "male"}
AGES = {1: "under 18", 18: "18-24", 25: "25-34", 35: "35-44", 45: "45-49", 50: "50-55", 56: "56 and over"}
OCCUPATIONS = (
    "other or not specified", "academic/educator", "artist", "clerical/admin", "college/grad student",
    "customer service", "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student",
    "lawyer", "programmer", "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer",
    "tradesman/craftsman", "unemployed", "writer",
)  # fmt: skip
OCCUPATIONS_100K = (
    "administrator", "artist", "doctor", "educator", "engineer", "entertainment", "executive", "healthcare",
    "homemaker", "lawyer", "librarian", "marketing", "none", "other", "programmer", "retired", "salesman",
    "scientist", "student", "technician", "writer",
)  # fmt: skip
CODEBOOK_1M = {"gender": GENDERS, "age": AGES, "occupation": dict(enumerate(OCCUPATIONS))}
CODEBOOK_100K = {"gender": GENDERS, "occupation": dict(enumerate(OCCUPATIONS_100K))}

WHOLE_STARS = {str(stars): float(stars) for stars in range(1, 6)}
HALF_STARS = {f"{halves / 2:.1f}": halves / 2 for halves in range(1, 11)}
LARGEST_ID = int(np.iinfo("int32").max)

TABLES = ("ratings", "movies", "users")
"""The frames of a dataset, and the order of the files in a `Form`."""


@dataclass(frozen=True)
class Format:
    """How the lines of one file are written.

    Attributes:
        separator: what stands between two cells.
        cells: the number of cells in a line.
        parse: turns the text of the cells into a row; raises ValueError if they break a rule.
        encoding: the encoding of the text.
        header: the first line of the file; "" if it begins with a row.
        quoted: a cell may stand in quotes, as in CSV, and then hold the separator.
        stars: for ratings: the texts that a rating may have, and their values.
    """

    separator: str
    cells: int
    parse: Callable[[list[str]], tuple]
    encoding: str = "latin-1"
    header: str = ""
    quoted: bool = False
    stars: Mapping[str, float] = field(default_factory=dict)

    def row(self, line: str) -> tuple:
        """Return the row in a line.

        Raises:
            ValueError: the line breaks a rule; the message says which.
        """
        if self.quoted:
            try:
                cells = next(csv.reader([line], delimiter=self.separator, strict=True), [""])
            except csv.Error as error:
                raise ValueError(f"{error}, in {line!r}") from error
        else:
            cells = line.split(self.separator)
        if len(cells) != self.cells:
            raise ValueError(
                f"columns separated by {self.separator!r}: {len(cells)} instead of {self.cells}, in {line!r}"
            )
        return self.parse(cells)


@dataclass(frozen=True)
class Form:
    """One published form of a dataset.

    A hash of 64 digits is a SHA-256, one of 32 an MD5. Pairs of files with one MD5 can be made, but none with the MD5
    of a file that is already published.

    Attributes:
        source: where the form comes from, in words.
        archive: file name of the zip archive that holds the form.
        size: size of the archive in bytes.
        hash: hash of the archive.
        inside: the folder of the files inside the archive.
        files: name -> hash of each file that is read, in the order of `TABLES`; "" where no hash is published. A form
            without a file of users has two.
        formats: how the files are written, in the same order.
        package: pip's name for the package that is the archive; "" where the archive has addresses.
    """

    source: str
    archive: str
    size: int
    hash: str
    inside: str
    files: dict[str, str]
    formats: tuple[Format, ...]
    package: str = ""

    @property
    def tables(self) -> dict[str, tuple[str, Format]]:
        """The name of each table's file, and how it is written."""
        return dict(zip(TABLES, zip(self.files, self.formats, strict=True), strict=False))


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before its files are read. Its fields are those whose columns its tables have.

    Attributes:
        name: the name by which everything else calls it.
        sizes: how many ratings, users and films it holds; drawn data may be drawn in other sizes.
        codebook: column -> {code: label} for the columns that hold codes.
        range: lowest and highest rating, in stars.
        forms: its published forms, the preferred one first; a dataset without one is drawn, see `planted`.
    """

    name: str
    sizes: tuple[int, int, int]
    codebook: Mapping[str, Mapping[Any, str]]
    range: tuple[float, float] = (1.0, 5.0)
    forms: tuple[Form, ...] = ()


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


def _rating(stars: Mapping[str, float], cells: list[str]) -> tuple:
    uid, mid, rating, timestamp = cells
    if rating not in stars:
        raise ValueError(f"rating {rating!r} is none of {', '.join(stars)}")
    return (
        _whole(uid, "uid"),
        _whole(mid, "mid"),
        stars[rating],
        _whole(timestamp, "timestamp", 0, 2**63 - 1),
    )


def _ratings(
    stars: Mapping[str, float], separator: str, encoding: str = "latin-1", header: str = ""
) -> Format:
    return Format(separator, 4, partial(_rating, stars), encoding, header, stars=stars)


def _film(mid: str, name: str, genres: list[str], allowed: tuple[str, ...]) -> tuple:
    for genre in genres:
        _one_of(genre, "genre", allowed)
    if len(set(genres)) < len(genres):
        raise ValueError(f"the genres {'|'.join(genres)!r} name one twice")
    return _whole(mid, "mid"), _text(name, "the title"), "|".join(genres)


def _film_1m(cells: list[str]) -> tuple:
    mid, name, genres = cells
    return _film(mid, name, genres.split("|"), GENRES_100K)


def _film_100k(cells: list[str]) -> tuple:
    mid, name, *_, flags = *cells[:5], cells[5:]
    for flag in flags:
        _one_of(flag, "genre flag", ("0", "1"))
    genres = [genre for genre, flag in zip(GENRES_100K, flags, strict=True) if flag == "1"]
    if not genres:
        raise ValueError("the film has no genre")
    return _film(mid, name, genres, GENRES_100K)


def _film_recbole(cells: list[str]) -> tuple:
    mid, name, year, genres = cells
    if name == "unkonwn":  # film 267, spelled so in that copy
        name = "unknown"
    elif year:
        name = f"{name} ({year})"
    return _film(mid, name, genres.split(" "), GENRES_100K)


def _film_csv(cells: list[str]) -> tuple:
    mid, name, genres = cells
    return _film(mid, name, [] if genres == NO_GENRE else genres.split("|"), GENRES_CSV)


def _user(uid: str, gender: str, age: int, occupation: int, zip_code: str) -> tuple:
    return (
        _whole(uid, "uid"),
        _one_of(gender, "gender", tuple(GENDERS)),
        age,
        occupation,
        _text(zip_code, "the zip"),
    )


def _user_1m(cells: list[str]) -> tuple:
    uid, gender, age, occupation, zip_code = cells
    _one_of(age, "age code", tuple(map(str, AGES)))
    return _user(uid, gender, int(age), _whole(occupation, "occupation", 0, len(OCCUPATIONS) - 1), zip_code)


def _user_100k(cells: list[str]) -> tuple:
    uid, age, gender, occupation, zip_code = cells
    code = OCCUPATIONS_100K.index(_one_of(occupation, "occupation", OCCUPATIONS_100K))
    return _user(uid, gender, _whole(age, "age", 1, 150), code, zip_code)


OFFICIAL = "official archive"
FORMATS_CSV = (
    _ratings(HALF_STARS, ",", "utf-8", "userId,movieId,rating,timestamp"),
    Format(",", 3, _film_csv, "utf-8", "movieId,title,genres", quoted=True),
)

DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="ml-100k",
            sizes=(100_000, 943, 1_682),
            codebook=CODEBOOK_100K,
            forms=(
                Form(
                    source=OFFICIAL,
                    archive="ml-100k.zip",
                    size=4_924_029,
                    hash="50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
                    inside="ml-100k/",
                    files={
                        "u.data": "06416e597f82b7342361e41163890c81036900f418ad91315590814211dca490",
                        "u.item": "553841ebc7de3a0fd0d6b62a204ea30c1e651aacfb2814c7a6584ac52f2c5701",
                        "u.user": "f120e114da2e8cf314fd28f99417c94ae9ddf1cb6db8ce0e4b5995d40e90e62c",
                    },
                    formats=(
                        _ratings(WHOLE_STARS, "\t"),
                        Format("|", 5 + len(GENRES_100K), _film_100k),
                        Format("|", 5, _user_100k),
                    ),
                ),
                Form(
                    source="RecBole 1.2.1 wheel",
                    archive="recbole-1.2.1-py3-none-any.whl",
                    size=2_130_151,
                    hash="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
                    inside="recbole/dataset_example/ml-100k/",
                    files={
                        "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
                        "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
                        "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
                    },
                    formats=(
                        _ratings(
                            WHOLE_STARS,
                            "\t",
                            "utf-8",
                            "user_id:token\titem_id:token\trating:float\ttimestamp:float",
                        ),
                        Format(
                            "\t",
                            4,
                            _film_recbole,
                            "utf-8",
                            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
                        ),
                        Format(
                            "\t",
                            5,
                            _user_100k,
                            "utf-8",
                            "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token",
                        ),
                    ),
                    package="recbole==1.2.1",
                ),
            ),
        ),
        Dataset(
            name="ml-1m",
            sizes=(1_000_209, 6_040, 3_883),
            codebook=CODEBOOK_1M,
            forms=(
                Form(
                    source=OFFICIAL,
                    archive="ml-1m.zip",
                    size=5_917_549,
                    hash="a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
                    inside="ml-1m/",
                    files={
                        "ratings.dat": "506d64ca44484487c11dc2d9a28de5c54948213e6b96285e298afe28d6ea4e0f",
                        "movies.dat": "0140fc2356357c1a851d0f52e893a1e4d3696df632c4141cea8d5bc3d621f0b9",
                        "users.dat": "1dc3a95300cb19f7c10e027daf29b8cdf1d908dab65b5edfb45950aa389a10a3",
                    },
                    formats=(
                        _ratings(WHOLE_STARS, "::"),
                        Format("::", 3, _film_1m),
                        Format("::", 5, _user_1m),
                    ),
                ),
            ),
        ),
        Dataset(
            name="ml-latest-small",
            sizes=(100_836, 610, 9_742),
            codebook={},
            range=(0.5, 5.0),
            forms=(
                Form(
                    source=OFFICIAL,
                    archive="ml-latest-small.zip",
                    size=978_202,
                    # The archive of September 2018, as TensorFlow Datasets lists it in url_checksums/movielens.txt.
                    hash="696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
                    inside="ml-latest-small/",
                    files={"ratings.csv": "", "movies.csv": ""},
                    formats=FORMATS_CSV,
                ),
            ),
        ),
        Dataset(
            name="ml-32m",
            sizes=(32_000_204, 200_948, 87_585),
            codebook={},
            range=(0.5, 5.0),
            forms=(
                Form(
                    source=OFFICIAL,
                    archive="ml-32m.zip",
                    size=238_950_008,
                    # GroupLens publishes MD5s: of the archive in ml-32m.zip.md5, of the files in ml-32m-README.html.
                    hash="d472be332d4daa821edc399621853b57",
                    inside="ml-32m/",
                    files={
                        "ratings.csv": "cf12b74f9ad4b94a011f079e26d4270a",
                        "movies.csv": "0df90835c19151f9d819d0822e190797",
                    },
                    formats=FORMATS_CSV,
                ),
            ),
        ),
        Dataset("planted", sizes=(20_000, 600, 400), codebook=CODEBOOK_1M),
        Dataset("planted-small", sizes=(5_000, 400, 250), codebook=CODEBOOK_1M),
    )
}
"""The datasets by name."""
