"""Make one recorded run again, a different one for each commit, and compare it with what is stored."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
from stored_outputs import SUMS, unlike

from deepfm_helpers.records import RECORD_MIME, Recorded
from deepfm_helpers.sweeps import plans, runs

BUDGET = 240
"""A run that took more seconds than this when it was recorded is not made again."""

ROUNDED = 5e-6
"""How far a stored number may be from the recorded one, relative to its size; records keep six digits."""


def choose(commit: str, among: Mapping[str, Recorded]) -> tuple[str, dict] | None:
    """The notebook and the run of it that the hash of a commit names; None if no run is short enough."""
    short = {n: [run for run in record.runs if run["seconds"] < BUDGET] for n, record in among.items()}
    names = sorted(name for name, found in short.items() if found)
    if not names:
        return None
    turn, place = divmod(int(commit, 16), len(names))
    return names[place], short[names[place]][turn % len(short[names[place]])]


def differences(notebook: Path, run: Mapping, threads: int | None, folder: Path) -> list[str]:
    """Make a recorded run again in a folder; say where what it records is not what is stored.

    Whole numbers have to be the same. A number that was recorded with a tolerance has to come within it, others to a
    millionth of their size, as far as six digits tell.

    Raises:
        RuntimeError: the run failed.
    """
    (planned,) = plans.Plan.of({"notebook": str(notebook), "points": [run["parameters"]]}).runs
    made = runs.execute(planned, folder, runs.Setting(threads=threads or 1))
    if made.error:
        raise RuntimeError(made.error)
    place = runs.folder_of(folder, planned.name)
    executed = nbformat.read(place / "executed.ipynb", as_version=4)
    where = f"{notebook.stem}, seed {run['parameters']['seed']}"
    return list(_unlike(run["metrics"], runs.read(place)["metrics"], tolerances(executed), where))


def tolerances(executed: nbformat.NotebookNode) -> dict[str, float]:
    """The metrics of an executed notebook that were recorded with a tolerance, and which."""
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
