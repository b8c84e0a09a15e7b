"""Make one recorded run again, a different one for each commit, and compare it with what is stored."""

from collections.abc import Mapping
from pathlib import Path

from deepfm_helpers.records import Recorded
from deepfm_helpers.sweeps import again, plans, runs

BUDGET = 240
"""A run that took more seconds than this when it was recorded is not made again."""


def choose(commit: str, among: Mapping[str, Recorded]) -> tuple[str, dict] | None:
    """The notebook and the run of it that the hash of a commit names; None if no run is short enough."""
    short = {n: [run for run in record.runs if run["seconds"] < BUDGET] for n, record in among.items()}
    names = sorted(name for name, found in short.items() if found)
    if not names:
        return None
    turn, place = divmod(int(commit, 16), len(names))
    return names[place], short[names[place]][turn % len(short[names[place]])]


def differences(notebook: Path, run: Mapping, threads: int | None, folder: Path) -> list[str]:
    """Make a recorded run again in a folder; say where what it records is not what is stored, see `again`.

    Raises:
        RuntimeError: the run failed.
    """
    (planned,) = plans.Plan.of({"notebook": str(notebook), "points": [run["parameters"]]}).runs
    made = runs.execute(planned, folder, runs.Setting(threads=threads or 1))
    if made.error:
        raise RuntimeError(made.error)
    return again.differences(run, runs.folder_of(folder, planned.name), notebook.stem)
