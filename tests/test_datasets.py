"""Reading, joining, loading and drawing data: small files, no network."""

import tracemalloc
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_files import CSV, ML_1M, ML_100K, RECBOLE, contents, sha256, write

from deepfm_helpers import datasets, features, fetching
from deepfm_helpers import planted as planted_module
from deepfm_helpers.catalogue import AGES, DATASETS, OCCUPATIONS
from deepfm_helpers.datasets import DataError
from deepfm_helpers.schema import COLUMNS

# --- reading ------------------------------------------------------------------------------------------------


def test_reads_ml_1m_into_typed_frames(tmp_path):
    folder = write(tmp_path, ML_1M)
    ratings, movies, users = (
        datasets.load_ratings(folder),
        datasets.load_movies(folder),
        datasets.load_users(folder),
    )
    assert ratings.to_dict("list") == {
        "uid": [1, 1, 2],
        "mid": [10, 20, 10],
        "rating": [5.0, 3.0, 4.0],
        "timestamp": [978300760, 978302109, 978301968],
    }
    assert [str(dtype) for dtype in ratings.dtypes] == ["int32", "int32", "float32", "int64"]
    assert movies.to_dict("list") == {
        "mid": [10, 20, 30],
        "movie_name": ["Alien: The Return (1979)", "Amélie (2001)", "Unseen (1990)"],
        "movie_genre": ["Horror|Sci-Fi", "Comedy", "Drama"],
    }
    assert users.to_dict("list") == {
        "uid": [1, 2],
        "gender": ["F", "M"],
        "age": [1, 56],
        "occupation": [10, 16],
        "zip": ["48067", "70072-1234"],
    }
    assert {str(movies["mid"].dtype), *map(str, users[["uid", "age", "occupation"]].dtypes)} == {"int32"}


def test_both_forms_of_ml_100k_read_to_equal_frames(tmp_path):
    official, recbole = write(tmp_path / "a", ML_100K), write(tmp_path / "b", RECBOLE)
    frames = {}
    for folder in (official, recbole):
        frames[folder] = [
            datasets.load_ratings(folder),
            datasets.load_movies(folder),
            datasets.load_users(folder),
        ]
    for one, other in zip(*frames.values(), strict=True):
        pd.testing.assert_frame_equal(one, other)
    _, movies, users = frames[official]
    assert list(movies["movie_name"]) == [
        "Été (1995)",
        "Time: Part III (1995) (V)",
        "Two Friends (1986)",
        "unknown",
    ]
    assert list(movies["movie_genre"]) == ["Comedy|Drama", "Film-Noir", "Children's|Drama", "unknown"]
    assert list(users["occupation"]) == [19, 0]
    assert datasets.fingerprint(*frames[official]) == datasets.fingerprint(*frames[recbole])


def test_windows_line_ends_and_a_missing_last_line_end_change_nothing(tmp_path):
    plain = write(tmp_path / "a", ML_1M)
    windows = write(
        tmp_path / "b", {name: text.rstrip("\n").replace("\n", "\r\n") for name, text in ML_1M.items()}
    )
    for read in (datasets.load_ratings, datasets.load_movies, datasets.load_users):
        pd.testing.assert_frame_equal(read(plain), read(windows))


