"""Rows that are read while a model trains on them: the same rows, orders that mix, memory that stays flat."""

import doctest

import numpy as np
import pandas as pd
import pytest

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
    held, most, read = [], [], streams.Parquet.group
    monkeypatch.setattr(streams.Parquet, "group", lambda rows, i: held.append(i) or read(rows, i))
    rows = streams.Parquet(stream.path, window=2)
    for _ in rows.batches(256, 1)._blocks():
        most.append(len(held))
        held.clear()
    assert most == [2] * 6


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
    ours = stream.batches(510, None, share)._part([*(a[:510] for a in x), y[:510]])
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
