"""Lists from scores, what a good list would hold, and how good lists are (chapter 12).

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

import numpy as np
import pandas as pd

LIKED = 4.0
"""So many stars or more mean that a user liked a film."""


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Positions of the n largest scores of each row, largest first, int64 (rows, n).

    Equal scores are ordered by position. A score of −inf is never chosen: its place holds −1.

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
    """Which films each user liked in `rows`: bool (users, films)."""
    rows = rows[rows["rating"] >= LIKED]
    u, f = pd.Index(users).get_indexer(rows["uid"]), pd.Index(films).get_indexer(rows["mid"])
    inside = (u >= 0) & (f >= 0)
    relevant = np.zeros((len(users), len(films)), bool)
    relevant[u[inside], f[inside]] = True
    return relevant


def liked_or_drawn(rows: pd.DataFrame, times: int = 3, seed: int = 0) -> pd.DataFrame:
    """Rows for a model of who likes what: films liked get rating 1, films drawn at random for their users 0.

    Args:
        rows: joined training rows.
        times: films drawn for each liked one, evenly from the films in `rows`; those liked are dropped.
        seed: fixes the drawing.
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
    """How good lists are: recall@n, nDCG@n and coverage (equation eq-topn-ndcg), each between 0 and 1.

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
    """`recall` and `ndcg` of each user's list, see `quality`, a row for each user who has a relevant film.

    The index is the position of the user. The mean of a column, and that of the difference of two rankers' columns, get
    their intervals from these rows: they vary as the users do.

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
    """Recall of each user if every relevant film competes with a few drawn films only, instead of with all.

    Args:
        scores: (users, films), −inf for a film that is on no list.
        relevant: bool (users, films).
        n: places on a list.
        drawn: how many films each user's relevant ones compete with; drawn from the user's other films without −inf.
        seed: fixes the drawing.

    Returns:
        The share of the relevant films that are beaten by fewer than n of those drawn (an equal score is half a
        beat), a number for each user who has a relevant film; the index is the position of the user.
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
