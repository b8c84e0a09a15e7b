"""The checkers of the book's exercises: one small function each, named by chapter and number, with hints in steps.

A checker takes the answer, and what the answer is about by name (rows, a model), and returns a sentence that says what
a right answer has shown. What it compares with it computes from its arguments, never from a stored number, so it
holds under any dataset and any seed.
"""

from collections.abc import Callable
from itertools import combinations
from typing import NamedTuple

import numpy as np

from deepfm_helpers.grading import Wrong, call, compare, kind


class Exercise(NamedTuple):
    """An exercise: its checker and its hints, each of which says a little more than the one before."""

    check: Callable[..., str]
    hints: tuple[str, ...]


EXERCISES: dict[str, Exercise] = {}
"""Name of an exercise, such as "4.1" -> its checker and hints."""


def exercise(name: str, *hints: str) -> Callable[[Callable], Callable]:
    """Return a decorator that enters a checker, with the exercise's hints, in `EXERCISES`.

    Raises:
        ValueError: the name is taken, or there is no hint.
    """
    if name in EXERCISES or not hints:
        raise ValueError(f"exercise {name}: the name is taken, or there is no hint")

    def enter(checker: Callable) -> Callable:
        EXERCISES[name] = Exercise(checker, hints)
        return checker

    return enter


def _dice() -> np.random.Generator:
    return np.random.default_rng(0)


# 4 From weights to vectors


def _all_pairs(vectors: np.ndarray) -> float:
    return float(sum(a @ b for a, b in combinations(vectors, 2)))


@exercise(
    "4.1",
    "Which pairs are there after the new feature has joined that were not there before?",
    "The new feature is in one pair with each old one. A sum of dot products with the same vector is one dot product.",
)
def one_more_feature(added: Callable) -> str:
    """`added(total, new)`: the growth of the sum of all pairs, from the sum of the old vectors and the new vector."""
    dice = _dice()
    sizes = [(1, 1), (2, 1), (2, 2), (4, 2), (7, 8)]
    drawn = [dice.integers(-3, 4, (n + 1, k)).astype(float) for n, k in sizes]
    of_case = {(tuple(v[:-1].sum(axis=0)), tuple(v[-1])): v for v in drawn}

    def right(total: np.ndarray, new: np.ndarray) -> float:
        vectors = of_case[tuple(total), tuple(new)]
        return _all_pairs(vectors) - _all_pairs(vectors[:-1])

    compare(
        added,
        [(v[:-1].sum(axis=0), v[-1]) for v in drawn],
        right,
        {
            "This counts every new pair twice.": lambda total, new: 2 * total @ new,
            "This also pairs the new feature with itself.": lambda total, new: (total + new) @ new,
            "This is the length of the new vector, squared; the old features have no part in it.": (
                lambda total, new: new @ new
            ),
            "These are products number by number; a dot product adds them up.": lambda total, new: total * new,
        },
    )
    return "The sum of all pairs grows by one dot product, however many features there were."


@exercise(
    "4.2",
    "A rotation is a square matrix whose columns have length 1 and are at right angles: `np.linalg.qr` of a random "
    "matrix gives one.",
    "Every vector is multiplied by the *same* matrix.",
)
def any_rotation(rotated: Callable) -> str:
    """`rotated(vectors)`: all rows turned by the same random rotation."""
    for n, k in ((2, 2), (5, 3), (20, 8)):
        vectors = _dice().normal(size=(n, k)).round(2)
        found = np.asarray(call(rotated, vectors))
        example = f"{n} vectors of length {k}"
        if found.shape != vectors.shape:
            raise Wrong(f"Expected is {kind(vectors)}; yours is {kind(found)}.", example)
        if np.allclose(found, vectors):
            raise Wrong("Nothing has moved: the vectors are the ones that came in.", example)
        before, after = vectors @ vectors.T, found @ found.T
        if np.allclose(before, after, atol=1e-6):
            continue
        if np.allclose(np.diag(before), np.diag(after), atol=1e-6):
            why = "Every vector kept its length, but their dot products have changed: they were not all turned alike."
        else:
            why = "The lengths of the vectors have changed; a rotation keeps them."
        raise Wrong(why, example)
    return "All dot products are as before, so no prediction changes: an axis by itself means nothing."


@exercise(
    "4.3",
    "Compute the three power sums of `z` first: the sum, the sum of squares, the sum of cubes.",
    "The formula stands in the exercise; test it on three numbers, where there is one triple.",
)
def triples(fast: Callable) -> str:
    """`fast(z)`: the sum of the products of all triples of different numbers."""
    dice = _dice()

    def sums(z: np.ndarray) -> list[float]:
        return [float((z**m).sum()) for m in (1, 2, 3)]

    def pairs(z: np.ndarray) -> float:
        s = sums(z)
        return (s[0] ** 2 - s[1]) / 2

    compare(
        fast,
        [(dice.integers(-3, 5, n).astype(float),) for n in (3, 4, 6, 12)],
        lambda z: float(sum(a * b * c for a, b, c in combinations(z, 3))),
        {
            "This is the sum over all pairs.": pairs,
            "Every triple is counted six times, once for each order.": lambda z: (
                sums(z)[0] ** 3 - 3 * sums(z)[0] * sums(z)[1] + 2 * sums(z)[2]
            ),
            "This holds products in which a number meets itself.": lambda z: sums(z)[0] ** 3 / 6,
        },
    )
    return "Triples have a fast form as well: three sums over the features, instead of a loop over all triples."


