"""Keep numbers beyond a run: record the results of a chapter, and read what stored runs and benchmarks recorded."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.display import display

RECORD_MIME = "application/vnd.deepfm.record+json"


def record(*, within: float | None = None, **metrics: object) -> None:
    """Show named results and store them in the output, so that a program can read them back.

    Values may be numbers, texts, bools, None, and lists, dicts, NumPy arrays or pandas series of these;
    :func:`deepfm_helpers.press.reruns.run` returns them from the executed notebook.

    Args:
        within: for results of a training, how far the number may differ on another processor, in the unit of the
            values. Without it, whole numbers have to be the same everywhere, and others agree to a millionth.
        **metrics: the results by name.

    Raises:
        TypeError: JSON cannot hold a value.
        ValueError: there is no value at all, or a number is not finite.
    """
    if not metrics:
        raise ValueError("record() needs at least one named value")
    values = {name: plain(value, name) for name, value in metrics.items()}
    metadata = {} if within is None else {RECORD_MIME: {"within": within}}
    display({RECORD_MIME: values, "text/plain": echo(values, within)}, metadata=metadata, raw=True)


def echo(values: Mapping[str, object], within: float | None = None) -> str:
    """Return the text with which `record` shows ``values``."""
    head = "recorded:" if within is None else f"recorded, to within {within:g} on any processor:"
    return "\n  ".join([head, *(f"{name} = {_short(value)}" for name, value in values.items())])


def plain(value: object, name: str = "value") -> object:
    """Turn ``value`` into plain JSON values; ``name`` is what an error message calls it."""
    if isinstance(value, (pd.Series, pd.Index)):
        value = value.tolist()
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"record: {name} = {value} is not a finite number")
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{name}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{name}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"record: {name} is a {type(value).__name__}; give numbers, texts, lists or dicts of them"
    )


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, dict)):
        return f"{len(value)}\u00a0values"
    return str(value)


@dataclass(frozen=True)
class Recorded:
    """The stored runs of a notebook on MovieLens-1M.

    Attributes:
        notebook: name of the notebook.
        parameters: the parameters that were the same in all runs.
        fingerprint: fingerprint of the data, see `datasets.fingerprint`.
        digest: digest of the code that computed the numbers or has made one of the runs again with the same result,
            16 hexadecimal digits; None for runs older than digests.
        versions: package -> version.
        date: date of the last run whose numbers are stored, YYYY-MM-DD.
        threads: number of threads that computed in a run; None if it was not fixed.
        runs: one dict per run, with `parameters`, `metrics` (as given to :func:`record`) and `seconds`.
    """

    notebook: str
    parameters: dict[str, object]
    fingerprint: str
    digest: str | None
    versions: dict[str, str]
    date: str
    threads: int | None
    runs: list[dict]

    def frame(self) -> pd.DataFrame:
        """Return the metrics of the runs, one row per run."""
        return pd.DataFrame([run["metrics"] for run in self.runs])

    def table(self, metrics: list[str] | None = None) -> pd.DataFrame:
        """Return mean and standard deviation over the runs, one row per metric.

        Args:
            metrics: names of metrics, in the order of the rows; by default every metric that is a number in every run.

        Returns:
            A frame indexed by metric with the columns `mean`, `sd` (with n − 1 in the denominator; NaN for a single
            run) and `runs`.

        Raises:
            KeyError: no run recorded a metric.
        """
        frame = self.frame()
        if metrics is None:
            metrics = list(frame.select_dtypes("number").columns)
        if missing := [name for name in metrics if name not in frame]:
            raise KeyError(f"{self.notebook} has no recorded {', '.join(missing)}; it has {', '.join(frame)}")
        table = frame[metrics].agg(["mean", "std", "count"]).T
        table.columns = ["mean", "sd", "runs"]
        return table.rename_axis("metric").astype({"runs": int})


def recorded(notebook: str) -> Recorded:
    """Read the runs of ``notebook`` on MovieLens-1M that ``make record`` stored.

    Args:
        notebook: its name, such as "07_training".

    Raises:
        FileNotFoundError: nothing is stored for this notebook.
    """
    path = files("deepfm_helpers") / "records" / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no record of notebook {notebook}: make one with `make record`")
    stored = json.loads(path.read_text(encoding="utf-8"))
    varied, metrics, seconds = (stored.pop(name) for name in ("varied", "metrics", "seconds"))
    runs = [
        {
            "parameters": stored["parameters"] | {name: values[i] for name, values in varied.items()},
            "metrics": {name: values[i] for name, values in metrics.items()},
            "seconds": seconds[i],
        }
        for i in range(len(seconds))
    ]
    return Recorded(**stored, runs=runs)


def measurements(task: str) -> pd.DataFrame:
    """Read what ``make bench`` stored for a task in ``benchmarks/results.json``, one row per measurement.

    Raises:
        FileNotFoundError: there is no such file; it belongs to the repository, not to the installed package.
    """
    path = Path(__file__).resolve().parents[1] / "benchmarks" / "results.json"
    if not path.is_file():
        raise FileNotFoundError(
            "no benchmarks/results.json here: work in a clone, or make it with `make bench`"
        )
    frame = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    return frame[frame.task == task].reset_index(drop=True)
