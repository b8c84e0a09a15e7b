"""What the systems of the task clicks share: the task itself, AUC and log-loss."""

import time
from collections.abc import Callable

import numpy as np
from scipy import special, stats

from benchmarks.click_splits import SCORED
from benchmarks.systems import protocol


def serve(fit: Callable) -> None:
    """Read the request, fit, and answer with seconds, AUC, log-loss and the number of parameters.

    Args:
        fit: function of the columns and the request. It fits the training rows, may use the validation rows to stop,
            and returns a function of the name of a part, which returns the probabilities of a click of its rows, and
            the number of parameters.
    """

    def clicks(request: dict) -> None:
        rows, part = protocol.table(request["table"]), SCORED[request["how"]]
        started = time.perf_counter()
        predict, parameters = fit(rows, request)
        probabilities = np.ravel(predict(part))
        seconds = time.perf_counter() - started
        protocol.turn(seconds=seconds, parameters=parameters, **scores(rows[f"{part}_click"], probabilities))

    protocol.serve(clicks=clicks)


def inputs(rows: dict, part: str) -> dict[str, np.ndarray]:
    """Return the ids of a part by field, each (rows, slots)."""
    return {name: rows[f"{part}_{name}"] for name in protocol.owners(rows)}


def scores(clicks: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Return AUC and log-loss, in nats, of the probabilities of a click, cut to 1e-7 … 1 − 1e-7."""
    y, p = np.asarray(clicks, bool), np.clip(np.asarray(probabilities, "float64"), 1e-7, 1 - 1e-7)
    # Of the pairs of a click and none, those that are ranked rightly; ties count half.
    wins = stats.mannwhitneyu(p[y], p[~y], method="asymptotic").statistic
    return {
        "auc": float(wins / (y.sum() * (~y).sum())),
        "log_loss": float(-(special.xlogy(y, p) + special.xlog1py(~y, -p)).mean()),
    }
