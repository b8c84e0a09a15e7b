"""Check a numbered equation: two ways of computing it have to agree, on a case done by hand and on random inputs."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from deepfm_helpers import claims


def verify(
    label: str,
    statement: str,
    *sides: Callable,
    by_hand: tuple[tuple, object],
    drawn: Callable[[np.random.Generator], tuple],
    digits: int = 9,
    draws: int = 20,
) -> None:
    """Check the equation that a label names, and show that it holds, as a claim to which a mark beside it leads.

    The build of the book fails if a chapter numbers an equation and does not check it in this way. Python's random
    generator, from which Keras draws a seed when it makes a layer, stands afterwards where it stood before.

    Args:
        label: the label of an equation in the text of the same chapter, such as "eq-pairs".
        statement: a sentence without its stop, in Markdown: what the equation says.
        sides: two or more functions of the same inputs, independent of each other. Each computes what the equation is
            about: a number, an array, or a tuple of these.
        by_hand: the inputs, a tuple, of a case small enough for a pencil, and its result.
        drawn: takes a seeded generator, and returns a tuple of random inputs.
        digits: digits to which the sides have to agree, counted from the first one of the largest number.
        draws: number of random inputs.

    Raises:
        AssertionError: a side does not give the result by hand, or two sides differ on a random input.
        ValueError: there is only one side, or fewer than two different results for the random inputs.
    """
    if len(sides) < 2:
        raise ValueError(f"verify: {label} has one side, and nothing to compare it with; give two or more")
    with _generator_kept():
        inputs, result = by_hand
        for place, side in enumerate(sides, start=1):
            _agree(side(*inputs), result, digits, f"{label}, by hand: side {place}")
        rng = np.random.default_rng(0)
        seen = set()
        for draw in range(1, draws + 1):
            inputs = drawn(rng)
            first, *others = (side(*inputs) for side in sides)
            for place, other in enumerate(others, start=2):
                _agree(other, first, digits, f"{label}, random input {draw}: side {place}")
            seen.add(b"".join(array.tobytes() for array in _arrays(first)))
    if len(seen) < 2:
        raise ValueError(
            f"verify: {label} has one result for all random inputs; let `drawn` draw different ones"
        )
    claims.show(
        f"{statement}. By hand: {_in_words(result)}. On {draws} random inputs: agreement to {digits} digits.",
        on="algebra",
        line=sys._getframe(1).f_lineno,
        equation=label,
    )


@contextmanager
def _generator_kept() -> Iterator[None]:
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _agree(value: object, expected: object, digits: int, where: str) -> None:
    ours, theirs = _arrays(value), _arrays(expected)
    shapes, wanted = ([array.shape for array in arrays] for arrays in (ours, theirs))
    if shapes != wanted:
        raise AssertionError(f"{where} has the shapes {shapes}, not {wanted}")
    for a, b in zip(ours, theirs, strict=True):
        size = np.abs(b).max(initial=0.0) or 1.0
        if not np.all(np.abs(a - b) <= size * 10.0**-digits):  # so that NaN does not agree
            raise AssertionError(f"{where} gives\n{a}\nand not\n{b}")


def _arrays(value: object) -> list[np.ndarray]:
    values = value if isinstance(value, tuple) else (value,)
    return [np.asarray(one, dtype="float64") for one in values]


def _in_words(value: object) -> str:
    """Write numbers and arrays as on paper, in up to four digits: (3, 0)."""
    if isinstance(value, tuple):
        return " and ".join(map(_in_words, value))
    array = np.squeeze(np.asarray(value, dtype="float64"))
    if array.ndim:
        return f"({', '.join(map(_in_words, array))})"
    return f"{float(array) + 0.0:.4g}".replace("-", "−")
