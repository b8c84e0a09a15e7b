"""Your own data: strict reading, descriptions, fields, and the command that describes a folder."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import evaluation, features, models, recommending, saving, training
from deepfm_helpers.own import accounts, data, fitting, guessing, layouts
from deepfm_helpers.own.fields import Hashed, Listed, Scaled, Single
from deepfm_helpers.schema import DataError
from deepfm_helpers.sweeps import cli

TOML = """
task = "rating"
rare = 2

[rows]
files = ["ratings.csv"]
user = "customer"
item = "book"
target = "stars"
range = [1, 5]
time = "when"

[rows.columns]
customer = "single"
book = {kind = "single", whole = true}
stars = "numeric"
when = "time"
shelf = {kind = "single", hashed = 5}
note = "text"

[users]
files = ["customers.csv"]
key = "customer"

[users.columns]
customer = "single"
age = "numeric"
city = "single"

[items]
files = ["books.tsv"]
key = "book"

[items.columns]
book = {kind = "single", whole = true}
title = "text"
subjects = {kind = "multi", separator = "|", none = "(none)"}

[split]
by = "time"
validation = 0.2
test = 0.2
"""
FILES = {
    "dataset.toml": TOML,
    "ratings.csv": "customer,book,stars,when,shelf,note\n"
    "ann,1,5,100,s1,\n"
    'bob,2,3.5,2001-09-09T01:46:40Z,s2,"two\nlines, here"\n'.replace("2001-09-09T01:46:40Z", "300")
    + "ann,2,1,200,s3,fine\n"
    "cid,3,4,400,s1,\n"
    "cid,1,2,500,,\n"
    "ann,3,4,600,s4,\n"
    "bob,1,5,700,s1,\n"
    "bob,3,1,800,s2,\n"
    "cid,2,2,900,s2,\n"
    "ann,1,3,950,s2,\n",
    "customers.csv": "customer,age,city\nann,30,Graz\nbob,,Graz\ncid,50,Lyon\ndan,70,\n",
    "books.tsv": 'book\ttitle\tsubjects\n1\t"A, ""B"""\tart|war\n2\tÉté\twar\n3\tC\t(none)\n',
}


def write(folder: Path, files: dict) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "books", FILES)


# --- a table that is right


def test_reads_typed_frames_and_joins_them(folder):
    own = data.read(folder)
    assert repr(own) == f"OwnData('books': 10 rows, 4 users, 3 items; {folder})"
    assert own.rows.iloc[1].to_dict() == {
        "uid": "bob", "mid": 2, "rating": 3.5, "timestamp": 300, "shelf": "s2", "city": "Graz", "subjects": "war",
        "age": pytest.approx(np.nan, nan_ok=True),
    }  # fmt: skip
    types = own.rows.dtypes.astype(str).to_dict()
    assert {name: types[name] for name in ("mid", "rating", "timestamp", "age", "city")} == {
        "mid": "int64", "rating": "float32", "timestamp": "int64", "age": "float64", "city": "category",
    }  # fmt: skip
    assert own.items["title"].tolist() == ['A, "B"', "Été", "C"]
    assert own.users["uid"].tolist() == ["ann", "bob", "cid", "dan"]
    assert set(own.provenance.files) == {"ratings.csv", "customers.csv", "books.tsv"}


def test_the_split_is_disjoint_and_follows_the_time(folder):
    own = data.read(folder)
    train, validation, test = own.split()
    assert sorted(np.concatenate([*own.parts.values()])) == list(range(10))
    assert (len(train), len(validation), len(test)) == (6, 2, 2)
    assert train.timestamp.max() < validation.timestamp.min()
    assert validation.timestamp.max() < test.timestamp.min()


def test_frames_and_files_give_the_same_data(folder):
    own = data.read(folder)
    rows = pd.read_csv(folder / "ratings.csv").assign(when=lambda f: pd.to_datetime(f["when"], unit="s"))
    columns = {"note": "text", "shelf": {"kind": "single", "hashed": 5}, "title": "text"}
    columns |= {"age": "numeric", "city": "single"}
    columns["subjects"] = {"kind": "multi", "separator": "|", "none": "(none)"}
    again = data.from_frames(
        rows,
        pd.read_csv(folder / "customers.csv"),
        pd.read_csv(folder / "books.tsv", sep="\t"),
        user="customer",
        item="book",
        target="stars",
        time="when",
        range=(1, 5),
        columns=columns,
        rare=2,
        split={"by": "time", "validation": 0.2, "test": 0.2},
    )
    assert again.provenance.fingerprint == own.provenance.fingerprint
    assert again.fields() == own.fields()
    pd.testing.assert_frame_equal(again.rows, own.rows, check_dtype=False, check_categorical=False)


