"""Rows that are read while a model trains on them: the same rows, orders that mix, memory that stays flat."""

import doctest
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from deepfm_helpers import batches, datasets, features, models, training
from deepfm_helpers.own import streams
from deepfm_helpers.processes import Share
from deepfm_helpers.schema import DataError

DATA = datasets.load("planted", n_users=200, n_movies=150, n_ratings=6_000, seed=3)
ROWS = datasets.join(DATA.ratings, DATA.movies, DATA.users)
FIELDS = features.describe(DATA)


def written(path, frames=None, rows_per_group=500, window=8):
    frames = [ROWS.iloc[:2_300], ROWS.iloc[2_300:]] if frames is None else frames
    streams.write(frames, FIELDS, path, rows_per_group=rows_per_group)
    return streams.Parquet(path, window)


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    return written(tmp_path_factory.mktemp("rows") / "rows.parquet")


def dealt(rows, batch_size, seed, epoch=0, share=Share()):  # noqa: B008 (a constant)
    made = rows.batches(batch_size, seed, share)
    made.epoch = epoch
    return [[np.asarray(a) for a in (*x, *rest)] for x, *rest in made.dataset()]


def joined(parts):
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def test_without_a_seed_the_rows_come_back_as_memory_holds_them(stream):
    x, y = features.df2xy(ROWS, FIELDS)
    assert stream.rows == [500] * 12
    assert stream.columns == [*(f.name for f in FIELDS), "rating"]
    found = dealt(stream, 777, None)
    assert [len(batch[-1]) for batch in found] == [777] * 7 + [561]
    for ours, theirs in zip(joined(found), (*x, y), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_every_epoch_deals_each_row_once_in_an_order_of_its_own(stream):
    frame = ROWS.assign(rating=np.arange(len(ROWS), dtype="float32"))
    numbered = written(stream.path.with_name("numbered.parquet"), [frame], window=3)
    orders = [
        joined(dealt(numbered, 512, seed, epoch))[-1] for seed, epoch in ((1, 0), (1, 1), (2, 0), (1, 0))
    ]
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), frame.rating)
    np.testing.assert_array_equal(orders[0], orders[3])
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[0], orders[2])
    groups = [np.unique(order[:1_500] // 500) for order in orders[:3]]  # the first window
    assert [len(of) for of in groups] == [3, 3, 3]
    assert len(np.unique(np.concatenate(groups))) > 3


def test_no_more_than_a_window_of_groups_lies_in_memory(stream, monkeypatch):
    read_so_far, read = [], streams.Parquet.group
    monkeypatch.setattr(streams.Parquet, "group", lambda rows, i: read_so_far.append(i) or read(rows, i))
    rows = streams.Parquet(stream.path, window=2)
    groups = []
    for number, _ in enumerate(rows.batches(250, 1).deal()):
        groups.append((number, len(read_so_far)))
    assert groups == [(number, 2 * (number // 4 + 1)) for number in range(24)]


def test_a_window_lies_in_memory_once(tmp_path):
    frames = (ROWS for _ in range(40))
    rows = written(tmp_path / "rows.parquet", frames, rows_per_group=10_000)
    assert len(rows) == 240_000
    batches_of_epoch = rows.batches(512, 1)
    for _ in batches_of_epoch.deal():  # whatever is imported and kept on the way
        break
    tracemalloc.start()
    dealt = sum(len(y) for _, y in batches_of_epoch.deal())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dealt == 240_000
    window = rows.window_bytes(512)
    row = sum(a[:1].nbytes for a in rows.group(0))
    assert window == (80_000 + 511) * row + 8 * 80_000
    assert 0.9 * window < peak < 1.3 * window


@pytest.mark.parametrize("batch_size", [130, 1_000, 2_700])
def test_rows_that_fill_no_batch_go_into_the_next_window(stream, batch_size):
    frame = ROWS.assign(rating=np.arange(len(ROWS), dtype="float32"))
    rows = written(stream.path.with_name("counted.parquet"), [frame], window=2)
    found = dealt(rows, batch_size, 4)
    assert {len(batch[-1]) for batch in found[:-1]} == {batch_size}
    order = joined(found)[-1].astype(int)
    assert sorted(order) == list(range(len(ROWS)))
    x, _ = features.df2xy(ROWS, FIELDS)
    for ours, column in zip(joined(found)[:-1], x, strict=True):
        np.testing.assert_array_equal(ours, column[order])


def test_training_on_a_stream_is_training_on_the_rows(stream):
    valid = features.df2xy(ROWS.iloc[:500], FIELDS)
    losses = []
    for rows in (stream, features.df2xy(ROWS, FIELDS)):
        training.set_seed(5)
        *_, model = models.deep_fm_model(features=FIELDS, k=4, dnn_dim=(8,), mean_rating=3.5)
        losses.append(
            training.train(model, rows, valid, epochs=6, batch_size=128, learning_rate=5e-3, patience=6)
        )
    of_stream, of_memory = (history.rmse.to_numpy() for history in losses)
    np.testing.assert_allclose(of_stream, of_memory, atol=0.02)
    assert of_memory[0] - of_memory[-1] > 0.1


def test_a_killed_training_goes_on_with_the_same_batches(stream, tmp_path):
    def model():
        training.set_seed(5)
        return models.deep_fm_model(features=FIELDS, k=4, dnn_dim=(8,), mean_rating=3.5)[-1]

    asked = {"batch_size": 256, "seed": 3, "learning_rate": 5e-3}
    whole = training.train(model(), stream, epochs=3, **asked)

    class Killed(Exception):
        pass

    import deepfm_helpers._keras as backend

    class Kill(backend.keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise Killed

    with pytest.raises(Killed):
        training.train(model(), stream, epochs=3, folder=tmp_path, callbacks=[Kill()], **asked)
    again = training.train(model(), stream, epochs=3, folder=tmp_path, **asked)
    pd.testing.assert_frame_equal(again.drop(columns="seconds"), whole.drop(columns="seconds"))


def test_another_file_is_another_run(stream, tmp_path):
    other = written(tmp_path / "other.parquet", [ROWS.iloc[:5_000]])
    assert other.digests() != stream.digests()
    assert streams.Parquet(stream.path).digests() == stream.digests()
    again = written(tmp_path / "again.parquet", [ROWS.iloc[:10], ROWS.iloc[10:]])
    assert again.digests() == stream.digests()
    assert written(tmp_path / "again.parquet", rows_per_group=600).digests() != stream.digests()


def test_two_rows_that_change_places_make_another_run(stream, tmp_path):
    order = np.arange(len(ROWS))
    unlike = (ROWS.uid != ROWS.uid[500]) & (ROWS.movie_genre != ROWS.movie_genre[500])
    there = int(unlike[:1_000].to_numpy()[500:].argmax()) + 500
    assert there > 500
    order[[500, there]] = order[[there, 500]]  # in one row group: its size and its extremes stay
    other = written(tmp_path / "other.parquet", [ROWS.iloc[order]])
    assert other.digests() != stream.digests()
    for change in ("uid", "genre"):
        field = next(f for f in FIELDS if f.name == change)
        moved = ROWS.copy()
        moved[field.column] = ROWS[field.column].to_numpy()[order]
        assert written(tmp_path / "other.parquet", [moved]).digests() != stream.digests()


def test_a_file_without_a_digest_is_to_be_written_again(stream, tmp_path):
    table = parquet.read_table(stream.path)
    parquet.write_table(table.replace_schema_metadata(None), tmp_path / "old.parquet")
    with pytest.raises(
        DataError, match=r"old\.parquet: the file holds no digest of its rows, .* write it again"
    ):
        streams.Parquet(tmp_path / "old.parquet")


@pytest.mark.parametrize("size", [1, 2])
def test_the_parts_of_the_processes_make_the_batches(stream, size):
    devices = 4
    parts = [dealt(stream, 510, 1, share=Share(rank, size, devices)) for rank in range(size)]
    whole = dealt(stream, 510, 1)
    for number, batch in enumerate(whole):
        mine = joined([part[number] for part in parts])
        assert len(mine[-1]) % devices == 0
        assert mine[-1].sum() == len(batch[-1])
        for ours, theirs in zip(mine[:-1], batch, strict=True):
            np.testing.assert_array_equal(ours[mine[-1] > 0], theirs)
            assert not ours[mine[-1] == 0].any()


def test_it_deals_shares_as_batches_in_memory_does(stream):
    x, y = features.df2xy(ROWS, FIELDS)
    share = Share(1, 2, 4)
    ours = next(stream.batches(510, None, share).deal())
    theirs = batches._Gathered(batches.Batches(x, y, 510, None, share))[0]
    for a, b in zip((*ours[0], *ours[1:]), (*theirs[0], *theirs[1:]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_rows_of_several_frames_fill_the_groups(tmp_path):
    frames = [ROWS.iloc[start : start + 70] for start in range(0, 700, 70)]
    rows = written(tmp_path / "rows.parquet", frames, rows_per_group=300)
    assert rows.rows == [300, 300, 100]
    exact = written(tmp_path / "rows.parquet", [ROWS.iloc[:600]], rows_per_group=300)
    assert exact.rows == [300, 300]


def test_what_cannot_be_written_leaves_the_file_that_was_there(stream, tmp_path):
    path = tmp_path / "rows.parquet"
    before = written(path, [ROWS.iloc[:900]]).digests()
    broken = ROWS.iloc[:800].assign(rating=np.where(np.arange(800) == 650, np.nan, 4.0))
    with pytest.raises(DataError, match=r"row 1250 \(counted from 0\) has no rating"):
        streams.write([ROWS.iloc[:600], broken], FIELDS, path, rows_per_group=500)
    with pytest.raises(DataError, match="hold no rows"):
        streams.write([], FIELDS, path)
    assert streams.Parquet(path).digests() == before
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


def test_what_cannot_be_read_is_named(stream, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; streams.write writes one"):
        streams.Parquet(tmp_path / "none.parquet")
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(stream.path.read_bytes()[:-5])
    with pytest.raises(DataError, match="not a whole Parquet file"):
        streams.Parquet(broken)
    pd.DataFrame({"rating": [1.0], "uid": [1]}).to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="its last column is not 'rating'"):
        streams.Parquet(tmp_path / "foreign.parquet")
    with pytest.raises(ValueError, match="window = 0"):
        streams.Parquet(stream.path, window=0)


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "_build").mkdir()
    assert doctest.testmod(streams).failed == 0