def test_csv_files_with_quoted_titles_and_half_stars_and_without_users(tmp_path):
    folder = write(tmp_path, CSV)
    assert datasets.load_ratings(folder).to_dict("list") == {
        "uid": [3, 1, 1],
        "mid": [20, 10, 30],
        "rating": [0.5, 4.0, 4.5],
        "timestamp": [1112484940, 964982703, 964981247],
    }
    assert datasets.load_movies(folder).to_dict("list") == {
        "mid": [10, 20, 30],
        "movie_name": ["Amélie (2001)", "American President, The (1995)", '"Great" Film, A'],
        "movie_genre": ["Children|IMAX", "Comedy|Drama|Romance", ""],
    }
    users = datasets.load_users(folder)
    assert users.to_dict("list") == {"uid": [1, 3]}
    assert users["uid"].dtype == "int32"


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_the_size_of_the_blocks_changes_neither_rows_nor_errors(tmp_path, monkeypatch, size):
    folder = write(tmp_path, {"ratings.dat": "\r\n".join(MANY_RATINGS)})
    whole = datasets.load_ratings(folder)
    monkeypatch.setattr(datasets._blocks, "__defaults__", (size,))
    pd.testing.assert_frame_equal(datasets.load_ratings(folder), whole)
    write(tmp_path, {"ratings.dat": "\n".join([*MANY_RATINGS[:400], "x::1::1::1", *MANY_RATINGS[400:]])})
    with pytest.raises(DataError, match=r"ratings\.dat, line 401: uid 'x'"):
        datasets.load_ratings(folder)
    write(tmp_path, {"ratings.dat": "\n".join([*MANY_RATINGS, MANY_RATINGS[3]])})
    with pytest.raises(DataError, match=rf"line {len(MANY_RATINGS) + 1}: user 1 has already rated film 4"):
        datasets.load_ratings(folder)


def test_memory_for_ratings_is_a_tenth_of_a_kilobyte_per_row(tmp_path, monkeypatch):
    """So 32 million rows take 3 GB; with one block of this size, the same rows would take more."""
    users, films = 1_000, 200
    rows = (f"{u},{m},{1 + m % 4}.5,{10**9 + m}\n" for u in range(1, users + 1) for m in range(1, films + 1))
    write(tmp_path, {"ratings.csv": "userId,movieId,rating,timestamp\n" + "".join(rows)})
    monkeypatch.setattr(datasets._blocks, "__defaults__", (2**16,))
    datasets.load_ratings(tmp_path)  # imports what is imported late
    tracemalloc.start()
    ratings = datasets.load_ratings(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(ratings) == users * films
    assert peak / len(ratings) < 100


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("9,2,4,5", "rating '4' is none of 0.5, 1.0, 1.5"),
        ("9,2,4.00,5", "rating '4.00'"),
        ("9,2,.5,5", "rating '.5'"),
        ("9,2,4.25,5", "rating '4.25'"),
        ("9,2,5.5,5", "rating '5.5'"),
        ("9,2,0.0,5", "rating '0.0'"),
        ("9,2,,5", "rating ''"),
        ('9,2,"4.0",5', "rating '\"4.0\"'"),
        ("9.0,2,4.0,5", "uid '9.0'"),
        ("9,2,4.0,5.5", "timestamp '5.5'"),
        ("9,2,4.0", "3 instead of 4"),
        ("9,2,4.0,5,6", "5 instead of 4"),
        ("", "1 instead of 4"),
    ],
)
@pytest.mark.parametrize("line", [2, 4])
def test_a_malformed_rating_of_a_csv_file_is_named(tmp_path, row, message, line):
    rows = CSV["ratings.csv"].splitlines()
    write(tmp_path, {"ratings.csv": "\n".join([*rows[: line - 1], row, *rows[line - 1 :]]) + "\n"})
    with pytest.raises(DataError, match=rf"ratings\.csv, line {line}: .*{message}"):
        datasets.load_ratings(tmp_path)


MANY_RATINGS = [f"{u}::{m}::{1 + (u + m) % 5}::{1000 + m}" for u in range(1, 31) for m in range(1, 31)]


