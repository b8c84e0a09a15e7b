"""How good a model is, against what, and which of its parts does the work (chapters 7 and 9)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from math import factorial, gamma

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy


def rmse(y: np.ndarray, prediction: np.ndarray) -> float:
    """Root of the mean squared error, in stars."""
    return float(np.sqrt(np.mean(np.square(np.asarray(y, np.float64) - np.asarray(prediction, np.float64)))))


def mae(y: np.ndarray, prediction: np.ndarray) -> float:
    """Mean absolute error, in stars."""
    return float(np.mean(np.abs(np.asarray(y, np.float64) - np.asarray(prediction, np.float64))))


def predict(model, x: Sequence[np.ndarray]) -> np.ndarray:
    """Scores in stars, float32 (n,)."""
    return _outputs(model, x)[0][:, 0]


def _outputs(model, x: Sequence[np.ndarray], rows: int = 16_384) -> list[np.ndarray]:
    """Every output of a model, block by block; for one pass, compiling a graph would take longer."""
    from deepfm_helpers._keras import keras

    blocks = []
    for start in range(0, max(len(x[0]), 1), rows):
        block = model([keras.ops.convert_to_tensor(a[start : start + rows]) for a in x], training=False)
        block = block if isinstance(block, list) else [block]
        blocks.append([keras.ops.convert_to_numpy(output) for output in block])
    return [np.concatenate(column) for column in zip(*blocks, strict=True)]


def bias_predictions(train: pd.DataFrame, rows: pd.DataFrame, damping: float = 5.0) -> np.ndarray:
    """Mean + film offset + user offset, each shrunk towards 0 as if by `damping` average ratings, in stars.

    The baseline b_ui of Koren, *Factor in the Neighbors* (2010), with the offsets taken one after the other.
    Users and films that `train` lacks get an offset of 0.
    """
    mean = float(train.rating.mean())
    rest = train.rating.astype("float64") - mean
    film = rest.groupby(train.mid).sum() / (rest.groupby(train.mid).size() + damping)
    rest = rest - train.mid.map(film)
    user = rest.groupby(train.uid).sum() / (rest.groupby(train.uid).size() + damping)
    return (mean + rows.mid.map(film).fillna(0.0) + rows.uid.map(user).fillna(0.0)).to_numpy("float64")


def baselines(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """RMSE and MAE, in stars, of predicting the mean and of user and film offsets, learned on `train`."""
    predictions = {
        "global mean": np.full(len(rows), float(train.rating.mean())),
        "user + film offsets": bias_predictions(train, rows),
    }
    y = rows.rating.to_numpy()
    return pd.DataFrame({name: {"rmse": rmse(y, p), "mae": mae(y, p)} for name, p in predictions.items()}).T


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """The value that Student's t with so many degrees of freedom stays below with a probability (0.5 to 1)."""
    t = np.linspace(0, 700, 2_000_001)
    density = (1 + t**2 / freedom) ** (-(freedom + 1) / 2)
    area = np.cumsum(density) - (density + density[0]) / 2
    total = gamma((freedom + 1) / 2) / (np.sqrt(freedom * np.pi) * gamma(freedom / 2))
    return float(np.interp(probability - 0.5, area * (t[1] - t[0]) * total, t))


def paired_difference(ours: Sequence[float], theirs: Sequence[float], level: float = 0.95) -> pd.Series:
    """Mean of the differences of runs that belong together, its interval, and what could have been seen.

    Args:
        ours, theirs: the errors of two models, run by run: same rows, same seed.
        level: of the interval for the mean difference, by Student's t.

    Returns:
        `difference` (ours - theirs), `low` and `high` of its interval, `sd` of the differences, `detectable`, the
        smallest true difference that such an experiment finds (interval without 0) in four of five repeats,
        and `runs`. For a single run only `difference` and `runs` are numbers.
    """
    difference = np.asarray(ours, np.float64) - np.asarray(theirs, np.float64)
    n = len(difference)
    mean, sd, half, seen = difference.mean(), np.nan, np.nan, np.nan
    if n > 1:
        sd = difference.std(ddof=1)
        half = t_quantile((1 + level) / 2, n - 1) * sd / np.sqrt(n)
        seen = half + t_quantile(0.8, n - 1) * sd / np.sqrt(n)
    values = {"difference": mean, "low": mean - half, "high": mean + half, "sd": sd, "detectable": seen}
    return pd.Series(values | {"runs": n})


def parts(model, x: Sequence[np.ndarray]) -> pd.DataFrame:
    """What each part of a DeepFM or FM adds to each score, in stars.

    Args:
        model: the last of `models.deep_fm_model`, or `models.fm_model`, possibly reloaded from a file.
        x: model inputs.

    Returns:
        One column per part present (first_order, second_order, deep) and `bias`; a row sums to its score.
        With `head="dense"` a part's column is its output times its weight.

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
    """Cov(part, score) / Var(score) for each part; the shares add up to 1 (equation eq-shares)."""
    moving = score_parts.drop(columns="bias")
    score = moving.sum(axis=1)
    return moving.apply(lambda part: np.cov(part, score, ddof=0)[0, 1]) / score.var(ddof=0)


def zeroed(score_parts: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    """RMSE, in stars, of the trained model when one part is taken out of the sum at prediction.

    Columns: `set_to_zero`, the part replaced by 0; `set_to_mean`, by its own mean, so that only what it says
    about single rows is lost. The first row, `nothing`, is the whole model.
    """
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
    """Shapley values: what a part adds on average over all orders in which the parts can arrive.

    Args:
        value: what each set of parts achieves, for every subset of `names`, the empty one included.
        names: the parts.

    Returns:
        One number per part, in the unit of `value`; they add up to value(all) − value(none).

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
    """By how much each set of parts lowers the squared error below that of all parts held at their means.

    The values to hand to `averaged_over_orders`, in stars².
    """
    moving = score_parts.drop(columns="bias")
    still = float(score_parts.mean().sum())
    names = list(moving.columns)
    around_mean = moving - moving.mean()
    subsets = [frozenset(c) for size in range(len(names) + 1) for c in combinations(names, size)]
    mse = {s: rmse(y, still + around_mean[sorted(s)].sum(axis=1)) ** 2 for s in subsets}
    return {s: mse[frozenset()] - error for s, error in mse.items()}
