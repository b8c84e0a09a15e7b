"""Make a page of a chapter: figures in one format, places for labs, and a stamp of what the page was made with."""

import json
import platform
import time
from datetime import date
from html import escape
from importlib import metadata

import pandas as pd
from IPython import get_ipython
from IPython.display import display

from deepfm_helpers.records import Recorded, plain

RUNTIME = ("tensorflow", "keras", "numpy", "scipy", "pandas", "matplotlib")  # they can change a result

_PROGRAMS = {
    "candidates": "python -m benchmarks.candidates",
    "processes": "python -m benchmarks.processes",
    "ranking": "python -m benchmarks.ranking",
    "reruns": "python -m benchmarks.rerunning",
}
"""Tasks that have a program of their own, see benchmarks/README.md; the others are tasks of `make bench`."""

_started = time.perf_counter()


def figures_as_svg() -> None:
    """Make the notebook draw in the book's style and keep its figures as SVG, which is small and sharp at any size.

    Outside a notebook this function does nothing. Rasterized dots get 125 pixels per inch.
    """
    if get_ipython() is None:
        return
    import matplotlib.style
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    matplotlib.style.use("deepfm_helpers.book")
    set_matplotlib_formats("svg", dpi=125, metadata={"Date": None})


def lab(name: str, figure: str, **values: object) -> None:
    """Mark the place where a script of the rendered page puts a lab, in which readers can change what a figure shows.

    Elsewhere (in Jupyter, without JavaScript, in print) nothing appears here, and the figure stays.

    Args:
        name: a lab of ``book/_static/labs.js``.
        figure: name of the figure that the lab replaces, such as ``fig-two-vectors``; if what has that name is no
            figure, such as ``equation-eq-same-order``, the lab follows it.
        **values: what the lab shows, in values that :func:`deepfm_helpers.records.record` takes.
    """
    data = escape(json.dumps(plain(values)), quote=True)
    div = f'<div class="lab" data-lab="{escape(name)}" data-figure="{escape(figure)}" data-values="{data}"></div>'
    display({"text/html": div, "text/plain": f"lab: {name}, in the rendered page"}, raw=True)


def origin(recorded: Recorded) -> str:
    """Say in Markdown where recorded numbers come from: how many seeds, when, and how to make the runs again."""
    seeds = len({run["parameters"]["seed"] for run in recorded.runs})
    what = f"{seeds} seeds" if len(recorded.runs) == seeds else f"{len(recorded.runs)} runs of {seeds} seeds"
    day = date.fromisoformat(recorded.date)
    return (
        f"*Recorded on MovieLens-1M: {what}, the last on {day.day} {day:%B %Y}. "
        f"`make record NB={recorded.notebook}` makes these runs again.*"
    )


def measured_on(rows: pd.DataFrame) -> str:
    """Say in Markdown when, on what and how rows of :func:`deepfm_helpers.records.measurements` were made."""
    if rows.date.isna().any():
        when = "a day that was not noted"
    else:
        first, last = (date.fromisoformat(day) for day in (rows.date.min(), rows.date.max()))
        when = f"{last.day} {last:%B %Y}"
        if first != last:
            when = f"days from {first.day} {first:%B %Y} to {when}"
    (task,) = rows.task.unique()
    command = _PROGRAMS.get(task, f'make bench TASKS="{task}"')
    machines = {f"{machine['cores']} cores ({machine['processor']})" for machine in rows.machine}
    return f"*Measured on {when}, with {' and '.join(sorted(machines))}. `{command}` measures this again.*"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a result, without importing the packages."""
    return {"python": platform.python_version()} | {name: _version(name) for name in RUNTIME}


def _version(name: str) -> str:
    for distribution in (name, f"{name}-cpu"):  # TensorFlow also comes as tensorflow-cpu
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return "not installed"


def stamp(data, seed: int) -> None:
    """Show, in small type, what this page was made with: data, source, seed, versions and run time.

    Args:
        data: the :class:`deepfm_helpers.datasets.MovieLens` that the notebook loaded.
        seed: the notebook's seed.
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