def test_the_fingerprint_notices_every_cell(folder):
    before = data.read(folder).provenance.fingerprint
    assert data.read(folder).provenance.fingerprint == before
    for file, old, new in [
        ("ratings.csv", "950", "951"), ("customers.csv", "30", "31"), ("books.tsv", "art", "act"),
        ("books.tsv", "C", "D"),
    ]:  # fmt: skip
        write(folder, FILES | {file: FILES[file].replace(old, new)})
        assert data.read(folder).provenance.fingerprint != before


def test_encodings_separators_windows_lines_and_several_files_change_nothing(folder, tmp_path):
    own = data.read(folder)
    header, *lines = FILES["ratings.csv"].splitlines(keepends=True)
    toml = TOML.replace('files = ["ratings.csv"]', 'files = ["a.csv", "b.csv"]')
    toml = toml.replace('["books.tsv"]', '["books.csv"]\nseparator = ";"\nencoding = "latin-1"')
    files = {
        "dataset.toml": toml,
        "a.csv": header + "".join(lines[:4]),
        "b.csv": (header + "".join(lines[4:])).replace("\n", "\r\n"),
        "books.csv": FILES["books.tsv"].replace("\t", ";").encode("latin-1"),
        "customers.csv": "\ufeff" + FILES["customers.csv"],
    }
    files["dataset.toml"] = toml.replace('["customers.csv"]', '["customers.csv"]\nencoding = "utf-8-sig"')
    again = data.read(write(tmp_path / "other", files))
    pd.testing.assert_frame_equal(again.rows, own.rows)
    assert again.provenance.fingerprint == own.provenance.fingerprint
    (tmp_path / "other" / "b.csv").write_text(header + lines[4] + lines[5].replace(",2,", ",6,"))
    with pytest.raises(DataError, match=r"b\.csv, line 3, column 'stars': 6\.0 is not in the range 1 to 5"):
        data.read(tmp_path / "other")


def test_a_parquet_file_reads_like_a_csv(folder):
    own = data.read(folder)
    pd.read_csv(folder / "ratings.csv").to_parquet(folder / "ratings.parquet")
    (folder / "dataset.toml").write_text(TOML.replace("ratings.csv", "ratings.parquet"))
    again = data.read(folder)
    assert again.provenance.fingerprint == own.provenance.fingerprint
    frame = pd.read_parquet(folder / "ratings.parquet")
    frame.loc[2, "stars"] = 9
    frame.to_parquet(folder / "ratings.parquet")
    with pytest.raises(
        DataError, match=r"ratings\.parquet, row group 1, row 3, column 'stars': 9\.0 is not in the range"
    ):
        data.read(folder)
    (folder / "ratings.parquet").write_text("no")
    with pytest.raises(DataError, match=r"ratings\.parquet: no Parquet file"):
        data.read(folder)


def test_times_may_be_dates_or_milliseconds(folder):
    dates = FILES["ratings.csv"]
    for second in (100, 200, 300, 400, 500, 600, 700, 800, 900, 950):
        dates = dates.replace(f",{second},", f",{pd.Timestamp(second, unit='s').isoformat()}+00:00,")
    own = data.read(folder)
    pd.testing.assert_frame_equal(data.read(write(folder, {"ratings.csv": dates})).rows, own.rows)
    toml = TOML.replace('when = "time"', 'when = {kind = "time", unit = "ms"}')
    long = pd.read_csv(folder / "ratings.csv").assign(when=own.rows.timestamp * 1000 + 7)
    long.to_csv(folder / "ratings.csv", index=False)
    pd.testing.assert_frame_equal(data.read(write(folder, {"dataset.toml": toml})).rows, own.rows)


@pytest.mark.parametrize("wrong", ["soon", "45689", "9999-12-31", "0205-02-01", "2300-12-31", "31.12.2024"])
def test_among_dates_the_cell_that_is_none_is_named(folder, wrong):
    """Numbers among dates, and dates that nanoseconds cannot hold, are told like all others."""
    rows = pd.read_csv(folder / "ratings.csv", dtype=str, keep_default_na=False)
    rows["when"] = [f"2024-05-{1 + i:02}" for i in range(len(rows))]
    rows.loc[3, "when"] = wrong
    rows.to_csv(folder / "ratings.csv", index=False)
    with pytest.raises(
        DataError, match=rf"ratings\.csv, line 6, column 'when': '{wrong}' is no time from 1970"
    ):
        data.read(folder)


def test_the_only_time_of_the_rows_is_proposed_to_order_them(tmp_path):
    rows = "pupil_id,user,item,stars,lesson\n" + "".join(
        f"p{i % 3},u{i % 7},i{i % 9},{i % 5},2024-01-{1 + i % 28:02}\n" for i in range(60)
    )
    layout = guessing.propose(write(tmp_path, {"log.csv": rows}))
    assert layout.roles["time"] == "lesson"


