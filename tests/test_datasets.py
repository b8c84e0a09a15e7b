"""Reading, verifying, fetching, joining and drawing data: small files, a server on 127.0.0.1, no network."""

import contextlib
import errno
import gzip
import hashlib
import importlib.util
import io
import logging
import shutil
import socket
import subprocess
import threading
import tracemalloc
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets, fetching
from deepfm_helpers import planted as planted_module
from deepfm_helpers.datasets import DataError
from deepfm_helpers.schema import AGES, COLUMNS, GENRES, OCCUPATIONS

ML_1M = {
    "ratings.dat": "1::10::5::978300760\n1::20::3::978302109\n2::10::4::978301968\n",
    "movies.dat": "10::Alien: The Return (1979)::Horror|Sci-Fi\n20::Amélie (2001)::Comedy\n"
    "30::Unseen (1990)::Drama\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072-1234\n",
}
FLAGS = dict.fromkeys(("unknown", *GENRES), "0")
ML_100K = {
    "u.data": "2\t1\t5\t881250949\n1\t2\t3\t891717742\n2\t3\t4\t878887116\n2\t267\t1\t878887117\n",
    "u.item": "".join(
        f"{mid}|{title}|01-Jan-1995||http://x|{'|'.join((FLAGS | dict.fromkeys(genres, '1')).values())}\n"
        for mid, title, genres in [
            (1, "Été (1995)", ["Drama", "Comedy"]),
            (2, "Time: Part III (1995) (V)", ["Film-Noir"]),
            (3, "Two Friends (1986) ", ["Children's", "Drama"]),
            (267, "unknown", ["unknown"]),
        ]
    ),
    "u.user": "1|24|M|technician|85711\n2|53|F|administrator|T8H1N\n",
}
RECBOLE = {
    "ml-100k.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + ML_100K["u.data"],
    "ml-100k.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    "1\tÉté\t1995\tComedy Drama\n2\tTime: Part III (1995)\tV\tFilm-Noir\n"
    "3\tTwo Friends\t1986\tChildren's Drama\n267\tunkonwn\tunkonwn\tunknown\n",
    "ml-100k.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "1\t24\tM\ttechnician\t85711\n2\t53\tF\tadministrator\tT8H1N\n",
}


def contents(files: dict[str, str]) -> dict[str, bytes]:
    return {
        name: text.encode("utf-8" if name.startswith("ml-100k.") else "latin-1")
        for name, text in files.items()
    }


def write(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in contents(files).items():
        (folder / name).write_bytes(data)
    return folder


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


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
    ],
)
def test_a_malformed_film_or_user_is_named_with_file_line_and_value(tmp_path, file, row, message):
    text = (ML_1M | ML_100K | RECBOLE)[file]
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


@pytest.mark.parametrize("file", list(RECBOLE))
def test_a_wrong_or_lonely_header_is_an_error(tmp_path, file):
    read = dict(
        zip(RECBOLE, (datasets.load_ratings, datasets.load_movies, datasets.load_users), strict=True)
    )[file]
    header, rows = RECBOLE[file].split("\n", 1)
    write(tmp_path, {file: header + "\n"})
    with pytest.raises(DataError, match=f"{file}: the file is empty"):
        read(tmp_path)
    for text in (rows, "", header + "x\n" + rows):
        write(tmp_path, {file: text})
        with pytest.raises(DataError, match=f"{file}, line 1: expected the header"):
            read(tmp_path)


def test_undecodable_text_is_an_error(tmp_path):
    (tmp_path / "ml-100k.item").write_bytes(RECBOLE["ml-100k.item"].encode("latin-1"))
    with pytest.raises(DataError, match=r"ml-100k\.item: byte \d+ is not utf-8 text"):
        datasets.load_movies(tmp_path)


def test_a_folder_without_the_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none of ratings\.dat, u\.data, ml-100k\.inter"):
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
            assert datasets.fingerprint(*changed) != original, column