@pytest.mark.parametrize("line", [1, 3, len(MANY_RATINGS) + 1], ids=["first", "third", "last"])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("99::2::3", "3 instead of 4"),
        ("99::2::3::4::5", "5 instead of 4"),
        ("99::2::3::4::", "5 instead of 4"),
        ("99:2::3::4", "3 instead of 4"),
        ("99\t2\t3\t4", "1 instead of 4"),
        ("", "1 instead of 4"),
        ("99::2::3::4\r99::3::3::4", "7 instead of 4"),
        ("::2::3::4", "uid ''"),
        ("x::2::3::4", "uid 'x'"),
        ("-99::2::3::4", "uid '-99'"),
        ("0::2::3::4", "uid '0'"),
        ("+99::2::3::4", r"uid '\+99'"),
        ('"99"::2::3::4', "uid '\"99\"'"),
        ("99999999999::2::3::4", "uid '99999999999'"),
        ("99:::2::3::4", "mid ':2'"),
        ("99::0::3::4", "mid '0'"),
        ("99::2::0::4", "rating '0'"),
        ("99::2::6::4", "rating '6'"),
        ("99::2::3.5::4", "rating '3.5'"),
        ("99::2::nan::4", "rating 'nan'"),
        ("99::2::3::-4", "timestamp '-4'"),
        ("99::2::3::4 ", "timestamp '4 '"),
        ("99::2::3::" + "9" * 20, "timestamp '9{20}'"),
    ],
)
def test_a_malformed_rating_is_named_with_file_line_and_value(tmp_path, row, message, line):
    rows = MANY_RATINGS.copy()
    rows.insert(line - 1, row)
    (tmp_path / "ratings.dat").write_bytes(("\n".join(rows) + "\n").encode("latin-1"))
    with pytest.raises(DataError, match=rf"ratings\.dat, line {line}: .*{message}"):
        datasets.load_ratings(tmp_path)


def test_a_repeated_pair_is_named(tmp_path):
    write(tmp_path, {"ratings.dat": ML_1M["ratings.dat"] + "1::20::4::1\n"})
    with pytest.raises(DataError, match=r"ratings\.dat, line 4: user 1 has already rated film 20"):
        datasets.load_ratings(tmp_path)
    write(tmp_path / "b", {"ml-100k.inter": RECBOLE["ml-100k.inter"] + "2\t1\t4\t1\n"})
    with pytest.raises(DataError, match=r"ml-100k\.inter, line 6: user 2 has already rated film 1"):
        datasets.load_ratings(tmp_path / "b")


@pytest.mark.parametrize(
    ("file", "row", "message"),
    [
        ("movies.dat", "40::No Genre (1990)", "2 instead of 3"),
        ("movies.dat", "40::A::B::Drama", "4 instead of 3"),
        ("movies.dat", "x::A::Drama", "mid 'x'"),
        ("movies.dat", "40:: ::Drama", "the title is empty"),
        ("movies.dat", "40::A::Drama|Dramma", "genre 'Dramma' is unknown"),
        ("movies.dat", "40::A::Drama|Drama", "name one twice"),
        ("movies.dat", "20::Again::Drama", "mid 20 appears a second time"),
        ("users.dat", "3::M::25::4", "4 instead of 5"),
        ("users.dat", "3::X::25::4::00000", "gender 'X'"),
        ("users.dat", "3::M::26::4::00000", "age code '26'"),
        ("users.dat", "3::M::25::21::00000", "occupation '21'"),
        ("users.dat", "3::M::25::4::", "the zip is empty"),
        ("users.dat", "2::M::25::4::00000", "uid 2 appears a second time"),
        ("u.item", "5|A||||" + "|".join(["0"] * 19), "the film has no genre"),
        ("u.item", "5|A||||" + "|".join(["2"] * 19), "genre flag '2'"),
        ("u.item", "5|A||||1", "6 instead of 24"),
        ("u.user", "3|24|M|wizard|85711", "occupation 'wizard'"),
        ("u.user", "3|-1|M|writer|85711", "age '-1'"),
        ("ml-100k.item", "5\tA\t1990", "3 instead of 4"),
        ("ml-100k.user", "3\t24\tM\twizard\t85711", "occupation 'wizard'"),
        ("movies.csv", "40,A", "2 instead of 3"),
        ("movies.csv", "40,A, B,Drama", "4 instead of 3"),
        ("movies.csv", '40,"A, B,Drama', "unexpected end of data"),
        ("movies.csv", '40,"A" B,Drama', "',' expected after '\"'"),
        ("movies.csv", "", "0 instead of 3|1 instead of 3"),
        ("movies.csv", "40,A,Drama|Dramma", "genre 'Dramma' is unknown"),
        ("movies.csv", "40,A,", "genre '' is unknown"),
        ("movies.csv", "40,A,(no genres listed)|Drama", "genre '.no genres listed.' is unknown"),
        ("movies.csv", "40, ,Drama", "the title is empty"),
        ("movies.csv", "20,Again,Drama", "mid 20 appears a second time"),
    ],
)
def test_a_malformed_film_or_user_is_named_with_file_line_and_value(tmp_path, file, row, message):
    text = (ML_1M | ML_100K | RECBOLE | CSV)[file]
    write(tmp_path, {file: text + row + "\n"})
    read = datasets.load_users if "user" in file else datasets.load_movies
    with pytest.raises(DataError, match=rf"{file}, line {text.count(chr(10)) + 1}: .*{message}"):
        read(tmp_path)