def test_a_description_may_begin_with_a_byte_order_mark(folder):
    own = data.read(folder)
    (folder / "dataset.toml").write_bytes(b"\xef\xbb\xbf" + (folder / "dataset.toml").read_bytes())
    assert data.read(folder).layout == own.layout


# --- tables that are wrong

ROWS, FILE = "ratings.csv", "dataset.toml"
WITH_INDEX = pd.read_csv(io.StringIO(FILES["customers.csv"])).to_csv()
TABLE = [
    # files
    (ROWS, None, None, r"ratings\.csv: there is no such file"),
    (ROWS, FILES[ROWS], "", r"ratings\.csv: the file is empty"),
    (ROWS, FILES[ROWS], "customer,book,stars,when,shelf,note\n", "there is a header and no row"),
    ("books.tsv", "\t", ",", r"the header is one cell, 'book,title,subjects'; if ',' separates .* separator = ','"),
    (ROWS, "customer,book", "\ufeffcustomer,book", r'line 1: a byte order mark .* encoding = \'utf-8-sig\''),
    ("books.tsv", "Été".encode(), "Été".encode("latin-1"), r"books\.tsv, line 3: byte 0xc9 is no utf-8; save"),
    ("books.tsv", "3\tC\t(none)\n", "3\tC\té".encode()[:-1], r"books\.tsv, line 4: byte 0xc3 is no utf-8; save"),
    (ROWS, "cid,3", "cid\0,3", r"ratings\.csv, line 6: a zero byte"),
    # header and rows
    (ROWS, "shelf,note", "shelf,book", r"ratings\.csv, line 1: the header names column 'book' twice"),
    (ROWS, "stars,when", "starz,when", "the header has no column 'stars'; did you mean 'starz'"),
    ("customers.csv", FILES["customers.csv"], WITH_INDEX, r"a column has no name, .* save with index=False"),
    ("customers.csv", "age,city\n", "age,city,size\n", r"column 'size' is not described; add it to \[users\.columns\]"),
    (ROWS, "cid,3,4,400,s1,\n", "cid,3,4,400\n", r"ratings\.csv, line 6: 4 cells where the header has 6"),
    (ROWS, "cid,3,4,400,s1,\n", "cid,3,4,400,s1,,,\n", r"line 6: 8 cells where the header has 6"),
    (ROWS, "ann,1,5,100,s1,\n", "ann,1,5,100,s1,,\n", r"line 2: 7 cells where the header has 6"),
    (ROWS, "cid,3,4,400,s1,\n", "\ncid,3,4,400,s1,\n", r"ratings\.csv, line 6: the line is empty"),
    ("customers.csv", "cid,50,Lyon\n", "cid,50\n", r"customers\.csv, line 4: 2 cells where the header has 3"),
    (ROWS, "cid,3,4,400,s1,\n", 'cid,3,4,400,"s1,\n', r"ratings\.csv, line 6: a quote is opened and not closed"),
    (ROWS, "cid,3,4,400,s1,\n", 'cid,3,4,400,"s"1,\nx\n', r"ratings\.csv, line 6: a quote is opened"),
    # cells
    (ROWS, "cid,3,4,400", "cid,3,four,400", r"line 6, column 'stars': 'four' is no finite number; .* drop the row"),
    ("customers.csv", "50", "5O", r"line 4, column 'age': '5O' is no finite number; .* leave it empty"),
    ("customers.csv", "50", "nan", r"line 4, column 'age': 'nan' is no finite number"),
    ("customers.csv", "50", "inf", r"line 4, column 'age': inf is no finite number"),
    ("customers.csv", "50", "1e39", r"line 4, column 'age': 1e\+39 is no finite number"),
    (ROWS, "cid,3,4,400", "cid,3,,400", r"line 6, column 'stars': the cell is empty; fill it in"),
    (ROWS, "cid,3,4,400", ",3,4,400", r"line 6, column 'customer': the cell is empty"),
    (ROWS, "cid,3,4,400", "cid,3,4,", r"line 6, column 'when': the cell is empty"),
    (ROWS, "cid,3,4", "cid,3x,4", r"line 6, column 'book': '3x' is no whole number"),
    (ROWS, "cid,3,4", "cid,3.5,4", r"line 6, column 'book': '3\.5' is no whole number"),
    (ROWS, "cid,3,4", f"cid,{10**20},4", r"line 6, column 'book': '1000.*' is no whole number of at most 18 digits"),
    (ROWS, ",400,", ",soon,", r"line 6, column 'when': 'soon' is no time from 1970"),
    (ROWS, ",400,", ",-400,", r"line 6, column 'when': -400 is no time from 1970"),
    (ROWS, ",400,", ",1700000000000,", r"line 6, column 'when': 1700000000000 is no time .* unit = 'ms'"),
    (ROWS, "cid,3,4,400", "cid,3,6,400", r"line 6, column 'stars': 6\.0 is not in the range 1 to 5"),
    ("books.tsv", "art|war", "art||war", r"line 2, column 'subjects': the list 'art\|\|war' has nothing between"),
    (ROWS, "cid,3,4,400", "cid,8.5,4,400", r"line 6, column 'book': '8\.5' is no whole number"),
    (ROWS, "cid,3,4,400", "cid,1e30,4,400", r"line 6, column 'book': '1e30' is no whole number"),
    ("books.tsv", "art|war", "art | war", r"line 2, column 'subjects': .* has a space beside a separator; correct"),
    ("customers.csv", "cid,50,Lyon", "cid,50,Lyon ", r"line 4, column 'city': 'Lyon ' ends with a space; remove the"),
    (ROWS, "cid,3,4", " cid,3,4", r"line 6, column 'customer': ' cid' begins with a space; remove the space"),
    ("books.tsv", "art|war", "war|war", r"line 2, column 'subjects': the list 'war\|war' names a value twice"),
    # keys and repetitions
    (ROWS, "cid,3,4", "eve,3,4", r"line 6, column 'customer': 'eve' is not in customers\.csv; add it there"),
    ("books.tsv", "3\tC", "4\tC", r"ratings\.csv, line 6, column 'book': 3 is not in books\.tsv"),
    ("customers.csv", "bob,", "ann,", r"line 3, column 'customer': 'ann' is also in .*customers\.csv, line 2"),
    (ROWS, "950", "100", r"ratings\.csv, line 12: customer, book, when are those of .*ratings\.csv, line 2"),
    # the description
    (FILE, None, None, r"dataset\.toml: cannot be read .*deepfm describe proposes"),
    (FILE, "rare = 2", "rare = = 2", r"dataset\.toml: no TOML: .*line 3, column 8"),
    (FILE, "rare = 2", b"rare = '\xff'", r"dataset\.toml, line 3: a byte that is not UTF-8"),
    (FILE, "rare = 2", "rear = 2", r"dataset\.toml: unknown key 'rear'; did you mean 'rare'"),
    (FILE, "rare = 2", "rare = 0", r"rare = 0 must be a whole number from 1 on"),
    (FILE, "rare = 2", "rare = true", r"rare = True must be a whole number from 1 on"),
    (FILE, "rare = 2", "rare = 9", r"column 'customer': rare = 9 leaves no value, .* has 3 training rows"),
    (FILE, '"rating"', '"stars"', r"task = 'stars' must be one of \"rating\", \"click\""),
    (FILE, '"rating"', '"click"', r"\[rows\]: unknown key 'range'"),
    (FILE, "[rows", "[row", r"unknown key 'row'; did you mean 'rows'"),
    (FILE, "range = [1, 5]", "range = [5, 1]", r"\[rows\]: range = \[5, 1\] must be .* the lower one first"),
    (FILE, "range = [1, 5]", "", r"\[rows\]: range is missing"),
    (FILE, 'target = "stars"', 'target = "star"', r"target = 'star' is not among .* did you mean 'stars'"),
    (FILE, 'target = "stars"', 'target = "shelf"', r"'shelf' is of kind 'single'; it has to be 'numeric'"),
    (FILE, 'item = "book"', 'item = "customer"', r"user and item are both 'customer'"),
    (FILE, 'files = ["ratings.csv"]', "", r"\[rows\]: files is missing"),
    (FILE, '"ratings.csv"', '"../ratings.csv"', r"the path leads out of the folder"),
    (FILE, '"ratings.csv"', '"rating.csv"', r"there is no such file; did you mean 'ratings\.csv'"),
    (FILE, 'age = "numeric"', 'age = "number"', r"column 'age': unknown kind 'number'; did you mean 'numeric'"),
    (FILE, 'separator = "|", ', "", r"column 'subjects': separator is missing"),
    (FILE, "hashed = 5", "hash = 5", r"column 'shelf': unknown key 'hash'; did you mean 'hashed'"),
    (FILE, "hashed = 5", "hashed = 5, rare = 3", r"column 'shelf': rare and hashed exclude each other"),
    (FILE, 'key = "book"', 'key = "books"', r"\[items\]: key = 'books' is not among .* did you mean 'book'"),
    (FILE, 'customer = "single"\nage', 'customer = {kind = "single", whole = true}\nage',
     r"\[users\]: key 'customer' and the user 'customer' of the rows differ in kind"),
    (FILE, 'city = "single"', 'rating = "single"', r"column 'rating': the book keeps this name for the target"),
    (FILE, 'city = "single"', 'deep = "single"', r"column 'deep': in a recipe this name means something else"),
    (FILE, 'city = "single"', 'shelf = "single"', r"column 'shelf': \[rows\] has a column of this name, too"),
    (FILE, 'by = "time"', 'by = "date"', r"\[split\]: by = 'date' must be one of"),
    (FILE, 'time = "when"', "", r"\[split\]: by = 'time' needs a column of times"),
    (FILE, "test = 0.2", "test = 0.8", r"validation = 0\.2 and test = 0\.8 leave no training row"),
    (FILE, "test = 0.2", "test = 0.01", r"the split by time of 10 rows .* leaves a part empty"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new", "says"), TABLE, ids=[f"{i}-{case[3][:40]}" for i, case in enumerate(TABLE)]
)
def test_a_wrong_table_is_refused_in_one_line_that_names_the_place(folder, file, old, new, says):
    path = folder / file
    if old is None:
        path.unlink()
    else:
        whole, old, new = (
            FILES[file].encode(),
            *(t if isinstance(t, bytes) else t.encode() for t in (old, new)),
        )
        assert old in whole
        path.write_bytes(whole.replace(old, new))
    with pytest.raises(DataError, match=says) as error:
        data.read(folder).fields()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "values", "says"),
    [
        (
            "click",
            [0, 1, 2, 1],
            r"frame rows, row 2, column 'click': 2\.0 is not 0 or 1, as the task 'click' needs",
        ),
        ("click", [1, 1, 1, 1], "here and in all other rows the target is 1.0, so there is nothing to learn"),
        ("click", [0, 1, None, 1], r"frame rows, row 2, column 'click': the cell is empty"),
        ("size", [1.0, np.inf, 2.0, 3.0], r"frame rows, row 1, column 'size': inf is no finite number"),
        (
            "place",
            ["a", "b", 3, "b"],
            r"frame rows, row 2, column 'place': 3 is of type int, and text is needed",
        ),
    ],
)
def test_a_wrong_frame_is_refused(column, values, says):
    rows = pd.DataFrame(
        {"user": [1, 2, 3, 4], "item": [1, 2, 1, 2], "click": [0, 1, 0, 1]}, index=[7, 7, 8, 9]
    )
    columns = {"place": "single", "size": "numeric"}
    with pytest.raises(DataError, match=says):
        data.from_frames(
            rows.assign(**{column: values}),
            task="click",
            columns={k: v for k, v in columns.items() if k == column},
        )


