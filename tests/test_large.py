"""Tables beyond memory: Parquet files read part by part, and the split, the fields and the model of the same rows in
memory.

As a program the file measures the memory of one road: ``python tests/test_large.py road folder``.
"""

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from deepfm_helpers import evaluation, features, models, training
from deepfm_helpers.own import data, files, fitting, guessing, keeping, large, layouts, streams
from deepfm_helpers.own.fields import Moments
from deepfm_helpers.schema import DataError
from deepfm_helpers.sweeps import cli

TOML = """
task = "rating"
repeats = true
rare = 3

[rows]
files = ["rows.csv"]
user = "guest"
item = "dish"
target = "points"
range = [0, 100]
time = "when"

[rows.columns]
guest = "single"
dish = {kind = "single", whole = true}
points = "numeric"
when = "time"
table = {kind = "single", hashed = 7}
hunger = "numeric"
seat = {kind = "single", whole = true}
note = "text"

[items]
files = ["dishes.csv"]
key = "dish"

[items.columns]
dish = {kind = "single", whole = true}
name = "text"
spices = {kind = "multi", separator = "|", none = "none"}
price = "numeric"

[split]
by = "random"
validation = 0.15
test = 0.2
"""
GROUP = 170


def drawn(n: int, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of guests and dishes with a pattern in their points, and the dishes."""
    rng = np.random.default_rng(seed)
    dishes = pd.DataFrame({"dish": np.arange(1, 31), "name": [f"Dish {i}" for i in range(30)]})
    dishes["spices"] = rng.choice(["chili|mint", "chili", "none", "salt|mint|dill"], 30)
    dishes["price"] = rng.gamma(3, 4, 30).round(2)
    guest, dish = rng.integers(0, 60, n), rng.integers(0, 30, n)
    liking = 3 * rng.normal(0, 1, 60)[guest] + 12 * ((guest + dish) % 2)
    rows = pd.DataFrame({"guest": [f"g{i}" for i in guest], "dish": dish + 1})
    rows["points"] = np.clip(45 + liking + rng.normal(0, 4, n), 0, 100).round(1)
    rows["when"] = rng.integers(10**9, 10**9 + n // 3, n)
    rows["table"] = pd.Series(rng.choice([f"t{i}" for i in range(40)], n)).mask(rng.random(n) < 0.1)
    rows["hunger"] = pd.Series(rng.normal(1e6, 3, n)).mask(rng.random(n) < 0.1)
    rows["seat"] = pd.Series(rng.integers(1, 9, n)).mask(rng.random(n) < 0.1).astype("Int64")
    rows["note"] = "x"
    return rows, dishes


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three folders with the same rows: a CSV file, three Parquet files of several groups, and those as a stream."""
    rows, dishes = drawn(2_000)
    home = tmp_path_factory.mktemp("made")
    pieces = 'files = ["rows/*.parquet"]'
    for name, toml in {
        "csv": TOML,
        "parquet": TOML.replace('files = ["rows.csv"]', pieces),
        "stream": TOML.replace('files = ["rows.csv"]', f"{pieces}\nstream = true"),
    }.items():
        (home / name / "rows").mkdir(parents=True)
        (home / name / "dataset.toml").write_text(toml)
        dishes.to_csv(home / name / "dishes.csv", index=False)
        if name == "csv":
            rows.to_csv(home / name / "rows.csv", index=False)
        else:
            for number, start in enumerate(range(0, 2_000, 700)):
                piece = rows.iloc[start : start + 700]
                piece.to_parquet(home / name / "rows" / f"{number}.parquet", row_group_size=GROUP)
            (home / name / "rows" / ".part.parquet").write_text("half a file, whose name begins with a point")
    return home


def changed(folder: Path, old: str, new: str) -> layouts.Layout:
    text = (folder / "dataset.toml").read_text()
    assert old in text
    (folder / "other.toml").write_text(text.replace(old, new))
    return layouts.Layout.read(folder / "other.toml")


# --- Parquet files in memory


def test_parquet_files_give_what_the_same_table_gives_as_csv(made):
    of_csv, of_parquet = (data.read(made / name) for name in ("csv", "parquet"))
    pd.testing.assert_frame_equal(of_parquet.rows, of_csv.rows)
    assert of_parquet.provenance.fingerprint == of_csv.provenance.fingerprint
    assert list(of_parquet.provenance.files)[:3] == [f"rows/{number}.parquet" for number in range(3)]
    assert of_parquet.fields() == of_csv.fields()
    for ours, theirs in zip(of_parquet.split(), of_csv.split(), strict=True):
        pd.testing.assert_frame_equal(ours, theirs)
    predicted = []
    for own in (of_parquet, of_csv):
        fit = fitting.fit(own, epochs=2, k=2)
        predicted.append(evaluation.predict(fit.model, features.df2xy(own.split()[2], fit.fields)[0]))
    np.testing.assert_array_equal(*predicted)


def test_rows_are_read_in_parts_and_without_the_columns_that_nobody_needs(made, monkeypatch):
    monkeypatch.setattr(files, "AT_ONCE", 100)
    layout = layouts.Layout.read(made / "parquet" / "dataset.toml")
    parts = list(files.parquet(made / "parquet" / "rows" / "0.parquet", layout.rows))
    assert [len(part) for part, _ in parts] == [100, 70, 100, 70, 100, 70, 100, 70, 20]
    assert "note" not in parts[0][0]
    assert parts[3][1](69).endswith("0.parquet, row group 2, row 170")
    assert data.read(made / "parquet").fields() == data.read(made / "csv").fields()


@pytest.fixture
def folder(tmp_path):
    """A folder with one small Parquet file of two groups."""
    (tmp_path / "dataset.toml").write_text(TOML.replace("rows.csv", "rows.parquet"))
    drawn(40)[1].to_csv(tmp_path / "dishes.csv", index=False)
    return tmp_path


BROKEN = [
    (
        "points",
        31,
        101.0,
        r"row group 2, row 12, column 'points': 101\.0 is not in the range 0 to 100; correct",
    ),
    (
        "points",
        31,
        None,
        r"row group 2, row 12, column 'points': the cell is empty; fill it in, or drop the row",
    ),
    ("points", 31, np.inf, r"row group 2, row 12, column 'points': inf is no finite number"),
    ("guest", 3, None, r"row group 1, row 4, column 'guest': the cell is empty"),
    ("dish", 31, 99, r"row group 2, row 12, column 'dish': 99 is not in dishes\.csv; add it there"),
    ("when", 31, -5, r"row group 2, row 12, column 'when': -5\.0 is no time from 1970"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("column", "row", "value", "says"), BROKEN)
def test_a_wrong_cell_is_named_by_file_group_and_row(folder, column, row, value, says, stream):
    if stream:
        (folder / "dataset.toml").write_text(TOML.replace('["rows.csv"]', '["rows.parquet"]\nstream = true'))
    rows = drawn(40)[0].astype({"when": "float64" if column == "when" else "int64"})
    rows.loc[row, column] = value
    rows.to_parquet(folder / "rows.parquet", row_group_size=20)
    with pytest.raises(DataError, match=r"rows\.parquet, " + says) as error:
        (large if stream else data).read(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop(columns="hunger"), r"rows\.parquet: the header has no column 'hunger'"),
        (lambda f: f.assign(size=1), r"rows\.parquet: column 'size' is not described; add it to \[rows\.columns\]"),
        (lambda f: f.assign(guest=range(len(f))), r"row group 1, row 1, column 'guest': 0 is of type .*whole = true"),
        (lambda f: f.assign(hunger="much"), r"row group 1, row 1, column 'hunger': 'much' is no finite number"),
        (lambda f: f.assign(seat=1.5), r"row group 1, row 1, column 'seat': 1\.5 is no whole number"),
        (lambda f: f.assign(table=[["a"]] * len(f)), r"column 'table': its type is list<.*convert it, or declare it"),
        (lambda f: f[:0], r"rows\.parquet: there is no row"),
    ],
)  # fmt: skip
def test_a_wrong_column_is_named(folder, change, says):
    change(drawn(40)[0]).to_parquet(folder / "rows.parquet", row_group_size=20)
    with pytest.raises(DataError, match=says):
        data.read(folder)


