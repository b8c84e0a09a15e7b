"""Measures predictions for ratings or clicks, beside simple ones that any model has to beat.

>>> import numpy as np, pandas as pd
>>> from deepfm_helpers.own import judging
>>> train, test = pd.DataFrame({"rating": [0, 1, 1, 1]}), pd.DataFrame({"rating": [0, 0, 1, 1]})
>>> judging.figures("click", train, test, {"a model": np.array([0.1, 0.4, 0.35, 0.8])}).round(3)
                   log_loss   auc  normalised_entropy
the share of ones     0.837  0.50               1.208
a model               0.472  0.75               0.681
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from deepfm_helpers import clicks, evaluation

DECISIVE = {"rating": "rmse", "click": "log_loss"}
"""By task, the measure by which models are compared; less is better."""

SIMPLE = {"rating": ("the mean", "mean + offsets of user and item"), "click": ("the share of ones",)}
"""By task, the simple predictions that a model has to beat, the simplest first."""


def figures(
    task: str, train: pd.DataFrame, test: pd.DataFrame, predictions: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Measures models on the test rows, after the simple predictions that they have to beat; see `measured`.

    Args:
        task: "rating" or "click".
        train, test: joined rows; the simple predictions come from `train`.
        predictions: name of a model -> ratings in the range of the targets, or probabilities, (len(test),).

    Returns:
        One row per model: the simplest first, those of `predictions` last.
    """
    return measured(task, test.rating.to_numpy(), simple(task, train, test) | dict(predictions))


def simple(task: str, train: pd.DataFrame, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """Returns the simple predictions for the test rows by the names of `SIMPLE`, each (len(test),).

    For ratings they are the mean and `evaluation.bias_predictions`, cut to the range of the training rows; for clicks
    the share of ones.
    """
    found = {SIMPLE[task][0]: np.full(len(test), float(train.rating.mean()))}
    if task == "rating":
        low, high = float(train.rating.min()), float(train.rating.max())
        found[SIMPLE[task][1]] = np.clip(evaluation.bias_predictions(train, test), low, high)
    return found


class Margin(NamedTuple):
    """How much less the error of a model is than that of its best rival, with a 95% interval.

    The interval is over users, whose rows are not independent of each other: it says what other users like these would
    show, and nothing of other splits and seeds. All are in the unit of the error, see `DECISIVE`; where the test rows
    have a single user, `low` and `high` are NaN.

    Attributes:
        rival: the best of the others.
        mean: the rival's error minus the model's.
        low, high: ends of the interval.
    """

    rival: str
    mean: float
    low: float
    high: float


def margin(task: str, y: np.ndarray, users: np.ndarray, everyone: Mapping[str, np.ndarray]) -> Margin:
    """Compares the last of several predictions with the best of the others on the same rows.

    For a difference of RMSE the interval is that of the mean difference of squared errors, divided by the sum of the
    two RMSE. The variance is that of a ratio of sums over users (Cochran, Sampling Techniques, 1977, section 6.3).

    Args:
        task: "rating" or "click".
        y: targets, (n,).
        users: the user of each row, (n,).
        everyone: name -> predictions, (n,), the model last.
    """
    *others, model = everyone
    by_name = measured(task, y, everyone)[DECISIVE[task]]
    rival = by_name[others].idxmin()
    losses = {name: _losses(task, y, everyone[name]) for name in (rival, model)}
    gain = losses[rival] - losses[model]
    codes, known = pd.factorize(users)
    sums, sizes = np.bincount(codes, gain), np.bincount(codes)
    n, spread = len(known), np.nan
    if n > 1:
        off = sums - sizes * gain.mean()
        spread = stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1) * np.square(off).sum()) / len(gain)
    # a² − b² = (a − b)(a + b)
    scale = 1.0 if task == "click" else 1 / (by_name[rival] + by_name[model] or 1.0)
    mean = float(gain.mean() * scale)
    return Margin(rival, mean, float(mean - spread * scale), float(mean + spread * scale))


def _losses(task: str, y: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Returns what each row adds to the mean that `DECISIVE` measures, float64 (n,); of RMSE to its square."""
    y, p = np.asarray(y, "float64"), np.asarray(prediction, "float64")
    if task == "rating":
        return np.square(y - p)
    p = p.clip(clicks.CUT, 1 - clicks.CUT)
    return -np.where(y == 1, np.log(p), np.log1p(-p))


def measured(task: str, y: np.ndarray, everyone: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Measures predictions, in the order of their names.

    For ratings: RMSE and MAE in the unit of the target. For clicks: the measures of `clicks`; where all rows have one
    answer, AUC and normalised entropy are NaN.

    Args:
        task: "rating" or "click".
        y: targets, (n,).
        everyone: name -> predictions, (n,).
    """
    if task == "click":
        both = 0 < y.mean() < 1
        rows = {
            name: {
                "log_loss": clicks.log_loss(y, p),
                "auc": clicks.auc(y, p) if both else np.nan,
                "normalised_entropy": clicks.normalised_entropy(y, p) if both else np.nan,
            }
            for name, p in everyone.items()
        }
    else:
        rows = {
            name: {"rmse": evaluation.rmse(y, p), "mae": evaluation.mae(y, p)} for name, p in everyone.items()
        }
    return pd.DataFrame(rows).T
