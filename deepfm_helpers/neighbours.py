"""Lists from counting alone, and what counting can tell a DeepFM: item cosine, EASE and tastes (chapter 12).

>>> import numpy as np
>>> from scipy import sparse
>>> from deepfm_helpers import neighbours
>>> x = sparse.csr_array(np.array([[1.0, 1, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]]))  # who liked what
>>> neighbours.cosine(x).round(2).tolist()
[[0.0, 0.82, 0.0], [0.82, 0.0, 0.41], [0.0, 0.41, 0.0]]
>>> neighbours.ease(x, penalty=1.0).round(2).tolist()
[[0.0, 0.55, -0.18], [0.67, 0.0, 0.33], [-0.18, 0.27, 0.0]]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

from deepfm_helpers import history
from deepfm_helpers.features import FIELDS, Feature


def as_matrix(rows: pd.DataFrame, users: Sequence[int], films: Sequence[int]) -> sparse.csr_array:
    """The matrix X: 1 where a row has the user and the film, and 0 elsewhere, float32 (users, films).

    Rows of other users and films do not count.

    Args:
        rows: those that count, with uid and mid, each pair once.
        users, films: uids and mids in the order of the rows and the columns of X.
    """
    at = pd.Index(users).get_indexer(rows["uid"]), pd.Index(films).get_indexer(rows["mid"])
    inside = (at[0] >= 0) & (at[1] >= 0)
    places = at[0][inside], at[1][inside]
    ones = np.ones(len(places[0]), np.float32)
    return sparse.csr_array((ones, places), (len(users), len(films)))


def cosine(x: sparse.csr_array) -> np.ndarray:
    """How alike two films are, float64 (films, films): the cosine of their columns of X, and 0 for a film with itself.

    `x @ cosine(x)` are scores, see equation eq-topn-cosine. A film that nobody liked is like no other.
    """
    together = _together(x)
    lengths = np.sqrt(np.maximum(np.diag(together), 1.0))
    np.fill_diagonal(together, 0.0)
    return together / lengths / lengths[:, None]


def ease(x: sparse.csr_array, penalty: float) -> np.ndarray:
    """The weights of EASE, float64 (films, films): which films speak for which, a film never for itself.

    `x @ ease(x, penalty)` are scores, see equation eq-topn-ease (Steck, *Embarrassingly Shallow Autoencoders for
    Sparse Data*, 2019). The inverse of a matrix (films, films) takes seconds for some thousands of films.

    Args:
        x: see `as_matrix`.
        penalty: λ, above 0.

    Raises:
        ValueError: a penalty that is not above 0.
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
    """How many users liked both of two films, float64 (films, films)."""
    return (x.T @ x).toarray().astype(np.float64)


@dataclass(frozen=True)
class Taste(Feature):
    """Which films a user liked, in numbers: a known field with a row for each user, and one for each part left out.

    Row `uid` of the table sums up all films that the user liked; row `uid` + part · `ids`, all but those of the
    part. The column `part` of a frame says which part to leave out; a frame without it, and part 0, asks for all.
    """

    ids: int = 0

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        rows = super().encode(frame)
        return rows + self.ids * frame["part"].to_numpy(np.int32)[:, None] if "part" in frame else rows


def taste(data, likes: pd.DataFrame, components: int = 100, seed: int = 0) -> Taste:
    """Describes the field `taste`: what a user liked, for a training row without the likes of that row's own part.

    Films stand at the leading principal components of "who liked what", see `history.who_rated_what`, and a user
    at the sum of the n films liked, divided by √n (equation eq-topn-taste).

    Args:
        data: a `datasets.MovieLens`; says how many users and films there are.
        likes: the training rows that count, with uid, mid and `part`, a whole number from 1.
        components: how many numbers a row of the table has.
        seed: see `history.who_rated_what`.
    """
    sizes = FIELDS["uid"].described(data.users).size, FIELDS["mid"].described(data.movies).size
    _, films = history.who_rated_what(likes, sizes, components, seed)
    films = films[:, :-1]  # without the logarithm of the count
    ids, parts = sizes[0] + 1, int(likes["part"].max())
    rows = likes["part"].to_numpy() * ids + likes["uid"].to_numpy()
    ones = np.ones(len(likes), np.float32)
    liked = sparse.csr_array((ones, (rows, likes["mid"])), ((parts + 1) * ids, len(films)))
    sums = (liked @ films).reshape(parts + 1, ids, components)
    counts = liked.sum(axis=1).reshape(parts + 1, ids, 1)
    table = sums.sum(axis=0) - sums  # part 0 holds nothing, so nothing is left out
    table /= np.sqrt(np.maximum(counts.sum(axis=0) - counts, 1.0))
    table = table.reshape(-1, components) / (table.std() * np.sqrt(components))
    table = table.astype(np.float32)
    return Taste("taste", "known", "uid", len(table) - 1, table=table, owner="user", ids=ids)