def test_a_list_in_a_cell_of_parquet_is_to_be_joined(folder):
    drawn(40)[0].to_parquet(folder / "rows.parquet")
    (folder / "dataset.toml").write_text(
        (folder / "dataset.toml").read_text().replace("dishes.csv", "dishes.parquet")
    )
    dishes = drawn(40)[1]
    dishes["spices"] = dishes.spices.str.split("|")
    dishes.to_parquet(folder / "dishes.parquet")
    with pytest.raises(
        DataError, match=r"column 'spices': its type is list<.* join the values of a cell with '\|'"
    ):
        data.read(folder)


def test_whole_numbers_beyond_the_digits_of_a_float_survive_missing_ones(folder):
    rows = drawn(40)[0]
    rows["seat"] = pd.array([2**60 + 1] * 20 + [None] * 20, "Int64")
    rows.to_parquet(folder / "rows.parquet", row_group_size=20)
    assert data.read(folder).rows.seat.dropna().unique().tolist() == [2**60 + 1]


def test_dates_dictionaries_and_an_index_of_pandas_can_be_read(folder):
    rows = drawn(40)[0]
    seconds = rows.when.tolist()
    rows["when"] = pd.to_datetime(rows.when, unit="s", utc=True)
    rows["table"] = rows.table.astype("category")
    rows.iloc[::-1].to_parquet(
        folder / "rows.parquet", row_group_size=20
    )  # whose index is a column of the file
    own = data.read(folder)
    assert own.rows.timestamp.tolist() == seconds[::-1]
    rows["when"] = rows.when.dt.date
    rows.to_parquet(folder / "rows.parquet")
    assert (data.read(folder).rows.timestamp % 86_400 == 0).all()


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ('["part-*.parquet"]', r"part-\*\.parquet: no file matches this pattern; correct it in \[rows\]"),
        ('["rows.parquet", "*.parquet"]', r"rows\.parquet: '\*\.parquet' names this file a second time"),
        ('["../*.parquet"]', r"the path leads out of the folder"),
    ],
)
def test_a_pattern_that_names_no_file_or_one_twice_is_refused(folder, names, says):
    drawn(40)[0].to_parquet(folder / "rows.parquet")
    (folder / "dataset.toml").write_text(TOML.replace('["rows.csv"]', names))
    with pytest.raises(DataError, match=says):
        data.read(folder)


