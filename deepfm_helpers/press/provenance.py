"""Say at the end of each chapter what made its outputs: a folded note, which Sphinx adds to the page at every build.

The stamp of the chapter knows data, seed, versions and seconds. The digest of the code is noted in the metadata of the
notebook when its outputs are stored, so a page can tell that its code has changed since then.
"""

from __future__ import annotations

from pathlib import Path

import nbformat

from deepfm_helpers.catalogue import DATASETS
from deepfm_helpers.exercises import CHECK_MIME
from deepfm_helpers.press.checkout import DEFAULT, Checkout
from deepfm_helpers.press.digests import digest_of_run
from deepfm_helpers.press.kernels import outputs_of
from deepfm_helpers.press.ledger import summary

KEY = "deepfm"  # of what the metadata of a notebook hold
CHANGED = """\
```{{warning}}
The code of this chapter has changed since its outputs were stored, so they may not be what it shows today.
`{command}`, run in the folder of the repository, makes them again.
```
"""
NOTE = """\
```{{dropdown}} How this page was made
:class-container: provenance

Data
: {data}

Code
: {code}

Versions
: {versions}

Time
: {time}

Checks
: {checks}

Once more
: `{command}`, in the folder of the repository; `make book` creates the environment `.venv`
```
"""
UNKNOWN = "not noted"
PYTHON = ".venv/bin/python"
"""The Python of the book, from the folder of the repository, as `make` creates it."""


def keep_digest(notebook: nbformat.NotebookNode, digest: str) -> None:
    """Note in an executed notebook the digest of the code that ran, see `digests.digest_of_run`."""
    notebook.metadata[KEY] = {"code": digest}


def kept_digest(notebook: nbformat.NotebookNode) -> str | None:
    """Return the digest of the code that made the outputs of a notebook; None if nobody noted it."""
    return notebook.metadata.get(KEY, {}).get("code")


def note(notebook: nbformat.NotebookNode, name: str, today: str) -> str:
    """Return, in Markdown, what made the outputs of an executed chapter.

    Args:
        notebook: the chapter.
        name: its name, such as "07_training".
        today: the digest of the code that the chapter would run today.

    Returns:
        A folded note, after a warning if other code than today's made the outputs; an empty text if there are none.
    """
    if not any(cell.get("execution_count") for cell in notebook.cells):
        return ""
    facts, kept = _stamped(notebook), kept_digest(notebook)
    dataset, data = facts.pop("data", DEFAULT), UNKNOWN
    if "fingerprint" in facts:
        if (source := facts.pop("source")) == dataset:
            source = "made by the page"
        data = (
            f"`{dataset}`, {source}; the SHA-256 of its content begins with `{facts.pop('fingerprint')}`; "
            f"seed {facts.pop('seed')}"
        )
    time = facts.pop("run time", UNKNOWN)  # what is left are versions
    number = name.partition("_")[0] if name[0].isdigit() else name
    command = f"{PYTHON} -m deepfm_helpers.press execute {number}"
    if dataset != DEFAULT and dataset in DATASETS:
        command = f"{PYTHON} -m deepfm_helpers.press book --dataset {dataset}"
    code = f"fingerprint `{kept}` of the code behind the numbers; where yours has another, numbers may differ"
    shown = NOTE.format(
        data=data,
        code=code if kept else UNKNOWN,
        versions=", ".join(f"{package} {version}" for package, version in facts.items()) or UNKNOWN,
        time=time,
        checks=_checks(notebook, name),
        command=command,
    )
    return CHANGED.format(command=command) + shown if kept and kept != today else shown


def _stamped(notebook: nbformat.NotebookNode) -> dict[str, str]:
    """Return what the stamp in the last cell says, by name."""
    texts = [output.get("data", {}).get("text/plain", "") for output in notebook.cells[-1].get("outputs", [])]
    return dict(line.split(": ", 1) for text in texts for line in text.splitlines() if ": " in line)


def _checks(notebook: nbformat.NotebookNode, name: str) -> str:
    """Say what the chapter checked when it ran, and how that ended."""
    claims = summary(notebook)
    said = [claims]
    if claims[0].isdigit():
        said.append(f"All of them held; {{ref}}`the ledger <claims-{name}>` has their expressions.")
    tried = [content["outcome"] for _, content in outputs_of(notebook, CHECK_MIME)]
    answers = [outcome for outcome in tried if outcome != "open"]
    if answers:
        said.append(f"{answers.count('right')} of {len(answers)} solutions of exercises passed their checks.")
    return " ".join(said)


def add_note(app, docname: str, source: list[str]) -> None:
    """Let a chapter that Sphinx reads end with its note instead of its stamp; the file stays as it is."""
    path = Path(app.env.doc2path(docname))
    here = next((Checkout(p) for p in path.parents if (p / "deepfm_helpers").is_dir()), None)
    if path.suffix != ".ipynb" or here is None:
        return
    for module in here.package.rglob("*.py"):
        app.env.note_dependency(str(module))
    notebook = nbformat.reads(source[0], as_version=4)
    # of a staged chapter the original counts: it has no cell of injected parameters
    text = note(notebook, path.stem, digest_of_run(here, here.notebooks / path.name))
    if text:
        last = notebook.cells[-1]
        if last.source.startswith("stamp("):
            last.metadata["tags"] = [*last.metadata.get("tags", []), "remove-cell"]
        notebook.cells.append(nbformat.v4.new_markdown_cell(text, id="provenance"))
        source[0] = nbformat.writes(notebook)


def setup(app) -> dict[str, bool]:
    """Register the note with Sphinx."""
    app.connect("source-read", add_note)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
