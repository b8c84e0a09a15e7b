"""Fields made of training rows: what they hold, and that the held-out rows leave no trace in them."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets, features, history


@pytest.fixture(scope="module")
def split():
    data = datasets.load("planted", n_users=80, n_movies=60, n_ratings=2_000, seed=3)
    joined = datasets.join(data.ratings, data.movies, data.users)
    return data, *features.split_rows(joined, 0.2, seed=1)


def told(fields, rows):
    """All that the fields say about rows: ids, or the rows of the table of a known field."""
    ids = [field.encode(rows) for field in fields]
    return [i if f.table is None else f.table[i[:, 0]] for f, i in zip(fields, ids, strict=True)]


def test_the_components_are_those_of_the_matrix_who_rated_what(split):
    data, train, _ = split
    n_uid, n_mid = int(data.users.uid.max()), int(data.movies.mid.max())
    users, films = history.who_rated_what(train, (n_uid, n_mid), components=5, iterations=200)
    rated = np.zeros((n_uid + 1, n_mid + 1))
    rated[train.uid, train.mid] = 1
    scale = np.sqrt(np.maximum(rated.sum(1, keepdims=True), 1) * np.maximum(rated.sum(0), 1))
    left, _, right = np.linalg.svd(rated / scale, full_matrices=False)
    for found, exact in ((users[:, :5], left[:, :5]), (films[:, :5], right[:5].T)):
        exact = exact / (exact[1:].std(axis=0) * np.sqrt(5))
        sign = np.sign((found * exact).sum(axis=0))
        np.testing.assert_allclose(found * sign, exact, atol=2e-3)
    count = np.log(np.maximum(rated.sum(1), 1))
    np.testing.assert_allclose(users[:, 5], count - count.mean(), atol=1e-5)


def test_held_out_rows_leave_no_trace(split):
    data, train, test = split
    before = told(history.describe(data, train, 8), test)
    spoilt = test.assign(rating=6 - test.rating)
    after = told(history.describe(data, train, 8), spoilt)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_stars_of_the_training_rows_leave_no_trace_either(split):
    data, train, test = split
    shuffled = train.assign(rating=np.random.default_rng(0).permutation(train.rating))
    pair = [told(history.describe(data, rows, 8), test) for rows in (train, shuffled)]
    for one, other in zip(*pair, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_trace_of_a_held_out_row_would_be_noticed(split):
    data, train, test = split
    clean = told(history.describe(data, train, 8), test)
    leaked = told(history.describe(data, pd.concat([train, test]), 8), test)
    assert any(not np.array_equal(one, other) for one, other in zip(clean, leaked, strict=True))


def test_days_count_from_the_first_training_day_and_end_with_the_last(split):
    data, train, _ = split
    day = history.describe(data, train, 2)[0]
    start = int(train.timestamp.min()) // 86_400 * 86_400
    rows = pd.DataFrame({"timestamp": start + np.array([-5, 0, 86_399, 86_400, 10**9])})
    assert day.encode(rows)[:, 0].tolist() == [1, 1, 1, 2, day.size]
    assert day.size == (train.timestamp.max() - start) // 86_400 + 1


def test_time_since_the_first_rating_doubles_from_bin_to_bin(split):
    data, train, _ = split
    since = history.describe(data, train, 2)[1]
    user = int(train.uid.iloc[0])
    first = int(train.timestamp[train.uid == user].min())
    quarters = np.array([-4, 0, 0.9, 1, 3, 7, 15, 10**6])
    rows = pd.DataFrame({"uid": user, "timestamp": (first + quarters * 900).astype("int64")})
    assert since.encode(rows)[:, 0].tolist() == [1, 1, 1, 2, 3, 4, 5, since.size]


def test_who_is_unknown_to_the_training_rows_has_no_history(split):
    data, train, _ = split
    user, film = int(train.uid.iloc[0]), int(train.mid.iloc[0])
    fields = history.describe(data, train[(train.uid != user) & (train.mid != film)], 4)
    row = pd.DataFrame({"uid": [user], "mid": [film], "timestamp": [int(train.timestamp.max())]})
    _, since, rated, raters = told(fields, row)
    assert since.tolist() == [[1]]
    np.testing.assert_allclose([rated[0, :4], raters[0, :4]], 0, atol=1e-5)


def test_stretches_cut_the_ratings_of_a_user_in_order_of_time(split):
    train = split[1].sort_values(["uid", "timestamp"], ignore_index=True)
    for field, length in zip(history.stretches(train, (3, 8), seed=5), (3, 8), strict=True):
        number = pd.Series(field.encode(train)[:, 0], name="number")
        step, new_user = np.diff(number), np.diff(train.uid) > 0
        assert set(step[~new_user]) == {0, 1}
        assert set(step[new_user]) == {1}
        assert (number.iloc[0], number.iloc[-1]) == (1, field.size)
        assert field.wide
        for _, mine in number.groupby(train.uid):
            cuts = max(round(len(mine) / length), 1)
            assert cuts <= mine.nunique() <= cuts + 1
            assert mine.value_counts().max() <= np.ceil(len(mine) / cuts)


def test_another_seed_cuts_elsewhere(split):
    one, same, other = (history.stretches(split[1], (8,), seed)[0].starts for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_new_rating_falls_into_the_stretch_of_its_time_and_a_stranger_into_none():
    train = pd.DataFrame({"uid": [2] * 40 + [5] * 2, "timestamp": [*range(100, 500, 10), 10, 20]})
    (field,) = history.stretches(train, (8,))
    uid, begins = np.divmod(field.starts, 2**33)

    def found(uid, timestamp):
        return field.encode(pd.DataFrame({"uid": uid, "timestamp": timestamp}))[:, 0].tolist()

    assert found(uid, begins) == list(range(1, field.size + 1))
    later = (begins > 0).nonzero()[0]
    assert found(uid[later], begins[later] - 1) == later.tolist()
    last = int(np.flatnonzero(uid == 2)[-1]) + 1
    assert found([2, 2, 5, 1, 3, 9], [0, 10**9, 0, 10, 10, 10]) == [1, last, last + 1, 0, 0, 0]


def test_stretches_hold_neither_stars_nor_held_out_rows(split):
    _, train, test = split
    before = told(history.stretches(train), test)
    assert len({field.max() for field in before}) == 3
    for other in (train.assign(rating=1), train.sample(frac=1, random_state=0)):
        for one, two in zip(before, told(history.stretches(other), test), strict=True):
            np.testing.assert_array_equal(one, two)


def test_a_stretch_without_ratings_is_refused(split):
    with pytest.raises(ValueError, match="at least one rating"):
        history.stretches(split[1], (8, 0))


def test_more_components_than_films_are_refused(split):
    data, train, _ = split
    with pytest.raises(ValueError, match="choose 1 to"):
        history.describe(data, train, 500)


WAYS = {
    "dates": lambda t: pd.to_datetime(t, unit="s"),
    "dates in seconds": lambda t: pd.to_datetime(t, unit="s").astype("datetime64[s]"),
    "dates of a time zone": lambda t: pd.to_datetime(t, unit="s", utc=True).dt.tz_convert("America/Chicago"),
    "dates as objects": lambda t: pd.to_datetime(t, unit="s").astype(object),
    "fractions of seconds": lambda t: t + 0.25,
    "seconds that could be missing": lambda t: t.astype("Int64"),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_times_may_be_dates_in_training_and_test_rows(split, way):
    data, train, test = split
    other_train, other_test = (rows.assign(timestamp=way(rows.timestamp)) for rows in (train, test))
    fields = [*history.describe(data, train, 4), *history.stretches(train)]
    others = [*history.describe(data, other_train, 4), *history.stretches(other_train)]
    assert [f.size for f in fields] == [f.size for f in others]
    for rows, other_rows in ((train, other_train), (test, other_test)):
        for one, other in zip(told(fields, rows), told(others, other_rows), strict=True):
            np.testing.assert_array_equal(one, other)
    late, other_late = (features.split_rows(rows, 0.1, by="time")[1] for rows in (train, other_train))
    assert late.index.tolist() == other_late.index.tolist()


WRONG = {
    "milliseconds": (lambda t: t * 1_000, ValueError, "these look like milliseconds, divide by 1,000"),
    "microseconds": (lambda t: t * 10**6, ValueError, "these look like microseconds"),
    "nanoseconds": (lambda t: t * 10**9, ValueError, "these look like nanoseconds"),
    "before 1970": (lambda t: t - 2**32, ValueError, "lies before 1970"),
    "missing": (lambda t: t.astype(float).mask(t == t.iloc[3]), ValueError, "no finite number"),
    "missing date": (
        lambda t: pd.to_datetime(t, unit="s").mask(t == t.iloc[3]),
        ValueError,
        "NaT is no time",
    ),
    "text": (lambda t: t.astype(str), TypeError, "is of type str"),
    "durations": (lambda t: pd.to_timedelta(t, unit="s"), TypeError, "is of type Timedelta"),
}


@pytest.mark.parametrize(("way", "error", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_seconds_is_said_wherever_times_are_read(split, way, error, message):
    data, train, _ = split
    wrong = train.assign(timestamp=way(train.timestamp))
    fields = [f for f in (*history.describe(data, train, 4), *history.stretches(train)) if f.table is None]
    assert {type(f) for f in fields} == {history.Day, history.SinceFirst, history.Stretch}
    readers = [
        lambda: history.describe(data, wrong, 4),
        lambda: history.stretches(wrong),
        lambda: features.split_rows(wrong, 0.1, by="time"),
        *(lambda f=f: f.encode(wrong) for f in fields),
    ]
    for read in readers:
        with pytest.raises(error, match=f"column 'timestamp', row .*{message}"):
            read()


@pytest.mark.parametrize("column", ["uid", "mid", "timestamp"])
def test_a_missing_column_of_the_training_rows_is_named(split, column):
    data, train, _ = split
    with pytest.raises(KeyError, match=f"no column '{column}'; the frame has "):
        history.describe(data, train.drop(columns=column), 4)
    if column != "mid":
        with pytest.raises(KeyError, match=f"stretches of the training rows: no column '{column}'"):
            history.stretches(train.drop(columns=column))


def test_a_user_beyond_those_of_the_data_is_refused(split):
    data, train, _ = split
    stranger = train.assign(uid=train.uid.where(train.uid != train.uid.iloc[0], 10**6))
    with pytest.raises(ValueError, match=r"ids \d to 1000000 do not fit 0 … 80"):
        history.describe(data, stranger, 4)
    since = history.describe(data, train, 4)[1]
    with pytest.raises(ValueError, match="feature since_first: ids"):
        since.encode(stranger)


def test_training_rows_without_a_user_leave_no_trace(split):
    data, train, test = split
    holed = pd.concat([train, train.tail(40).assign(uid=None)], ignore_index=True)
    for one, other in zip(
        *(told(history.describe(data, rows, 4)[2:], test) for rows in (train, holed)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    for field in (*history.describe(data, holed, 4)[1:2], *history.stretches(holed)):
        assert not field.encode(test.assign(uid=None)).any()


def test_no_training_rows_are_said(split):
    data, train, _ = split
    for make in (lambda rows: history.describe(data, rows, 4), history.stretches):
        with pytest.raises(ValueError, match="no training rows"):
            make(train.iloc[:0])


def test_the_history_needs_no_tensorflow():
    code = """
import sys
from deepfm_helpers import datasets, history
data = datasets.planted(40, 30, 300)
history.describe(data, data.ratings, 4)
assert not {"tensorflow", "keras"} & set(sys.modules), "imported"
"""
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