def test_a_damaged_page_is_named(folder):
    drawn(4_000)[0].to_parquet(folder / "rows.parquet", row_group_size=2_000)
    whole = bytearray((folder / "rows.parquet").read_bytes())
    whole[200:400] = bytes(200)
    (folder / "rows.parquet").write_bytes(whole)
    with pytest.raises(DataError, match=r"rows\.parquet: no Parquet file, or a damaged one"):
        data.read(folder)


def test_a_proposal_looks_at_no_more_than_the_first_rows(folder, monkeypatch):
    monkeypatch.setattr(guessing, "SAMPLE", 30)
    monkeypatch.setattr(files, "AT_ONCE", 20)
    rows = drawn(100)[0].rename(columns={"guest": "user", "dish": "item", "points": "rating"})
    rows.to_parquet(folder / "rows.parquet", row_group_size=20)
    assert len(files.first_rows_of_parquet(folder / "rows.parquet", 30)) == 40
    assert guessing.propose(folder).rows.columns["hunger"].kind == "numeric"


# --- beyond memory


@pytest.mark.parametrize("by", ["random", "time", "user"])
def test_the_split_and_the_fields_are_those_of_the_rows_in_memory(made, monkeypatch, by):
    own = data.read(made / "parquet", changed(made / "parquet", 'by = "random"', f'by = "{by}"'))
    monkeypatch.setattr(files, "AT_ONCE", 90)
    for name, few in {"BLOCK": 256, "TOGETHER": 20}.items():  # so that sums and counts are added up
        monkeypatch.setattr(f"deepfm_helpers.own.fields.{name}", few)
    ours = large.read(made / "stream", changed(made / "stream", 'by = "random"', f'by = "{by}"'))
    assert ours.sizes == own.sizes
    for number, name in enumerate(large.PARTS):
        np.testing.assert_array_equal(np.flatnonzero(ours.part == number), own.parts[name])
    assert ours.fields() == own.fields()
    assert ours.fields("train", "validation") == own.fields(own.learned())
    assert {field.name: field.kind for field in ours.fields()}["hunger"] == "numeric"
    joined = pd.concat(ours.frames("test"), ignore_index=True)
    pd.testing.assert_frame_equal(joined, own.split()[2].reset_index(drop=True))


