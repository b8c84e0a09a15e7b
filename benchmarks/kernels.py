"""Measure the wall seconds and the processor seconds of a run in a cold kernel and in a warm one, in turns.

``python -m benchmarks.kernels 5 01 07`` runs a small notebook and the chapters 01 and 07, five turns each. It names the
records that were not the same, to the last digit, in all kernels; these should be seconds, and what follows from them.
"""

import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from deepfm_helpers.press import kernels
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.warm import WarmParent

SMALL = (
    "from deepfm_helpers import datasets, evaluation, features, recipes\n"
    "from deepfm_helpers.records import record\n"
    'data = datasets.load("planted", n_users=200, n_movies=150, n_ratings=8_000)\n'
    "rows = datasets.join(data.ratings, data.movies, data.users)\n"
    "train, test = features.split_rows(rows, 0.1, seed=1)\n"
    'recipe = recipes.changed(recipes.WITHOUT_HISTORY, {"training": {"epochs": 2}})',
    "fitted = recipes.fit(recipe, data, train, seed=1)\n"
    "record(rmse=evaluation.rmse(test.rating, fitted.predict(test)))",
)
"""The cells of a notebook that trains for two epochs, on 8,000 planted ratings."""


class Turn:
    """Counts since it was made: wall seconds, and processor seconds of kernels that have ended."""

    def __init__(self, parent: int):
        self._parent = parent
        self._start = self._now()

    def _now(self) -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        of_the_parent = Path(f"/proc/{self._parent}/stat").read_text().rpartition(")")[2].split()[13:15]
        forked = sum(map(int, of_the_parent)) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), used.ru_utime + used.ru_stime + forked

    def seconds(self) -> tuple[float, float]:
        return tuple(now - start for now, start in zip(self._now(), self._start, strict=True))


def main(turns: str = "5", *chapters: str) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, WarmParent() as parent:
        if parent.reason:
            sys.exit(f"no warm kernels: {parent.reason}")
        small = Path(folder, "small.ipynb")
        cells = [nbformat.v4.new_code_cell(code) for code in SMALL]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), small)
        for notebook in [small, *(HERE.select(chapters) if chapters else [])]:
            measured = {"cold": [], "warm": []}
            recorded = []
            for _ in range(int(turns)):
                for kind, manager in (("cold", None), ("warm", parent.manager)):
                    turn = Turn(parent.pid)
                    found = kernels.run(
                        notebook, Path(folder, "out.ipynb"), {}, 1800, manager=manager
                    ).metrics
                    measured[kind].append(turn.seconds())
                    recorded.append(found)
            unlike = sorted(
                name for name in recorded[0] if any(r[name] != recorded[0][name] for r in recorded)
            )
            print(f"{notebook.stem}: {len(recorded[0])} records, not the same: {', '.join(unlike) or 'none'}")
            report(measured)


def report(measured: dict[str, list[tuple[float, float]]]) -> None:
    """Print the mean of the turns with their standard deviation, and the ratio of cold to warm."""
    for unit, seconds in enumerate(("by the clock", "of the processor")):
        of = {kind: [turn[unit] for turn in turns] for kind, turns in measured.items()}
        ratios = [cold / warm for cold, warm in zip(of["cold"], of["warm"], strict=True)]
        texts = [f"{kind} {spread(values)} s" for kind, values in of.items()]
        print(f"  {seconds:<17} {', '.join(texts)}, ratio {spread(ratios)}", flush=True)


def spread(values: list[float]) -> str:
    """Return the mean and the standard deviation, 0 for a single value, as text."""
    return f"{statistics.mean(values):6.2f} ± {statistics.stdev(values) if len(values) > 1 else 0:.2f}"


if __name__ == "__main__":
    main(*sys.argv[1:])
