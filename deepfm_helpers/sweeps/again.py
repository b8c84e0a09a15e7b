"""Compare a run that was made again with what its record holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat

from deepfm_helpers.press.comparing import SUMS, unlike
from deepfm_helpers.records import RECORD_MIME
from deepfm_helpers.sweeps import runs

ROUNDED = 5e-6
"""How far a stored number may be from the recorded one, relative to its size; records keep six digits."""


def differences(run: Mapping, place: Path, notebook: str, *, tolerant: bool = True) -> list[str]:
    """Say where what a fresh run recorded is not what is stored of the run.

    Whole numbers have to be the same. A number that was recorded with a tolerance has to come within it, others to a
    millionth of their size, as far as six digits tell.

    Args:
        run: a run of a record, see `records.Recorded.runs`.
        place: the folder of the fresh run, which is finished, see `runs.folder_of`.
        notebook: what the sentences call the notebook.
        tolerant: whether the tolerances count; without them every number has to agree to a millionth.

    Returns:
        A sentence with notebook, seed, metric and both values for each place; none if the run came out as stored.
    """
    within = _tolerances(nbformat.read(place / "executed.ipynb", as_version=4)) if tolerant else {}
    where = f"{notebook}, seed {run['parameters']['seed']}"
    return list(_unlike(run["metrics"], runs.read(place)["metrics"], within, where))


def _tolerances(executed: nbformat.NotebookNode) -> dict[str, float]:
    """Return the metrics of an executed notebook that were recorded with a tolerance, and which."""
    found = {}
    for cell in executed.cells:
        for output in cell.get("outputs", []):
            within = output.get("metadata", {}).get(RECORD_MIME, {}).get("within")
            for name in output.get("data", {}).get(RECORD_MIME, {}):
                found[name] = within
    return {name: within for name, within in found.items() if within is not None}


def _unlike(stored: Mapping, fresh: Mapping, within: Mapping, where: str) -> Iterator[str]:
    for name in sorted(stored.keys() | fresh.keys()):
        if stored.get(name) is None and name not in fresh:  # recorded by other runs of the notebook
            continue
        if name in stored and name in fresh:
            yield from unlike(stored[name], fresh[name], within.get(name), f"{where}, {name}", SUMS + ROUNDED)
        else:
            states = "is stored, and was not recorded now" if name in stored else "was not stored"
            yield f"{where}, {name}: {states}"