@pytest.mark.parametrize("by", ["random", "time", "user"])
@pytest.mark.parametrize("seed", range(5))
def test_less_memory_draws_the_split_that_features_draws(by, seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(50, 400))
    rows = pd.DataFrame({"uid": rng.integers(0, 30, n), "timestamp": rng.integers(0, 60, n)})
    column = {"time": rows.timestamp.to_numpy(), "user": pd.factorize(rows.uid)[0].astype("int32")}.get(by)
    rest, test = features.split_rows(rows, 0.2, 7, by)
    train, validation = features.split_rows(rest, 0.15 / (1 - 0.2), seed, by)
    part = large.split(layouts.Split(by, 0.15, 0.2, 7), n, column, seed)
    for number, frame in enumerate((train, validation, test)):
        np.testing.assert_array_equal(np.flatnonzero(part == number), frame.index)


def test_an_empty_part_is_refused():
    with pytest.raises(DataError, match="the split by random of 6 rows .* leaves a part empty"):
        large.split(layouts.Split("random", 0.01, 0.2, 0), 6, None, 0)


def test_parts_do_not_change_a_mean_or_a_spread_to_the_last_bit():
    numbers = np.random.default_rng(0).normal(1e5, 1.0, 200_000)
    found = []
    for size in (200_000, 70_001, 999):
        moments = Moments()
        for start in range(0, len(numbers), size):
            moments.add(numbers[start : start + size])
        found.append((moments.n, moments.mean, moments.spread, moments.low, moments.high))
    assert found[0] == found[1] == found[2]
    n, mean, spread, low, high = found[0]
    assert (n, low, high) == (200_000, numbers.min(), numbers.max())
    assert (mean, spread) == (
        pytest.approx(numbers.mean(), rel=1e-13),
        pytest.approx(numbers.std(), rel=1e-10),
    )


def test_a_model_of_a_stream_is_as_good_as_one_of_the_rows_in_memory(made, tmp_path):
    ours, theirs = large.read(made / "stream"), data.read(made / "csv")
    fits = [fitting.fit(own, epochs=6, k=4, scratch=tmp_path) for own in (ours, theirs)]
    of_stream, of_memory = fits
    simple = of_memory.figures.index[:2]
    np.testing.assert_allclose(of_stream.figures.loc[simple], of_memory.figures.loc[simple], rtol=1e-5)
    assert of_stream.fields == of_memory.fields
    assert of_stream.unit == pytest.approx(of_memory.unit, rel=1e-5)
    assert of_stream.recipe == of_memory.recipe
    assert of_stream.figures.rmse["DeepFM"] == pytest.approx(of_memory.figures.rmse["DeepFM"], abs=0.4)
    assert of_stream.figures.rmse["DeepFM"] < of_stream.figures.rmse["the mean"] - 1
    assert list(tmp_path.iterdir()) == []
    test = pd.concat(ours.frames("test"))
    x, y = features.df2xy(test, of_stream.fields)
    predicted = np.clip(evaluation.predict(of_stream.model, x), 0, 100)
    assert evaluation.rmse(y, predicted) == pytest.approx(of_stream.figures.rmse["DeepFM"])


