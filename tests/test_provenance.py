"""The note at the end of a chapter: what made its outputs, and whether it would make them today."""

from types import SimpleNamespace

import nbformat
import pytest

from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.exercises import CHECK_MIME
from deepfm_helpers.press import provenance

STAMP = (
    "data: {}\nfingerprint: 0123456789ab\nsource: drawn from a seed\nseed: 7\n"
    "python: 3.11.7\nkeras: 3.15.1\nrun time: 1.5 s"
)
CODE = "x = 2\nclaim('x is two', x == 2)\nclaim('x is even', x % 2 == 0, on='algebra')"


def chapter(dataset: str = "ml-100k", digest: str | None = "abc") -> nbformat.NotebookNode:
    """An executed chapter with two claims, an exercise with its solution, and a stamp."""
    shown = [{CLAIM_MIME: {"statement": "x is two", "on": "run", "line": 2}}]
    shown += [{CLAIM_MIME: {"statement": "x is even", "on": "algebra", "line": 3}}]
    shown += [{CHECK_MIME: {"exercise": "1.1", "outcome": kind}} for kind in ("open", "right")]
    cells = [nbformat.v4.new_markdown_cell("# A chapter")]
    for code, bundles in ((CODE, shown), ("stamp(data, seed)", [{"text/plain": STAMP.format(dataset)}])):
        outputs = [nbformat.v4.new_output("display_data", bundle) for bundle in bundles]
        cells.append(nbformat.v4.new_code_cell(code, outputs=outputs, execution_count=len(cells)))
    notebook = nbformat.v4.new_notebook(cells=cells)
    if digest:
        provenance.keep_digest(notebook, digest)
    return notebook


def test_a_note_says_what_made_the_outputs_and_how_to_make_them_again():
    text = provenance.note(chapter(), "07_one", "abc")
    for fact in (
        "`ml-100k`, drawn from a seed; the SHA-256 of its content begins with `0123456789ab`; seed 7",
        "fingerprint `abc`",
        ": python 3.11.7, keras 3.15.1\n",
        ": 1.5 s\n",
        "2 claims: 1 checked on the numbers of the chapter's own run, 1 by algebra. All of them held",
        "{ref}`the ledger <claims-07_one>`",
        "1 of 1 solutions of exercises passed their checks.",
        "`.venv/bin/python -m deepfm_helpers.press execute 07`, in the folder of the repository",
    ):
        assert fact in text
    assert "{warning}" not in text


def test_a_note_on_other_data_names_the_command_for_them():
    text = provenance.note(chapter("ml-1m"), "gallery", "abc")
    assert "`.venv/bin/python -m deepfm_helpers.press book --dataset ml-1m`" in text
    assert "execute" not in text


def test_a_page_whose_code_was_changed_since_says_so_above_the_fold():
    text = provenance.note(chapter(), "07_one", "abd")
    assert text.index("The code of this chapter has changed since") < text.index("{dropdown}")
    assert "fingerprint `abc`" in text  # of the code that made the outputs


def test_a_note_does_not_guess_what_nobody_noted():
    assert "Code\n: not noted\n" in provenance.note(chapter(digest=None), "07_one", "abc")
    bare = chapter()
    bare.cells[-1].outputs = []
    text = provenance.note(bare, "07_one", "abc")
    assert text.count(": not noted\n") == 3  # data, versions, time


def test_a_chapter_without_outputs_has_no_note():
    notebook = chapter()
    for cell in notebook.cells[1:]:
        cell.execution_count = None
    assert provenance.note(notebook, "07_one", "abc") == ""


@pytest.mark.parametrize("edit", ["x = 2", "x = 1 + 1"])
def test_a_chapter_is_compared_with_the_code_that_it_has_at_the_build(tmp_path, edit):
    """What Sphinx reads ends with the note in the place of the stamp; the file stays as it is."""
    (tmp_path / "deepfm_helpers").mkdir()
    (tmp_path / "deepfm_helpers" / "__init__.py").touch()
    path = tmp_path / "notebooks" / "01_one.ipynb"
    path.parent.mkdir()
    here = provenance.Checkout(tmp_path)
    notebook = chapter()
    nbformat.write(notebook, path)
    provenance.keep_digest(notebook, provenance.digest_of_run(here, path))
    notebook.cells[1].source = CODE.replace("x = 2", edit)
    nbformat.write(notebook, path)
    before, source = path.read_text(), [path.read_text()]
    env = SimpleNamespace(doc2path=lambda _: str(path), note_dependency=lambda _: None)
    provenance.add_note(SimpleNamespace(env=env), "notebooks/01_one", source)
    assert path.read_text() == before
    *_, stamp, note = nbformat.reads(source[0], as_version=4).cells
    assert "remove-cell" in stamp.metadata.tags
    assert ("has changed since" in note.source) is (edit != "x = 2")
