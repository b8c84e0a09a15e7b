"""Warm kernels: forked, one for each notebook, from a process that has imported TensorFlow and has computed nothing.

Much of a short run passes before its first cell: TensorFlow, Keras, pandas and Matplotlib take seconds to import.
A :class:`WarmParent` imports them once. Each kernel that its ``manager`` starts is a copy of that process. The kernel
computes the same numbers, bit for bit, as one in a new process: its environment was in force during the imports, its
random generators have states of their own, and its libraries start as many threads.

A process may be copied only while it has a single thread, as it has until TensorFlow's first operation. The parent
therefore never runs a cell, no kernel is used twice, and the parent counts its threads before every fork. A program
that is killed leaves nothing behind: its parent ends with it, and the parent's kernels end with the parent. Warm
kernels share the seed with which Python hashes texts, so that sets of texts have the same order in all of them. The
module `forking` holds what the parent does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import warnings
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager, KernelManager
from jupyter_client.provisioning import LocalProvisioner

from deepfm_helpers.press import kernels
from deepfm_helpers.press.forking import ALONE

PATIENCE = 120.0  # seconds for the imports, and for one kernel to begin

_START = (
    "import sys; del sys.path[0]; from deepfm_helpers.press import forking; forking.main(int(sys.argv[1]))"
)


def why_not() -> str | None:
    """Say why there are no warm kernels on this machine; return None if there are."""
    if not sys.platform.startswith("linux"):
        return (
            f"warm kernels are forked, and their parent's threads counted, on Linux; this is {sys.platform}"
        )
    return None


class WarmParent:
    """A process that has imported what chapters use, as a context manager; at its end, process and kernels end.

    Args:
        environment: further variables of the kernels; `kernels.run` has to get the same ones.

    Attributes:
        manager: the class of kernel managers that `kernels.run` takes, for kernels that this process forks; None, which
            stands for new processes, if there is a ``reason``.
        blocking_manager: the same for programs without ``asyncio``.
        reason: why there are no warm kernels; None if there are.
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
        """The pid of the process, if it was started."""
        return self._process and self._process.pid

    @property
    def door(self) -> socket.socket | None:
        """The socket for requests, see :func:`manager_at`; another process can be given it when it is spawned."""
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
    """Return a subclass of a class of kernel managers whose kernels the parent behind ``door`` forks."""
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
    """The provisioner of a kernel manager whose kernels another process starts."""

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
    """Raised with the reason why a parent does not fork a kernel that it was asked for."""


class _Process:
    """A kernel that a parent has forked, with the methods of `subprocess.Popen` that jupyter uses.

    Its line to the parent carries the request, the pid and, in the end, the status. Closing the line ends the kernel.
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
            if stdin is None:  # as jupyter does: a pipe with nobody at its other end
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
        """Read the next message of the parent; return an empty one if the parent has closed the line."""
        text = b""
        while not text.endswith(b"\n"):
            if not (more := self._line.recv(4096)):
                return {}
            text += more
        return json.loads(text)

    def poll(self) -> int | None:
        """Return the status of the process as `subprocess.Popen` gives it, or None while it runs."""
        if self.returncode is None and select.select([self._line], [], [], 0)[0]:
            return self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait for the end of the process; without its parent, it has been killed or will be within a second."""
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