@pytest.mark.parametrize("file", [*ML_1M, *ML_100K])
def test_an_empty_file_is_an_error(tmp_path, file):
    write(tmp_path, {file: ""})
    read = {"r": datasets.load_ratings, "m": datasets.load_movies, "u": datasets.load_users}
    kind = {"u.data": "r", "u.item": "m", "u.user": "u"}.get(file, file[0])
    with pytest.raises(DataError, match=f"{file}: the file is empty"):
        read[kind](tmp_path)


@pytest.mark.parametrize("file", [*RECBOLE, *CSV])
def test_a_wrong_or_lonely_header_is_an_error(tmp_path, file):
    readers = (datasets.load_ratings, datasets.load_movies, datasets.load_users)
    read = dict(zip([*RECBOLE, *CSV], (*readers, *readers[:2]), strict=True))[file]
    header, rows = (RECBOLE | CSV)[file].split("\n", 1)
    write(tmp_path, {file: header + "\n"})
    with pytest.raises(DataError, match=f"{file}: the file is empty"):
        read(tmp_path)
    for text in (rows, "", header + "x\n" + rows):
        write(tmp_path, {file: text})
        with pytest.raises(DataError, match=f"{file}, line 1: expected the header"):
            read(tmp_path)


def test_undecodable_text_is_an_error(tmp_path):
    (tmp_path / "ml-100k.item").write_bytes(RECBOLE["ml-100k.item"].encode("latin-1"))
    with pytest.raises(DataError, match=r"ml-100k\.item, line 2: 'utf-8' codec can't decode byte"):
        datasets.load_movies(tmp_path)


def test_a_folder_without_the_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none of u\.data, ml-100k\.inter, ratings\.dat, ratings\.csv"):
        datasets.load_ratings(tmp_path)


# --- joining ------------------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path):
    folder = write(tmp_path, ML_1M)
    return datasets.load_ratings(folder), datasets.load_movies(folder), datasets.load_users(folder)


def test_join_equals_a_left_merge_and_keeps_order_and_index(frames):
    ratings, movies, users = frames
    ratings = ratings.iloc[::-1].set_axis([7, 5, 9])
    joined = datasets.join(ratings, movies, users)
    merged = ratings.merge(movies, on="mid", how="left").merge(users, on="uid", how="left")
    assert list(joined.index) == [7, 5, 9]
    assert list(joined.columns) == list(merged.columns)
    assert joined.to_numpy().tolist() == merged.to_numpy().tolist()
    assert {c for c in joined if joined[c].dtype == "category"} == {
        "movie_name",
        "movie_genre",
        "gender",
        "zip",
    }
    assert {str(joined[c].dtype) for c in ("age", "occupation")} == {"int32"}
    assert list(ratings.columns) == ["uid", "mid", "rating", "timestamp"]


