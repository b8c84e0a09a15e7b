"""Measures predictions for ratings or clicks, beside simple ones that any model has to beat.

>>> import numpy as np
>>> from deepfm_helpers.own import judging
>>> y, probability = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8])
>>> round(judging.auc(y, probability), 2), round(judging.log_loss(y, probability), 3)
(0.75, 0.472)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from deepfm_helpers import evaluation
from deepfm_helpers.arrays import columns

SMALLEST = 1e-7
"""A probability is taken to lie at least this far from 0 and 1, as Keras takes it: a sure error costs 16 nats."""

DECISIVE = {"rating": "rmse", "click": "log_loss"}
"""By task, the measure by which models are compared; less is better."""


def log_loss(y: np.ndarray, probability: np.ndarray) -> float:
    """Returns the mean of −log(probability of what happened), in nats.

    Args:
        y, probability: clicks (0 or 1) and probabilities of a 1, (n,) or (n, 1) each.
    """
    y, probability = columns(y=y, probability=probability)
    p = np.clip(probability, SMALLEST, 1 - SMALLEST)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def auc(y: np.ndarray, probability: np.ndarray) -> float:
    """Returns how often a row with a 1 has a higher probability than a row with a 0; a tie counts one half.

    It is the area under the ROC curve, computed by ranks (Hanley and McNeil 1982); NaN if all rows are alike.

    Args:
        y, probability: clicks (0 or 1) and probabilities, or scores in the same order, (n,) or (n, 1) each.
    """
    y, probability = columns(y=y, probability=probability)
    ones = y.sum()
    pairs = ones * (len(y) - ones)
    return (
        float((rankdata(probability)[y == 1].sum() - ones * (ones + 1) / 2) / pairs)
        if pairs
        else float("nan")
    )


def figures(
    task: str, train: pd.DataFrame, test: pd.DataFrame, predictions: Mapping[str, np.ndarray]
) -> pd.DataFrame:
    """Measures models on the test rows, after the simple predictions that they have to beat.

    For ratings: RMSE and MAE in the unit of the target, after the mean and after `evaluation.bias_predictions`. For
    clicks: log-loss in nats, AUC, and normalized entropy, that is, the log-loss divided by that of the share of ones in
    the training rows (He et al. 2014, *Practical Lessons from Predicting Clicks on Ads at Facebook*); after that share.

    Args:
        task: "rating" or "click".
        train, test: joined rows; the simple predictions come from `train`.
        predictions: name of a model -> ratings in the range of the targets, or probabilities, (len(test),).

    Returns:
        One row per model: the simplest first, those of `predictions` last.
    """
    y, mean = test.rating.to_numpy(), float(train.rating.mean())
    constant = np.full(len(test), mean)
    if task == "click":
        everyone = {"the share of ones": constant, **predictions}
        base = log_loss(y, constant)
        rows = {
            name: {"log_loss": (loss := log_loss(y, p)), "auc": auc(y, p), "normalized_entropy": loss / base}
            for name, p in everyone.items()
        }
    else:
        low, high = float(train.rating.min()), float(train.rating.max())
        offsets = np.clip(evaluation.bias_predictions(train, test), low, high)
        everyone = {"the mean": constant, "mean + offsets of user and item": offsets, **predictions}
        rows = {
            name: {"rmse": evaluation.rmse(y, p), "mae": evaluation.mae(y, p)} for name, p in everyone.items()
        }
    return pd.DataFrame(rows).T
