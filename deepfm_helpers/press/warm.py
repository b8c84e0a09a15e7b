"""Warm kernels: forked, one for each notebook, from a process that has imported TensorFlow and has computed nothing.

Much of a short run passes before its first cell: TensorFlow, Keras, pandas and Matplotlib take seconds to import.
A :class:`WarmParent` imports them once. Each kernel that its ``manager`` starts is a copy of that process. It computes
the same numbers, bit for bit, as a kernel that is a new program: the variables of its environment acted on the imports,
its random generators have a state of their own, and its libraries start as many threads.

A process may be copied only while it has a single thread, and it has one until TensorFlow's first operation. The parent
looks before every fork. It therefore never runs a cell, and no kernel is used twice. A program that is killed leaves
nothing behind: its parent ends with it, and the parent's kernels with the parent. What such kernels share is the seed
with which Python hashes texts: sets of texts have one order in all of them.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import random
import select
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

from jupyter_client.manager import AsyncKernelManager, KernelManager
from jupyter_client.provisioning import LocalProvisioner

import deepfm_helpers
from deepfm_helpers.press import kernels

IMPORTED = ("tensorflow", "keras", "matplotlib.pyplot", "ipykernel.ipkernel", "ipykernel.zmqshell")
"""What a parent imports besides every module that a chapter may use."""

LATE = ("DEEPFM_", "JPY_", "PYTEST_CURRENT_TEST", "COLUMNS", "LINES")
"""Variables, by how they begin, that act when a kernel reads them and not while something is imported."""

ALONE = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Variables of the parent alone: Arrow, which pandas imports where it is installed, starts no thread then."""

PATIENCE = 120.0  # seconds for the imports, and for one kernel to begin

_START = "import sys; del sys.path[0]; from deepfm_helpers.press import warm; warm.main(int(sys.argv[1]))"


def why_not() -> str | None:
    """Why there are no warm kernels on this machine, or None if there are."""
    if not sys.platform.startswith("linux"):
        return (
            f"warm kernels are forked, and their parent's threads counted, on Linux; this is {sys.platform}"
        )
    return None


class WarmParent:
    """A process that has imported what chapters use, as a context manager; on leaving, it ends and its kernels too.

    Args:
        environment: further variables of its kernels, as those of `kernels.run`, to which they have to be given too.

    Attributes:
        manager: the class of kernel managers that `kernels.run` takes: of kernels that this process forks, or None,
            which means kernels of their own, where there is a ``reason``.
        blocking_manager: the same for programs without ``asyncio``.
        reason: why there are no warm kernels, or None if there are.
    """

    def __init__(self, environment: dict[str, str] | None = None):
        self._environment = kernels.variables(environment)
        self._process = self._door = None
        self.reason = "the parent has not been started"

    def __enter__(self) -> WarmParent:
        self.reason = why_not() or self._start()
        return self

    def _start(self) -> str | None:
        """Start the process and wait for its imports; return why it cannot fork, or None if it can."""
        self._door, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                env=os.environ | self._environment | ALONE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is for its owner, who ends it
            )
        self._door.settimeout(PATIENCE)
        try:
            answer = self._door.recv(4096).decode() or "the parent ended while it imported"
        except TimeoutError:
            answer = f"the parent imported for more than {PATIENCE:.0f} s"
        return None if answer == "ready" else answer

    def __exit__(self, *_: object) -> None:
        self.reason = "the parent has been ended"
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)  # also for processes that this one gave its door to
        self._door.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int | None:
        """The number of the process, if one was started."""
        return self._process and self._process.pid

    @property
    def door(self) -> socket.socket | None:
        """Where kernels are asked for, see :func:`manager_at`; another process can be given it while it is spawned."""
        if self.reason is None and self._process.poll() is not None:
            self.reason = f"the parent has ended with status {self._process.returncode}"
        return self._door if self.reason is None else None

    @property
    def manager(self) -> type[AsyncKernelManager] | None:
        return manager_at(self.door)

    @property
    def blocking_manager(self) -> type[KernelManager] | None:
        return manager_at(self.door, KernelManager)


def manager_at(door: socket.socket | None, base: type = AsyncKernelManager) -> type | None:
    """The subclass of a class of kernel managers whose kernels are forked by the parent behind ``door``."""
    if door is None:
        return None

    class Warm(base):
        async def _async_pre_start_kernel(self, **how):
            if self.provisioner is None:
                self.provisioner = _Forking(kernel_spec=self.kernel_spec, parent=self)
            return await super()._async_pre_start_kernel(**how)

    Warm.door = door
    return Warm


class _Forking(LocalProvisioner):
    """What a kernel manager does with its kernel's process, where another process starts it."""

    async def launch_kernel(self, cmd: list[str], **how):
        try:
            self.process = _Process(self.parent.door, cmd, **how)
        except _Refused as reason:
            warnings.warn(f"a kernel is a new program and not warm: {reason}", RuntimeWarning, stacklevel=2)
            return await super().launch_kernel(cmd, **how)
        self.pid = self.pgid = self.process.pid
        self.cwd = how.get("cwd") or Path.cwd()
        return self.connection_info


class _Refused(RuntimeError):
    """Why a parent does not fork a kernel that it was asked for."""


