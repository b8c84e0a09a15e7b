"""What a notebook cell calls: check its parameters, record its numbers, make its claims, stamp its page."""

import json
import math
import platform
import sys
import time
from collections.abc import Mapping
from html import escape
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display

RECORD_MIME = "application/vnd.deepfm.record+json"
CLAIM_MIME = "application/vnd.deepfm.claim+json"
RUNTIME = ("tensorflow", "keras", "numpy", "pandas")  # the packages whose versions can move a number

_started = time.perf_counter()


class Rule(NamedTuple):
    """What a notebook parameter may be: one of ``choices``, or a ``kind`` from ``low`` to ``high``."""

    kind: type = float
    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False
    choices: tuple[str, ...] = ()

    def wanted(self) -> str:
        """The rule in words, for an error message."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind in (bool, str):
            return {bool: "True or False", str: "a text"}[self.kind]
        noun = {int: "a whole number", float: "a number"}[self.kind]
        low = f" {'above' if self.open_low else 'from'} {self.low:,}" if self.low > -math.inf else ""
        high = f" {'below' if self.open_high else 'to'} {self.high:,}" if self.high < math.inf else ""
        return noun + low + high

    def accepts_type(self, value: object) -> bool:
        """Whether ``value`` has the right type: a bool is no number, a whole number may be a float."""
        if self.choices or self.kind is str:
            return isinstance(value, str)
        if self.kind is bool:
            return isinstance(value, bool)
        allowed = (int, np.integer) if self.kind is int else (int, float, np.integer, np.floating)
        return isinstance(value, allowed) and not isinstance(value, bool)

    def accepts_value(self, value: object) -> bool:
        """Whether ``value``, of the right type, is in range."""
        if self.choices:
            return value in self.choices
        if self.kind in (bool, str):
            return True
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        return bool(above and below)


PARAMETERS: dict[str, Rule] = {
    "dataset": Rule(choices=("ml-100k", "ml-1m", "planted")),
    "seed": Rule(int, 0, 2**31 - 1),
    "n_seeds": Rule(int, 1, 20),
    "epochs": Rule(int, 1, 200),
    "patience": Rule(int, 1, 200),
    "steps_per_epoch": Rule(int, 1, 100_000),
    "batch_size": Rule(int, 16, 1_000_000),
    "learning_rate": Rule(float, 0, 1, open_low=True),
    "k": Rule(int, 1, 256),
    "n_fields": Rule(int, 2, 10_000),
    "n_genre": Rule(int, 1, 1_000),
    "dropout": Rule(float, 0, 1, open_high=True),
    "l2": Rule(float, 0),
    "n": Rule(int, 1, 1_000),
    "valid_fraction": Rule(float, 0, 0.9, open_low=True, open_high=True),
    "test_fraction": Rule(float, 0, 0.9, open_low=True, open_high=True),
}
"""The one table of notebook parameters, with the type and the range of each."""


def check_parameters(**values: object) -> None:
    """Check the parameters of a notebook against :data:`PARAMETERS`.

    Raises:
        TypeError: the value has the wrong type (a bool is not a whole number).
        ValueError: the name is not in the table, or the value is out of range.
    """
    for name, value in values.items():
        if name not in PARAMETERS:
            raise ValueError(
                f"parameter {name}: no such parameter; known are {', '.join(sorted(PARAMETERS))}"
            )
        rule = PARAMETERS[name]
        for holds, error in ((rule.accepts_type, TypeError), (rule.accepts_value, ValueError)):
            if not holds(value):
                raise error(f"parameter {name} = {value!r}: must be {rule.wanted()}")


def figures_as_svg() -> None:
    """From here on the notebook keeps its figures as SVG: sharp at any size, and fewer bytes to send than a PNG.

    Outside of a notebook this does nothing. Dots that are rasterized get 125 pixels an inch.
    """
    if get_ipython() is None:
        return
    import matplotlib
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    matplotlib.rcParams["svg.hashsalt"] = "figure"  # or else the names of its parts are others in every run
    set_matplotlib_formats("svg", dpi=125, metadata={"Date": None})


def record(*, within: float | None = None, **metrics: object) -> None:
    """Show named results and store them in the output, so that a program can read them back.

    Values may be numbers, texts, bools, None, and lists, dicts, NumPy arrays or pandas series of these;
    :func:`deepfm_helpers.reruns.records` reads them from the executed notebook.

    Args:
        within: for results of a training, how far from the stored number another processor may come, in the unit of
            the values. Without it whole numbers have to be the same everywhere, and sums agree to a millionth.
        **metrics: the results by name.

    Raises:
        TypeError: a value that JSON cannot hold.
        ValueError: no value at all, or a number that is not finite.
    """
    if not metrics:
        raise ValueError("record() needs at least one named value")
    values = {name: plain(value, name) for name, value in metrics.items()}
    metadata = {} if within is None else {RECORD_MIME: {"within": within}}
    display({RECORD_MIME: values, "text/plain": echo(values, within)}, metadata=metadata, raw=True)


def echo(values: Mapping[str, object], within: float | None = None) -> str:
    """The text in which :func:`record` shows ``values``."""
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


def recorded(notebook: str) -> list[dict]:
    """The runs of ``notebook`` that ``make record`` stored for MovieLens-1M.

    Returns:
        One dict a run, with ``parameters`` (name to value), ``metrics`` (as given to :func:`record`) and
        ``seconds``.

    Raises:
        FileNotFoundError: nothing is stored for this notebook.
    """
    return record_of(notebook)["runs"]


def record_of(notebook: str) -> dict:
    """The whole stored record of ``notebook``: dataset, fingerprint, versions and runs."""
    path = files("deepfm_helpers") / "records" / f"{notebook}.json"
    if not path.is_file():
        raise FileNotFoundError(f"no record of notebook {notebook}: make one with `make record`")
    return json.loads(path.read_text(encoding="utf-8"))


def recorded_table(notebook: str, metrics: list[str] | None = None) -> pd.DataFrame:
    """Mean and standard deviation over the stored runs of ``notebook``, one row a metric.

    Args:
        metrics: which ones and in which order; by default every metric that is a single number in every run.

    Returns:
        A frame indexed by metric with the columns ``mean``, ``sd`` (over runs, with n - 1 below the sum;
        NaN for a single run) and ``runs``.

    Raises:
        KeyError: a metric that no run recorded.
    """
    frame = pd.DataFrame([run["metrics"] for run in recorded(notebook)])
    if metrics is None:
        metrics = list(frame.select_dtypes("number").columns)
    if missing := [name for name in metrics if name not in frame]:
        raise KeyError(f"{notebook} has no recorded {', '.join(missing)}; it has {', '.join(frame)}")
    table = frame[metrics].agg(["mean", "std", "count"]).T
    table.columns = ["mean", "sd", "runs"]
    return table.rename_axis("metric").astype({"runs": int})


def as_text(table: pd.DataFrame, decimals: int = 4) -> pd.DataFrame:
    """A table as it is printed: whole and large numbers with commas, others with so many decimals, – for none.

    Underscores in names become spaces, so that a head can wrap; an index loses its own name.
    """

    def cell(value: object) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return "–"
        whole = float(value).is_integer() or abs(value) >= 10_000
        return f"{value:,.0f}" if whole else f"{value:,.{decimals}f}"

    words = {"index": _words, "columns": _words}
    return table.map(cell).rename_axis(index=None, columns=None).rename(**words)


def _words(name: object) -> object:
    return name.replace("_", " ") if isinstance(name, str) else name


def measured(task: str) -> pd.DataFrame:
    """What ``make bench`` stored for a task in ``benchmarks/results.json``, a row a measurement.

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


