"""myFM's Bayesian factorization machine by Gibbs sampling, on ids and side information or on all it can use.

Everything about a user (or film) is one relation block, as in the library's own examples: the id, the fields that
belong to the user (or film), and with "full" the films that the user rated in the training rows (or the users who rated
the film), divided by the square root of their number. "full" also adds the day of the rating. A prediction is the mean
of all draws but the first five, clipped to 1 … 5 stars, as the library's own callback computes it.
"""

import time
from collections.abc import Callable

import myfm
import numpy as np
from myfm.utils.callbacks import RegressionCallback
from scipy import sparse

from benchmarks.systems import protocol


def one_hot(ids: np.ndarray, width: int) -> sparse.csr_matrix:
    """Return rows of zeros with a one at each id; ids are (n,) or (n, slots), where 0 stands for an empty slot."""
    ids = np.asarray(ids).reshape(len(ids), -1)
    row, slot = np.nonzero(ids)
    return sparse.csr_matrix((np.ones(len(row)), (row, ids[row, slot])), shape=(len(ids), width))


def scaled(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Divide each row by the square root of the number of its ones."""
    return sparse.diags(1 / np.sqrt(np.maximum(counts.getnnz(axis=1), 1))) @ counts


def descriptions(rows: dict, full: bool) -> tuple[list, list]:
    """Return what is known about every user id and every film id, as lists of matrices to be put side by side."""
    sizes, owners = protocol.sizes(rows), protocol.owners(rows)
    both = {name: np.concatenate([rows[f"train_{name}"], rows[f"test_{name}"]]) for name in owners}
    about = {}
    for owner, key in (("user", "uid"), ("film", "mid")):
        everyone = np.arange(sizes[key] + 1)
        about[owner] = [one_hot(everyone, len(everyone))]
        for name in owners:
            if owners[name] == owner and name != key:
                values = np.zeros((len(everyone), both[name].shape[1]), both[name].dtype)
                values[both[key].ravel()] = both[name]
                numeric = sizes[name] == 0
                about[owner].append(
                    sparse.csr_matrix(values) if numeric else scaled(one_hot(values, sizes[name] + 1))
                )
    about_users, about_films = about["user"], about["film"]
    if full:
        pairs = (rows["train_uid"].ravel(), rows["train_mid"].ravel())
        rated = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), shape=(sizes["uid"] + 1, sizes["mid"] + 1))
        about_users.append(scaled(rated))
        about_films.append(scaled(rated.T.tocsr()))
    return about_users, about_films


class _Watched(RegressionCallback):
    """Passes on, after each draw, the test RMSE of the mean of all draws but the first five.

    Args:
        after_draw: function of the number of draws, RMSE, seconds and parameters of a draw; it returns True to stop.
        started: `time.perf_counter()` at the start, from which the seconds count.
        looks_count: whether the time to score the test rows is part of the seconds.
    """

    def __init__(self, after_draw: Callable, started: float, looks_count: bool, *watched):
        super().__init__(*watched, clip_min=1.0, clip_max=5.0)
        self.after_draw, self.started, self.looks_count = after_draw, started, looks_count

    def __call__(self, i, fm, *state):
        looked = time.perf_counter()
        _, description = super().__call__(i, fm, *state)
        seconds = (time.perf_counter() if self.looks_count else looked) - self.started
        parameters = 1 + fm.w.size + fm.V.size
        enough = self.after_draw(i + 1, self.result_trace[-1]["rmse_all_but_5"], seconds, parameters)
        if not self.looks_count:
            self.started += time.perf_counter() - looked
        return enough, description


def sample(request: dict, after_draw: Callable, looks_count: bool) -> None:
    """Draw as many samples as the largest of `iterations`, or fewer if `after_draw` stops the chain."""
    rows = protocol.table(request["table"])
    started = time.perf_counter()
    full = request["variant"] == "full"
    users, films = descriptions(rows, full)
    groups = [matrix.shape[1] for matrix in users + films]
    seen = np.unique(rows["train_timestamp"] // 86_400)
    if full:
        groups.insert(0, len(seen) + 1)

    def inputs(part: str):
        days = None
        if full:
            at = rows[f"{part}_timestamp"] // 86_400
            place = np.searchsorted(seen, at).clip(0, len(seen) - 1)
            days = one_hot(np.where(seen[place] == at, place + 1, 0), len(seen) + 1)
        blocks = []
        for name, about in (("uid", users), ("mid", films)):
            present, where = np.unique(rows[f"{part}_{name}"].ravel(), return_inverse=True)
            blocks.append(myfm.RelationBlock(where, sparse.hstack(about, format="csr")[present]))
        return days, blocks

    model = myfm.MyFMGibbsRegressor(rank=request["rank"], random_seed=request["seed"])
    days, blocks = inputs("train")
    y = rows["train_rating"].astype("float64")
    looked = time.perf_counter()
    held, about = inputs("test")
    if not looks_count:
        started += time.perf_counter() - looked
    iterations = max(request["iterations"])
    y_test = rows["test_rating"].astype("float64")
    watch = _Watched(after_draw, started, looks_count, iterations, held, y_test, about)
    model.fit(days, y, X_rel=blocks, n_iter=iterations, n_kept_samples=1, group_shapes=groups, callback=watch)


def rmse(request: dict) -> None:
    """Answer after each of the numbers of draws in `iterations`, of one chain; `parameters` are those of one draw."""

    def after_draw(draws: int, error: float, seconds: float, parameters: int) -> bool:
        if draws in request["iterations"]:
            protocol.turn(seconds=seconds, rmse=error, parameters=parameters)
        return False

    sample(request, after_draw, looks_count=True)


def reach(request: dict) -> None:
    """Answer with the seconds until the test RMSE is at most `target`; the time to compute the RMSE does not count."""
    reached = []

    def after_draw(draws: int, error: float, seconds: float, parameters: int) -> bool:
        reached.extend([seconds] if error <= request["target"] else [])
        return bool(reached)

    sample(request, after_draw, looks_count=False)
    protocol.turn(seconds=protocol.reached(reached[0] if reached else None, request["target"]))


if __name__ == "__main__":
    protocol.serve(rmse=rmse, reach=reach)