def test_clicks_of_a_stream_stand_beside_a_logistic_regression(tmp_path):
    toml = TOML.replace('"rating"', '"click"').replace("range = [0, 100]", "stream = true")
    (tmp_path / "dataset.toml").write_text(toml.replace("rows.csv", "rows.parquet"))
    rows, dishes = drawn(1_500)
    rows["points"] = (rows.points > 50).astype(int)
    rows.to_parquet(tmp_path / "rows.parquet", row_group_size=400)
    dishes.to_csv(tmp_path / "dishes.csv", index=False)
    fit = fitting.fit(large.read(tmp_path, seed=3), epochs=2, k=2)
    assert list(fit.figures.index) == ["the share of ones", "logistic regression", "DeepFM"]
    assert fit.seed == 3
    report = keeping.report(fit)
    assert report["rows"] == fit.data.sizes
    assert set(report["files"]) == {"rows.parquet", "dishes.csv"}
    with pytest.raises(
        ValueError, match=r"seed = 4, and the validation rows were drawn with the seed 3; .* seed=4"
    ):
        fitting.fit(fit.data, seed=4)
    for section, change in {"history": {"components": 2}, "crosses": (("uid", "mid"),)}.items():
        with pytest.raises(ValueError, match=f"section '{section}', whose fields need all rows in memory"):
            fitting.fit(fit.data, recipe={section: change})
    with pytest.raises(ValueError, match="the recipe changes the split"):
        fitting.fit(fit.data, recipe={"split": {"by": "tail"}})


def test_the_commands_take_a_stream_or_say_why_not(made, capsys, tmp_path):
    model = tmp_path / "new" / "model.keras"
    asked = ["fit", str(made / "stream"), "--out", str(model), "--epochs", "2", "--k", "2", "--seed", "5"]
    assert cli.main(asked) == 0
    printed = capsys.readouterr().out
    assert "stream: 1,300 train, 300 validation, 400 test rows; the task is rating" in printed
    assert "deepfm recommend" not in printed
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.json", "model.keras"]
    assert json.loads(model.with_suffix(".json").read_text())["seed"] == 5
    rows = str(made / "stream" / "rows" / "0.parquet")
    scores = str(tmp_path / "scores.csv")
    assert cli.main(["score", str(model), rows, "--folder", str(made / "stream"), "--out", scores]) == 0
    assert len(pd.read_csv(scores)) == 700
    capsys.readouterr()
    for command in (
        ["describe", str(made / "stream")],
        ["recommend", str(model), str(made / "stream"), "--user", "g1"],
        ["page", str(made / "stream"), "--model", str(model)],
    ):
        assert cli.main(command) == 1
        (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("error")]
        assert re.search("with stream = true the rows never lie in memory .* drop stream = true", line)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("repeats = true", "repeats = false", "nobody can see whether rows repeat .* write repeats = true"),
        (
            '"rows/*.parquet"',
            '"rows.csv"',
            r"stream = true reads Parquet files, and 'rows\.csv' is none; write",
        ),
        ("stream = true", 'stream = "yes"', r"\[rows\]: stream = 'yes' must be true or false"),
    ],
)
def test_a_description_of_what_cannot_be_streamed_is_refused(made, old, new, says):
    with pytest.raises(DataError, match=says):
        changed(made / "stream", old, new)


