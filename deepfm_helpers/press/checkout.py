"""The places of things in a checkout of the book, and the notebooks that it holds."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

DEFAULT = "ml-100k"  # the data of the stored outputs, which every notebook names in its parameters cell


class BuildFailed(RuntimeError):
    """Raised when a step fails, with the reason in the message; nothing half-made stays in place."""


def refuse(problems: list[str], what: str) -> None:
    """Raise BuildFailed, with ``what`` as the heading of the ``problems``, if there are any."""
    if problems:
        raise BuildFailed("\n  ".join([f"{what}:", *problems]))


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository, at ``root``."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """The folder of the chapters, stored with their outputs."""
        return self.root / "notebooks"

    @property
    def package(self) -> Path:
        """The folder of the helpers."""
        return self.root / "deepfm_helpers"

    @property
    def built(self) -> Path:
        """The folder of all that can be made again."""
        return self.root / "_build"

    @property
    def ledger(self) -> Path:
        """The page that lists the claims."""
        return self.root / "book" / "ledger.md"

    def select(self, names: Iterable[str] = ()) -> list[Path]:
        """Return the notebooks that ``names`` mean (``04``, ``04_second_order`` or a path); without names, all.

        Raises:
            BuildFailed: no notebook, or more than one, has a name.
        """
        every = sorted(self.notebooks.glob("*.ipynb"))
        if not names:
            return every
        chosen = []
        for name in names:
            stem = Path(name).stem
            found = [path for path in every if path.stem == stem or path.stem.startswith(f"{stem}_")]
            if len(found) != 1:
                known = ", ".join(path.stem for path in every)
                raise BuildFailed(f"no single notebook is called {name}; there are {known}")
            chosen += found
        return chosen

    def contents(self) -> list[str]:
        """Return the pages of the table of contents in reading order, without their endings."""
        return toc_entries(self.root / "_toc.yml")

    def chapters(self) -> list[Path]:
        """Return the notebooks of the table of contents in reading order."""
        paths = [self.root / f"{entry}.ipynb" for entry in self.contents()]
        return [path for path in paths if path.is_file()]

    def git(self, *arguments: str) -> str:
        """Return git's answer here, or an empty text if there is none."""
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.root, capture_output=True, text=True, check=False
            )
        except OSError:  # no git on this machine
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


HERE = Checkout(Path(__file__).resolve().parents[2])
"""The checkout to which this code belongs."""


def toc_entries(toc: str | Path) -> list[str]:
    """Return the pages of a ``_toc.yml`` in reading order, without their endings."""

    def walk(node):
        if isinstance(node, list):
            for item in node:
                yield from walk(item)
        elif isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield re.sub(r"\.(md|ipynb|rst)$", "", node[key])
            for key in ("parts", "chapters", "sections"):
                yield from walk(node.get(key, []))

    return list(walk(yaml.safe_load(Path(toc).read_text(encoding="utf-8"))))