def test_a_frame_without_a_column_or_with_one_twice_is_refused():
    rows = pd.DataFrame({"user": [1, 2, 3], "item": [1, 2, 1], "rating": [1, 2, 3]})
    with pytest.raises(
        DataError, match="target = 'stars' is not among the columns; known are user, item, rating"
    ):
        data.from_frames(rows, target="stars")
    with pytest.raises(DataError, match="columns names 'town', which no frame has"):
        data.from_frames(rows, columns={"town": "single"})
    with pytest.raises(DataError, match="frame rows: column 'user' is there twice"):
        data.from_frames(pd.concat([rows, rows[["user"]]], axis=1))


# --- fields and models


def test_fields_come_from_the_training_rows(folder):
    own = data.read(folder)
    train, _, test = own.split()
    uid, mid, age, city, subjects, shelf = own.fields()
    assert (uid.name, uid.owner, uid.column, uid.vocabulary) == ("uid", "user", "uid", ("ann", "cid"))
    assert (mid.name, mid.owner, mid.vocabulary) == ("mid", "film", (1, 2, 3))
    assert (uid.penalty, mid.penalty) == (features.FIELDS["uid"].penalty, features.FIELDS["mid"].penalty)
    # bob has one training row: too rare for an id; so is the one value "art" of a list with two training rows kept.
    assert uid.encode(test)[:, 0].tolist() == [2, 1]
    assert uid.encode(own.rows)[:3, 0].tolist() == [1, 0, 1]
    assert city.vocabulary == ("Graz", "Lyon")
    assert (subjects.vocabulary, subjects.slots, subjects.owner) == (("art", "war"), 2, "film")
    assert subjects.encode(own.rows)[:4].tolist() == [[1, 2], [2, 0], [2, 0], [0, 0]]
    ages = train.age.dropna()
    assert (age.mean, age.spread) == (pytest.approx(ages.mean()), pytest.approx(ages.std(ddof=0)))
    assert age.encode(own.rows)[1, 0] == 0.0  # a missing age counts as the mean
    assert age.encode(own.rows)[0, 0] == pytest.approx((30 - age.mean) / age.spread)
    assert (shelf.owner, shelf.size, shelf.vocabulary) == ("rating", 5, None)
    ids = shelf.encode(own.rows)[:, 0]
    assert ids[4] == 0
    assert set(np.delete(ids, 4)) <= set(range(1, 6))