class _Process:
    """A kernel that a parent has forked, with the methods of `subprocess.Popen` that jupyter uses.

    Its line to the parent carries the request, the process's number and in the end its status. Hanging up ends it.
    """

    stdin = stdout = stderr = None  # there is no pipe to it

    def __init__(self, door, cmd, *, env, cwd=None, stdin=None, stdout=None, stderr=None, **_):
        if "ipykernel_launcher" not in cmd:
            raise _Refused(f"it is to be {' '.join(cmd)}")
        request = {
            "arguments": cmd[cmd.index("ipykernel_launcher") + 1 :],
            "environment": env,
            "folder": str(Path(cwd or ".").absolute()),
        }
        self.returncode = None
        self._line, theirs = socket.socketpair()
        self._line.settimeout(PATIENCE)
        with contextlib.ExitStack() as stack:
            stack.enter_context(theirs)
            if stdin is None:  # as jupyter does it: a pipe at whose other end is nobody
                stdin, nobody = os.pipe()
                stack.callback(os.close, stdin)
                os.close(nobody)
            streams = [stdin, 1 if stdout is None else stdout, 2 if stderr is None else stderr]
            streams = [s if isinstance(s, int) else s.fileno() for s in streams]
            try:
                socket.send_fds(door, [b"kernel"], [theirs.fileno(), *streams])
                self._line.sendall(json.dumps(request).encode() + b"\n")
                theirs.close()
                answer = self._read()
            except OSError as error:
                answer = {"refused": f"the parent does not answer ({error})"}
        if "pid" not in answer:
            self._line.close()
            raise _Refused(answer.get("refused", "the parent has ended"))
        self.pid = answer["pid"]

    def _read(self) -> dict[str, object]:
        """The next message of the parent; an empty one, if it has hung up."""
        text = b""
        while not text.endswith(b"\n"):
            if not (more := self._line.recv(4096)):
                return {}
            text += more
        return json.loads(text)

    def poll(self) -> int | None:
        """The status of the process as `subprocess.Popen` gives it, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the process; if its parent is gone, it has been killed, or will be within a second."""
        if self.returncode is None:
            self._line.settimeout(None)
            try:
                self.returncode = self._read().get("status", -signal.SIGKILL)
            except ConnectionError:
                self.returncode = -signal.SIGKILL
            self._line.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Request(NamedTuple):
    """A kernel that has been asked for: the line to its owner, its standard streams, and what the owner wrote."""

    line: socket.socket
    streams: list[int]
    arguments: list[str]
    environment: dict[str, str]
    folder: str


def main(door: int) -> None:
    """Be a parent, which answers at the socket ``door``; in a kernel that it forks, be that kernel."""
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
    modules = [m.name for m in pkgutil.iter_modules(deepfm_helpers.__path__) if not m.ispkg]
    for name in (*(f"deepfm_helpers.{name}" for name in modules), *IMPORTED):
        importlib.import_module(name)


def _settle() -> None:
    """Go back to one thread, and keep what is here out of the garbage collector's way, so that it stays shared."""
    if (child := os.fork()) == 0:  # before a fork OpenBLAS ends its threads, and starts them when it computes
        os._exit(0)
    os.waitpid(child, 0)
    gc.collect()
    gc.freeze()


def _why_not_forked() -> str | None:
    """Why this process may not be copied now, or None if it may: it has one thread."""
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    if len(threads) == 1:
        return None
    return f"the parent has {len(threads)} threads and can copy only one: {', '.join(threads)}"


def _serve(door: socket.socket, owner: int, before: dict[str, str], made: dict[str, str]) -> _Request | None:
    """Fork kernels until the owner is gone, then end them; in a kernel, return what it was asked to be.

    Args:
        before: the variables on which the imports acted.
        made: those that the imports have set themselves.
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
    """What the owner asks for; None, if it has gone meanwhile."""
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
    """Which variables of a kernel would come too late for the imports, in words; None, if there are none."""
    late = [
        f"{name}={wanted.get(name)!r} instead of {before.get(name)!r}"
        for name in sorted(wanted.keys() | before.keys())
        if wanted.get(name) not in (before.get(name), made.get(name, before.get(name)))
        and name not in ALONE
        and not name.startswith(LATE)
    ]
    return f"it is to have {', '.join(late)}, so give a WarmParent these variables" if late else None


def _tell(line: socket.socket, **message: object) -> None:
    with contextlib.suppress(OSError):  # who has gone needs no answer
        line.sendall(json.dumps(message).encode() + b"\n")


def _status(pid: int) -> int | None:
    """The status of a child as `subprocess.Popen` gives it, or None while it runs; the child keeps its number."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def _end(pid: int) -> None:
    """End a kernel and what it started, if it has not ended, and give its number back."""
    if _status(pid) is None:
        for kill in (os.killpg, os.kill):  # it may not lead a group yet
            with contextlib.suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _be_the_kernel(request: _Request) -> None:
    """Make this process what a new one would be, tell its owner, and run the kernel until it is shut down."""
    import ipykernel_launcher
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
    sys.argv = [ipykernel_launcher.__file__, *request.arguments]
    random.seed()
    np.random.seed()  # noqa: NPY002 - the state that every process has
    page._started = time.perf_counter()
    _tell(request.line, pid=os.getpid())
    request.line.close()
    IPKernelApp.launch_instance(parent_handle=parent)
