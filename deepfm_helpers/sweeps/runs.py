"""Make one run of a sweep on a worker, and read what its folder holds."""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import NamedTuple

import yaml

from deepfm_helpers.files import InUse, only_one, write_whole
from deepfm_helpers.page import versions
from deepfm_helpers.parameters import told
from deepfm_helpers.press import kernels, warm
from deepfm_helpers.sweeps.plans import Run

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
"""The variables that fix how many threads compute; their number can change the last digits of a result."""

DEATHS = 2
"""A run is not started again once this many workers have died during it."""

_FastLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


STATES = ("finished", "failed", "begun", "waiting")


class Setting(NamedTuple):
    """How runs are made, whatever they compute.

    Attributes:
        timeout: seconds that a cell may take.
        threads: number of threads that compute in a run.
        warm: fork kernels from a process that has loaded TensorFlow. Where this is not possible, kernels are new
            processes, and the runs say so.
    """

    timeout: int = 1800
    threads: int = 1
    warm: bool = False

    def environment(self) -> dict[str, str]:
        """Return the environment variables of the kernels."""
        return dict.fromkeys(THREADS, str(self.threads))


class Result(NamedTuple):
    """How a run ended: `error` is None if it finished; `fatal` says that further runs would fail in the same way."""

    name: str
    seconds: float
    error: str | None = None
    fatal: bool = False


def folder_of(sweep: str | Path, name: str) -> Path:
    """Return the folder of one run."""
    return Path(sweep) / "runs" / name


def execute(run: Run, sweep: str | Path, setting: Setting) -> Result:
    """Make one run, unless it is finished; if another worker is making it, wait for that worker.

    The file ``run.json`` is written last and in one step: if it is there, the whole run is there. A run that failed
    leaves the file ``error.txt`` and is made again only after somebody has removed that file, since the message about
    the failure may get lost on its way.

    Returns:
        How the run ended. A failed run raises nothing; its error is in the result and in ``error.txt``.
    """
    place = folder_of(sweep, run.name)
    started = time.perf_counter()
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _alone(place):
            state = state_of(place)
            if state == "finished":
                return Result(run.name, 0.0)
            if state == "failed":
                return Result(run.name, 0.0, error_of(sweep, run.name))
            return _execute(run, place, setting, started)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # then every further run would fail alike
        return Result(run.name, time.perf_counter() - started, f"{run.name}: {error}", fatal=full)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Hold a run's folder, after waiting until no other process holds it."""
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(only_one(place))
                break
            except InUse:
                time.sleep(0.5)
        yield


def _execute(run: Run, place: Path, setting: Setting, started: float) -> Result:
    attempts, failure = place / "attempts", place / "error.txt"
    before = attempts.read_text(encoding="utf-8").splitlines() if attempts.is_file() else []
    if len(before) >= DEATHS:
        error = f"{len(before)} workers died during this run: {'; '.join(before)}"
    else:
        with open(attempts, "a", encoding="utf-8") as file:
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        error = _run_notebook(run, place, setting, started)
    if error:
        write_whole(failure, error + "\n")
    else:
        failure.unlink(missing_ok=True)
    attempts.unlink(missing_ok=True)
    return Result(run.name, time.perf_counter() - started, error)