@pytest.mark.parametrize(
    ("vocabulary", "cells"),
    [
        (("Graz", "Lyon"), ["Lyon", None, "Oslo", "Graz", "Lyon"]),
        ((-3, 2, 40), [40, -3, 0, 41, 2]),
        ((-3, 2, 40), pd.array([40, None, 0, 2], dtype="Int64")),
        (("Graz",), []),
    ],
)
def test_many_cells_at_once_have_the_ids_of_single_cells(vocabulary, cells):
    described = {"kind": "single", "column": "c", "size": len(vocabulary), "vocabulary": vocabulary}
    frame = pd.DataFrame({"c": cells})
    ids = Single("c", **described).encode(frame)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, features.Feature("c", **described).encode(frame))


@pytest.mark.parametrize(("vocabulary", "cell"), [(("7", "8"), 7), ((7, 8), "7")])
def test_a_cell_of_another_type_than_the_vocabulary_is_named(vocabulary, cell):
    field = Single("c", "single", "c", 2, vocabulary)
    with pytest.raises(TypeError, match=f"feature c: column 'c' holds {cell!r}.*convert the column"):
        field.encode(pd.DataFrame({"c": [cell]}))


def test_a_fit_predicts_rows_within_the_range_of_the_target():
    own = learnable()
    made = fitting.fit(own, epochs=2, k=4)
    *_, test = own.split()
    predicted = made.predict(test)
    assert (predicted.shape, predicted.dtype) == ((len(test),), np.float32)
    assert 1 <= predicted.min() < predicted.max() <= 5
    assert evaluation.rmse(test.rating, predicted) == pytest.approx(made.figures.rmse["DeepFM"], rel=1e-6)


