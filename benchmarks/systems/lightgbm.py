"""LightGBM for clicks: boosted trees on smoothed rates of clicks, on the same fields and rows as the other systems.

The trees see the ids of all fields but those of users and films. For each field, and for each pair of a user's field
and a film's field, they get the rate of clicks of the training rows with the same value, drawn towards the rate of
all rows as if there were as many more of these as `smoothing` says, and the number of rows that it counts. A row with
several values, as of a film with several genres, gets the mean over them. So that no row's own click is among its
inputs, the training rows fall into folds, and each row gets the rates of the other folds; the validation and test
rows get those of all training rows.
"""

from itertools import product

import lightgbm
import numpy as np

from benchmarks.systems import click_protocol, protocol

FOLDS, KEYS = 10, ("uid", "mid")


def fit(rows: dict, request: dict):
    """Fit, with early stopping by the log-loss of the validation rows; see `click_protocol.serve`.

    The parameters counted are the values of all leaves.
    """
    clicks, smoothing = rows["train_click"].astype("float64"), request["smoothing"]
    values = grouped(rows, "train")
    total = tallies(values, clicks)

    def with_ids(part: str, of_values: np.ndarray) -> np.ndarray:
        ids = click_protocol.inputs(rows, part)
        return np.column_stack([of_values, *(ids[name] for name in ids if name not in KEYS)])

    def inputs(part: str) -> np.ndarray:
        return with_ids(part, rates(grouped(rows, part), total, smoothing))

    of_others = out_of_fold(values, clicks, total, smoothing, request["seed"])
    train = lightgbm.Dataset(with_ids("train", of_others), clicks)
    trees = lightgbm.train(
        {
            "objective": "binary",
            "metric": "binary_logloss",
            "learning_rate": request["learning_rate"],
            "num_leaves": request["leaves"],
            "seed": request["seed"],
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "verbosity": -1,
        },
        train,
        num_boost_round=request["rounds"],
        valid_sets=[train.create_valid(inputs("valid"), rows["valid_click"])],
        callbacks=[lightgbm.early_stopping(request["rounds_without_gain"], verbose=False)],
    )
    leaves = sum(tree["num_leaves"] for tree in trees.dump_model(trees.best_iteration)["tree_info"])
    return lambda part: trees.predict(inputs(part), num_threads=1), leaves


def grouped(rows: dict, part: str) -> list[np.ndarray]:
    """Return the values of all fields, and of all pairs of a user's and a film's field but that of the two ids.

    Each is (rows, slots) of numbers from 1; 0 is an empty slot.
    """
    ids, sizes, owners = click_protocol.inputs(rows, part), protocol.sizes(rows), protocol.owners(rows)
    values = list(ids.values())
    for user, film in product(ids, ids):
        if (owners[user], owners[film]) == ("user", "film") and (user, film) != KEYS:
            a, b = ids[user].astype("int64")[:, :, None], ids[film].astype("int64")[:, None, :]
            both = np.where((a > 0) & (b > 0), a * (sizes[film] + 1) + b, 0)
            values.append(both.reshape(len(both), -1))
    return values


def tallies(values: list[np.ndarray], clicks: np.ndarray, like: list | None = None) -> list[np.ndarray]:
    """Count the clicks and the rows of each value; return for each entry of `values` an array (2, numbers).

    Args:
        values: see `grouped`.
        clicks: 1 or 0, (rows,).
        like: tallies whose shapes the result gets.
    """
    found = []
    for i, of_rows in enumerate(values):
        size = like[i].shape[1] if like else 0
        numbers, weights = of_rows.ravel(), np.repeat(clicks, of_rows.shape[1])
        found.append(np.stack([np.bincount(numbers, weights, size), np.bincount(numbers, None, size)]))
    return found


def rates(values: list[np.ndarray], counted: list[np.ndarray], smoothing: float) -> np.ndarray:
    """Return the smoothed rate and the number of rows of each entry of `values`, (rows, 2 · entries)."""
    columns = []
    # The first field has one value in each row, so that its tally counts every row once.
    mean = counted[0][0].sum() / counted[0][1].sum()
    for of_rows, tally in zip(values, counted, strict=True):
        known = (of_rows > 0) & (of_rows < tally.shape[1])
        clicks, n = tally[:, np.where(known, of_rows, 0)] * known
        slots = np.maximum(known.sum(axis=1), 1)
        apart = (clicks - n * mean) / (n + smoothing)
        columns += [mean + apart.sum(axis=1) / slots, n.sum(axis=1) / slots]
    return np.column_stack(columns)


def out_of_fold(values: list, clicks: np.ndarray, total: list, smoothing: float, seed: int) -> np.ndarray:
    """Return the `rates` of the training rows, of each row by the folds that it is not in."""
    fold = np.random.default_rng(seed).integers(FOLDS, size=len(clicks))
    found = np.empty((len(clicks), 2 * len(values)))
    for f in range(FOLDS):
        mine = fold == f
        within = [of_rows[mine] for of_rows in values]
        others = [a - b for a, b in zip(total, tallies(within, clicks[mine], total), strict=True)]
        found[mine] = rates(within, others, smoothing)
    return found


if __name__ == "__main__":
    click_protocol.serve(fit)