@pytest.mark.parametrize(
    ("table", "column", "says"),
    [
        ("movies", "rating", "column 'rating' stands in the frame of the ratings and in that of the films"),
        (
            "users",
            "timestamp",
            "column 'timestamp' stands in the frame of the ratings and in that of the users",
        ),
        (
            "users",
            "movie_name",
            "column 'movie_name' stands in the frame of the films and in that of the users",
        ),
    ],
)
def test_join_refuses_a_column_that_stands_twice(frames, table, column, says):
    tables = dict(zip(("ratings", "movies", "users"), frames, strict=True))
    tables[table] = tables[table].assign(**{column: 9.9})
    with pytest.raises(DataError, match=says):
        datasets.join(**tables)
    with pytest.raises(DataError, match="stands in the frame of the ratings"):
        datasets.join(datasets.join(*frames), *frames[1:])  # joined already


@pytest.mark.parametrize(
    ("table", "key"), [("ratings", "uid"), ("ratings", "mid"), ("movies", "mid"), ("users", "uid")]
)
@pytest.mark.parametrize(
    ("spoil", "error", "says"),
    [
        (lambda ids: ids.astype(str), TypeError, "is of type str, and a number is needed"),
        (lambda ids: ids + 0.7, ValueError, "is no whole number, and so no id"),
        (lambda ids: ids.where(ids.index != ids.index[1]), DataError, "is missing; drop the row"),
    ],
)
def test_join_says_what_is_wrong_with_an_id(frames, table, key, spoil, error, says):
    tables = dict(zip(("ratings", "movies", "users"), frames, strict=True))
    tables[table] = tables[table].assign(**{key: spoil(tables[table][key])})
    with pytest.raises(error, match=says):
        datasets.join(**tables)


# --- loading a folder ---------------------------------------------------------------------------------------


