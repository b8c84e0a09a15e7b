"""The process from which warm kernels are forked, see `warm`: it imports, and then waits for requests.

This module itself imports nothing that has to see a kernel's surroundings during the import.
"""

from __future__ import annotations

import builtins
import contextlib
import gc
import importlib.util
import io
import json
import os
import pkgutil
import random
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

IMPORTED = ("tensorflow", "keras", "matplotlib.pyplot", "ipykernel.ipkernel", "ipykernel.zmqshell")
"""What the process imports besides every module that a chapter may use."""

LATE = ("DEEPFM_", "JPY_", "PYTEST_CURRENT_TEST", "COLUMNS", "LINES")
"""The beginnings of variables that act when a kernel reads them, and not while something is imported."""

ALONE = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables of this process alone: they keep Arrow, which pandas imports if it is installed, from starting a thread."""


class _Request(NamedTuple):
    """A request for a kernel: the line to its owner, its standard streams, and what the owner wrote."""

    line: socket.socket
    streams: list[int]
    arguments: list[str]
    environment: dict[str, str]
    folder: str


def main(door: int) -> None:
    """Run as the parent, which answers at the socket ``door``; in a forked kernel, run as that kernel."""
    owner, before = os.getppid(), dict(os.environ)
    with socket.socket(fileno=door) as door:
        try:
            _import()
            _settle()
            reason = _why_not_forked()
        except Exception as error:
            reason = f"the parent's imports failed: {error!r}"
        with contextlib.suppress(OSError):  # the owner may have gone meanwhile
            door.send((reason or "ready").encode())
        made = {name: value for name, value in os.environ.items() if before.get(name) != value}
        request = None if reason else _serve(door, owner, before, made)
    if request:
        _be_the_kernel(request._replace(environment=request.environment | made))


def _import() -> None:
    """Import what a chapter may use."""
    import deepfm_helpers

    modules = [m.name for m in pkgutil.iter_modules(deepfm_helpers.__path__) if not m.ispkg]
    with _as_in_a_kernel():
        for name in (*(f"deepfm_helpers.{name}" for name in modules), *IMPORTED):
            importlib.import_module(name)


@contextlib.contextmanager
def _as_in_a_kernel():
    """Let a library that looks around while it is imported see what it would see in a kernel.

    In a kernel pandas prints all columns, and TensorFlow's Python side logs to the notebook.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr, sys.ps1 = _Stream("stdout"), _Stream("stderr"), "In : "
    builtins.get_ipython = lambda: SimpleNamespace(kernel=None)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
        del sys.ps1, builtins.get_ipython


class _Stream(io.TextIOBase):
    """A stream that writes to the current ``sys.stdout`` or ``sys.stderr``; in a kernel that is the notebook's."""

    encoding = "UTF-8"

    def __init__(self, name: str):
        self._name = name

    def _now(self):
        stream = getattr(sys, self._name)
        return getattr(sys, f"__{self._name}__") if stream is self else stream

    def write(self, text: str) -> int:
        return self._now().write(text)

    def flush(self) -> None:
        self._now().flush()

    def fileno(self) -> int:
        return self._now().fileno()


def _settle() -> None:
    """Go back to one thread, and keep the garbage collector from touching what is here, so that memory stays shared."""
    if (child := os.fork()) == 0:  # before a fork OpenBLAS ends its threads, and starts them when it computes
        os._exit(0)
    os.waitpid(child, 0)
    gc.collect()
    gc.freeze()


def _why_not_forked() -> str | None:
    """Say why this process may not be copied now; return None if it may, because it has a single thread."""
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    if len(threads) == 1:
        return None
    return f"the parent has {len(threads)} threads and can copy only one: {', '.join(threads)}"


