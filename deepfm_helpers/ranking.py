"""Makes lists from scores, and measures how good they are (chapter 12).

>>> import numpy as np
>>> from deepfm_helpers import ranking
>>> lists = ranking.best(np.array([[3.1, 4.5, 2.0, 4.0], [4.9, -np.inf, -np.inf, 1.0]]), 3)
>>> lists
array([[ 1,  3,  0],
       [ 0,  3, -1]])
>>> relevant = np.array([[True, True, False, False], [False, False, True, True]])
>>> ranking.quality(lists, relevant).round(2).to_dict()
{'recall': 0.75, 'ndcg': 0.65, 'coverage': 0.75}
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import datasets

LIKED = 4.0
"""A user who gives a film this many stars or more counts as liking it."""


class Apart(NamedTuple):
    """Joined rows in three parts, see `set_apart`; rows of a stranger about a new film are in none."""

    known: pd.DataFrame
    strangers: pd.DataFrame
    new_films: pd.DataFrame


def set_apart(data, seed: int) -> Apart:
    """Sets the rows of one user in ten (a stranger) and of one rated film in twenty (a new film) apart.

    Args:
        data: a `datasets.MovieLens`.
        seed: seed of the draw.
    """
    rng = np.random.default_rng(seed)
    joined = datasets.join(data.ratings, data.movies, data.users)
    strangers = rng.permutation(data.users.uid)[: len(data.users) // 10]
    rated = np.unique(data.ratings.mid)
    new_films = rng.permutation(rated)[: len(rated) // 20]
    stranger, new = joined.uid.isin(strangers), joined.mid.isin(new_films)
    return Apart(joined[~stranger & ~new], joined[stranger & ~new], joined[new & ~stranger])


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Returns the positions of the n largest scores of each row, the largest first, int64 (rows, n).

    Equal scores are ordered by position. A score of −inf is never chosen; −1 fills the places that are left.

    Args:
        scores: numbers (rows, films).
        n: length of a list.

    Raises:
        ValueError: n is below 1, or a score is NaN.
    """
    if n < 1:
        raise ValueError(f"n = {n}: ask for at least one film")
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN: a model whose training diverged ranks nothing")
    lists = np.full((len(scores), n), -1, np.int64)
    m = min(n, scores.shape[1])
    if m == 0:
        return lists
    lowest = np.partition(scores, -m, axis=1)[:, -m]
    for line, row, least in zip(lists, scores, lowest, strict=True):
        chosen = np.flatnonzero((row >= least) & (row > -np.inf))
        chosen = chosen[np.argsort(-row[chosen], kind="stable")[:n]]
        line[: len(chosen)] = chosen
    return lists


def liked(rows: pd.DataFrame, users: Sequence[int], films: Sequence[int]) -> np.ndarray:
    """Tells which films each user liked in `rows`, bool (users, films).

    Args:
        rows: rows with uid, mid and rating; those of other users and films do not count.
        users, films: uids and mids in the order of the result.
    """
    rows = rows[rows["rating"] >= LIKED]
    u, f = pd.Index(users).get_indexer(rows["uid"]), pd.Index(films).get_indexer(rows["mid"])
    inside = (u >= 0) & (f >= 0)
    relevant = np.zeros((len(users), len(films)), bool)
    relevant[u[inside], f[inside]] = True
    return relevant


