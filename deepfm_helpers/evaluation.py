"""Measures how good a model is, compares it with baselines, and tells which part does the work (chapters 7 and 9).

Functions that compare rows take arrays (n,) or (n, 1), as `model.predict` gives them. They raise ValueError if another
shape is given, if lengths differ, if there are no rows, or if a number is not finite.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
from scipy import stats

from deepfm_helpers import anatomy
from deepfm_helpers.arrays import columns

DAMPING = 5.0
"""`bias_predictions` shrinks every offset towards 0 as if there were this many average ratings more."""


def rmse(y: np.ndarray, prediction: np.ndarray) -> float:
    """Returns the root of the mean squared error, in stars.

    Args:
        y, prediction: ratings and predictions in stars, (n,) or (n, 1) each.
    """
    y, prediction = columns(y=y, prediction=prediction)
    return float(np.sqrt(np.mean(np.square(y - prediction))))


def mae(y: np.ndarray, prediction: np.ndarray) -> float:
    """Returns the mean absolute error, in stars.

    Args:
        y, prediction: ratings and predictions in stars, (n,) or (n, 1) each.
    """
    y, prediction = columns(y=y, prediction=prediction)
    return float(np.mean(np.abs(y - prediction)))


def predict(model, x: Sequence[np.ndarray]) -> np.ndarray:
    """Returns what a model predicts, stars or the probability of a click, float32 (n,).

    Unlike `model.predict`, this function does not compile a graph first.

    Args:
        model: a model from inputs to a score (None, 1).
        x: model inputs, each (n, …).
    """
    return _outputs(model, x)[0][:, 0]


def _outputs(model, x: Sequence[np.ndarray], rows: int = 16_384) -> list[np.ndarray]:
    """Computes every output of a model, block by block; for one pass, compiling a graph would take longer."""
    from deepfm_helpers._keras import keras

    blocks = []
    for start in range(0, max(len(x[0]), 1), rows):
        block = model([keras.ops.convert_to_tensor(a[start : start + rows]) for a in x], training=False)
        block = block if isinstance(block, list) else [block]
        blocks.append([keras.ops.convert_to_numpy(output) for output in block])
    return [np.concatenate(column) for column in zip(*blocks, strict=True)]


def bias_predictions(train: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Predicts mean + film offset + user offset, each offset shrunk towards 0 (see `DAMPING`), in stars, (n,).

    This is the baseline b_ui of Koren, *Factor in the Neighbors* (2010), with the offsets of films computed first.
    Users and films that are not in `train` get an offset of 0.

    Args:
        train: training rows, with uid, mid and rating.
        rows: rows to predict, with uid and mid.
    """
    columns(rating=train.rating)
    mean = float(train.rating.mean())
    rest = train.rating.astype("float64") - mean
    film = rest.groupby(train.mid).sum() / (rest.groupby(train.mid).size() + DAMPING)
    rest = rest - train.mid.map(film)
    user = rest.groupby(train.uid).sum() / (rest.groupby(train.uid).size() + DAMPING)
    return (mean + rows.mid.map(film).fillna(0.0) + rows.uid.map(user).fillna(0.0)).to_numpy("float64")