def test_join_refuses_ratings_of_the_unknown_and_ambiguous_tables(frames):
    ratings, movies, users = frames
    with pytest.raises(DataError, match="row 1 of the ratings: mid 20 is not in the frame of the films"):
        datasets.join(ratings, movies[movies["mid"] != 20], users)
    with pytest.raises(DataError, match="row 2 of the ratings: uid 2 is not in the frame of the users"):
        datasets.join(ratings, movies, users[:1])
    with pytest.raises(DataError, match="uid 1 appears twice in the frame of the users"):
        datasets.join(ratings, movies, pd.concat([users, users[:1]]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, m, u: (r, m.assign(rating=9.9), u), r"rating \(the ratings and the films\)"),
        (lambda r, m, u: (r, m, u.assign(timestamp=0)), r"timestamp \(the ratings and the users\)"),
        (lambda r, m, u: (r, m.assign(age=3), u), r"age \(the films and the users\)"),
        (lambda r, m, u: (r.assign(zip=1), m, u), r"zip \(the ratings and the users\)"),
        (
            lambda r, m, u: (datasets.join(r, m, u), m, u),
            r"movie_name \(the ratings and the films\), movie_genre .*, gender \(the ratings and the users\)",
        ),
        (lambda r, m, u: (r, m[[*m, "movie_name"]], u), r"movie_name \(the films and the films\)"),
        (lambda r, m, u: (r[[*r, "rating"]], m, u), r"rating \(the ratings and the ratings\)"),
        (
            lambda r, m, u: (r, m.assign(uid=1), u),
            "uid is in the ratings and the films and the users; it must",
        ),
        (
            lambda r, m, u: (r, m[[*m, "mid"]], u),
            "mid is in the ratings and the films and the films; it must",
        ),
        (
            lambda r, m, u: (r.drop(columns="mid"), m, u),
            "mid is in the films; it must be in the ratings and the",
        ),
        (lambda r, m, u: (r, m, u.rename(columns={"uid": "user"})), "uid is in the ratings; it must be in"),
    ],
)
def test_join_refuses_columns_that_stand_twice_or_are_missing(frames, change, message):
    changed = change(*frames)
    before = [frame.copy() for frame in changed]
    with pytest.raises(DataError, match=message):
        datasets.join(*changed)
    for frame, copy in zip(changed, before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


@pytest.mark.parametrize("place", [0, 1, 2], ids=["ratings", "films", "users"])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("1", r"'1' \(str\) is no whole number; convert the column to integers"),
        ("one", r"'one' \(str\) is no whole number"),
        (3.7, r"3\.7 \(float\) is no whole number"),
        (np.inf, r"inf \(float\) is no whole number"),
        (True, r"True \(bool\) is no whole number"),
        (pd.Timestamp(0), r"\(Timestamp\) is no whole number"),
        (np.nan, "is missing; fill it in, or drop the row"),
        (None, "is missing"),
        (pd.NA, "is missing"),
        (pd.NaT, "is missing"),
    ],
)
def test_join_refuses_ids_of_another_type_and_missing_ones(frames, place, value, message):
    key, what = [("uid", "ratings"), ("mid", "films"), ("uid", "users")][place]
    changed = [frame.copy() for frame in frames]
    ids = changed[place][key].astype(object)
    ids.iloc[1] = value
    for column in (ids, ids.infer_objects()):
        changed[place][key] = column
        with pytest.raises(DataError, match=f"row 1 of the {what}: {key} .*{message}"):
            datasets.join(*changed)


def test_join_names_the_type_where_every_id_is_text(frames):
    ratings, movies, users = frames
    for changed in (
        (ratings.astype({"uid": str}), movies, users),
        (ratings, movies, users.astype({"uid": str})),
        (ratings.astype({"uid": str}), movies, users.astype({"uid": str})),
    ):
        with pytest.raises(DataError, match=r"row 0 of the \w+: uid '1' \(str\) is no whole number"):
            datasets.join(*changed)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "Int64", "float64", "category", "object"])
def test_join_takes_whole_numbers_of_any_type(frames, dtype):
    expected = datasets.join(*frames)
    joined = datasets.join(frames[0].astype({"uid": dtype, "mid": dtype}), *frames[1:])
    pd.testing.assert_frame_equal(joined.astype(expected.dtypes), expected)
    joined = datasets.join(frames[0], frames[1].astype({"mid": dtype}), frames[2].astype({"uid": dtype}))
    pd.testing.assert_frame_equal(joined, expected)


def test_join_leaves_missing_traits_missing(frames):
    ratings, movies, users = frames
    users["gender"] = [None, "M"]
    users["age"] = [np.nan, 56.0]
    movies["movie_genre"] = ["Horror|Sci-Fi", None, "Drama"]
    joined = datasets.join(ratings, movies, users)
    assert joined["gender"].isna().tolist() == joined["age"].isna().tolist() == [True, True, False]
    assert joined["movie_genre"].isna().tolist() == [False, True, False]
    assert joined.loc[2, ["gender", "age", "movie_genre"]].tolist() == ["M", 56.0, "Horror|Sci-Fi"]


