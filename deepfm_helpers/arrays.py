"""Checks of arrays before anything is computed from them: one number for each row, and every number finite."""

from __future__ import annotations

import numpy as np


def check_finite(array: np.ndarray, name: str) -> None:
    """Refuses an array (n, …) in which a number is missing or infinite.

    Raises:
        ValueError: a number is not finite; the message names the array and the first such row.
    """
    if array.dtype.kind != "f" or (finite := np.isfinite(array)).all():
        return
    place = tuple(np.argwhere(~finite)[0])
    raise ValueError(
        f"{name}: row {place[0]} (counted from 0) is {array[place]}, where a finite number is needed; "
        "take that row out or fill in its value"
    )


def columns(**arrays) -> list[np.ndarray]:
    """Returns arrays of one number for each row, (n,) or (n, 1) as `model.predict` gives them, as float64 (n,).

    A single number stands for every row.

    Raises:
        ValueError: an array has another shape, the lengths differ, there are no rows, or a number is not finite; the
            message names the arrays.
    """
    shapes = {name: np.shape(array) for name, array in arrays.items()}
    lengths = {shape[0] for shape in shapes.values() if shape}
    if len(lengths) != 1 or any(shape[1:] not in ((), (1,)) for shape in shapes.values()):
        said = ", ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
        raise ValueError(f"{said}: expected one number for each of the same rows, (n,) or (n, 1)")
    if lengths == {0}:
        raise ValueError(f"{', '.join(arrays)}: there are no rows to compute anything from")
    found = [np.broadcast_to(np.asarray(a, np.float64).reshape(-1), *lengths) for a in arrays.values()]
    for name, array in zip(arrays, found, strict=True):
        check_finite(array, name)
    return found
