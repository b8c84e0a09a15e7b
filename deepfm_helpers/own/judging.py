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

import numpy as np
import pandas as pd

from deepfm_helpers import clicks, evaluation

DECISIVE = {"rating": "rmse", "click": "log_loss"}
"""By task, the measure by which models are compared; less is better."""

SIMPLE = {"rating": ("the mean", "mean + offsets of user and item"), "click": ("the share of ones",)}
"""By task, the simple predictions that a model has to beat, the simplest first."""


def figures(
    task: str, train: pd.DataFrame, test: pd.DataFrame, predictions: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Measures models on the test rows, after the simple predictions that they have to beat.

    For ratings: RMSE and MAE in the unit of the target, after the mean and after `evaluation.bias_predictions`. For
    clicks: the measures of `clicks`, after the share of ones in the training rows; where all test rows have one answer,
    AUC and normalised entropy are NaN.

    Args:
        task: "rating" or "click".
        train, test: joined rows; the simple predictions come from `train`.
        predictions: name of a model -> ratings in the range of the targets, or probabilities, (len(test),).

    Returns:
        One row per model: the simplest first, those of `predictions` last.
    """
    simple = {SIMPLE[task][0]: np.full(len(test), float(train.rating.mean()))}
    if task == "rating":
        low, high = float(train.rating.min()), float(train.rating.max())
        simple[SIMPLE[task][1]] = np.clip(evaluation.bias_predictions(train, test), low, high)
    return measured(task, test.rating.to_numpy(), simple | dict(predictions))


def measured(task: str, y: np.ndarray, everyone: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Measures predictions; arguments and result are as for `figures`, with the simple predictions among `everyone`.

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