def test_the_fingerprint_depends_on_content_and_on_nothing_else(frames):
    ratings, movies, users = frames
    original = datasets.fingerprint(*frames)
    assert (
        datasets.fingerprint(ratings.set_axis([3, 1, 2]), movies[movies.columns[::-1]], users.copy())
        == original
    )
    assert datasets.fingerprint(ratings.iloc[::-1], movies, users) != original
    for table, frame in enumerate(frames):
        for column in frame:
            changed = [other.copy() for other in frames]
            value = changed[table].loc[0, column]
            changed[table].loc[0, column] = value + "x" if isinstance(value, str) else value + 1
            changed_print = datasets.fingerprint(*changed)
            changed[table][column] = changed[table][column].mask([True] + [False] * (len(frame) - 1))
            assert len({original, changed_print, datasets.fingerprint(*changed)}) == 3, column


def test_loaded_data_says_what_it_is_and_where_it_came_from(tmp_path):
    for name, files, form in (
        ("ml-1m", ML_1M, DATASETS["ml-1m"].forms[0]),
        ("ml-100k", ML_100K, DATASETS["ml-100k"].forms[0]),
    ):
        hashes = {file: sha256(data) for file, data in contents(files).items()}
        origins = fetching.Origins({name: (replace(form, files=hashes),)}, addresses=())
        write(tmp_path / name, files)
        data = datasets._read(name, datasets.locate(name, folder=tmp_path, origins=origins))
        print_of_frames = datasets.fingerprint(data.ratings, data.movies, data.users)
        assert data.provenance == datasets.Provenance("given folder", hashes, print_of_frames)
        assert data.truth is None
        sizes = f"{len(data.ratings)} ratings, 2 users, {len(data.movies)} films"
        assert repr(data) == f"MovieLens({name!r}: {sizes}; given folder)"
    assert data.codebook["occupation"][0] == "administrator"


def test_a_dataset_without_users_says_what_it_lacks_and_gives_what_it_has(tmp_path):
    write(tmp_path / "ml-latest-small", CSV)
    data = datasets.load("ml-latest-small", folder=tmp_path)
    assert (data.range, data.codebook, list(data.users)) == ((0.5, 5.0), {}, ["uid"])
    assert data.provenance.source == "given folder, unverified"
    assert data.provenance.files == {file: sha256(text) for file, text in contents(CSV).items()}
    fields = features.describe(data)
    assert [field.name for field in fields] == ["uid", "mid", "genre"]
    joined = datasets.join(data.ratings, data.movies, data.users)
    (_, _, genre), stars = features.df2xy(joined, fields)
    assert genre.tolist() == [[3, 4, 5], [1, 2, 0], [0, 0, 0]]
    assert stars.tolist() == [0.5, 4.0, 4.5]
    with pytest.raises(
        KeyError, match="ml-latest-small has no column for age, user_fea3; it has uid, mid, genre, year"
    ):
        features.describe(data, ("uid", "age", "genre", "user_fea3"))


def test_load_refuses_unknown_names_and_options():
    with pytest.raises(
        ValueError, match="no published dataset 'ml-2m': choose one of ml-100k, ml-1m, .*; `load` also draws"
    ):
        datasets.load("ml-2m")
    with pytest.raises(ValueError, match="no published dataset 'planted'"):
        datasets.locate("planted", folder=".")
    with pytest.raises(ValueError, match="ml-1m takes no n_users"):
        datasets.load("ml-1m", n_users=5)


# --- planted data -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted")


def test_the_small_planted_data_is_a_dataset_of_its_own():
    small = datasets.load("planted-small")
    assert (small.name, len(small.ratings), len(small.users)) == ("planted-small", 5_000, 400)
    assert small.truth is not None
    assert len(datasets.load("planted-small", n_users=50).users) == 50
    with pytest.raises(ValueError, match="ml-100k takes no n_users: only planted data has options"):
        datasets.load("ml-100k", n_users=50)