def publish(monkeypatch, name: str, *forms: tuple[dict[str, str], fetching.Form]) -> None:
    """Make the given small files the published ones, so that their hashes are the expected ones."""
    known = tuple(
        replace(form, files={file: sha256(data) for file, data in contents(files).items()})
        for files, form in forms
    )
    monkeypatch.setitem(fetching.DATASETS, name, known)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data folder, an empty cache, and an address where nobody listens; returns the cache."""
    cache = tmp_path / "cache"
    monkeypatch.delenv("DEEPFM_DATA", raising=False)
    monkeypatch.delenv("DEEPFM_MIRROR", raising=False)
    monkeypatch.setenv("DEEPFM_CACHE", str(cache))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetching, "ADDRESSES", ("http://127.0.0.1:9/",))
    return cache


def test_load_reads_a_folder_by_argument_or_by_variable(monkeypatch, nowhere, tmp_path):
    publish(monkeypatch, "ml-1m", (ML_1M, fetching.OFFICIAL_1M))
    write(tmp_path / "data" / "ml-1m", ML_1M)
    for folder in (tmp_path / "data", tmp_path / "data" / "ml-1m"):
        data = datasets.load("ml-1m", folder=folder)
        assert data.provenance.source == "given folder"
        assert len(data.ratings) == 3
    monkeypatch.setenv("DEEPFM_DATA", str(tmp_path / "data"))
    data = datasets.load("ml-1m")
    assert data.provenance == datasets.Provenance(
        source="folder named by DEEPFM_DATA",
        files={file: sha256(text) for file, text in contents(ML_1M).items()},
        fingerprint=datasets.fingerprint(data.ratings, data.movies, data.users),
    )
    assert data.codebook["occupation"][10] == "K-12 student"
    assert repr(data) == "MovieLens('ml-1m': 3 ratings, 2 users, 3 films; folder named by DEEPFM_DATA)"
    assert data.truth is None
    assert not nowhere.exists()


def test_a_changed_file_in_a_folder_is_refused(monkeypatch, nowhere, tmp_path):
    publish(monkeypatch, "ml-1m", (ML_1M, fetching.OFFICIAL_1M))
    write(tmp_path / "ml-1m", ML_1M | {"movies.dat": ML_1M["movies.dat"].replace("é", "e")})
    with pytest.raises(DataError, match=r"movies\.dat: SHA-256 is \w{64}, expected \w{64}"):
        datasets.load("ml-1m", folder=tmp_path)
    (tmp_path / "ml-1m" / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"movies\.dat is missing"):
        datasets.load("ml-1m", folder=tmp_path)
    with pytest.raises(DataError, match=r"the files of ml-1m are not here \(expected ratings\.dat, "):
        datasets.load("ml-1m", folder=tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("name", "files", "form", "row", "message"),
    [
        ("ml-1m", ML_1M, fetching.OFFICIAL_1M, "9::10::4::1\n", "line 4: uid 9 is not in users.dat"),
        ("ml-1m", ML_1M, fetching.OFFICIAL_1M, "1::99::4::1\n", "line 4: mid 99 is not in movies.dat"),
        ("ml-100k", RECBOLE, fetching.WHEEL_100K, "1\t99\t4\t1\n", "line 6: mid 99 is not in ml-100k.item"),
    ],
)
def test_a_rating_of_the_unknown_is_named(monkeypatch, nowhere, tmp_path, name, files, form, row, message):
    ratings = next(iter(files))
    files = files | {ratings: files[ratings] + row}
    publish(monkeypatch, name, (files, form))
    write(tmp_path / name, files)
    with pytest.raises(DataError, match=f"{ratings}, {message}"):
        datasets.load(name, folder=tmp_path)


def test_load_refuses_unknown_names_and_options():
    with pytest.raises(ValueError, match="unknown dataset 'ml-2m': choose one of ml-100k, ml-1m, planted"):
        datasets.load("ml-2m")
    with pytest.raises(ValueError, match="ml-1m takes no n_users"):
        datasets.load("ml-1m", n_users=5)


# --- fetching -----------------------------------------------------------------------------------------------


def zipped(files: dict[str, bytes | str], inside: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(inside + name, data)
    return buffer.getvalue()


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, counts requests, and hangs up half-way when the server says so."""

    def do_GET(self):
        self.server.requests.append(self.path)
        data = Path(self.directory, self.path.lstrip("/"))
        if self.server.hang_up and data.is_file():
            self.send_response(200)
            self.send_header("Content-Length", str(data.stat().st_size))
            self.end_headers()
            self.wfile.write(data.read_bytes()[: data.stat().st_size // 2])
        else:
            super().do_GET()

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch, nowhere):
    """A server on 127.0.0.1 that stands for every address of the project; `.put` publishes an archive."""
    folder = tmp_path / "served"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder))) as httpd:
        httpd.requests, httpd.hang_up = [], False
        httpd.address = f"http://127.0.0.1:{httpd.server_address[1]}/"
        monkeypatch.setattr(fetching, "ADDRESSES", (httpd.address,))

        def put(data: bytes, files: dict[str, str] = ML_1M, form=fetching.OFFICIAL_1M, name="ml-1m") -> None:
            (folder / form.archive).write_bytes(data)
            publish(monkeypatch, name, (files, replace(form, size=len(data), sha256=sha256(data))))

        httpd.put, httpd.folder = put, folder
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        yield httpd
        httpd.shutdown()


def test_an_archive_is_fetched_once_and_its_licence_kept(server, nowhere, capfd, caplog):
    server.put(zipped(contents(ML_1M) | {"README": "terms", "extra.txt": "x"}, "ml-1m/"))
    with caplog.at_level(logging.INFO, "deepfm_helpers.datasets"):
        first = datasets.load("ml-1m")
    assert first.provenance.source == "official archive"
    assert sorted(tree(nowhere)) == sorted(["ml-1m", *(str(Path("ml-1m", f)) for f in [*ML_1M, "README"])])
    assert datasets.load("ml-1m").provenance == first.provenance
    assert server.requests == ["/ml-1m.zip"]
    assert caplog.messages == [f"fetching ml-1m from {server.address}ml-1m.zip"]
    assert capfd.readouterr() == ("", "")


