"""Make the runs of a sweep with Dask, on workers of this machine or on those of a cluster that is already there."""

from __future__ import annotations

import logging
import os
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from deepfm_helpers.files import only_one, write_whole
from deepfm_helpers.page import versions
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.digests import digest_of_run
from deepfm_helpers.records import plain
from deepfm_helpers.sweeps import plans, runs
from deepfm_helpers.sweeps.plans import Plan, Run
from deepfm_helpers.sweeps.runs import Result, Setting

PATIENCE = 30
"""Seconds for which a scheduler may be out of reach or a cluster may have no worker."""


class SweepStopped(RuntimeError):
    """Raised when a sweep ends before its last run; finished runs stay, and the same command goes on from there."""


@dataclass
class Outcome:
    """How a sweep ended.

    Attributes:
        before: names of the runs that were finished before.
        finished: names of the runs that finished now.
        failed: name of a failed run -> its error.
        seconds: time that the sweep took.
    """

    before: list[str] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def run(
    plan: Plan,
    folder: str | Path,
    *,
    workers: int = 2,
    scheduler: str | None = None,
    setting: Setting | None = None,
    retry_failed: bool = False,
    stop_on_failure: bool = False,
    say: Callable[[str], None] = print,
) -> Outcome:
    """Make every run of a plan that is not finished in `folder`.

    A run that fails does not stop the others, and a later call makes it again only with `retry_failed`.

    Args:
        plan: the runs to make, see `plans`.
        folder: where runs are kept; all workers have to see it under this path.
        workers: number of processes on this machine, each of which makes one run at a time; unused with a scheduler.
        scheduler: the address of a Dask scheduler, such as tcp://host:8786; its workers need one thread each.
        setting: how runs are made; it does not enter their names.
        retry_failed: make failed runs again.
        stop_on_failure: let the first failure end the sweep.
        say: function that gets a line about each step and each run.

    Raises:
        SweepStopped: the scheduler cannot be reached or is gone; a worker has other code, versions or data, or cannot
            write the folder; the disk is full; or a run failed and should stop the sweep.
        InUse: another process works on this sweep.
        OSError: the folder cannot be written.
    """
    setting = setting or Setting()
    folder = Path(folder).resolve()
    started = time.perf_counter()
    with only_one(folder):
        outcome, due = _begin(plan, folder, retry_failed)
        say(
            f"{len(plan.runs)} runs: {len(outcome.before)} finished, {len(outcome.failed)} failed, {len(due)} to make"
        )
        if due:
            with _client(min(workers, len(due)), scheduler, say) as client:
                proof = _proof(plan)
                _refuse_others(client, proof, folder)
                progress = _Progress(plan, len(due), say)
                for result in _results(client, due, folder, setting, proof):
                    _note(outcome, result)
                    progress.add(result)
                    if result.fatal:
                        raise SweepStopped(
                            f"{runs.in_one_line(result.error)}; fix that, then run the same command to go on"
                        )
                    if result.error and stop_on_failure:
                        raise SweepStopped(runs.in_one_line(result.error))
    outcome.seconds = time.perf_counter() - started
    return outcome


def _begin(plan: Plan, folder: Path, retry_failed: bool) -> tuple[Outcome, list[Run]]:
    """Write down what was asked for; return what is known of the runs, and the runs that are to be made."""
    write_whole(
        folder / "sweep.yml", yaml.safe_dump(plain(plan.resolved()), sort_keys=False, allow_unicode=True)
    )
    outcome, due = Outcome(), []
    for one in plan.runs:
        place = runs.folder_of(folder, one.name)
        state = runs.state_of(place)
        if state == "finished":
            outcome.before.append(one.name)
        elif state == "failed" and not retry_failed:
            outcome.failed[one.name] = runs.error_of(folder, one.name)
        else:
            due.append(one)
            for left in ("attempts", "error.txt"):
                (place / left).unlink(missing_ok=True)
    return outcome, due


def _note(outcome: Outcome, result: Result) -> None:
    if result.error:
        outcome.failed[result.name] = result.error
    else:
        outcome.finished.append(result.name)


class _Progress:
    """Progress lines: how each run ended, and how long the others are likely to take."""

    def __init__(self, plan: Plan, due: int, say: Callable[[str], None]):
        self.labels, self.due, self.say = plan.labels(), due, say
        self.begun, self.made, self.width = time.perf_counter(), 0, max(map(len, self.labels.values()))

    def add(self, result: Result) -> None:
        self.made += 1
        head = f"[{self.made}/{self.due}] {self.labels[result.name]:<{self.width}}"
        if result.error:
            self.say(f"{head}  FAILED: {runs.in_one_line(result.error)}")
            return
        left = (time.perf_counter() - self.begun) / self.made * (self.due - self.made)
        self.say(f"{head}  {result.seconds:6.1f} s" + (f", about {_duration(left)} left" if left else ""))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


# -- the cluster