def _run_notebook(run: Run, place: Path, setting: Setting, started: float) -> str | None:
    """Run the notebook and write what it recorded; return the error, or None."""
    try:
        ran = kernels.run(
            run.notebook,
            place / "executed.ipynb",
            run.parameters,
            setting.timeout,
            environment=setting.environment(),
            manager=_manager(setting),
        )
    except kernels.RunFailed as error:
        return str(error)
    content = {
        "name": run.name,
        "notebook": run.notebook.stem,
        "parameters": told(run.parameters),
        "metrics": ran.metrics,
        "fingerprint": run.fingerprint,
        "digest": run.digest,
        "versions": versions(),
        "date": date.today().isoformat(),
        "seconds": round(time.perf_counter() - started, 2),
        "processor_seconds": round(ran.processor_seconds, 2),
        "host": socket.gethostname(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": setting.threads,
        "kernel": "warm" if ran.forked else "cold",
    }
    write_whole(place / "run.json", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return None


_parents: dict[Setting, warm.WarmParent] = {}


def _manager(setting: Setting) -> type | None:
    """Return the class of kernel managers of this worker process; its warm parent starts at the first run."""
    if not setting.warm or warm.why_not():
        return None
    if setting not in _parents or _parents[setting].manager is None:  # none yet, or it has ended
        _parents[setting] = warm.WarmParent(setting.environment()).__enter__()
    return _parents[setting].manager


def processor() -> str:
    """Return the model of the processor, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def is_finished(place: Path) -> bool:
    """Tell whether a run's folder holds a readable ``run.json``."""
    return read(place) is not None


def read(place: Path) -> dict | None:
    """Read the ``run.json`` of a finished run; return None for any other run, with a warning for an unreadable file."""
    try:
        found = json.loads((place / "run.json").read_text(encoding="utf-8"))
        if not isinstance(found, dict) or not {"name", "notebook", "parameters", "metrics"} <= set(found):
            raise ValueError("it does not describe a run")
        return found
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        warnings.warn(f"{place / 'run.json'} is left out, because it cannot be read ({error})", stacklevel=2)
        return None


def finished(sweep: str | Path) -> list[dict]:
    """Read the ``run.json`` of each finished run of a sweep, in the order of the sweep.

    Runs of older code or of another plan, which may be in the same folder, are left out.

    Raises:
        FileNotFoundError, ValueError: see :func:`asked`.
    """
    places = [folder_of(sweep, name) for name in asked(sweep)]
    return [content for place in places if (content := read(place)) is not None]


def failed(sweep: str | Path) -> dict[str, str]:
    """Return the errors of the failed runs of a sweep, by name of the run; for what it raises see :func:`asked`."""
    return {name: error_of(sweep, name) for name, state in status(sweep).items() if state == "failed"}


def error_of(sweep: str | Path, name: str) -> str:
    """Read the ``error.txt`` of a run that failed."""
    return (folder_of(sweep, name) / "error.txt").read_text(encoding="utf-8").strip()


def in_one_line(error: str) -> str:
    """Shorten an error to one line: for a notebook that failed, the cell and the last line of the traceback."""
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    if not lines:
        return "unknown error"
    return lines[0] if len(lines) == 1 else f"{lines[0].rstrip('- ')} {lines[-1]}"


def asked(sweep: str | Path) -> list[str]:
    """Return the names of the runs that ``sweep.yml`` asks for; without that file, of all runs in the sweep's folder.

    Raises:
        FileNotFoundError: there is no such folder, or it is not the folder of a sweep.
        ValueError: its ``sweep.yml`` cannot be read.
    """
    path = Path(sweep) / "sweep.yml"
    if not path.is_file():
        if not (Path(sweep) / "runs").is_dir():
            raise FileNotFoundError(
                f"{sweep} is not the folder of a sweep: it has neither sweep.yml nor runs"
            )
        return sorted(place.name for place in (Path(sweep) / "runs").iterdir())
    try:
        return [run["name"] for run in yaml.load(path.read_text(encoding="utf-8"), _FastLoader)["runs"]]
    except (yaml.YAMLError, KeyError, TypeError):
        raise ValueError(f"{path} cannot be read; call deepfm sweep again, which writes it anew") from None


def status(sweep: str | Path) -> dict[str, str]:
    """Return the state of each run of a sweep, by name: finished, failed, begun (perhaps interrupted) or waiting."""
    return {name: state_of(folder_of(sweep, name)) for name in asked(sweep)}


def state_of(place: Path) -> str:
    """Return the state of the run with this folder: finished, failed, begun (perhaps interrupted) or waiting."""
    if is_finished(place):
        return "finished"
    left = {"failed": "error.txt", "begun": "attempts"}
    return next((state for state, name in left.items() if (place / name).is_file()), "waiting")