def test_a_data_folder_that_holds_another_dataset_leaves_this_one_to_be_fetched(
    server, monkeypatch, nowhere, tmp_path, caplog
):
    write(tmp_path / "data" / "ml-100k", ML_100K)
    monkeypatch.setenv("DEEPFM_DATA", str(tmp_path / "data"))
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    with caplog.at_level(logging.INFO, "deepfm_helpers.datasets"):
        assert datasets.load("ml-1m").provenance.source == "official archive"
    assert f"ml-1m is not in the folder named by DEEPFM_DATA, {tmp_path / 'data'}" in caplog.messages
    shutil.rmtree(nowhere)
    (server.folder / "ml-1m.zip").unlink()
    with pytest.raises(DataError, match="DEEPFM_DATA=.*: no folder ml-1m in it(.|\n)*404"):
        datasets.load("ml-1m")


@pytest.mark.parametrize(
    "spelling", ["{data}", "{data}/ml-1m", "~/data", "data", "../work/data", "data/ml-1m/"]
)
def test_a_data_folder_is_found_however_it_is_spelt(monkeypatch, nowhere, tmp_path, spelling):
    publish(monkeypatch, "ml-1m", (ML_1M, fetching.OFFICIAL_1M))
    work = tmp_path / "work"
    write(work / "data" / "ml-1m", ML_1M)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work))
    monkeypatch.setenv("USERPROFILE", str(work))
    monkeypatch.setenv("DEEPFM_DATA", spelling.format(data=work / "data"))
    assert datasets.load("ml-1m").provenance.source == "folder named by DEEPFM_DATA"
    assert fetching.data_folder().is_absolute()


