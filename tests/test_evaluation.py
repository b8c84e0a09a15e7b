"""Metrics, baselines and the ways of asking which part does the work, against numbers done by hand."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets, evaluation, features, models

Y = np.array([4.0, 2.0, 5.0, 3.0])
PARTS = pd.DataFrame(
    {
        "first_order": [0.5, -0.5, 0.5, -0.5],
        "second_order": [0.5, 0.5, -0.5, -0.5],
        "deep": [0.25, -0.25, 0.75, 0.25],
        "bias": 3.5,
    }
)


def test_rmse_and_mae_by_hand():
    prediction = np.array([4.0, 3.0, 3.0, 3.0])
    assert evaluation.rmse(Y, prediction) == pytest.approx(np.sqrt(5 / 4))
    assert evaluation.mae(Y, prediction) == pytest.approx(3 / 4)
    assert evaluation.rmse(Y, Y) == evaluation.mae(Y, Y) == 0


PAIRED = {
    "rmse": evaluation.rmse,
    "mae": evaluation.mae,
    "paired_difference": evaluation.paired_difference,
    "zeroed": lambda y, prediction: evaluation.zeroed(frame_of(prediction), y),
    "mse_drop_by_subset": lambda y, prediction: evaluation.mse_drop_by_subset(frame_of(prediction), y),
}


def frame_of(deep):
    """Parts of which one is given: a frame has one number in each cell, so the other array takes other shapes."""
    return pd.DataFrame({"first_order": 0.5, "deep": np.ravel(deep), "bias": 3.5})


def same(one, other):
    if isinstance(one, dict):
        return one == other
    return np.array_equal(np.asarray(one, float), np.asarray(other, float), equal_nan=True)


@pytest.mark.parametrize("metric", PAIRED.values(), ids=PAIRED)
def test_a_column_is_compared_row_by_row_and_not_with_every_row(metric):
    prediction = np.array([3.5, 2.5, 4.0, 3.0])
    by_rows = metric(Y, prediction)
    for y, p in [(Y[:, None], prediction), (Y, prediction[:, None]), (Y[:, None], prediction[:, None])]:
        assert same(metric(y, p), by_rows)
    assert same(metric(pd.Series(Y, index=[3, 2, 1, 0]), list(prediction)), by_rows)


@pytest.mark.parametrize("metric", PAIRED.values(), ids=PAIRED)
@pytest.mark.parametrize(
    ("y", "shape"), [(Y[:3], r"\(3,\)"), (Y[None], r"\(1, 4\)"), (np.stack([Y, Y], axis=1), r"\(4, 2\)")]
)
def test_arrays_of_other_shapes_are_refused_by_every_metric(metric, y, shape):
    with pytest.raises(ValueError, match=rf"has shape {shape}, \w+ has shape \(4,\)"):
        metric(y, Y)


@pytest.mark.parametrize("metric", PAIRED.values(), ids=PAIRED)
def test_no_rows_are_refused_by_every_metric(metric):
    with pytest.raises(ValueError, match="there are no rows"):
        metric(Y[:0], Y[:0])


@pytest.mark.parametrize("metric", PAIRED.values(), ids=PAIRED)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused_by_every_metric(metric, value):
    bad = np.array([4.0, 2.0, value, 3.0])
    for y, prediction in [(bad, Y), (Y, bad), (Y, bad[:, None])]:
        with pytest.raises(ValueError, match=rf"\w+: row 2 \(counted from 0\) is {value}"):
            metric(y, prediction)


def test_a_single_number_stands_for_every_row():
    assert evaluation.rmse(Y, 3.0) == evaluation.rmse(Y, np.full(4, 3.0))
    with pytest.raises(ValueError, match=r"y has shape \(\), prediction has shape \(\)"):
        evaluation.rmse(4.0, 3.0)


def test_shares_of_no_variance_of_no_rows_and_of_missing_numbers_are_refused():
    with pytest.raises(ValueError, match="no variance"):
        evaluation.variance_shares(PARTS.assign(first_order=1.0, second_order=0.0, deep=0.0))
    with pytest.raises(ValueError, match="no rows"):
        evaluation.variance_shares(PARTS[:0])
    with pytest.raises(ValueError, match="deep: row 1 .* is nan"):
        evaluation.variance_shares(PARTS.assign(deep=[0.0, np.nan, 1.0, 2.0]))


def test_baselines_of_a_missing_rating_are_refused():
    train = pd.DataFrame({"uid": [1, 2], "mid": [1, 1], "rating": [4.0, np.nan]})
    with pytest.raises(ValueError, match="rating: row 1"):
        evaluation.bias_predictions(train, train)
    with pytest.raises(ValueError, match="y: row 1"):
        evaluation.baselines(train[:1], train)


def test_rmse_of_float32_is_computed_in_float64():
    y = np.full(1_000_000, 16_777_216.0, np.float32)
    assert evaluation.rmse(y, y - 1) == 1.0


def test_baselines_equal_a_loop_over_the_rows():
    train = pd.DataFrame(
        {"uid": [1, 1, 2, 2, 3], "mid": [1, 2, 1, 3, 2], "rating": np.array([5, 3, 4, 2, 1], np.float32)}
    )
    rows = pd.DataFrame({"uid": [1, 3, 9], "mid": [3, 9, 9], "rating": np.array([4, 2, 3], np.float32)})
    mean, damping = 3.0, 5.0
    film, user = {}, {}
    for mid in (1, 2, 3):
        rest = [r.rating - mean for r in train.itertuples() if r.mid == mid]
        film[mid] = sum(rest) / (len(rest) + damping)
    for uid in (1, 2, 3):
        rest = [r.rating - mean - film[r.mid] for r in train.itertuples() if r.uid == uid]
        user[uid] = sum(rest) / (len(rest) + damping)
    expected = [mean + film.get(r.mid, 0) + user.get(r.uid, 0) for r in rows.itertuples()]
    np.testing.assert_allclose(evaluation.bias_predictions(train, rows), expected, rtol=1e-12)

    table = evaluation.baselines(train, rows)
    assert table.loc["global mean", "rmse"] == pytest.approx(np.sqrt(2 / 3))
    assert table.loc["global mean", "mae"] == pytest.approx(2 / 3)
    assert table.loc["user + film offsets", "rmse"] == pytest.approx(evaluation.rmse(rows.rating, expected))


def test_offsets_help_where_films_and_users_differ():
    data = datasets.load("planted", n_users=100, n_movies=80, n_ratings=4_000, seed=1)
    table = evaluation.baselines(*features.split_rows(data.ratings, 0.1))
    assert table.loc["user + film offsets", "rmse"] < 0.97 * table.loc["global mean", "rmse"]


def test_variance_shares_by_hand_and_in_sum():
    shares = evaluation.variance_shares(PARTS)
    score = PARTS.drop(columns="bias").sum(axis=1)
    for name in shares.index:
        by_hand = np.mean((PARTS[name] - PARTS[name].mean()) * (score - score.mean())) / np.var(score)
        assert shares[name] == pytest.approx(by_hand)
    assert shares.sum() == pytest.approx(1)
    alone = evaluation.variance_shares(PARTS.assign(first_order=0.0, deep=7.0))
    assert alone.tolist() == pytest.approx([0, 1, 0])


def test_a_part_can_have_a_negative_share():
    against = PARTS.assign(second_order=-0.5 * PARTS.first_order, deep=0.0)
    assert evaluation.variance_shares(against).tolist() == pytest.approx([2, -1, 0])


def test_zeroed_takes_one_part_out():
    table = evaluation.zeroed(PARTS, Y)
    score = PARTS.sum(axis=1)
    assert list(table.index) == ["nothing", "first_order", "second_order", "deep"]
    assert table.loc["nothing"].tolist() == pytest.approx([evaluation.rmse(Y, score)] * 2)
    assert table.loc["deep", "set_to_zero"] == pytest.approx(evaluation.rmse(Y, score - PARTS.deep))
    assert table.loc["deep", "set_to_mean"] == pytest.approx(evaluation.rmse(Y, score - PARTS.deep + 0.25))
    assert table.loc["first_order", "set_to_zero"] == table.loc["first_order", "set_to_mean"]


def test_averaged_over_orders_on_paper():
    # Two people carry 4 and 6 boxes alone and 14 together: (4 + 8) / 2 and (6 + 10) / 2.
    value = {frozenset(): 0, frozenset("a"): 4, frozenset("b"): 6, frozenset("ab"): 14}
    assert evaluation.averaged_over_orders(value, "ab").to_dict() == {"a": 6, "b": 8}


def test_averaged_over_orders_equals_the_average_over_all_orders():
    rng = np.random.default_rng(0)
    names = "abcd"
    value = {frozenset(c): rng.normal() for n in range(5) for c in combinations(names, n)}
    gains = {name: [] for name in names}
    for order in permutations(names):
        for i, name in enumerate(order):
            gains[name].append(value[frozenset(order[: i + 1])] - value[frozenset(order[:i])])
    shapley = evaluation.averaged_over_orders(value, names)
    for name in names:
        assert shapley[name] == pytest.approx(np.mean(gains[name]))
    assert shapley.sum() == pytest.approx(value[frozenset(names)] - value[frozenset()])


def test_averaged_over_orders_treats_equals_equally_and_ignores_idlers():
    names = ("left", "right", "idle")
    shoes = {
        frozenset(c): float({"left", "right"} <= set(c)) for n in range(4) for c in combinations(names, n)
    }
    assert evaluation.averaged_over_orders(shoes, names).tolist() == pytest.approx([0.5, 0.5, 0.0])
    del shoes[frozenset({"left"})]
    with pytest.raises(KeyError):
        evaluation.averaged_over_orders(shoes, names)


def test_mse_drop_by_subset_equals_the_loop():
    value = evaluation.mse_drop_by_subset(PARTS, Y)
    assert len(value) == 8
    assert value[frozenset()] == 0
    columns = ["first_order", "second_order", "deep"]
    for subset in value:
        score = 3.5 + sum(PARTS[c] if c in subset else PARTS[c].mean() for c in columns)
        still = 3.5 + sum(PARTS[c].mean() for c in columns)
        assert value[subset] == pytest.approx(evaluation.rmse(Y, still) ** 2 - evaluation.rmse(Y, score) ** 2)


@pytest.mark.parametrize("head", ["sum", "dense"])
@pytest.mark.parametrize("chosen", [models.PARTS, ("first_order",), ("second_order", "deep")])
def test_the_parts_add_up_to_the_prediction(head, chosen):
    data = datasets.load("planted", n_users=30, n_movies=30, n_ratings=300, seed=5)
    joined = datasets.join(data.ratings, data.movies, data.users)
    fields = features.describe(data)
    x, _ = features.df2xy(joined, fields)
    *_, model = models.deep_fm_model(
        features=fields, k=3, dnn_dim=(5,), head=head, parts=chosen, mean_rating=3.5, embedding_spread=0.5
    )
    parts = evaluation.parts(model, x)
    assert list(parts) == [*chosen, "bias"]
    assert parts.bias.unique().tolist() == [3.5]
    np.testing.assert_allclose(parts.sum(axis=1), evaluation.predict(model, x), rtol=1e-5, atol=1e-5)


def test_the_parts_of_an_fm_add_up_too():
    fields = features.post_features(5, 5, 3)[1:3]
    x = [np.array([[1], [2], [5]], np.int32), np.array([[3], [0], [4]], np.int32)]
    model = models.fm_model(fields, 2, mean_rating=3.0, embedding_spread=0.5)
    parts = evaluation.parts(model, x)
    assert list(parts) == ["first_order", "second_order", "bias"]
    np.testing.assert_allclose(parts.sum(axis=1), evaluation.predict(model, x), rtol=1e-5)


def test_a_paired_difference_by_hand():
    found = evaluation.paired_difference([1.0, 2.0, 3.5], [0.5, 1.0, 2.0])
    assert found.difference == pytest.approx(1.0)
    assert found.sd == pytest.approx(0.5)
    half = 4.3027 * 0.5 / np.sqrt(3)
    assert (found.low, found.high) == pytest.approx((1 - half, 1 + half), abs=1e-4)
    assert found.detectable == pytest.approx(half + 1.0607 * 0.5 / np.sqrt(3), abs=1e-3)
    assert found.runs == 3


def test_the_interval_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(400):
        base = rng.normal(size=5)
        found = evaluation.paired_difference(base + rng.normal(0.3, 1, size=5), base)
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


@pytest.mark.parametrize(
    ("runs", "t"), [(2, 12.7062), (5, 2.7764), (121, 1.9799), (351, 1.9668), (2000, 1.9612)]
)
def test_the_interval_is_as_wide_as_the_tables_of_t_say(runs, t):
    difference = np.random.default_rng(1).normal(size=runs)
    found = evaluation.paired_difference(difference, np.zeros(runs))
    half = t * difference.std(ddof=1) / np.sqrt(runs)
    assert found.high - found.difference == pytest.approx(half, rel=1e-4)


def test_one_run_has_no_interval():
    found = evaluation.paired_difference([1.0], [0.5])
    assert found.difference == 0.5
    assert found[["low", "high", "sd", "detectable"]].isna().all()