def test_a_bucket_is_the_same_in_every_process():
    code = (
        "from deepfm_helpers.own.fields import Hashed; f = Hashed('f', 'single', 'f', 1000);"
        "print([f.bucket(v) for v in ('a', 'é', 7)])"
    )
    here = Hashed("f", "single", "f", 1000)
    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert printed.stdout.strip() == str([here.bucket(value) for value in ("a", "é", 7)])
    assert here.bucket(7) == here.bucket(np.int64(7)) == here.bucket("7")


def learnable(n: int = 4000) -> data.OwnData:
    """Ratings that depend on a city, a list of subjects and a number, of 40 users and 30 items."""
    rng = np.random.default_rng(0)
    users = pd.DataFrame({"user": range(40), "city": rng.choice(["Graz", "Lyon", "Oslo"], 40)})
    items = pd.DataFrame(
        {
            "item": range(30),
            "subjects": rng.choice(["art", "war", "art|war", ""], 30),
            "pages": rng.normal(300, 80, 30),
        }
    )
    items["subjects"] = items["subjects"].mask(items["subjects"] == "")
    rows = pd.DataFrame(
        {"user": rng.integers(0, 40, n), "item": rng.integers(0, 30, n), "shelf": rng.integers(0, 9, n)}
    )
    score = 3 + (users.city[rows.user] == "Graz").to_numpy() - items.subjects[rows.item].eq("war").to_numpy()
    rows["rating"] = np.clip(
        score + 0.005 * (items.pages[rows.item].to_numpy() - 300) + rng.normal(0, 0.3, n), 1, 5
    )
    columns = {
        "subjects": {"kind": "multi", "separator": "|"},
        "shelf": {"kind": "single", "whole": True, "hashed": 4},
    }
    return data.from_frames(rows, users, items, columns=columns, repeats=True, range=(1, 5))


def test_a_deepfm_of_the_book_learns_from_such_a_table(tmp_path):
    own = learnable()
    train, validation, test = own.split()
    fields = own.fields(train)
    assert [type(f) for f in fields[2:]] == [Single, Listed, Scaled, Hashed]
    # test_fields.py has the other classes.
    classes = {c for c in features._CLASSES.values() if ".own." in c.__module__}
    assert classes == {type(f) for f in fields} - {features.Feature}
    training.set_seed(1)
    *_, model = models.deep_fm_model(features=fields, k=4, mean_rating=float(train.rating.mean()))
    training.train(
        model, features.df2xy(train, fields), features.df2xy(validation, fields), epochs=8, batch_size=128,
        learning_rate=0.01,
    )  # fmt: skip
    x, y = features.df2xy(test, fields)
    predicted = evaluation.predict(model, x)
    mean = evaluation.baselines(train, test).rmse["global mean"]
    assert evaluation.rmse(y, predicted) < 0.6 * mean

    saving.save(model, fields, tmp_path / "own.keras")
    again, same = saving.load(tmp_path / "own.keras")
    assert same == fields
    assert np.allclose(evaluation.predict(again, [f.encode(test) for f in same]), predicted)


