"""Ranks films by counts of who liked what: item cosine and EASE, and a field of tastes for a DeepFM (chapter 12).

>>> import numpy as np
>>> from scipy import sparse
>>> from deepfm_helpers import neighbours
>>> x = sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]))  # who liked what
>>> neighbours.cosine(x).round(2).tolist()
[[0.0, 0.82, 0.0], [0.82, 0.0, 0.41], [0.0, 0.41, 0.0]]
>>> neighbours.ease(x, penalty=1.0).round(2).tolist()
[[0.0, 0.67, -0.25], [0.55, 0.0, 0.37], [-0.18, 0.33, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from deepfm_helpers import history
from deepfm_helpers.features import FIELDS, Feature


def as_matrix(rows: pd.DataFrame, users: Sequence[int], films: Sequence[int]) -> sparse.csr_array:
    """Makes the matrix X: 1 where a row has the user and the film, and 0 elsewhere, float32 (users, films).

    Args:
        rows: rows with uid and mid, each pair once; those of other users and films do not count.
        users, films: uids and mids in the order of the rows and the columns of X.
    """
    at = pd.Index(users).get_indexer(rows["uid"]), pd.Index(films).get_indexer(rows["mid"])
    inside = (at[0] >= 0) & (at[1] >= 0)
    places = at[0][inside], at[1][inside]
    ones = np.ones(len(places[0]), np.float32)
    return sparse.csr_array((ones, places), (len(users), len(films)))


def cosine(x: sparse.csr_array) -> np.ndarray:
    """Computes how alike two films are: the cosine of their columns of X, and 0 for a film with itself.

    `x @ cosine(x)` are scores (equation eq-topn-cosine). A film that nobody liked has the cosine 0 with every other.

    Args:
        x: see `as_matrix`.

    Returns:
        float64 (films, films).
    """
    together = _together(x)
    lengths = np.sqrt(np.maximum(np.diag(together), 1.0))
    np.fill_diagonal(together, 0.0)
    return together / lengths / lengths[:, None]


def ease(x: sparse.csr_array, penalty: float) -> np.ndarray:
    """Computes the weights of EASE: how much a like of one film speaks for another, and 0 for a film with itself.

    `x @ ease(x, penalty)` are scores (equation eq-topn-ease; Steck, *Embarrassingly Shallow Autoencoders for Sparse
    Data*, 2019). The inverse of a matrix (films, films) takes seconds for some thousands of films.

    Args:
        x: see `as_matrix`.
        penalty: λ, above 0.

    Returns:
        float64 (films, films).

    Raises:
        ValueError: the penalty is not above 0.
    """
    if not penalty > 0:
        raise ValueError(f"penalty = {penalty}: choose a number above 0")
    together = _together(x)
    together[np.diag_indices_from(together)] += penalty
    inverse = np.linalg.inv(together)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _together(x: sparse.csr_array) -> np.ndarray:
    """Counts the users who liked both of two films, float64 (films, films)."""
    return (x.T @ x).toarray().astype(np.float64)


def taste(
    data, likes: pd.DataFrame, components: int = 100, seed: int = 0, others: pd.DataFrame | None = None
) -> Feature:
    """Describes the field `taste`: which films a user liked, in numbers (a known field, see `features.Feature`).

    The vector of a film holds the leading principal components of "who liked what", see `history.who_rated_what`; the
    vector of a user is the sum of those of the n films liked, divided by √n (equation eq-topn-taste). One factor scales
    the numbers of these users to a standard deviation of 1/8.

    Args:
        data: a `datasets.MovieLens`; says how many users and films there are.
        likes: the training rows that count as likes, with uid and mid.
        components: how many numbers stand for a user.
        seed: see `history.who_rated_what`.
        others: likes of people who have none in `likes`, possibly with uids above those of `data`. They get a vector
            too, and have no say in those of the films.

    Raises:
        KeyError, ValueError: see `history.who_rated_what`.
    """
    sizes = FIELDS["uid"].described(data.users).size, FIELDS["mid"].described(data.movies).size
    _, films = history.who_rated_what(likes, sizes, components, seed)
    table = _summed(likes, films[:, :-1], sizes[0])
    scale = 8 * table.std()
    if others is not None:
        more = _summed(others, films[:, :-1], max(sizes[0], int(others["uid"].max())))
        more[: len(table)] += table  # where the others have zeros
        table = more
    table = (table / scale).astype(np.float32)
    return Feature("taste", "known", "uid", len(table) - 1, table=table, owner="user")


def _summed(likes: pd.DataFrame, films: np.ndarray, size: int) -> np.ndarray:
    """Sums the vectors of the n films that each uid up to `size` likes, and divides by √n, (size + 1, components)."""
    liked = as_matrix(likes, range(size + 1), range(len(films)))
    return liked @ films / np.sqrt(np.maximum(liked.sum(axis=1), 1.0))[:, None]
