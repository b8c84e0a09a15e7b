"""Execute the chapters, either to store their outputs or for a book, where only what is not up to date is executed."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import nbformat

from deepfm_helpers.files import write_whole
from deepfm_helpers.page import versions
from deepfm_helpers.press import checks, provenance, reruns
from deepfm_helpers.press.checkout import DEFAULT, BuildFailed, Checkout
from deepfm_helpers.press.digests import digest_of_notebook, digest_of_run
from deepfm_helpers.press.jobs import Job, run_all
from deepfm_helpers.press.ledger import ledger


def store_outputs(here: Checkout, names: Iterable[str] = (), workers: int = 2) -> None:
    """Regenerate the stored outputs of the notebooks, and the ledger of claims that follows from them.

    Raises:
        BuildFailed: a notebook failed, must not be shown, or was edited meanwhile; the others are stored.
    """
    before = {path: path.read_bytes() for path in here.select(names)}
    digests = {path: digest_of_run(here, path) for path in before}
    jobs = [Job(path, here.built / "execute" / path.name, {}) for path in before]
    edited = []
    try:
        for job in run_all(jobs, workers):
            if job.notebook.read_bytes() == before[job.notebook]:
                _note_digest(job.output, digests[job.notebook])
                job.output.replace(job.notebook)
            else:
                edited.append(job.notebook.stem)
    finally:
        write_whole(here.ledger, ledger(here.select()))
    if edited:
        raise BuildFailed(f"outputs not stored, because they were edited meanwhile: {', '.join(edited)}")


def _note_digest(path: Path, digest: str) -> None:
    """Note in an executed notebook the digest of the code that ran."""
    notebook = nbformat.read(path, as_version=4)
    provenance.keep_digest(notebook, digest)
    write_whole(path, nbformat.writes(notebook) + "\n")


def executed_chapters(
    here: Checkout, dataset: str, fingerprint: str, place: Path, workers: int
) -> list[Path]:
    """Execute the chapters of the table of contents on ``dataset``, except those that are up to date.

    An executed chapter is kept under a digest of its code, of the modules that this code reaches, of its parameters,
    the data and the versions. A change of its text needs no new run.

    Returns:
        Paths of the executed chapters, with the text that the chapters have now.
    """
    jobs = chapter_jobs(here, dataset, fingerprint, place / "executed")
    due = [job for job in jobs if not _is_usable(job.output)]
    print(f"{len(jobs) - len(due)} of {len(jobs)} chapters are up to date", flush=True)
    for _ in run_all(due, workers):
        pass  # each announces itself and takes its place in the cache
    for old in set((place / "executed").glob("*")) - {job.output.parent for job in jobs}:
        shutil.rmtree(old)
    return [_with_todays_text(here, job, place / "chapters") for job in jobs]


def chapter_jobs(here: Checkout, dataset: str, fingerprint: str, cache: Path) -> list[Job]:
    """Return the chapters, each with a place in ``cache`` that is named after all that its outputs depend on."""
    # the notebooks' own default is not injected again, so that the page shows no second parameters cell
    asked = {} if dataset == DEFAULT else {"dataset": dataset}
    common = [asked, fingerprint, versions()]
    return [
        Job(path, cache / digest_of_notebook(here, path, *common) / path.name, _known(path, asked))
        for path in here.chapters()
    ]


def _known(path: Path, asked: dict[str, object]) -> dict[str, object]:
    """Return those of the parameters that a chapter has: one that reads no ratings has no dataset."""
    return {name: value for name, value in asked.items() if name in reruns.declared(path)}


def _is_usable(path: Path) -> bool:
    """Tell whether an executed chapter is there and can be shown."""
    try:
        return path.is_file() and not checks.notebook_problems(path)
    except (ValueError, OSError, AttributeError, KeyError):  # not a notebook: torn, empty, or something else
        return False


def _with_todays_text(here: Checkout, job: Job, folder: Path) -> Path:
    """Write the chapter as it is now, with the outputs of its executed copy; return the path."""
    chapter, executed = (nbformat.read(path, as_version=4) for path in (job.notebook, job.output))
    ran = [cell for cell in executed.cells if cell.cell_type == "code"]
    injected = [cell for cell in ran if "injected-parameters" in cell.metadata.get("tags", [])]
    ran = iter([cell for cell in ran if cell not in injected])
    cells = []
    for cell in chapter.cells:
        if cell.cell_type == "code":
            of_run = next(ran)
            cell.outputs, cell.execution_count = of_run.outputs, of_run.execution_count
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells += injected
    chapter.cells, chapter.metadata = cells, executed.metadata
    provenance.keep_digest(chapter, digest_of_run(here, job.notebook))  # the place in the cache says so
    path = folder / job.notebook.name
    write_whole(path, nbformat.writes(chapter) + "\n")
    return path