def test_a_model_of_such_a_table_can_recommend():
    own = learnable(600)
    fields = [field for field in own.fields() if field.owner != "rating"]
    *_, model = models.deep_fm_model(features=fields, k=4)
    two = recommending.TwoSides(model, own, fields, own.split()[0])
    pairs = own.rows.drop_duplicates(["uid", "mid"]).head(50)
    expected = evaluation.predict(model, [field.encode(pairs) for field in fields])
    trained = two.counts[pairs.mid] > 0
    assert trained.any()
    scores = two.scores(pairs.uid.to_numpy())[np.arange(50), pairs.mid]
    assert np.allclose(scores[trained], expected[trained], atol=1e-5)


def test_a_time_that_orders_nothing_is_a_number():
    rows = pd.DataFrame({"user": [1, 2, 3, 4] * 5, "item": [1, 2] * 10, "rating": [1, 2, 3, 4] * 5})
    released = [pd.Timestamp("2001-01-01"), None]
    for times in (pd.Series(released), pd.Series(released, dtype=object), pd.Series(["2001-01-01", None])):
        own = data.from_frames(rows, None, pd.DataFrame({"item": [1, 2], "released": times}), repeats=True)
        field = own.fields()[-1]
        assert (type(field), field.name, field.owner, field.mean) == (Scaled, "released", "film", 978307200.0)
        assert field.encode(own.rows)[:2].tolist() == [[0.0], [0.0]]


def test_a_constant_number_and_one_that_training_rows_lack(folder):
    rows = pd.DataFrame(
        {"user": [1, 2, 3, 4] * 5, "item": range(20), "rating": [1, 2, 3, 4] * 5, "size": 0.1}
    )
    own = data.from_frames(rows, columns={"size": "numeric"})
    assert own.fields()[-1].spread == 1.0
    assert np.allclose(own.fields()[-1].encode(own.rows), 0.0)
    empty = own.split()[0].assign(size=np.nan)
    with pytest.raises(
        DataError, match="column 'size': the training rows hold no number; declare the column as 'text'"
    ):
        own.fields(empty)


# --- MovieLens with a header, proposals and the command

NEW = {
    "ratings.csv": "userId,movieId,rating,timestamp\n"
    + "".join(
        f"{u},{m},{(u + m) % 10 / 2 + 0.5},{10**9 + 60 * u + m}\n"
        for u in range(1, 13)
        for m in (1, 31, 1029)
    ),
    "movies.csv": "movieId,title,genres\n1,Toy Story (1995),Adventure|Children|Comedy\n"
    '31,"American President, The (1995)",Comedy|Drama\n1029,"Ünseen ""Film"" (2000)",(no genres listed)\n',
    "tags.csv": "userId,movieId,tag,timestamp\n1,1,fun,1000000000\n",
    "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n31,0112346,\n1029,0033563,11360\n",
}


def test_the_newer_folders_of_movielens_can_be_read(tmp_path):
    own = data.read(write(tmp_path, NEW), "movielens")
    assert own.items["title"].tolist() == [
        "Toy Story (1995)",
        "American President, The (1995)",
        'Ünseen "Film" (2000)',
    ]
    assert own.rows.dtypes.astype(str).to_dict() == {
        "uid": "int64", "mid": "int64", "rating": "float32", "timestamp": "int64", "genres": "category"
    }  # fmt: skip
    uid, mid, genres = own.fields()
    assert (uid.size, mid.size, genres.vocabulary) == (12, 3, ("Adventure", "Children", "Comedy", "Drama"))
    assert genres.encode(own.rows[:3]).tolist() == [[1, 2, 3], [3, 4, 0], [0, 0, 0]]
    assert guessing.propose(tmp_path) == layouts.Layout.read(layouts.PRESETS["movielens"])
    write(tmp_path, {"ratings.csv": NEW["ratings.csv"].replace(",1.5,", ",0,")})
    with pytest.raises(
        DataError, match=r"ratings\.csv, line 2, column 'rating': 0\.0 is not in the range 0\.5 to 5"
    ):
        data.read(tmp_path, "movielens")