def claim(statement: str, holds: object) -> None:
    """State something about the data or the model that this run can refute.

    A claim that holds is shown with a check mark and enters the book's ledger of claims; one that does not
    stops the notebook.

    Args:
        statement: a sentence, in Markdown.
        holds: the result of the check, true or false.

    Raises:
        AssertionError: the claim does not hold.
        TypeError: ``holds`` is not a truth value, such as an array of several.
    """
    if not isinstance(holds, (bool, np.bool_)):
        raise TypeError(f"claim: holds must be True or False, not a {type(holds).__name__}")
    if not holds:
        raise AssertionError(f"this claim does not hold here: {statement}")
    statement = statement if statement.endswith(".") else f"{statement}."
    bundle = {
        CLAIM_MIME: {"statement": statement, "line": sys._getframe(1).f_lineno},
        "text/markdown": f'<span class="claim">✓</span> {statement}',
        "text/plain": f"✓ {statement}",
    }
    display(bundle, raw=True)


def say(markdown: str) -> None:
    """Show a sentence in Markdown built from measured numbers, so that no number in the prose is typed."""
    display({"text/markdown": markdown, "text/plain": markdown}, raw=True)


def lab(name: str, figure: str, **values: object) -> None:
    """Where a script of the rendered page puts something to play with, in place of a figure with the same message.

    Elsewhere (in Jupyter, without JavaScript, in print) there is nothing to see here, and the figure stays.

    Args:
        name: a lab of ``book/_static/labs.js``.
        figure: name of the figure that it takes the place of, such as ``fig-two-vectors``.
        **values: what the lab shows; anything that :func:`plain` takes.
    """
    data = escape(json.dumps(plain(values)), quote=True)
    div = f'<div class="lab" data-lab="{escape(name)}" data-figure="{escape(figure)}" data-values="{data}"></div>'
    display({"text/html": div, "text/plain": f"lab: {name}, in the rendered page"}, raw=True)


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can move a number, without importing them."""
    return {"python": platform.python_version()} | {name: _version(name) for name in RUNTIME}


def _version(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):  # TensorFlow also comes as tensorflow-cpu
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def stamp(data, seed: int) -> None:
    """Show, small, what this page was made with: data, source, seed, versions and run time.

    Args:
        data: the :class:`deepfm_helpers.datasets.MovieLens` that the notebook loaded.
        seed: its seed.
    """
    facts = {
        "data": data.name,
        "fingerprint": data.provenance.fingerprint[:12],
        "source": data.provenance.source,
        "seed": seed,
        **versions(),
        "run time": f"{time.perf_counter() - _started:.1f} s",
    }
    rows = "".join(
        f"<tr><th scope='row'>{name}</th><td>{escape(str(v))}</td></tr>" for name, v in facts.items()
    )
    bundle = {
        "text/html": f'<table class="stamp"><caption>This page was made with</caption>{rows}</table>',
        "text/plain": "\n".join(f"{name}: {value}" for name, value in facts.items()),
    }
    display(bundle, raw=True)