def _serve(door: socket.socket, owner: int, before: dict[str, str], made: dict[str, str]) -> _Request | None:
    """Fork kernels until the owner is gone, then end them; in a kernel, return what it was asked to be.

    Args:
        before: the variables that the imports have seen.
        made: the variables that the imports have set themselves.
    """
    ended, bell = socket.socketpair()
    bell.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(bell.fileno(), warn_on_full_buffer=False)
    lines: dict[socket.socket, int] = {}  # the lines to the owners of kernels, and whose they are
    told: set[int] = set()
    with ended, bell:
        while os.getppid() == owner:
            ready, _, _ = select.select([door, ended, *lines], [], [], 1.0)
            if ended in ready:
                ended.recv(4096)
                for line, pid in lines.items():
                    if pid not in told and (status := _status(pid)) is not None:
                        told.add(pid)
                        _tell(line, status=status)
            for line in set(ready) & lines.keys():  # its owner has hung up
                pid = lines.pop(line)
                _end(pid)
                told.discard(pid)
                line.close()
            if door in ready:
                _, descriptors, _, _ = socket.recv_fds(door, 64, 4)
                if not descriptors:
                    break
                request = _read_request(descriptors)
                if request is None:
                    continue
                if refused := _why_not_forked() or _unlike(request.environment, before, made):
                    _tell(request.line, refused=refused)
                    request.line.close()
                elif (pid := os.fork()) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for line in lines:
                        line.close()
                    return request
                else:
                    lines[request.line] = pid
                for stream in request.streams:
                    os.close(stream)
        for pid in lines.values():
            _end(pid)
    return None


def _read_request(descriptors: list[int]) -> _Request | None:
    """Read what the owner asks for; return None if it has gone meanwhile."""
    line = socket.socket(fileno=descriptors[0])
    with line.makefile("r", encoding="utf-8") as text:
        try:
            return _Request(line, descriptors[1:], **json.loads(text.readline()))
        except (OSError, ValueError):
            line.close()
            for stream in descriptors[1:]:
                os.close(stream)
            return None


def _unlike(wanted: dict[str, str], before: dict[str, str], made: dict[str, str]) -> str | None:
    """Say which variables of a kernel would come too late for the imports; return None if there are none."""
    late = [
        f"{name}={wanted.get(name)!r} instead of {before.get(name)!r}"
        for name in sorted(wanted.keys() | before.keys())
        if wanted.get(name) not in (before.get(name), made.get(name, before.get(name)))
        and name not in ALONE
        and not name.startswith(LATE)
    ]
    return f"it is to have {', '.join(late)}, so give a WarmParent these variables" if late else None


def _tell(line: socket.socket, **message: object) -> None:
    with contextlib.suppress(OSError):  # an owner that has gone needs no answer
        line.sendall(json.dumps(message).encode() + b"\n")


def _status(pid: int) -> int | None:
    """Return the status of a child as `subprocess.Popen` gives it, or None while it runs; the child keeps its pid."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _end(pid: int) -> None:
    """End a kernel and what it started, if it has not ended, and release its pid."""
    if _status(pid) is None:
        for kill in (os.killpg, os.kill):  # it may not lead a group yet
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _be_the_kernel(request: _Request) -> None:
    """Make this process like a new one, tell its owner, and run the kernel until it is shut down."""
    import numpy as np
    from ipykernel.kernelapp import IPKernelApp

    from deepfm_helpers import page

    parent = os.getppid()
    os.setsid()
    try:
        os.chdir(request.folder)
    except OSError as error:
        _tell(request.line, refused=str(error))
        os._exit(1)
    for number, stream in enumerate(request.streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request.environment, JPY_PARENT_PID=str(parent))
    sys.argv = [importlib.util.find_spec("ipykernel_launcher").origin, *request.arguments]
    random.seed()
    np.random.seed()  # noqa: NPY002 - the state that every process has
    page._started = time.perf_counter()
    _tell(request.line, pid=os.getpid())
    request.line.close()
    IPKernelApp.launch_instance(parent_handle=parent)