def test_a_proposal_can_be_read_and_is_written_once(tmp_path, capsys):
    many = "customer_id;book;clicked;when;zip;tags\n" + "".join(
        f"c{i % 7};{i % 9};{int(i % 5 == 0)};2024-01-{1 + i % 28:02};0{1000 + i % 3};{'a|b' if i % 2 else 'b'}\n"
        for i in range(60)
    )
    users = "customer_id,age,height\n" + "".join(f"c{i},{20 + i},{1.5 + i / 50}\n" for i in range(7))
    write(tmp_path, {"log.csv": many, "people.csv": users})
    assert cli.main(["describe", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "dataset.toml does not exist; this is a guess" in printed
    assert not (tmp_path / "dataset.toml").exists()
    assert cli.main(["describe", str(tmp_path), "--write"]) == 0
    capsys.readouterr()
    layout = layouts.Layout.read(tmp_path / "dataset.toml")
    assert layout.task == "click"
    assert layout.roles == {"user": "customer_id", "item": "book", "target": "clicked", "time": "when"}
    assert layout.rows.separator == ";"
    kinds = {
        name: (c.kind, c.whole, c.separator) for s in layout.sources.values() for name, c in s.columns.items()
    }
    assert kinds == {
        "customer_id": ("single", False, ""), "book": ("single", True, ""), "clicked": ("numeric", False, ""),
        "when": ("time", False, ""), "zip": ("single", False, ""), "tags": ("multi", False, "|"),
        "age": ("single", True, ""), "height": ("numeric", False, ""),
    }  # fmt: skip
    kept = (tmp_path / "dataset.toml").read_bytes()
    assert cli.main(["describe", str(tmp_path), "--write"]) == 1
    assert "exists and stays as it is" in capsys.readouterr().err
    assert (tmp_path / "dataset.toml").read_bytes() == kept


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "no file ends in .csv, .tsv, .parquet"),
        ({"a.csv": "x,y\n1,2\n"}, "no file looks like rows, with user, item and target (a.csv)"),
        (
            {"a.csv": "user,item,rating\n1,2,3\n", "b.csv": "user,item,rating\n1,2,3\n"},
            "several files look like rows",
        ),
        ({"a.csv": ""}, "cannot be read as a table"),
    ],
)
def test_what_cannot_be_guessed_is_said(tmp_path, capsys, files, says):
    assert cli.main(["describe", str(write(tmp_path / "d", files))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_a_description_survives_writing(folder):
    layout = layouts.Layout.read(folder / "dataset.toml")
    again = folder / "again.toml"
    again.write_text(layout.written(), encoding="utf-8")
    assert layouts.Layout.read(again) == layout
    odd = layouts.Layout.of(
        {
            **layout.entries,
            "users": {**layout.entries["users"], "columns": {"customer": "single", 'a "b".é': "numeric"}},
        },
        "here",
    )
    again.write_text(odd.written(), encoding="utf-8")
    assert layouts.Layout.read(again).users.columns['a "b".é'] == layouts.Column('a "b".é', "numeric", rare=2)


def test_the_account_says_what_becomes_of_each_column(folder, capsys):
    assert cli.main(["describe", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "books: 10 rows, 4 users, 3 items"
    assert lines[1] == "the task is rating; split by time: 6 train, 2 validation, 2 test rows"
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in lines if line}
    assert rows["customer"] == "user single 4 0 2 field uid: table of 3 rows"
    assert rows["age"] == "user numeric 3 1 field age: (number − 38) / 9.798"
    assert rows["city"] == "user single 2 1 0 field city: table of 3 rows"
    assert rows["subjects"] == "item multi 2 0 0 field subjects: table of 3 rows, up to 2 at once"
    assert rows["shelf"] == "row single 4 1 field shelf: table of 6 rows, by hash"
    assert rows["title"] == "item text 3 0 nothing"
    assert rows["note"] == "row text nothing"
    assert rows["stars"] == "row numeric 6 0 the target"
    assert rows["when"] == "row time 10 0 orders the rows"
    assert (
        rows["6"]
        == "fields, 1 of them numeric; 19 rows in all tables (for vectors of length k, each row holds 1 + k weights)"
    )


def test_a_text_may_have_one_name_in_two_tables(folder, capsys):
    toml = TOML.replace('city = "single"', 'city = "single"\ntitle = "text"')
    write(folder, {"dataset.toml": toml, "customers.csv": "customer,age,city,title\nann,30,Graz,Dr\n"
                   "bob,,Graz,\ncid,50,Lyon,\ndan,70,,Dr\n"})  # fmt: skip
    assert cli.main(["describe", str(folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("title")]
    assert lines == [
        ["title", "user", "text", "1", "2", "nothing"],
        ["title", "item", "text", "3", "0", "nothing"],
    ]


def test_many_targets_are_counted_in_ten_bins():
    own = learnable(500)
    account = accounts.account(own)
    assert "  4.6 to 5 " in account
