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
