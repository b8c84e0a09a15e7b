"""Rankers that count, against dense references, and the field of tastes."""

import numpy as np
import pytest
from scipy import sparse

from deepfm_helpers import datasets, features, history, neighbours, ranking

DATA = datasets.planted(n_users=60, n_movies=25, n_ratings=700, seed=3)
ROWS = datasets.join(DATA.ratings, DATA.movies, DATA.users)
LIKES = ROWS[ROWS.rating >= 4]
USERS, FILMS = np.sort(DATA.users.uid), np.sort(DATA.movies.mid)


@pytest.fixture(scope="module")
def x():
    return neighbours.as_matrix(LIKES, USERS, FILMS)


def test_the_matrix_holds_a_one_for_each_like(x):
    dense = ranking.liked(ROWS, USERS, FILMS)
    assert (x.toarray() == dense).all()
    assert x.sum() == len(LIKES)
    few = neighbours.as_matrix(LIKES, USERS[:9], FILMS[3:7])
    assert (few.toarray() == dense[:9, 3:7]).all()


def test_cosine_is_that_of_the_columns(x):
    dense = np.column_stack(
        [x.toarray().astype(float), np.zeros(len(USERS))]
    )  # the last film is liked by nobody
    found = neighbours.cosine(sparse.csr_array(dense))
    for i in range(len(FILMS) + 1):
        for j in range(len(FILMS) + 1):
            a, b = dense[:, i], dense[:, j]
            length = np.linalg.norm(a) * np.linalg.norm(b)
            assert found[i, j] == pytest.approx(a @ b / length if i != j and length else 0.0)


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_ease_is_a_ridge_regression_of_each_film_on_all_others(x, penalty):
    dense = x.toarray().astype(float)
    found = neighbours.ease(x, penalty)
    assert (np.diag(found) == 0).all()
    for i in range(len(FILMS)):
        others = np.delete(dense, i, axis=1)
        ridge = np.linalg.solve(others.T @ others + penalty * np.eye(len(FILMS) - 1), others.T @ dense[:, i])
        assert np.delete(found[:, i], i) == pytest.approx(ridge, abs=1e-9)


def test_ease_refuses_a_penalty_that_is_none(x):
    with pytest.raises(ValueError, match="penalty = 0: choose a number above 0"):
        neighbours.ease(x, 0)


def test_a_taste_is_the_sum_of_the_liked_films():
    field = neighbours.taste(DATA, LIKES, components=6, seed=2)
    sizes = int(DATA.users.uid.max()), int(DATA.movies.mid.max())
    _, films = history.who_rated_what(LIKES, sizes, 6, 2)
    found = field.table[field.encode(DATA.users)[:, 0]]
    by_hand = np.zeros_like(found)
    for row, uid in zip(by_hand, DATA.users.uid, strict=True):
        liked = LIKES.mid[LIKES.uid == uid]
        row += films[liked, :-1].sum(axis=0) / np.sqrt(max(len(liked), 1))
    scale = np.abs(by_hand).sum() / np.abs(found).sum()
    assert scale * found == pytest.approx(by_hand, abs=1e-4)
    assert field.table.std() == pytest.approx(1 / 8, rel=1e-3)
    assert len(features.df2xy(ROWS, (field,))[0][0]) == len(ROWS)


def test_others_get_a_taste_and_do_not_change_those_of_the_users():
    alone = neighbours.taste(DATA, LIKES, components=6, seed=2)
    twin = int(DATA.users.uid.max()) + 3
    others = LIKES[LIKES.uid == LIKES.uid.min()].assign(uid=twin)
    field = neighbours.taste(DATA, LIKES, components=6, seed=2, others=others)
    assert field.size == twin
    assert (field.table[: alone.size + 1] == alone.table).all()
    assert field.table[twin] == pytest.approx(alone.table[LIKES.uid.min()])
    assert (field.table[alone.size + 1 : twin] == 0).all()
