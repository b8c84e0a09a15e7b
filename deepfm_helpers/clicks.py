"""Ratings as clicks, and the measures for answers of yes or no (chapter 16).

Log-loss, entropy and calibration take probabilities between 0 and 1. AUC takes any score, as it reads only the order.
All take arrays (n,) or (n, 1). The ranks, the intervals and the search for a scale are SciPy's.

>>> import numpy as np
>>> from deepfm_helpers import clicks
>>> y, p = np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.5, 0.2])
>>> round(clicks.log_loss(y, p), 3), clicks.auc(y, p), round(clicks.normalised_entropy(y, p), 3)
(0.484, 0.75, 0.699)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from deepfm_helpers import features
from deepfm_helpers.arrays import columns

NEUTRAL = 3.0
"""More stars count as a click and fewer as none; rows of exactly so many stars are left out."""

CUT = 1e-7
"""Probabilities are cut to CUT … 1 − CUT, as Keras does, so that one certain mistake does not cost infinitely much."""


class Parts(NamedTuple):
    """Rows for training, for choosing and calibrating, and for the test."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


def of(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns rows of ratings as clicks: `rating` is 1 above `NEUTRAL` stars and 0 below; the rows at it are left out.

    Raises:
        ValueError: not both answers occur.
    """
    kept = rows[rows["rating"] != NEUTRAL]
    click = (kept["rating"] > NEUTRAL).astype("float32")
    if click.nunique() < 2:
        raise ValueError(
            f"{len(kept)} rows that do not have {NEUTRAL:g} stars: clicks need rows above and below it"
        )
    return kept.assign(rating=click)


def split(rows: pd.DataFrame, seed: int) -> Parts:
    """Draws training, validation and test rows, 8 : 1 : 1, each in file order; errors as in `features.split_rows`."""
    rest, test = features.split_rows(rows, 1 / 10, seed=seed)
    return Parts(*features.split_rows(rest, 1 / 9, seed=seed), test)


def log_loss(y: np.ndarray, p: np.ndarray) -> float:
    """Returns the mean of −log p over clicks and −log (1 − p) over the others, in nats (equation eq-log-loss).

    Args:
        y: clicks, 0 or 1, (n,).
        p: probabilities of a click, (n,); see `CUT`.

    Raises:
        ValueError: a click is not 0 or 1, or a probability lies outside 0 … 1; or the arrays
            differ in length, are empty or hold a number that is not finite.
    """
    y, p = _checked(y, p)
    return float(-np.mean(special.xlogy(y, p) + special.xlog1py(1 - y, -p)))


def auc(y: np.ndarray, score: np.ndarray) -> float:
    """Returns the share of pairs, a click and a row without, in which the click has the higher score; ties count half.

    This is the area under the ROC curve (equation eq-auc), computed from ranks.

    Args:
        y: clicks, 0 or 1, (n,).
        score: any numbers that grow with the probability of a click, (n,).

    Raises:
        ValueError: a click is not 0 or 1, or all are alike; or the arrays
            differ in length, are empty or hold a number that is not finite.
    """
    y, score = columns(y=y, score=score)
    _check_clicks(y)
    ones = y.sum()
    pairs = ones * (len(y) - ones)
    if not pairs:
        raise ValueError(f"all {len(y)} rows have the answer {y[0]:g}: AUC needs rows of both answers")
    return float((stats.rankdata(score)[y == 1].sum() - ones * (ones + 1) / 2) / pairs)


def auc_by_user(y: np.ndarray, score: np.ndarray, uid: np.ndarray) -> pd.DataFrame:
    """Computes the AUC among the rows of each user who has rows of both answers.

    The mean weighted by rows is the GAUC of Zhou et al., *Deep Interest Network* (2018), over these users.

    Args:
        y, score: see `auc`.
        uid: user of each row, (n,).

    Returns:
        A frame indexed by uid with the columns `auc` and `rows`.

    Raises:
        ValueError: no user has rows of both answers; or see `auc`.
    """
    y, score, uid = columns(y=y, score=score, uid=uid)
    _check_clicks(y)
    frame = pd.DataFrame({"uid": uid.astype("int64"), "y": y, "score": score})
    frame["won"] = frame.groupby("uid").score.rank() * y
    found = frame.groupby("uid").agg(ones=("y", "sum"), rows=("y", "size"), won=("won", "sum"))
    found = found[(found.ones > 0) & (found.ones < found.rows)]
    if found.empty:
        raise ValueError("no user has rows of both answers: there is nothing to rank within a user")
    won = found.won - found.ones * (found.ones + 1) / 2
    return pd.DataFrame({"auc": won / (found.ones * (found.rows - found.ones)), "rows": found.rows})


def entropy(share: float) -> float:
    """Returns the log-loss, in nats, of always saying the share of clicks itself.

    Raises:
        ValueError: the share lies outside 0 … 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share = {share}: a share of clicks lies between 0 and 1")
    return float(special.entr(share) + special.entr(1 - share))


def normalised_entropy(y: np.ndarray, p: np.ndarray) -> float:
    """Returns the log-loss divided by that of the rows' own share of clicks (equation eq-normalised-entropy).

    A model that knows nothing but the share has 1; lower is better. The measure is that of He et al., *Practical
    Lessons from Predicting Clicks on Ads at Facebook* (2014).

    Args:
        y, p: see `log_loss`.

    Raises:
        ValueError: all answers are alike; or see `log_loss`.
    """
    share = float(np.mean(_checked(y, p)[0]))
    if share in (0, 1):
        raise ValueError("all rows have the same answer: their share has no entropy to divide by")
    return log_loss(y, p) / entropy(share)


def reliability(y: np.ndarray, p: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """Compares what is predicted with what happens, in bins of about as many rows each.

    Args:
        y, p: see `log_loss`.
        bins: number of bins; equal probabilities stay in one bin, so that there may be fewer.

    Returns:
        One row for each bin, in rising order: `predicted`, the mean probability; `clicked`, the share of clicks; `low`
        and `high`, its 95 % interval by Wilson's formula; `rows`.

    Raises:
        ValueError: bins is below 1; or see `log_loss`.
    """
    if bins < 1:
        raise ValueError(f"bins = {bins}: ask for at least one")
    y, p = _checked(y, p)
    inner = np.unique(np.quantile(p, np.arange(1, bins) / bins))
    groups = pd.DataFrame({"p": p, "y": y}).groupby(np.searchsorted(inner, p))
    found = groups.agg(predicted=("p", "mean"), clicked=("y", "mean"), ones=("y", "sum"), rows=("y", "size"))
    ends = [
        stats.binomtest(int(k), int(n)).proportion_ci(method="wilson")
        for k, n in zip(found.ones, found.rows, strict=True)
    ]
    found["low"], found["high"] = np.array([(end.low, end.high) for end in ends]).T
    return found[["predicted", "clicked", "low", "high", "rows"]].reset_index(drop=True)


class Scale(NamedTuple):
    """A straight line for log-odds, which makes probabilities bolder or milder, higher or lower (equation eq-scale).

    Attributes:
        slope: below 1 if the probabilities were too bold. 1 / slope is known as the *temperature*.
        constant: what is added, in log-odds.
    """

    slope: float
    constant: float

    def apply(self, p: np.ndarray) -> np.ndarray:
        """Returns the probabilities on the new scale, float64, in the shape of p."""
        return special.expit(self.slope * _logit(p) + self.constant)


def fitted_scale(y: np.ndarray, p: np.ndarray) -> Scale:
    """Finds the scale that makes the log-loss of some rows smallest (Platt 1999); take rows that were not trained on.

    Args:
        y, p: see `log_loss`.

    Raises:
        ValueError: a probability orders the answers without a mistake, so that no scale is bold enough; all
            probabilities are alike; or see `auc` and `log_loss`.
    """
    y, p = _checked(y, p)
    order = auc(y, p)
    if order in (0, 1):
        raise ValueError(
            f"the AUC of these {len(y)} rows is {order:g}: a scale needs rows on which the order errs; take more rows"
        )
    z = _logit(p)
    if np.ptp(z) == 0:
        raise ValueError("all probabilities are alike: there is no scale to find")

    def loss(line):
        scores = line[0] * z + line[1]
        error = special.expit(scores) - y
        price = np.mean(np.logaddexp(0, scores) - y * scores)
        return price, np.array([np.mean(error * z), np.mean(error)])

    found = optimize.minimize(loss, np.array([1.0, 0.0]), jac=True, method="BFGS", options={"gtol": 1e-8})
    return Scale(*map(float, found.x))


def odds_corrected(p: np.ndarray, kept: float) -> np.ndarray:
    """Returns the probabilities for all rows, from those of a model that has seen a part of the rows without a click.

    The log-odds of each row gain log `kept` (equation eq-sampled-odds).

    Args:
        p: probabilities of a model that was trained on all clicks and on a random part of the other rows.
        kept: the share of the other rows that was kept, above 0 and at most 1.

    Raises:
        ValueError: `kept` is out of range, or a probability lies outside 0 … 1.
    """
    if not 0 < kept <= 1:
        raise ValueError(f"kept = {kept}: give the share of the rows without a click that was kept, in 0 … 1")
    return Scale(1.0, float(np.log(kept))).apply(p)


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.asarray(p, np.float64)
    if not ((p >= 0) & (p <= 1)).all():  # so that NaN is refused
        raise ValueError("probabilities lie between 0 and 1; give what the model predicts, not its score")
    return special.logit(np.clip(p, CUT, 1 - CUT))


def _checked(y: np.ndarray, p: np.ndarray) -> list[np.ndarray]:
    """Returns clicks and cut probabilities as float64 (n,)."""
    y, p = columns(y=y, p=p)
    _check_clicks(y)
    strange = np.flatnonzero((p < 0) | (p > 1))
    if strange.size:
        raise ValueError(
            f"p: row {strange[0]} (counted from 0) is {p[strange[0]]:g}; a probability lies between 0 and 1, and a "
            "score of log-odds needs a sigmoid first"
        )
    return [y, np.clip(p, CUT, 1 - CUT)]


def _check_clicks(y: np.ndarray) -> None:
    strange = np.flatnonzero((y != 0) & (y != 1))
    if strange.size:
        raise ValueError(
            f"y: row {strange[0]} (counted from 0) is {y[strange[0]]:g}; a click is 0 or 1: see clicks.of"
        )
