"""myFM's Bayesian factorization machine by Gibbs sampling, on ids and side information or on all it can use.

Everything about a user (or film) is one relation block, as in the library's own examples: the id, gender, age
and occupation (or genres), and with "full" the films rated in the training rows (or the users who rated it),
each divided by the square root of their number. "full" also adds the day of the rating.
"""

import functools
import time

import myfm
import numpy as np
from myfm.utils.callbacks import RegressionCallback
from scipy import sparse

from benchmarks.systems import protocol


def one_hot(ids: np.ndarray, width: int) -> sparse.csr_matrix:
    """Rows of zeros with a one at each id; ids (n,) or (n, slots), where 0 stands for none in a slot."""
    ids = np.asarray(ids).reshape(len(ids), -1)
    row, slot = np.nonzero(ids)
    return sparse.csr_matrix((np.ones(len(row)), (row, ids[row, slot])), shape=(len(ids), width))


def scaled(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row divided by the square root of the number of its ones."""
    return sparse.diags(1 / np.sqrt(np.maximum(counts.getnnz(axis=1), 1))) @ counts


def descriptions(rows: dict, full: bool) -> tuple[list, list]:
    """What is known about every user id and every film id, as lists of matrices side by side."""
    sizes = protocol.sizes(rows)
    both = {name: np.concatenate([rows[f"train_{name}"], rows[f"test_{name}"]]) for name in sizes}
    uid, mid = both["uid"].ravel(), both["mid"].ravel()
    users, films = np.arange(sizes["uid"] + 1), np.arange(sizes["mid"] + 1)
    about_users, about_films = [one_hot(users, len(users))], [one_hot(films, len(films))]
    for name in ("gender", "age", "occupation"):
        codes = np.zeros(len(users), int)
        codes[uid] = both[name].ravel()
        about_users.append(one_hot(codes, sizes[name] + 1))
    genres = np.zeros((len(films), both["genre"].shape[1]), int)
    genres[mid] = both["genre"]
    about_films.append(scaled(one_hot(genres, sizes["genre"] + 1)))
    if full:
        pairs = (rows["train_uid"].ravel(), rows["train_mid"].ravel())
        rated = sparse.csr_matrix((np.ones(len(pairs[0])), pairs), shape=(len(users), len(films)))
        about_users.append(scaled(rated))
        about_films.append(scaled(rated.T.tocsr()))
    return about_users, about_films


class _Until(RegressionCallback):
    """Notes when the test RMSE of the mean of all draws but five first was at most a target; the looks do not count."""

    def __init__(self, target: float, *watched):
        super().__init__(*watched, clip_min=1.0, clip_max=5.0)
        self.target, self.seconds, self.looking = target, None, 0.0

    def __call__(self, *draw):
        looked = time.perf_counter()
        answer = super().__call__(*draw)
        if self.seconds is None and self.result_trace[-1]["rmse_all_but_5"] <= self.target:
            self.seconds = looked - self.started - self.looking
        self.looking += time.perf_counter() - looked
        return answer


def fit(request: dict, reach: bool = False) -> None:
    """Samples, and answers with the RMSE on the test rows; with `reach`, with the seconds until it is low enough."""
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
    iterations = request["iterations"]
    watch = None
    if reach:
        began = time.perf_counter()
        held, about = inputs("test")
        watch = _Until(request["target"], iterations, held, rows["test_rating"].astype("float64"), about)
        watch.started = started + time.perf_counter() - began
    model.fit(
        days, y, X_rel=blocks, n_iter=iterations, n_kept_samples=iterations - 5, group_shapes=groups,
        callback=watch,
    )  # fmt: skip
    if reach:
        protocol.turn(seconds=protocol.reached(watch.seconds, request["target"]))
        return
    predicted = model.predict(*inputs("test"), n_workers=2)
    protocol.turn(seconds=time.perf_counter() - started, rmse=protocol.rmse(rows, predicted))


if __name__ == "__main__":
    protocol.serve(rmse=fit, reach=functools.partial(fit, reach=True))