def test_planted_data_has_the_schema_of_the_real_data(data, tmp_path):
    for table, columns in COLUMNS.items():
        frame = getattr(data, table)
        assert list(frame.columns) == list(columns)
        for column, dtype in columns.items():
            if dtype == "str":
                assert all(isinstance(value, str) for value in frame[column])
            else:
                assert frame[column].dtype == dtype
    assert (len(data.ratings), len(data.users), len(data.movies)) == (20_000, 600, 400)
    assert data.movies["movie_name"].str.fullmatch(r"Planted Film \d+ \((19\d\d)\)").all()
    assert data.provenance.source == "drawn from a seed"
    write_as_ml_1m(data, tmp_path)
    pd.testing.assert_frame_equal(datasets.load_ratings(tmp_path), data.ratings)
    pd.testing.assert_frame_equal(datasets.load_movies(tmp_path), data.movies)
    pd.testing.assert_frame_equal(datasets.load_users(tmp_path), data.users)


def write_as_ml_1m(data, folder: Path) -> None:
    ratings = data.ratings.astype({"rating": "int64"})
    for file, frame in (("ratings.dat", ratings), ("movies.dat", data.movies), ("users.dat", data.users)):
        rows = ("::".join(map(str, row)) for row in frame.itertuples(index=False))
        (folder / file).write_text("\n".join(rows) + "\n", encoding="latin-1")


def test_the_seed_decides_everything(data):
    again, other = datasets.planted(seed=0), datasets.planted(seed=1)
    pd.testing.assert_frame_equal(data.ratings, again.ratings)
    assert data.provenance.fingerprint == again.provenance.fingerprint
    assert data.provenance.fingerprint != other.provenance.fingerprint


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (5, 7, 35), (50, 40, 20), (100, 60, 1000), (600, 400, 200_000)], ids=str
)
def test_any_size_gives_exactly_that_many_distinct_pairs(sizes):
    n_users, n_movies, n_ratings = sizes
    data = datasets.planted(*sizes, seed=3)
    assert (len(data.users), len(data.movies), len(data.ratings)) == sizes
    assert not data.ratings.duplicated(["uid", "mid"]).any()
    assert data.ratings["uid"].between(1, n_users).all()
    assert data.ratings["mid"].between(1, n_movies).all()
    assert data.ratings["rating"].isin(range(1, 6)).all()
    assert datasets.join(data.ratings, data.movies, data.users).notna().all(axis=None)


def test_planted_rows_are_sorted_by_user_and_time(data):
    assert data.ratings["uid"].is_monotonic_increasing
    assert (
        data.ratings.groupby("uid")["timestamp"]
        .apply(lambda t: t.is_monotonic_increasing and t.is_unique)
        .all()
    )
    first, last = data.ratings["timestamp"].min(), data.ratings["timestamp"].max()
    assert 956_000_000 < first < last < 1_200_000_000


@pytest.mark.parametrize("seed", range(3))
def test_planted_data_looks_like_movielens(seed):
    data = datasets.planted(2000, 1000, 150_000, seed=seed)
    assert data.ratings["rating"].mean() == pytest.approx(3.58, abs=0.15)
    assert data.ratings["rating"].std() == pytest.approx(1.08, abs=0.08)
    per_user = data.ratings["uid"].value_counts()
    per_film = data.ratings["mid"].value_counts().reindex(data.movies["mid"], fill_value=0)
    assert per_user.min() >= 5
    assert per_user.median() < 0.8 * per_user.mean()
    assert per_film.nlargest(100).sum() > 0.3 * len(data.ratings)
    n_genres = data.movies["movie_genre"].str.count(r"\|") + 1
    assert n_genres.between(1, 6).all()
    assert (n_genres == 1).mean() == pytest.approx(0.52, abs=0.08)
    shares = data.movies["movie_genre"].str.get_dummies("|").mean()
    assert shares["Drama"] > shares["Thriller"] > shares["Western"] > 0
    assert (data.users["gender"] == "M").mean() == pytest.approx(0.717, abs=0.05)
    assert set(data.users["age"]) == set(AGES)
    assert set(data.users["occupation"]) == set(range(len(OCCUPATIONS)))


