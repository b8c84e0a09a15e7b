"""Measure the seconds of `make book`: from nothing, with nothing changed, and after a change of a sentence or of code.

``python -m benchmarks.rebuilding`` works on a clone of the last commit, in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from deepfm_helpers.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = "02_genre_multi_hot"


def seconds(clone: Path, dataset: str) -> float:
    """Build the book of the clone once; return the seconds."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "deepfm_helpers.press", "book", "--dataset", dataset]
    subprocess.run(
        command,
        cwd=clone,
        env=os.environ | {"PYTHONPATH": str(clone)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def append(clone: Path, kind: str, text: str) -> None:
    """Add text to the last cell of a kind in one chapter."""
    path = clone / "notebooks" / f"{CHAPTER}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    cell = [cell for cell in notebook.cells if cell.cell_type == kind][-1]
    cell.source += text
    write_whole(path, nbformat.writes(notebook) + "\n")


def main(dataset: str = "ml-100k") -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "book")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        steps = {
            "from nothing": lambda: None,
            "nothing changed": lambda: None,
            "a sentence of one chapter": lambda: append(clone, "markdown", "\n\nOne more sentence."),
            "a line of code in one chapter": lambda: append(clone, "code", "\n# one more line"),
        }
        for name, change in steps.items():
            change()
            print(f"{name:<30} {seconds(clone, dataset):7.1f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