@contextmanager
def _client(workers: int, scheduler: str | None, say: Callable[[str], None]) -> Iterator:
    """Yield a client of the scheduler, or of a cluster on this machine that ends with the body."""
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise SweepStopped("Dask is not installed: run `make setup`, or `pip install '.[sweeps]'`") from None
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in ("distributed", "tornado"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is told here, once
    if scheduler:
        try:
            client = Client(scheduler, timeout=PATIENCE / 3)
        except (OSError, ValueError, TimeoutError) as error:
            raise SweepStopped(f"no scheduler answers at {scheduler}: {_first_line(error)}") from None
        with _closing(client):
            _wait_for_a_worker(client, scheduler)
            say(f"{_size(client)} workers at {scheduler}; dashboard {client.dashboard_link}")
            yield client
        return
    with ExitStack() as stack:
        stack.enter_context(_environment_kept())  # Dask sets variables of its workers in this process too
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,  # papermill changes the working directory, which threads would share
            processes=True,
            memory_limit=0,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
        stack.enter_context(_closing(cluster))
        client = stack.enter_context(_closing(Client(cluster)))
        say(f"{workers} workers on this machine; dashboard {client.dashboard_link}")
        yield client


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Give this process its environment back at the end."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _closing(what):
    try:
        yield what
    finally:
        with suppress(Exception):  # what is gone already cannot be closed
            what.close(timeout=5)


def _wait_for_a_worker(client, scheduler: str) -> None:
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError:
        raise SweepStopped(
            f"the scheduler at {scheduler} has no workers; start some: dask worker {scheduler} --nthreads 1"
        ) from None
    if wide := [name for name, threads in client.nthreads().items() if threads > 1]:
        raise SweepStopped(
            f"worker {wide[0]} has several threads, and runs would share its working directory: "
            "start workers with --nthreads 1"
        )


def _size(client) -> int:
    return max(1, len(client.scheduler_info(n_workers=-1)["workers"]))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _results(client, due: list[Run], folder: Path, setting: Setting, proof: dict) -> Iterator[Result]:
    """Hand out the runs, at most two per worker at a time; yield how each ended.

    Dask gives up a run during which several workers were lost, although another run may have brought them down. Such a
    run is handed out again; it counts by itself the workers that died during it, see `runs.DEATHS`.
    """
    from distributed import KilledWorker

    waiting, flying = deque(due), {}
    lost_since = None
    while waiting or flying:
        if client.status == "running":
            lost_since = None
            while waiting and len(flying) < 2 * _size(client):
                one = waiting.popleft()
                key = f"{one.name}-{uuid.uuid4().hex[:8]}"
                flying[client.submit(_work, one, str(folder), setting, proof, key=key, pure=False)] = one
        elif lost_since is None:
            lost_since = time.monotonic()
        if lost_since and time.monotonic() - lost_since > PATIENCE:
            raise SweepStopped("the scheduler is gone; the same command goes on once it is back")
        done = [future for future in flying if future.done()]
        if not done:
            time.sleep(0.1)
        for future in done:
            one = flying.pop(future)
            if future.status == "cancelled" or future.status == "lost":
                raise SweepStopped("the scheduler is gone; the same command goes on once it is back")
            error = future.exception()
            if isinstance(error, KilledWorker):
                waiting.append(one)
                continue
            yield future.result() if error is None else _told(one, folder, error)


def _told(one: Run, folder: Path, error: BaseException) -> Result:
    """Make the result of a run whose worker could not report it, and write down its error."""
    text = f"{one.name}: {type(error).__name__}: {_first_line(error)}"
    with suppress(OSError):
        write_whole(runs.folder_of(folder, one.name) / "error.txt", text + "\n")
    return Result(one.name, 0.0, text)


# -- what happens on a worker


def _proof(plan: Plan) -> dict:
    """Return what a worker needs to have: the code of each notebook, the data, the versions."""
    return {
        "digests": {str(one.notebook): one.digest for one in plan.runs},
        "fingerprints": {
            one.parameters["dataset"]: one.fingerprint for one in plan.runs if one.fingerprint is not None
        },
        "versions": versions(),
    }


def _differences(proof: dict, folder: str) -> str | None:
    """Return what this worker lacks to make the runs that the client means, or None."""
    for notebook, code in proof["digests"].items():
        if not Path(notebook).is_file():
            return f"has no {notebook}"
        if digest_of_run(HERE, Path(notebook)) != code:
            return f"has other code for {Path(notebook).stem} (in {HERE.root})"
    mine = versions()
    for name, version in proof["versions"].items():
        if mine.get(name) != version:
            return f"has {name} {mine.get(name)}, not {version}"
    for dataset, fingerprint in proof["fingerprints"].items():
        try:
            found = plans.fingerprint(dataset)
        except Exception as error:
            return f"cannot load {dataset}: {_first_line(error)}"
        if found != fingerprint:
            return (
                f"has other data under the name {dataset}: fingerprint {found[:12]}, not {fingerprint[:12]}"
            )
    if not (Path(folder) / "sweep.yml").is_file():
        return f"does not see {folder}: the folder has to be one that all workers share"
    probe = Path(folder) / f".probe-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        probe.write_text("probe\n")
        probe.unlink()
    except OSError as error:
        return f"cannot write {folder}: {error.strerror}"
    return None


_proved: dict[str, str | None] = {}


def _proves(proof: dict, folder: str) -> str | None:
    """Return the result of `_differences`, computed once per process."""
    key = repr((proof, folder))
    if key not in _proved:
        _proved[key] = _differences(proof, folder)
    return _proved[key]


def _refuse_others(client, proof: dict, folder: Path) -> None:
    """Refuse a cluster with a worker unlike this process; a worker that comes later is checked at its first run."""
    with suppress(OSError):
        found = client.run(_proves, proof, str(folder), on_error="return")
        for worker, difference in found.items():
            if isinstance(difference, ImportError | AttributeError | TypeError):
                raise SweepStopped(f"worker {worker} cannot run this book's code: {_first_line(difference)}")
            if isinstance(difference, str):
                raise SweepStopped(f"worker {worker} {difference}")


def _work(one: Run, folder: str, setting: Setting, proof: dict) -> Result:
    """Make one run on this worker, after a check of the worker, which may have come after the sweep began."""
    for name in ("traitlets", "papermill"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # `runs` tells what went wrong
    if difference := _proves(proof, folder):
        return Result(one.name, 0.0, f"a worker {difference}", fatal=True)
    return runs.execute(one, folder, setting)