def baselines(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Returns RMSE and MAE on `rows`, in stars, of two baselines from `train`: its mean, and `bias_predictions`.

    Args:
        train, rows: training rows and rows to predict, with uid, mid and rating.

    Returns:
        One row per baseline, "global mean" and "user + film offsets", with the columns `rmse` and `mae`.
    """
    predictions = {
        "global mean": np.full(len(rows), float(train.rating.mean())),
        "user + film offsets": bias_predictions(train, rows),
    }
    y = rows.rating.to_numpy()
    return pd.DataFrame({name: {"rmse": rmse(y, p), "mae": mae(y, p)} for name, p in predictions.items()}).T


def paired_difference(ours: Sequence[float], theirs: Sequence[float], comparisons: int = 1) -> pd.Series:
    """Computes the mean difference of paired runs, its 95 % interval and the minimum detectable difference.

    Equation eq-paired gives the interval, equation eq-detectable the detectable difference.

    Args:
        ours, theirs: the errors of two models, (n,), run by run on the same rows with the same seed.
        comparisons: number of intervals that have to hold all at once in 95 % of experiments; each is widened to the
            level 1 − 0.05 / comparisons (Bonferroni).

    Returns:
        `difference`, the mean of ours − theirs; `low` and `high`, the ends of its interval by Student's t; `sd`, the
        standard deviation of the differences; `detectable`, the smallest true difference that four of five such
        experiments would find, with an interval that excludes 0; `runs`, their number. For a single run only
        `difference` and `runs` are numbers, and the others are NaN.
    """
    ours, theirs = columns(ours=ours, theirs=theirs)
    difference, n = ours - theirs, len(ours)
    mean, sd, half, detectable = difference.mean(), np.nan, np.nan, np.nan
    if n > 1:
        sd = difference.std(ddof=1)
        half, more = stats.t.ppf([1 - 0.025 / comparisons, 0.8], n - 1) * sd / np.sqrt(n)
        detectable = half + more
    values = {"difference": mean, "low": mean - half, "high": mean + half, "sd": sd, "detectable": detectable}
    return pd.Series(values | {"runs": n})


def parts(model, x: Sequence[np.ndarray]) -> pd.DataFrame:
    """Computes what each part of a DeepFM or FM adds to each score, in stars or, for clicks, in log-odds (chapter 9).

    Args:
        model: the last of `models.deep_fm_model`, or `models.fm_model`, possibly reloaded from a file.
        x: model inputs, each (n, …).

    Returns:
        n rows, with one column for each part that the model has (first_order, second_order, deep) and `bias`; the
        numbers of a row add up to its score. With `head="dense"` a part's column is its output times its weight.

    Raises:
        ValueError: the model is only a part of one.
    """
    from deepfm_helpers._keras import keras

    head = anatomy.head(model)
    values = _outputs(keras.Model(model.inputs, list(anatomy.parts(model).values())), x)
    frame = pd.DataFrame(
        {name: v[:, 0].astype("float64") for name, v in zip(head.weights, values, strict=True)}
    )
    return (frame * pd.Series(head.weights)).assign(bias=head.constant)


def variance_shares(score_parts: pd.DataFrame) -> pd.Series:
    """Computes Cov(part, score) / Var(score) for each part; the shares add up to 1 (equation eq-shares).

    Args:
        score_parts: what `parts` returned.

    Raises:
        ValueError: every row has the same score, so that there is no variance to share.
    """
    columns(**score_parts)
    moving = score_parts.drop(columns="bias")
    score = moving.sum(axis=1)
    variance = score.var(ddof=0)
    if variance == 0:
        raise ValueError(
            "every row has the same score: there is no variance of which a part could have a share"
        )
    return moving.apply(lambda part: np.cov(part, score, ddof=0)[0, 1]) / variance


def zeroed(score_parts: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    """Computes the RMSE, in stars, of the trained model when one part is taken out of the sum at prediction.

    Args:
        score_parts: what `parts` returned.
        y: ratings in stars, (n,).

    Returns:
        One row per part, after a first row `nothing` for the whole model. In the column `set_to_zero` the part is
        replaced by 0; in `set_to_mean` by its own mean, so that only its differences between rows are lost.
    """
    columns(y=y, **score_parts)
    score = score_parts.sum(axis=1)
    whole = rmse(y, score)
    rows = {"nothing": {"set_to_zero": whole, "set_to_mean": whole}}
    for name in score_parts.columns.drop("bias"):
        part = score_parts[name]
        rows[name] = {
            "set_to_zero": rmse(y, score - part),
            "set_to_mean": rmse(y, score - part + part.mean()),
        }
    return pd.DataFrame(rows).T


def averaged_over_orders(value: dict[frozenset, float], names: Sequence[str]) -> pd.Series:
    """Computes Shapley values: what a part adds on average over all orders of the parts (equation eq-shapley).

    Args:
        value: what each set of parts achieves, for every subset of `names`, the empty one included.
        names: the parts.

    Returns:
        One number per part, in the unit of `value`; the numbers add up to value(all) − value(none).

    Raises:
        KeyError: a subset is missing.
    """
    n = len(names)
    total = dict.fromkeys(names, 0.0)
    for name in names:
        others = [other for other in names if other != name]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            for subset in combinations(others, size):
                total[name] += weight * (value[frozenset([*subset, name])] - value[frozenset(subset)])
    return pd.Series(total)


def mse_drop_by_subset(score_parts: pd.DataFrame, y: np.ndarray) -> dict[frozenset, float]:
    """Computes how far each set of parts lowers the mean squared error below that of all parts held at their means.

    Args:
        score_parts: what `parts` returned.
        y: ratings in stars, (n,).

    Returns:
        set of parts -> drop in stars², the values that `averaged_over_orders` takes.
    """
    columns(y=y, **score_parts)
    moving = score_parts.drop(columns="bias")
    still = float(score_parts.mean().sum())
    names = list(moving.columns)
    around_mean = moving - moving.mean()
    subsets = [frozenset(c) for size in range(len(names) + 1) for c in combinations(names, size)]
    mse = {s: rmse(y, still + around_mean[sorted(s)].sum(axis=1)) ** 2 for s in subsets}
    return {s: mse[frozenset()] - error for s, error in mse.items()}