@pytest.mark.parametrize(
    ("spelling", "what"), [("daat", "is no folder"), ("~/empty", "holds no data of this book")]
)
def test_a_data_folder_that_leads_nowhere_stops_and_nothing_is_fetched(
    server, monkeypatch, nowhere, tmp_path, spelling, what
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("DEEPFM_DATA", spelling)
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    with pytest.raises(
        DataError, match=rf"DEEPFM_DATA={spelling}: .* {what}; name a folder that holds ml-100k"
    ):
        datasets.load("ml-1m")
    assert server.requests == []


def test_the_cache_may_be_named_from_the_home_folder(monkeypatch, nowhere, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("DEEPFM_CACHE", "~/kept")
    assert fetching.cache_folder() == tmp_path.resolve() / "kept"


def test_a_mirror_that_is_no_address_is_named(monkeypatch, nowhere):
    monkeypatch.setenv("DEEPFM_MIRROR", "mirror.example/ml")
    with pytest.raises(
        DataError, match="DEEPFM_MIRROR=mirror.example/ml: name an address that begins with http"
    ):
        datasets.load("ml-1m")


ANSWERS = {
    "more than was published": (b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 1000, 0.0, "more than the 2,000 bytes"),
    "a byte at a time": (b"HTTP/1.0 200 OK\r\n\r\n", b"x", 0.05, "bytes in 1 s: too slow"),
    "no whole number as a length": (
        b"HTTP/1.0 200 OK\r\nContent-Length: abc\r\n\r\n", b"x" * 1000, 0.0, "more than the 2,000 bytes",
    ),
    "no answer at all": (b"", b"", 0.0, "Remote|Connection"),
    "an answer that is none": (b"oh\r\n\r\n", b"", 0.0, "oh|Remote|Connection"),
    "an error": (b"HTTP/1.0 500 No\r\n\r\n", b"", 0.0, "500"),
}  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_download_that_does_not_end_well_is_given_up(nowhere, tmp_path, answer):
    head, block, pause, says = ANSWERS[answer]
    with odd_server(head, block, pause) as address, pytest.raises(DataError, match=says):
        fetching.download(address, tmp_path / "file", 2000, seconds=1)


@contextmanager
def odd_server(head: bytes, block: bytes, pause: float):
    """The address of a server that answers with a head, then with one block after the other while it is read."""

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(head)
            for _ in range(2000 if block else 0):
                connection.sendall(block)
                time.sleep(pause)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_what_is_packed_on_the_way_stays_packed(nowhere, tmp_path):
    packed = gzip.compress(bytes(10_000_000))
    head = b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with odd_server(head + packed, b"", 0.0) as address:
        fetching.download(address, tmp_path / "file", len(packed))
    assert (tmp_path / "file").read_bytes() == packed


def test_an_address_that_answers_nonsense_gives_way_to_the_next(server, monkeypatch):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    with odd_server(b"HTTP/1.0 200 OK\r\nContent-Length: abc\r\n\r\n", b"x" * 1000, 0.0) as address:
        monkeypatch.setenv("DEEPFM_MIRROR", address)
        assert datasets.load("ml-1m").provenance.source == "official archive"


def test_the_mirror_comes_first_and_a_failing_address_gives_way_to_the_next(server, monkeypatch):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    monkeypatch.setenv("DEEPFM_MIRROR", server.address + "absent")
    assert len(datasets.load("ml-1m").ratings) == 3
    assert server.requests == ["/absent/ml-1m.zip", "/ml-1m.zip"]


def test_a_given_cache_folder_is_used(server, nowhere, tmp_path):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    datasets.load("ml-1m", cache=tmp_path / "mine")
    assert (tmp_path / "mine" / "ml-1m" / "ratings.dat").is_file()
    assert not nowhere.exists()


def link_entry() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        entry = zipfile.ZipInfo("ml-1m/ratings.dat")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    return buffer.getvalue()


BAD_ARCHIVES = {
    "not a zip": (b"<html>sign in</html>", "is not a zip archive"),
    "missing member": (
        zipped({k: v for k, v in contents(ML_1M).items() if k != "users.dat"}, "ml-1m/"),
        "ml-1m.zip has no member ml-1m/users.dat",
    ),
    "altered member": (zipped(contents(ML_1M) | {"users.dat": "x"}, "ml-1m/"), r"users\.dat: SHA-256 is"),
    "parent": (zipped(contents(ML_1M) | {"../../evil": "x"}, "ml-1m/"), "would escape the folder"),
    "absolute": (zipped({"/evil": "x"}), "would escape the folder"),
    "drive": (zipped({"C:evil": "x"}), "would escape the folder"),
    "backslash": (zipped({"..\\evil": "x"}), "would escape the folder"),
    "link": (link_entry(), "would escape the folder"),
}


@pytest.mark.parametrize("case", list(BAD_ARCHIVES))
def test_a_bad_archive_is_refused_and_leaves_the_cache_as_it_was(server, nowhere, tmp_path, case):
    data, message = BAD_ARCHIVES[case]
    server.put(data)
    write(nowhere / "ml-100k", ML_100K)
    before = tree(tmp_path)
    with pytest.raises(DataError, match=message):
        datasets.load("ml-1m")
    assert tree(tmp_path) == before


def test_a_wrong_hash_is_refused(server, nowhere):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    archive = server.folder / "ml-1m.zip"
    archive.write_bytes(archive.read_bytes().replace(b"ml-1m/u", b"ml-1m/v"))
    with pytest.raises(DataError, match=r"ml-1m\.zip: SHA-256 is \w{64}, expected \w{64}"):
        datasets.load("ml-1m")
    assert tree(nowhere) == {}


def test_an_interrupted_download_leaves_nothing(server, nowhere):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    server.hang_up = True
    with pytest.raises(DataError, match="ml-1m cannot be fetched"):
        datasets.load("ml-1m")
    assert tree(nowhere) == {}
    server.hang_up = False
    assert len(datasets.load("ml-1m").ratings) == 3


def test_what_a_killed_run_left_is_not_mistaken_for_data(server, nowhere):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    write(nowhere / ".incoming-killed" / "ml-1m", {"ratings.dat": "1::1"})
    write(nowhere / "ml-1m", {"ratings.dat": ML_1M["ratings.dat"][:10]})
    assert len(datasets.load("ml-1m").ratings) == 3
    assert sorted(path.name for path in nowhere.iterdir()) == [".incoming-killed", "ml-1m"]


def test_a_damaged_cache_is_kept_until_its_replacement_has_arrived(server, nowhere, caplog):
    damaged = write(nowhere / "ml-1m", ML_1M | {"users.dat": "x"})
    before = tree(nowhere)
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    server.hang_up = True
    with pytest.raises(DataError, match="cannot be fetched"):
        datasets.load("ml-1m")
    assert tree(nowhere) == before
    server.hang_up = False
    datasets.load("ml-1m")
    assert (damaged / "users.dat").read_bytes() == contents(ML_1M)["users.dat"]
    assert "fetching ml-1m again" in caplog.text


@pytest.mark.parametrize("stage", ["download", "unpack", "install"])
def test_a_full_disk_is_reported_and_leaves_the_cache_as_it_was(server, nowhere, monkeypatch, stage):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    write(nowhere / "ml-1m", ML_1M | {"users.dat": "x"})
    before = tree(nowhere)

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    if stage == "download":
        monkeypatch.setattr("requests.get", full)
    elif stage == "unpack":
        monkeypatch.setattr(zipfile.ZipExtFile, "read", full)
    else:
        move = Path.replace
        monkeypatch.setattr(
            Path,
            "replace",
            lambda path, to: (
                full() if ".incoming" in path.parent.name and path.name == "ml-1m" else move(path, to)
            ),
        )
    with pytest.raises(
        DataError, match="No space left on device; free some space, or name another folder in DEEPFM_CACHE"
    ):
        datasets.load("ml-1m")
    assert tree(nowhere) == before


def test_a_cache_that_cannot_be_written_is_reported(server, nowhere):
    server.put(zipped(contents(ML_1M), "ml-1m/"))
    nowhere.write_text("a file in the way")
    with pytest.raises(DataError, match="cannot write to the cache"):
        datasets.load("ml-1m")


def test_an_interruption_by_the_user_passes_through_and_leaves_nothing(server, nowhere, monkeypatch):
    server.put(zipped(contents(ML_1M), "ml-1m/"))

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipExtFile, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        datasets.load("ml-1m")
    assert tree(nowhere) == {}


def test_without_a_network_the_error_says_what_to_do(nowhere, monkeypatch):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as closed:
        address = f"http://127.0.0.1:{closed.server_address[1]}/"
    monkeypatch.setattr(fetching, "ADDRESSES", (address, "http://name.invalid/"))
    with pytest.raises(DataError) as caught:
        datasets.load("ml-1m")
    message = str(caught.value)
    assert f"  - {address}ml-1m.zip: " in message
    assert "  - http://name.invalid/ml-1m.zip: " in message
    assert "DEEPFM_DATA" in message
    assert "'planted'" in message
    assert tree(nowhere) == {}


@pytest.fixture
def package_index(monkeypatch, nowhere):
    """A pip that finds a small wheel, or fails with the given error."""
    wheel = zipped(contents(RECBOLE) | {"ml-100k.kg": "not wanted"}, fetching.WHEEL_100K.inside)
    files = {file: sha256(data) for file, data in contents(RECBOLE).items()}
    form = replace(fetching.WHEEL_100K, size=len(wheel), sha256=sha256(wheel), files=files)
    monkeypatch.setattr(fetching, "WHEEL_100K", form)
    monkeypatch.setitem(fetching.DATASETS, "ml-100k", (fetching.OFFICIAL_100K, form))
    calls = []

    def pip(command, error="", **options):
        calls.append((command, Path(command[command.index("--requirement") + 1]).read_text()))
        if not error:
            Path(command[command.index("--dest") + 1], form.archive).write_bytes(wheel)
        return subprocess.CompletedProcess(command, bool(error), "", error)

    monkeypatch.setattr(fetching.subprocess, "run", pip)
    return calls, form, pip


def test_ml_100k_falls_back_to_the_package_index_by_name_and_hash(server, package_index, nowhere):
    calls, form, _ = package_index
    data = datasets.load("ml-100k")
    assert data.provenance.source == "RecBole 1.2.1 wheel"
    assert data.codebook["occupation"][0] == "administrator"
    assert server.requests == ["/ml-100k.zip"]
    assert sorted(tree(nowhere)) == sorted(["ml-100k", *(str(Path("ml-100k", f)) for f in RECBOLE)])
    [(command, requirement)] = calls
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(command)
    assert requirement == f"recbole==1.2.1 --hash=sha256:{form.sha256}\n"
    datasets.load("ml-100k")
    assert len(calls) == 1


def test_the_official_archive_of_ml_100k_is_preferred(server, package_index, monkeypatch):
    calls, wheel_form, _ = package_index
    server.put(zipped(contents(ML_100K), "ml-100k/"), ML_100K, fetching.OFFICIAL_100K, "ml-100k")
    monkeypatch.setitem(fetching.DATASETS, "ml-100k", (*fetching.DATASETS["ml-100k"], wheel_form))
    assert datasets.load("ml-100k").provenance.source == "official archive"
    assert calls == []


def test_an_archive_that_lacks_a_member_gives_way_to_the_package_index(server, package_index, monkeypatch):
    *_, wheel_form, _ = package_index
    files = {file: data for file, data in contents(ML_100K).items() if file != "u.user"}
    server.put(zipped(files, "ml-100k/"), ML_100K, fetching.OFFICIAL_100K, "ml-100k")
    monkeypatch.setitem(fetching.DATASETS, "ml-100k", (*fetching.DATASETS["ml-100k"], wheel_form))
    assert datasets.load("ml-100k").provenance.source == "RecBole 1.2.1 wheel"


def test_a_failing_or_absent_pip_is_reported(package_index, nowhere, monkeypatch):
    _, _, pip = package_index
    monkeypatch.setattr(
        fetching.subprocess, "run", partial(pip, error="WARNING: x\nERROR: No matching distribution")
    )
    with pytest.raises(
        DataError, match=r"package index \(recbole==1\.2\.1\): ERROR: No matching distribution"
    ):
        datasets.load("ml-100k")

    def slow(command, timeout, **options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(fetching.subprocess, "run", slow)
    with pytest.raises(DataError, match="pip did not finish within 120 s"):
        datasets.load("ml-100k")
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pip" else find_spec(name))
    with pytest.raises(DataError, match="this Python has no pip; run: python -m ensurepip"):
        datasets.load("ml-100k")
    assert tree(nowhere) == {}


# --- planted data -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data():
    return datasets.load("planted")


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


def test_the_parts_and_the_noise_have_the_sizes_asked_for():
    data = datasets.planted(
        3000, 1000, 100_000, seed=2, first_order_sd=0.3, second_order_sd=0.6, noise=0.4, mean=3
    )
    args = data.ratings, data.movies, data.users
    first, second, score = (
        f(*args) for f in (data.truth.first_order, data.truth.second_order, data.truth.score)
    )
    np.testing.assert_allclose(data.truth.w0 + first + second, score, atol=1e-12)
    assert first.std() == pytest.approx(0.3, rel=0.1)
    assert second.std() == pytest.approx(0.6, rel=0.15)
    assert score.mean() == pytest.approx(3, abs=0.1)
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
        with pytest.raises(ValueError, match=f"{name} = 0: must be 1 or more"):
            datasets.load("planted", **{name: 0})