def test_each_road_refuses_what_belongs_to_the_other_and_a_file_that_changes(made, tmp_path):
    with pytest.raises(DataError, match=r"does not say stream = true below \[rows\]; .* data\.read"):
        large.read(made / "parquet")
    (tmp_path / "dataset.toml").write_text(TOML.replace('["rows.csv"]', '["rows.parquet"]\nstream = true'))
    rows, dishes = drawn(100)
    dishes.to_csv(tmp_path / "dishes.csv", index=False)
    rows.assign(points=50.0).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(
        DataError, match=r"row group 1, row 1, column 'points': here and in all other rows .* 50\.0"
    ):
        large.read(tmp_path)
    rows.to_parquet(tmp_path / "rows.parquet")
    own = large.read(tmp_path)
    for other in (rows[:90], pd.concat([rows, rows[:5]])):
        other.to_parquet(tmp_path / "rows.parquet")
        with pytest.raises(DataError, match="held 100 rows when they were read, and now hold another number"):
            own.fields()


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(large).failed == 0


# --- memory


def write_long(folder: Path, n: int) -> None:
    """Writes the folder of a stream with n rows, part by part."""
    (folder / "dataset.toml").write_text(TOML.replace('["rows.csv"]', '["rows.parquet"]\nstream = true'))
    schema = None
    with open(folder / "rows.parquet", "wb") as file:
        for part, start in enumerate(range(0, n, 50_000)):
            rows, dishes = drawn(min(50_000, n - start), part)
            table = pa.Table.from_pandas(rows, schema, preserve_index=False)
            if schema is None:
                schema = table.schema
                writer = parquet.ParquetWriter(file, schema)
            writer.write_table(table)
        writer.close()
    dishes.to_csv(folder / "dishes.csv", index=False)


def peak_mib() -> float:
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**10


def road(name: str, folder: Path) -> None:
    """Takes one road from the files to a trained model, and prints the peak of the resident memory in MiB."""
    if name == "stream":
        own = large.read(folder)
        fields = own.fields()
        rows = streams.write(own.frames("train"), fields, folder / "train.parquet", rows_per_group=8_192)
    else:
        own = data.read(folder, changed(folder, "stream = true", ""))
        fields = own.fields()
        rows = features.df2xy(own.split()[0], fields)
    training.set_seed(1)
    model = models.deep_fm_model(features=fields, k=2, dnn_dim=(4,))[-1]
    training.train(model, rows, epochs=1, batch_size=8_192)
    print(peak_mib())


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    peaks = {}
    for n in (200_000, 1_000_000):
        (tmp_path / str(n)).mkdir()
        write_long(tmp_path / str(n), n)
    for name, n in (("stream", 200_000), ("stream", 1_000_000), ("memory", 1_000_000)):
        done = subprocess.run(
            [sys.executable, __file__, name, str(tmp_path / str(n))],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        peaks[name, n] = float(done.stdout.split()[-1])
    growth, in_memory = (peaks[name, 1_000_000] - peaks["stream", 200_000] for name in ("stream", "memory"))
    assert growth < 0.2 * in_memory, peaks  # the split takes some bytes for each row


READ = """
import re
from pathlib import Path
from deepfm_helpers.own import files, layouts

columns = {"guest": layouts.Column("guest", "single", whole=True), "points": layouts.Column("points", "numeric")}
source = layouts.Source("rows", ("rows.parquet",), columns, frozenset(columns))
print(sum(len(rows) for rows, _ in files.parquet(Path("rows.parquet"), source)))
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 2**10)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
def test_a_row_group_need_not_fit_in_memory(tmp_path):
    rng, peaks, sizes = np.random.default_rng(0), [], []
    for n in (1_000_000, 6_000_000):
        rows = pd.DataFrame({"guest": rng.integers(0, 10**9, n), "points": rng.random(n)})
        rows.to_parquet(tmp_path / "rows.parquet", row_group_size=n)
        done = subprocess.run(
            [sys.executable, "-c", READ], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        read, peak = done.stdout.split()
        assert int(read) == n
        peaks.append(float(peak))
        sizes.append((tmp_path / "rows.parquet").stat().st_size / 2**20)
    assert peaks[1] - peaks[0] < 0.4 * (sizes[1] - sizes[0])


if __name__ == "__main__":
    road(sys.argv[1], Path(sys.argv[2]))
