"""MovieLens as clicks: what every system of the task clicks is given.

A rating above 3 stars is a click (1), one below 3 is none (0), and rows of exactly 3 stars are left out. A draw with
the seed parts the rows 8 : 1 : 1 into training, validation and test rows.
"""

import os
from pathlib import Path

import numpy as np

SCORED = {"random": "test", "valid": "valid"}
"""Way to split -> the part that is scored. With "valid", to choose settings by, the test rows are not even stored."""


def load(name: str, seed: int):
    """Return the dataset, and its joined training, validation and test rows, frames with a column `click`.

    Args:
        name: "ml-1m" or "ml-100k".
        seed: seed of the draw.
    """
    from deepfm_helpers import datasets, features

    data = datasets.load(name)
    rows = datasets.join(data.ratings, data.movies, data.users)
    rows = rows[rows.rating != 3]
    rows = rows.assign(click=(rows.rating > 3).astype("int8"))
    rest, test = features.split_rows(rows, 1 / 10, seed=seed)
    return data, *features.split_rows(rest, 1 / 9, seed=seed), test


def write(file: Path, name: str, how: str, seed: int) -> str:
    """Store the columns of a split, as ids, and return the file's name.

    The file holds `{part}_{field}`, ids of shape (rows, slots), and `{part}_click`, (rows,), for each part; and the
    largest id and the owner of each field, as `size_{field}` and `owner_{field}`.

    Args:
        file: where to; it ends in ".npz".
        name, seed: see `load`.
        how: one of `SCORED`.

    Raises:
        ValueError: `how` is none of `SCORED`.
    """
    from benchmarks import splits

    if how not in SCORED:
        raise ValueError(f"no split {how} of clicks: choose {' or '.join(SCORED)}")
    data, *parts = load(name, seed)
    fields = splits.fields(data)
    columns = {f"size_{f.name}": f.size for f in fields} | {f"owner_{f.name}": f.owner for f in fields}
    for part, frame in zip(("train", "valid", "test"), parts, strict=True):
        if part in ("train", "valid", SCORED[how]):
            columns |= {f"{part}_{f.name}": f.encode(frame) for f in fields}
            columns[f"{part}_click"] = frame["click"].to_numpy()
    unfinished = file.with_name(file.stem + ".part.npz")
    np.savez(unfinished, **columns)
    os.replace(unfinished, file)
    return str(file)
