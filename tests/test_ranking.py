"""Lists from scores, and how good they are."""

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import datasets, ranking


def test_best_orders_ties_by_position_and_ends_in_minus_one():
    scores = np.array([[1.0, 3.0, 3.0, 3.0, 2.0], [-np.inf, 5.0, -np.inf, -np.inf, -np.inf]])
    assert ranking.best(scores, 2).tolist() == [[1, 2], [1, -1]]
    assert ranking.best(scores, 7).tolist() == [[1, 2, 3, 4, 0, -1, -1], [1, -1, -1, -1, -1, -1, -1]]
    assert ranking.best(np.zeros((1, 50)), 5).tolist() == [[0, 1, 2, 3, 4]]


def test_quality_by_hand():
    relevant = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], bool)
    lists = np.array([[2, 0], [2, -1], [0, 1]])
    found = ranking.quality(lists, relevant)
    assert found.recall == pytest.approx((1 / 2 + 1) / 2)
    second = 1 / np.log2(3)
    assert found.ndcg == pytest.approx((second / (1 + second) + 1) / 2)
    assert found.coverage == pytest.approx(3 / 4)
    with pytest.raises(ValueError, match="no user has a relevant film"):
        ranking.quality(lists, np.zeros_like(relevant))


def test_a_place_after_the_end_of_a_list_is_no_hit():
    found = ranking.quality(np.array([[1, -1]]), np.array([[True, True]]))
    assert found.recall == pytest.approx(1 / 2)
    assert found.ndcg == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_liked_is_a_table_of_users_and_films():
    rows = pd.DataFrame({"uid": [1, 1, 2, 9], "mid": [5, 6, 5, 5], "rating": [4, 3, 5, 5]})
    assert ranking.liked(rows, [1, 2], [5, 6]).tolist() == [[True, False], [True, False]]


def test_drawn_films_are_not_the_liked_ones():
    data = datasets.planted(n_users=40, n_movies=30, n_ratings=300, seed=4)
    joined = datasets.join(data.ratings, data.movies, data.users)
    rows = ranking.liked_or_drawn(joined, 3, seed=1)
    likes = joined[joined.rating >= 4]
    assert rows.rating.sum() == len(likes)
    assert set(rows.rating) == {0, 1}
    wrong = rows[rows.rating == 0].merge(likes, on=["uid", "mid"])
    assert wrong.empty
    again = rows.drop(columns=["movie_name", "movie_genre"]).merge(data.movies, on="mid", how="left")
    assert again.movie_genre.tolist() == rows.movie_genre.tolist()
    pd.testing.assert_frame_equal(rows, ranking.liked_or_drawn(joined, 3, seed=1))


def test_nothing_is_ranked_by_scores_that_are_no_numbers():
    with pytest.raises(ValueError, match="scores hold NaN"):
        ranking.best(np.array([[1.0, np.nan]]), 1)
    with pytest.raises(ValueError, match="n = 0"):
        ranking.best(np.zeros((1, 3)), 0)


def test_as_many_lists_as_users_are_measured():
    with pytest.raises(ValueError, match="1 lists for 2 users"):
        ranking.quality(np.array([[0]]), np.ones((2, 3), bool))


def test_quality_is_the_mean_over_users_who_liked_something():
    relevant = np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], bool)
    lists = np.array([[2, 0], [0, 1], [2, -1]])
    found = ranking.by_user(lists, relevant)
    assert found.index.tolist() == [0, 2]
    assert found.recall.tolist() == [0.5, 1.0]
    pd.testing.assert_series_equal(ranking.quality(lists, relevant)[["recall", "ndcg"]], found.mean())


def test_among_few_drawn_films_a_liked_film_is_found_more_often():
    rng = np.random.default_rng(5)
    relevant = rng.random((40, 300)) < 0.02
    scores = np.where(rng.random(relevant.shape) < 0.1, -np.inf, rng.random(relevant.shape))
    full = ranking.by_user(ranking.best(scores, 10), relevant).recall
    few = ranking.among_drawn(scores, relevant, 10, drawn=30, seed=1)
    assert few.index.equals(full.index)
    reachable = (relevant & (scores > -np.inf)).sum() / relevant.sum()
    assert few.mean() == pytest.approx(reachable * 10 / 31, abs=0.1)
    assert few.mean() > 3 * full.mean()
    pd.testing.assert_series_equal(few, ranking.among_drawn(scores, relevant, 10, drawn=30, seed=1))


def test_among_all_other_films_nothing_is_drawn():
    scores = np.array([[0.9, 0.8, 0.7, 0.6, -np.inf], [0.5, 0.5, 0.5, 0.5, 0.5]])
    relevant = np.array([[0, 0, 1, 0, 1], [1, 0, 0, 0, 0]], bool)
    assert ranking.among_drawn(scores, relevant, 3, drawn=99).tolist() == [0.5, 1.0]  # two and 4 / 2 beats
    assert ranking.among_drawn(scores, relevant, 2, drawn=99).tolist() == [0.0, 0.0]


def test_strangers_and_new_films_are_set_apart():
    data = datasets.planted(n_users=60, n_movies=40, n_ratings=900, seed=3)
    known, strangers, new_films = ranking.set_apart(data, seed=1)
    assert not set(strangers.uid) & {*known.uid, *new_films.uid}
    assert not set(new_films.mid) & {*known.mid, *strangers.mid}
    assert (strangers.uid.nunique(), new_films.mid.nunique()) == (6, 2)
    again = ranking.set_apart(data, seed=1)
    assert all(a.equals(b) for a, b in zip((known, strangers, new_films), again, strict=True))
    assert not known.equals(ranking.set_apart(data, seed=2).known)
