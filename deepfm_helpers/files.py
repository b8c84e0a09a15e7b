"""Writing files whole or not at all, and locking a folder for one process at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write text (as UTF-8, with line feeds) or bytes to ``path`` in one step; make folders as needed."""
    with replacing(path) as part:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path with the ending of ``path``; what the body writes there replaces ``path`` at the end.

    If the body fails, the temporary file is removed and whatever was at ``path`` stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")  # some writers look at the ending
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class InUse(RuntimeError):
    """Raised when another process holds what `only_one` guards; `owner` names that process and its machine."""

    def __init__(self, folder: Path, owner: str):
        self.owner = owner
        super().__init__(
            f"folder {folder} is in use by process {owner}; wait until it has ended, or choose another folder"
        )


@contextmanager
def only_one(folder: str | Path) -> Iterator[None]:
    """Hold the file ``lock`` of a folder while the body runs.

    The operating system releases the lock when the process ends, however it ends. On a file system without locks
    nothing is held.

    Raises:
        InUse: another process, or another body in this process, holds the lock.
    """
    path = Path(folder) / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 (open as long as the lock is held)
        try:
            _lock(file)
        except (BlockingIOError, PermissionError):
            with file:
                file.seek(0)
                raise InUse(path.parent, file.read() or "unknown") from None
        except OSError:
            pass  # a file system without locks
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            break
        file.close()  # its owner ended, and removed it, between our two steps
    with file:
        with suppress(OSError):  # a full disk does not matter yet
            file.truncate(0)
            file.write(f"{os.getpid()} on {socket.gethostname()}")
            file.flush()
        try:
            yield
        finally:
            with suppress(OSError):  # Windows removes no open file; a lock that nobody holds does no harm
                path.unlink()


def _lock(file) -> None:
    """Lock a file for this process alone, or raise OSError."""
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    else:
        file.seek(1_000)  # Windows lets nobody read what is locked: a byte behind the owner's name
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