def liked_or_drawn(rows: pd.DataFrame, times: int = 3, seed: int = 0) -> pd.DataFrame:
    """Makes rows for a model of who likes what: liked films get the rating 1, films drawn for the same users get 0.

    Args:
        rows: joined training rows.
        times: number of films drawn for each liked one, uniformly from the films in `rows`; a drawn film that the user
            likes is dropped.
        seed: seed of the draw.

    Returns:
        The liked rows, followed by the drawn ones.
    """
    rng = np.random.default_rng(seed)
    likes = rows[rows["rating"] >= LIKED]
    films = rows.drop_duplicates("mid")[["mid", "movie_name", "movie_genre"]]
    drawn = likes.loc[likes.index.repeat(times)].reset_index(drop=True)
    picked = films.iloc[rng.integers(len(films), size=len(drawn))].reset_index(drop=True)
    drawn[list(films)] = picked
    pairs = pd.MultiIndex.from_frame(drawn[["uid", "mid"]])
    drawn = drawn[~pairs.isin(pd.MultiIndex.from_frame(likes[["uid", "mid"]]))]
    both = [likes.assign(rating=np.float32(1)), drawn.assign(rating=np.float32(0))]
    return pd.concat(both, ignore_index=True)


def quality(lists: np.ndarray, relevant: np.ndarray) -> pd.Series:
    """Measures lists by recall@n, nDCG@n and coverage (equation eq-topn-ndcg), each between 0 and 1.

    Users without a relevant film do not count in recall and nDCG.

    Args:
        lists: positions of films, best first, (users, n), −1 where a list has ended.
        relevant: bool (users, films).

    Returns:
        `recall`, the mean share of the relevant films that the list holds; `ndcg`, the mean gain, discounted by the
        logarithm of the place, over that of a perfect list; `coverage`, the share of all films in any list.

    Raises:
        ValueError: there are not as many lists as users, or no user has a relevant film.
    """
    frame = by_user(lists, relevant)
    coverage = len(np.unique(lists[lists >= 0])) / relevant.shape[1]
    return pd.concat([frame.mean(), pd.Series({"coverage": coverage})])


def by_user(lists: np.ndarray, relevant: np.ndarray) -> pd.DataFrame:
    """Measures each user's list by `recall` and `ndcg`; arguments as in `quality`.

    From these rows follow intervals for the mean of a column, and for the mean difference between two rankers: they
    show how much users differ.

    Returns:
        One row for each user who has a relevant film, indexed by the position of the user.

    Raises:
        ValueError: see `quality`.
    """
    if len(lists) != len(relevant):
        raise ValueError(f"{len(lists)} lists for {len(relevant)} users: give one list a user")
    wanted = relevant.sum(axis=1)
    if not wanted.any():
        raise ValueError("no user has a relevant film: nothing to measure")
    hits = np.take_along_axis(relevant, np.maximum(lists, 0), axis=1) & (lists >= 0)
    discount = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discount)])[np.minimum(wanted, lists.shape[1])]
    some = np.flatnonzero(wanted)
    return pd.DataFrame(
        {"recall": hits.sum(axis=1)[some] / wanted[some], "ndcg": (hits @ discount)[some] / ideal[some]},
        index=some,
    )


def among_drawn(
    scores: np.ndarray, relevant: np.ndarray, n: int, drawn: int = 100, seed: int = 0
) -> pd.Series:
    """Computes each user's recall if a relevant film competes with a few drawn films instead of with all (chapter 12).

    Args:
        scores: (users, films), −inf for a film that cannot be on the list.
        relevant: bool (users, films).
        n: places on a list.
        drawn: number of films with which each of the user's relevant films competes, drawn from the user's other films
            without −inf.
        seed: seed of the draw.

    Returns:
        For each user who has a relevant film, the share of these films that fewer than n of the drawn films beat (an
        equal score counts half); the index is the position of the user.
    """
    rng = np.random.default_rng(seed)
    some = np.flatnonzero(relevant.any(axis=1))
    shares = []
    for row, wanted in zip(scores[some], relevant[some], strict=True):
        others = np.flatnonzero((row > -np.inf) & ~wanted)
        others = row[rng.choice(others, min(drawn, len(others)), replace=False)]
        mine = row[wanted][:, None]
        beaten = (others > mine).sum(axis=1) + (others == mine).sum(axis=1) / 2
        shares.append((beaten < n)[mine[:, 0] > -np.inf].sum() / wanted.sum())
    return pd.Series(shares, some, float)
