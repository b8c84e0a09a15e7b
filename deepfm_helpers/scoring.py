"""Scores all pairs of user and film from what each user and each film contributes, exact to rounding (chapter 12).

The second order across the two sides is one product of matrices (equation eq-topn-split), and the network needs one
maximum per layer for a pair (equation eq-topn-hidden).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepfm_helpers import anatomy

SMALL_PRODUCT = 2**18  # multiplications up to which OpenBLAS keeps a product on the thread that asked for it


class Side(NamedTuple):
    """What n users or films contribute to a score.

    Attributes:
        first: sums of their weights, (n,).
        own: sums of the pairs among their own fields, (n,).
        vector: sums of their vectors, (n, k).
        hidden: their half of the first hidden layer, (n, h).
    """

    first: np.ndarray
    own: np.ndarray
    vector: np.ndarray
    hidden: np.ndarray

    def take(self, rows) -> Side:
        """Returns the side of some of the rows."""
        return Side(*(a[rows] for a in self))


class Films(NamedTuple):
    """The side of some films, prepared for the network: −t of each layer in tiles, and one constant per film.

    The products of a tile are so small that they stay on the thread that asks for them.
    """

    side: Side
    floors: list[np.ndarray]
    constant: np.ndarray


class Scorer:
    """Computes the parts of a trained model from the vectors on.

    Args:
        model: a whole model of `models`.

    Attributes:
        weights: part -> weight, see `anatomy.head`.
        bias: the constant of the score, in stars.
        kernel: kernel of the network's first layer, (p · k, h); None without a network.

    Raises:
        ValueError: the model is of another kind, or its deep part has another activation than None or "relu".
    """

    def __init__(self, model):
        self.weights, self.bias, _ = anatomy.head(model)
        network = anatomy.network(model)
        (self.kernel, self._constant), *self._rest = [layer.get_weights() for layer in network] or [
            (None, np.zeros(0, "f4"))
        ]
        last = network[-1].activation.__name__ if network else "linear"
        if last not in ("linear", "relu"):
            raise ValueError(f"deep_activation = {last!r}: only None and 'relu' are supported")
        self._lowest = 0.0 if last == "relu" else -np.inf

    def films(self, side: Side) -> Films:
        """Prepares films for `scores` and `parts`."""
        n, h = side.hidden.shape
        tile = max(1, SMALL_PRODUCT // max((kernel.size for kernel, _ in self._rest), default=1))
        tile = min(tile, max(1, n))
        shift = np.zeros((-(-n // tile) * tile, h), "f4")
        shift[:n] = side.hidden + self._constant
        floors = []
        for kernel, constant in self._rest:
            floors.append(-shift.reshape(-1, tile, shift.shape[1]))
            shift = shift @ kernel + constant
        return Films(side, floors, shift[:n].sum(axis=1))  # of one column, or of none

    def scores(self, user: Side, films: Films) -> np.ndarray:
        """Computes the scores of all pairs, in stars, float32 (users, films)."""
        film = films.side
        first, second, deep = (np.float32(self.weights.get(part, 0.0)) for part in anatomy.PART_LAYERS)
        scores = _product(second * user.vector, film.vector.T)
        if deep:
            scores += deep * self._deep(user.hidden, films)
        scores += (first * user.first + second * user.own)[:, None]
        scores += first * film.first + second * film.own + np.float32(self.bias)
        return scores

    def parts(self, user: Side, films: Films) -> dict[str, np.ndarray]:
        """Computes what each part adds to each score, in stars or log-odds: name -> float32 (users, films)."""
        film = films.side
        formulas = {
            "first_order": lambda: user.first[:, None] + film.first,
            "second_order": lambda: user.vector @ film.vector.T + (user.own[:, None] + film.own),
            "deep": lambda: self._deep(user.hidden, films),
        }
        return {name: np.float32(weight) * formulas[name]() for name, weight in self.weights.items()}

    @np.errstate(invalid="ignore")  # OpenBLAS may raise the flag on finite numbers
    def _deep(self, user: np.ndarray, films: Films) -> np.ndarray:
        """Computes the network from the sum of two hidden halves on, (users, films).

        relu(s + t) is max(s, −t) + t, and what "+ t" adds after the next layer depends on the film alone. So
        a pair costs one maximum per layer, and the products.
        """
        works = [np.empty_like(floor) for floor in films.floors]
        out = np.empty((len(user), len(films.constant)), "f4")
        for row, x in zip(out, user, strict=True):
            for floor, work, (kernel, _) in zip(films.floors, works, self._rest, strict=True):
                np.maximum(x, floor, out=work)
                x = work @ (kernel[:, 0] if kernel.shape[1] == 1 else kernel)
            row[:] = np.ravel(x)[: len(row)] if films.floors else x
        out += films.constant
        return np.maximum(out, self._lowest, out=out)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Computes a @ b in stacks of a few rows, so that the product stays on the thread that asks for it."""
    rows = max(1, SMALL_PRODUCT // max(1, b.size))
    stacks = np.zeros((-(-len(a) // rows) * rows, a.shape[1]), a.dtype)
    stacks[: len(a)] = a
    product = stacks.reshape(len(stacks) // rows, rows, a.shape[1]) @ b
    return product.reshape(len(stacks), b.shape[1])[: len(a)]
