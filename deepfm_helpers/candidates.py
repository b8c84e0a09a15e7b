"""Finds the top of a list without scoring every film with the network: a few candidates first, then their exact scores.

Across the two sides, the second order is one inner product of vectors (equation eq-topn-split). With the first order it
makes the score of the factorization machine in the model, which costs k multiplications for a pair, where the network
costs hundreds or thousands. The `m` films with the highest such scores are the candidates, and `scoring.Scorer` ranks
them. A film that the network alone would lift to the top can be missing; `recall` measures that, and with a larger `m`
fewer films are.

>>> from deepfm_helpers import candidates, datasets, features, models, recommending
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> *_, model = models.deep_fm_model(features=features.describe(data), mean_rating=3.5)  # not trained yet
>>> sides = recommending.TwoSides(model, data)
>>> index = candidates.Index(model, sides)
>>> index.top([1, 2], n=3, m=30).tolist() == sides.top([1, 2], n=3).tolist()  # all films are candidates
True
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepfm_helpers import ranking
from deepfm_helpers.recommending import TwoSides
from deepfm_helpers.scoring import Films, Scorer

BLOCK = 256
"""Users whose candidates are found in one product."""


class Index:
    """The films of a model, arranged for the search of candidates.

    Args:
        model: the model that `sides` has cut in two.
        sides: its users and films.

    Attributes:
        vectors: of each film that has a training row, its vector and, as one more number, what it adds to every score,
            float32 (films, k + 1).
        films: positions of these films in `sides.films`, ascending.

    Raises:
        ValueError: see `scoring.Scorer`.
    """

    def __init__(self, model, sides: TwoSides):
        self.sides, self._scorer = sides, Scorer(model)
        self.films = np.flatnonzero(sides.counts > 0)
        side = sides.halves["film"].side.take(self.films)
        weights = self._scorer.weights
        constant = weights.get("first_order", 0) * side.first + weights.get("second_order", 0) * side.own
        self._all = self._scorer.films(side)
        self.vectors = np.column_stack([side.vector, constant]).astype("f4")

    def candidates(self, users: Sequence, m: int) -> np.ndarray:
        """Returns for each user the m films with the highest scores without the network, (users, m), in no order.

        Films that the user has seen come last. The numbers are positions in the attribute `films`.

        Args:
            users: uids, at most a few hundred.
            m: number of candidates; with fewer films all of them.
        """
        half = self.sides.halves["user"]
        at = half.positions(users)
        second = np.float32(self._scorer.weights.get("second_order", 0))
        queries = np.column_stack([second * half.side.vector[at], np.ones(len(at), "f4")])
        scores = queries @ self.vectors.T
        for line, row in zip(scores, at, strict=True):
            line[self._within(self.sides.seen[row])] = -np.inf
        m = min(m, len(self.films))
        return np.argpartition(scores, scores.shape[1] - m, axis=1)[:, scores.shape[1] - m :]

    def top(self, users: Sequence, n: int = 10, m: int = 500) -> np.ndarray:
        """Returns the n best candidates of each user, as `TwoSides.top` returns the n best films.

        Args:
            users: uids.
            n: length of a list.
            m: number of candidates among which the scores choose.

        Raises:
            TypeError, ValueError: there is no such user, or n is below 1 or above m.
        """
        if not 1 <= n <= m:
            raise ValueError(
                f"n = {n}, m = {m}: a list takes at least 1 and at most m films from the candidates"
            )
        half = self.sides.halves["user"]
        lists = [np.empty((0, n), np.int64)]
        for start in range(0, len(users), BLOCK):
            here = users[start : start + BLOCK]
            for row, found in zip(half.positions(here), self.candidates(here, m), strict=True):
                found = np.sort(found)  # equal scores are ordered by film
                scores = self._scorer.scores(half.side.take([row]), self._some(found))
                scores[:, np.isin(self.films[found], self.sides.seen[row])] = -np.inf
                best = ranking.best(scores, n)
                lists.append(np.where(best < 0, -1, self.films[found[best]]))
        return np.concatenate(lists)

    def _some(self, films: np.ndarray) -> Films:
        """Returns some of the films, prepared for the network: picked from all, not computed again."""
        everything = self._all
        floors = []
        for floor in everything.floors:
            tiles = -(-len(films) // floor.shape[1])
            filled = np.resize(films, tiles * floor.shape[1])  # begins again where the films end
            floors.append(floor.reshape(-1, floor.shape[2])[filled].reshape(tiles, *floor.shape[1:]))
        return Films(everything.side.take(films), floors, everything.constant[films])

    def _within(self, positions: np.ndarray) -> np.ndarray:
        """Returns where films stand in `films`; all of them have a training row, or they are left out."""
        at = np.searchsorted(self.films, positions)
        at = np.minimum(at, len(self.films) - 1)
        return at[self.films[at] == positions]


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Returns the share of the films on exact lists that stand on the lists found, too.

    Args:
        found, exact: positions of films, (users, n); −1 is no film.
    """
    there = exact >= 0
    hits = sum(
        np.isin(line, other).sum() for line, other in zip(np.where(there, exact, -2), found, strict=True)
    )
    return float(hits / there.sum())
