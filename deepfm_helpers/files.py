"""Files that are there whole or not at all: written under a temporary name beside their place, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write text (as UTF-8, with line feeds) or bytes to ``path`` in one step; folders are made as needed."""
    with replacing(path) as part:
        part.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name with the ending of ``path``; what the body writes there takes its place at the end.

    If the body fails, the temporary file goes and whatever was at ``path`` stays.
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
    """Another process holds what `only_one` guards; `pid` is its number where it is known."""

    def __init__(self, path: Path, pid: str):
        super().__init__(f"{path.parent} is in use by another process" + (f" (pid {pid})" if pid else ""))
        self.pid = pid


@contextmanager
def only_one(path: str | Path) -> Iterator[None]:
    """Hold the lock file ``path`` while the body runs; the system lets go of it when the process ends, however it ends.

    Raises:
        InUse: another process holds it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="ascii") as file:
        try:
            _lock(file)
        except OSError:
            file.seek(0)
            raise InUse(path, file.read().strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _lock(file) -> None:
    """Lock a file for this process alone, or raise OSError."""
    try:
        import fcntl
    except ImportError:  # Windows; the byte that is locked there lies beyond the text, which stays readable
        import msvcrt

        file.seek(1 << 20)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
