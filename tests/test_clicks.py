"""Ratings as clicks, and the measures for answers of yes or no."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import special

from benchmarks import click_splits
from deepfm_helpers import clicks, datasets

RNG = np.random.default_rng(0)
Z = RNG.normal(size=3_000)
P = special.expit(Z)
Y = (RNG.random(3_000) < special.expit(0.5 * Z - 0.7)).astype("float32")


def by_pairs(y, score):
    won = [(a > b) + (a == b) / 2 for a, b in product(score[y == 1], score[y == 0])]
    return np.mean(won)


def test_three_stars_are_neither_a_click_nor_none():
    rows = pd.DataFrame(
        {"rating": np.array([1, 2, 3, 4, 5, 3], "float32"), "mid": range(6)}, index=range(10, 16)
    )
    found = clicks.of(rows)
    assert found.rating.tolist() == [0, 0, 1, 1]
    assert found.mid.tolist() == [0, 1, 3, 4]
    assert found.index.tolist() == [10, 11, 13, 14]
    assert rows.rating.tolist() == [1, 2, 3, 4, 5, 3]
    with pytest.raises(
        ValueError, match="2 rows that do not have 3 stars: clicks need rows above and below it"
    ):
        clicks.of(rows[rows.rating > 2].iloc[:3])


@pytest.mark.parametrize("seed", [1, 2])
def test_the_rows_are_those_of_the_benchmark(seed):
    data, *theirs = click_splits.load("planted-small", seed)
    ours = clicks.split(clicks.of(datasets.join(data.ratings, data.movies, data.users)), seed)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.index.equals(other.index)
        assert (mine.rating == other.click).all()
    sizes = np.array([len(part) for part in ours])
    np.testing.assert_allclose(sizes / sizes.sum(), [0.8, 0.1, 0.1], atol=1e-3)


def test_log_loss_by_hand():
    assert clicks.log_loss([1, 0], [0.25, 0.5]) == pytest.approx((np.log(4) + np.log(2)) / 2)
    assert clicks.log_loss([[1], [0]], [[1.0], [0.0]]) == pytest.approx(1e-7, rel=1e-3)
    assert clicks.log_loss([0], [1.0]) == pytest.approx(-np.log(clicks.CUT), rel=1e-6)


def test_log_loss_is_that_of_keras():
    from deepfm_helpers._keras import keras

    p = np.r_[P[:50], 0, 1].astype("float32")
    y = np.r_[Y[:50], 1, 1].astype("float32")
    theirs = float(keras.losses.BinaryCrossentropy()(y, p))
    assert clicks.log_loss(y, p) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("digits", [12, 1, 0])
def test_auc_is_the_share_of_pairs_in_the_right_order(digits):
    y, score = Y[:200], P[:200].round(digits)
    assert clicks.auc(y, score) == pytest.approx(by_pairs(y, score), abs=1e-12)
    assert clicks.auc(y, 100 * score - 3) == pytest.approx(clicks.auc(y, score), abs=1e-12)
    assert clicks.auc(1 - y, score) == pytest.approx(1 - clicks.auc(y, score), abs=1e-12)


def test_auc_by_user_is_the_auc_of_the_rows_of_each_user():
    y, score = Y[:300], P[:300].round(1)
    uid = RNG.integers(0, 40, 300)
    y[uid == 7] = 1
    found = clicks.auc_by_user(y, score, uid)
    for user, rows in pd.DataFrame({"y": y, "score": score, "uid": uid}).groupby("uid"):
        if rows.y.nunique() == 2:
            assert found.auc[user] == pytest.approx(
                by_pairs(rows.y.to_numpy(), rows.score.to_numpy()), abs=1e-12
            )
            assert found.rows[user] == len(rows)
        else:
            assert user not in found.index
    assert 7 not in found.index
    with pytest.raises(ValueError, match="no user has rows of both answers"):
        clicks.auc_by_user([0, 1], [0.5, 0.5], [1, 2])


def test_the_share_of_clicks_has_a_normalised_entropy_of_1():
    share = Y.mean(dtype="float64")
    assert clicks.normalised_entropy(Y, np.full(len(Y), share)) == pytest.approx(1, abs=1e-9)
    assert clicks.normalised_entropy(Y, P) == pytest.approx(clicks.log_loss(Y, P) / clicks.entropy(share))
    assert clicks.entropy(0.5) == pytest.approx(np.log(2))
    assert clicks.entropy(0.0) == 0
    with pytest.raises(ValueError, match="have the same answer"):
        clicks.normalised_entropy([1, 1], [0.4, 0.5])
    with pytest.raises(ValueError, match="share = 1.5"):
        clicks.entropy(1.5)


def test_the_bins_of_a_reliability_table_hold_every_row_once():
    table = clicks.reliability(Y, P, bins=7)
    assert len(table) == 7
    assert table.rows.sum() == len(Y)
    assert table.rows.max() - table.rows.min() <= 1
    assert np.average(table.clicked, weights=table.rows) == pytest.approx(Y.mean(), abs=1e-6)
    assert np.average(table.predicted, weights=table.rows) == pytest.approx(P.mean())
    assert table.predicted.is_monotonic_increasing
    assert ((table.low < table.clicked) & (table.clicked < table.high)).all()
    n, share = table.rows[0], table.clicked[0]
    z = 1.959964
    middle, half = (share + z**2 / (2 * n)), z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert table.low[0] == pytest.approx((middle - half) / (1 + z**2 / n), abs=1e-6)
    assert table.high[0] == pytest.approx((middle + half) / (1 + z**2 / n), abs=1e-6)


def test_equal_probabilities_stay_in_one_bin():
    table = clicks.reliability(Y, P.round(1), bins=10)
    assert table.rows.sum() == len(Y)
    assert len(table) < 10
    whole = clicks.reliability(Y, np.full(len(Y), 0.3))
    assert whole.rows.tolist() == [len(Y)]
    with pytest.raises(ValueError, match="bins = 0"):
        clicks.reliability(Y, P, bins=0)


def test_the_fitted_scale_finds_the_line_that_was_drawn():
    slope, constant = clicks.fitted_scale(Y, P)
    assert slope == pytest.approx(0.5, abs=0.1)
    assert constant == pytest.approx(-0.7, abs=0.1)
    best = clicks.log_loss(Y, clicks.Scale(slope, constant).apply(P))
    for a, b in product((-0.01, 0, 0.01), repeat=2):
        assert clicks.log_loss(Y, clicks.Scale(slope + a, constant + b).apply(P)) >= best
    np.testing.assert_allclose(clicks.Scale(1.0, 0.0).apply(P), P, atol=1e-9)
    assert clicks.auc(Y, clicks.Scale(slope, constant).apply(P)) == pytest.approx(clicks.auc(Y, P), abs=1e-12)


def test_no_scale_is_fitted_where_there_is_none():
    with pytest.raises(
        ValueError, match="the AUC of these 2 rows is 1: a scale needs rows on which the order errs"
    ):
        clicks.fitted_scale([0, 1], [0.2, 0.7])
    with pytest.raises(ValueError, match="all probabilities are alike"):
        clicks.fitted_scale([0, 1, 1], [0.3, 0.3, 0.3])


def test_the_odds_of_a_sample_become_those_of_all_rows():
    # of 100 clicks and 10,000 other rows, a tenth of the others was kept
    assert clicks.odds_corrected(np.array([100 / 1_100]), 0.1) == pytest.approx(100 / 10_100)
    np.testing.assert_allclose(clicks.odds_corrected(P, 0.2), P / (P + (1 - P) / 0.2), atol=1e-9)
    np.testing.assert_allclose(clicks.odds_corrected(P, 1.0), P, atol=1e-9)
    for kept in (0, 1.1, -1, np.nan):
        with pytest.raises(ValueError, match="kept = "):
            clicks.odds_corrected(P, kept)
    with pytest.raises(ValueError, match="probabilities lie between 0 and 1"):
        clicks.odds_corrected(np.array([2.0]), 0.5)


PROBABILITIES = (clicks.log_loss, clicks.normalised_entropy, clicks.reliability, clicks.fitted_scale)


@pytest.mark.parametrize("measure", [*PROBABILITIES, clicks.auc])
def test_what_is_no_click_is_refused(measure):
    with pytest.raises(ValueError, match=r"y: row 1 \(counted from 0\) is 4; a click is 0 or 1"):
        measure([0, 4, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="expected one number for each of the same rows"):
        measure([0, 1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("measure", PROBABILITIES)
def test_a_score_is_not_taken_for_a_probability(measure):
    with pytest.raises(
        ValueError, match=r"p: row 2 \(counted from 0\) is -1.5; a probability lies between 0 and 1"
    ):
        measure([0, 1, 0], [0.1, 0.2, -1.5])


def test_auc_needs_both_answers():
    with pytest.raises(ValueError, match="all 2 rows have the answer 1"):
        clicks.auc([1, 1], [0.2, 0.3])
