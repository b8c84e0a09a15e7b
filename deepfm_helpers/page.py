"""What a chapter needs to be a page: figures in one format, places for labs, and a stamp that says what made it."""

import json
import platform
import time
from datetime import date
from html import escape
from importlib import metadata

from IPython import get_ipython
from IPython.display import display

from deepfm_helpers.records import Recorded, plain

RUNTIME = ("tensorflow", "keras", "numpy", "scipy", "pandas", "matplotlib")  # can move a number or a figure

_started = time.perf_counter()


def figures_as_svg() -> None:
    """From here on the notebook draws in the book's style and keeps its figures as SVG: sharp at any size, and small.

    Outside of a notebook this does nothing. Dots that are rasterized get 125 pixels an inch.
    """
    if get_ipython() is None:
        return
    import matplotlib.style
    from matplotlib_inline.backend_inline import set_matplotlib_formats

    matplotlib.style.use("deepfm_helpers.book")
    set_matplotlib_formats("svg", dpi=125, metadata={"Date": None})


def lab(name: str, figure: str, **values: object) -> None:
    """Where a script of the rendered page puts something to play with, in place of a figure with the same message.

    Elsewhere (in Jupyter, without JavaScript, in print) there is nothing to see here, and the figure stays.

    Args:
        name: a lab of ``book/_static/labs.js``.
        figure: name of the figure that it takes the place of, such as ``fig-two-vectors``.
        **values: what the lab shows; anything that :func:`deepfm_helpers.records.plain` takes.
    """
    data = escape(json.dumps(plain(values)), quote=True)
    div = f'<div class="lab" data-lab="{escape(name)}" data-figure="{escape(figure)}" data-values="{data}"></div>'
    display({"text/html": div, "text/plain": f"lab: {name}, in the rendered page"}, raw=True)


def origin(recorded: Recorded) -> str:
    """Where the numbers of recorded runs come from, in Markdown: when, how many seeds, and how to make them again."""
    seeds = len({run["parameters"]["seed"] for run in recorded.runs})
    what = f"{seeds} seeds" if len(recorded.runs) == seeds else f"{len(recorded.runs)} runs of {seeds} seeds"
    day = date.fromisoformat(recorded.date)
    return (
        f"*Recorded on MovieLens-1M: {what}, the last on {day.day} {day:%B %Y}. "
        f"`make record NB={recorded.notebook}` makes these runs again.*"
    )


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that can move a number or a figure, without importing them."""
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