def test_without_noise_the_ratings_are_the_rounded_scores_of_the_truth():
    data = datasets.planted(300, 200, 5000, k=3, seed=5, noise=0.0)
    score = data.truth.score(data.ratings, data.movies, data.users)
    assert score.dtype == np.float64
    assert (np.rint(score).clip(1, 5) == data.ratings["rating"]).all()


def test_the_truth_scores_by_the_definition_of_a_factorization_machine(data):
    rows = data.ratings.sample(50, random_state=0)
    score = data.truth.score(rows, data.movies, data.users)
    movies, users = data.movies.set_index("mid"), data.users.set_index("uid")
    truth = data.truth
    for row, expected in zip(rows.itertuples(), score, strict=True):
        active = [("uid", row.uid), ("mid", row.mid)]
        active += [(f, truth.rows[f][users.loc[row.uid, f]]) for f in ("gender", "age", "occupation")]
        active += [("genre", truth.rows["genre"][g]) for g in movies.loc[row.mid, "movie_genre"].split("|")]
        value = truth.w0 + sum(truth.w[f][i] for f, i in active)
        value += sum(truth.V[f][i] @ truth.V[g][j] for (f, i), (g, j) in combinations(active, 2))
        assert value == pytest.approx(expected, abs=1e-12)


def test_the_truth_refuses_unknown_users_and_films(data):
    for column in ("uid", "mid"):
        with pytest.raises(KeyError):
            data.truth.score(data.ratings[:1].assign(**{column: 9999}), data.movies, data.users)
    with pytest.raises(KeyError):
        data.truth.score(data.ratings, data.movies[:-5], data.users)


def test_the_parts_and_the_noise_have_their_sizes():
    data = datasets.planted(3000, 1000, 100_000, seed=2, noise=0.4)
    args = data.ratings, data.movies, data.users
    first, second, score = (
        f(*args) for f in (data.truth.first_order, data.truth.second_order, data.truth.score)
    )
    np.testing.assert_allclose(data.truth.w0 + first + second, score, atol=1e-12)
    assert first.std() == pytest.approx(planted_module.FIRST_ORDER_SD, rel=0.1)
    assert second.std() == pytest.approx(planted_module.SECOND_ORDER_SD, rel=0.15)
    assert score.mean() == pytest.approx(planted_module.MEAN, abs=0.1)
    inside = (score > 2) & (score < 4)
    residual = (data.ratings["rating"] - score)[inside]
    assert residual.std() == pytest.approx(np.sqrt(0.4**2 + 1 / 12), rel=0.05)


def test_absent_values_have_rows_of_zeros_and_every_value_has_its_own(data):
    sizes = {"uid": 600, "mid": 400, "genre": 18, "gender": 2, "age": 7, "occupation": 21}
    for field, size in sizes.items():
        assert data.truth.w[field].shape == (size + 1,)
        assert data.truth.V[field].shape == (size + 1, 4)
        assert data.truth.w[field][0] == 0
        assert not data.truth.V[field][0].any()
        assert len(np.unique(data.truth.w[field])) == size + 1


def test_memory_beyond_the_frames_is_bounded_by_the_chunk(monkeypatch):
    monkeypatch.setattr(planted_module, "ROWS_PER_CHUNK", 10_000)
    tracemalloc.start()
    data = datasets.planted(2000, 1000, 400_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < data.ratings.memory_usage().sum() + 6e6


def test_impossible_sizes_are_refused_with_the_numbers():
    with pytest.raises(ValueError, match="n_ratings = 51 is more than the 50 pairs of 10 users and 5 films"):
        datasets.planted(10, 5, 51)
    for name in ("n_users", "n_movies", "n_ratings", "k"):
        for value in (0, -1, 2.5, float("nan"), "3"):
            with pytest.raises(ValueError, match=f"{name} = {value}: must be a whole number, 1 or more"):
                datasets.load("planted", **{name: value})
    for noise in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"noise = {noise}: must be a number of stars, 0 or more"):
            datasets.planted(noise=noise)
