"""Time 24 short runs in several ways: papermill in a loop, and sweeps on one or two workers, with new or warm kernels.

``python -m benchmarks.rerunning`` makes the same runs in each way, one way after the other, in several turns, and
stores wall and processor seconds. The seconds include all that a way starts: workers, kernels, their imports.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import results
from deepfm_helpers.sweeps import plans, runs

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "one_training.ipynb"
GRID = {"k": [4, 16, 64], "dropout": [0.0, 0.3]}
SEEDS = (1, 2, 3, 4)
EPOCHS = 2

LOOP = """
import itertools, papermill
for k, dropout, seed in itertools.product({k}, {dropout}, {seeds}):
    papermill.execute_notebook(
        {notebook!r}, f"k{{k}}-dropout{{dropout}}-{{seed}}.ipynb",
        dict(k=k, dropout=dropout, seed=seed, epochs={epochs}), kernel_name="python3", progress_bar=False,
        cwd={folder!r},
    )
"""


def ways() -> dict[str, list[str]]:
    """Return the command of each way; each command works in a folder of its own."""
    loop = LOOP.format(
        **GRID, seeds=SEEDS, notebook=str(NOTEBOOK), epochs=EPOCHS, folder=str(NOTEBOOK.parent)
    )
    sweep = [sys.executable, "-m", "deepfm_helpers.sweeps.cli", "sweep", "sweep.yml"]
    return {
        "papermill in a loop": [sys.executable, "-c", loop],
        "sweep, two workers": [*sweep, "--workers", "2"],
        "sweep, two workers, warm kernels": [*sweep, "--workers", "2", "--warm"],
        "sweep, one worker": [*sweep, "--workers", "1"],
    }


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Measure wall and processor seconds of a command and of all that it starts."""
    asked = {"notebook": str(NOTEBOOK), "fixed": {"epochs": EPOCHS}, "grid": GRID, "seeds": list(SEEDS)}
    (folder / "sweep.yml").write_text(json.dumps(asked))
    before, started = _of_children(), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _reap()
    return time.perf_counter() - started, _of_children() - before


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _adopt() -> None:
    """Let processes whose parents have ended become children of this one, so that their processor time counts."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0):  # PR_SET_CHILD_SUBREAPER
        raise OSError(ctypes.get_errno(), "this system lets no process adopt others; measure on Linux")


def _reap() -> None:
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass


def numbers(folder: Path) -> list[str]:
    """Return what the runs of a sweep recorded, without seconds; it has to be the same in every way."""
    found = runs.finished(folder / "sweeps" / "sweep")
    return sorted(
        json.dumps([run["name"], {n: v for n, v in run["metrics"].items() if "second" not in n}])
        for run in found
    )


def main(turns: int = 3) -> None:
    """Measure, print and store."""
    _adopt()
    plans.fingerprint("ml-100k")  # so that no way has to fetch it
    used = {way: ([], []) for way in ways()}
    seen = set()
    for turn in range(turns):
        for way, command in ways().items():
            with tempfile.TemporaryDirectory() as folder:
                wall, processor = measure(command, Path(folder))
                if command[1] == "-m":
                    seen.add("\n".join(numbers(Path(folder))))
            used[way][0].append(wall)
            used[way][1].append(processor)
            print(
                f"turn {turn + 1}  {way:<34} {wall:7.1f} s wall  {processor:7.1f} s of processors", flush=True
            )
    if len(seen) != 1:
        raise RuntimeError("warm and cold kernels gave different numbers")
    machine = results.machine()
    what = f"{len(GRID['k']) * len(GRID['dropout']) * len(SEEDS)} runs"
    rows = []
    loop = used["papermill in a loop"]
    for way, (wall, processor) in used.items():
        for metric, values in {"wall_s": wall, "processor_s": processor}.items():
            rows.append(results.row("reruns", way, what, metric, values, wall[0], machine))
        if way != "papermill in a loop":
            for metric, ours, theirs in zip(("speed", "processor"), (wall, processor), loop, strict=True):
                pair = (theirs, ours) if metric == "speed" else (ours, theirs)
                rows.append(
                    results.ratio_row("reruns", way, "papermill in a loop", what, metric, *pair, machine)
                )
    results.store(rows)
    print(results.table(rows))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
