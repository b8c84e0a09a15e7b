"""Execute notebooks, several at a time, in worker processes that end with the driver; their kernels are warm."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from deepfm_helpers.press import checks, reruns, warm
from deepfm_helpers.press.checkout import BuildFailed, refuse


class Job(NamedTuple):
    """One notebook to execute: its path, the path of the executed notebook, and the parameters."""

    notebook: Path
    output: Path
    parameters: dict[str, object]


def run_all(jobs: list[Job], workers: int) -> Iterator[Job]:
    """Execute ``jobs``, up to ``workers`` at a time, and print a line of progress for each.

    Yields:
        The jobs, as they finish.

    Raises:
        BuildFailed: at least one job failed; it is raised after the others have been yielded.
    """
    if not jobs:
        return
    failures = []
    width = max(len(job.notebook.stem) for job in jobs)
    # a fresh process per worker: papermill changes the working directory, which threads would share
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(workers, len(jobs)))
    with ExitStack() as stack:
        door = (
            stack.enter_context(warm.WarmParent()).door if len(jobs) > 1 else None
        )  # one is not sooner warm
        pool = stack.enter_context(ProcessPoolExecutor(workers, context, _begin, [door]))
        futures = {pool.submit(_run, job): job for job in jobs}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                job = futures[future]
                head = f"[{done}/{len(jobs)}] {job.notebook.stem:<{width}}"
                if error := future.exception():
                    failures.append(job.notebook.stem)
                    print(f"{head}  FAILED\n{error}", flush=True)
                    continue
                print(f"{head} {future.result():6.1f} s", flush=True)
                yield job
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failures:
        raise BuildFailed(f"{len(failures)} of {len(jobs)} notebooks failed: {', '.join(failures)}")


_manager: type | None = None  # in a worker: what starts its kernels


def _begin(door: socket.socket | None) -> None:
    """Make this process a worker, whose kernels come from the warm parent behind ``door``, if there is one.

    When the driver ends, the worker ends with its kernel, even if nobody could tell them to.
    """
    global _manager
    _manager = warm.manager_at(door)

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _run(job: Job) -> float:
    """Execute a notebook, check it and put it in its place; return the seconds."""
    started = time.perf_counter()
    draft = job.output.with_suffix(".draft")  # until it has been checked
    reruns.run(job.notebook, draft, job.parameters, manager=_manager)
    refuse(checks.notebook_problems(draft), f"{job.notebook.name} ran, but may not be shown")
    draft.replace(job.output)
    return time.perf_counter() - started
