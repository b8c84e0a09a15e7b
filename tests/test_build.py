"""The driver and its checks, on a book of one chapter made here."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from deepfm_helpers import build, chapters, checks, reruns

ROOT = Path(__file__).resolve().parents[1]
CODE = (
    "from deepfm_helpers.chapters import claim, record\n"
    "record(double=2 * seed)\n"
    'claim(f"twice {seed} is even", 2 * seed % 2 == 0)'
)


def write_chapter(path: Path, *code: str, text: str = "# A chapter") -> Path:
    """Write a notebook with a title, a parameters cell and the given code cells."""
    parameters = 'dataset: str = "ml-100k"  # ratings to use\nseed: int = 1  # the seed'
    cells = [
        nbformat.v4.new_markdown_cell(text, id="title"),
        nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]}),
        *(nbformat.v4.new_code_cell(source, id=f"code-{i}") for i, source in enumerate(code)),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project of one chapter and one page of prose, with planted data that nobody has to draw."""
    root = tmp_path / "project"
    (root / "book").mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    (root / "book" / "intro.md").write_text("# A book\n\nThe [ledger](ledger.md).\n")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/01_one\n- file: book/ledger\n"
    )
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(ROOT / name, root / name)
    package = root / "deepfm_helpers"
    (package / "records").mkdir(parents=True)
    (package / "helper.py").write_text("x = 1\n")
    write_chapter(root / "notebooks" / "01_one.ipynb", CODE)
    monkeypatch.setattr(build, "ROOT", root)
    monkeypatch.setattr(build, "NOTEBOOKS", root / "notebooks")
    monkeypatch.setattr(build, "BUILD", root / "_build")
    data = SimpleNamespace(
        name="planted",
        ratings=range(1000),
        provenance=SimpleNamespace(source="drawn from a seed", fingerprint="0123456789abcdef"),
    )
    monkeypatch.setattr(build, "load_data", lambda dataset: data)
    monkeypatch.delenv("DEEPFM_REPOSITORY_URL", raising=False)
    monkeypatch.delenv("DEEPFM_SITE_URL", raising=False)
    return root


def test_notebooks_are_named_by_number_name_or_path(root):
    two = write_chapter(root / "notebooks" / "02_two.ipynb")
    one = root / "notebooks" / "01_one.ipynb"
    assert build.select() == [one, two]
    assert (
        build.select(["02"]) == build.select(["02_two"]) == build.select(["notebooks/02_two.ipynb"]) == [two]
    )
    with pytest.raises(build.BuildFailed, match="no single notebook is called 03; there are 01_one, 02_two"):
        build.select(["03"])


def test_execute_stores_outputs_and_ledger_and_nothing_that_a_check_refuses(root, capsys):
    one = root / "notebooks" / "01_one.ipynb"
    bad = write_chapter(root / "notebooks" / "02_bad.ipynb", "from pathlib import Path\nprint(Path.cwd())")
    worse = write_chapter(root / "notebooks" / "03_worse.ipynb", "seed / 0")
    before = bad.read_bytes(), worse.read_bytes()
    with pytest.raises(build.BuildFailed, match="2 of 3 notebooks failed: 0._"):
        build.execute()
    printed = capsys.readouterr().out
    assert "shows a path of this machine" in printed
    assert "ZeroDivisionError" in printed
    assert (bad.read_bytes(), worse.read_bytes()) == before
    assert checks.notebook_problems(one) == []
    assert reruns.records(one) == {"double": 2}
    ledger = (root / "book" / "ledger.md").read_text()
    assert "## [A chapter](../notebooks/01_one.ipynb)" in ledger
    assert "1. twice 1 is even.  \n   `` 2 * seed % 2 == 0 ``" in ledger
    assert "Claims in all: 1." in ledger


def test_a_book_is_built_once_and_then_only_what_changed(root, capsys):
    index = build.book("planted", 1)
    first = capsys.readouterr().out
    assert "0 of 1 chapters are up to date" in first
    assert "[1/1] 01_one" in first
    assert "data: planted (drawn from a seed), fingerprint 0123456789ab" in first
    assert index.as_uri() in first
    assert index.relative_to(root).as_posix() == "_build/planted/html/index.html"
    page = (index.parent / "notebooks" / "01_one.html").read_text()
    assert "twice 1 is even" in page
    assert "cdn" not in page
    assert "About 5 minutes to read" in page
    stamped = index.stat().st_mtime_ns

    build.book("planted", 1)
    again = capsys.readouterr().out
    assert "1 of 1 chapters are up to date" in again
    assert "the pages are up to date" in again
    assert index.stat().st_mtime_ns == stamped

    (root / "deepfm_helpers" / "helper.py").write_text("x = 2\n")
    write_chapter(root / "notebooks" / "01_one.ipynb", CODE, "{}['x']")
    with pytest.raises(build.BuildFailed, match="1 of 1 notebooks failed: 01_one"):
        build.book("planted", 1)
    assert index.stat().st_mtime_ns == stamped  # the book built last is still there, whole


def test_a_reference_that_leads_nowhere_stops_the_book(root):
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (root / "book" / "intro.md").write_text("# A book\n\nSee {ref}`nowhere`.\n")
    with pytest.raises(build.BuildFailed, match="nowhere"):
        build.sphinx(root, root / "site")


def test_the_key_of_a_chapter_holds_all_it_depends_on(root):
    def key(parameters=None, fingerprint="f"):
        jobs = build.chapter_jobs(parameters or {}, fingerprint, root / "cache")
        return jobs[0].output.parent.name

    keys = [key(), key({"dataset": "planted"}), key(fingerprint="g")]
    (root / "deepfm_helpers" / "records" / "01_one.json").write_text("{}")
    keys.append(key())
    (root / "deepfm_helpers" / "helper.py").write_text("x = 3\n")
    keys.append(key())
    write_chapter(root / "notebooks" / "01_one.ipynb", CODE, text="# Another title")
    keys.append(key())
    assert len(set(keys)) == len(keys)
    assert key() == keys[-1]


def test_records_keep_one_run_per_seed_and_start_anew_with_other_data(root, monkeypatch):
    versions = {"python": "3"}
    monkeypatch.setattr(chapters, "versions", lambda: versions)
    path = root / "deepfm_helpers" / "records" / "01_one.json"

    def add(seed, value, fingerprint="f"):
        job = build.Job(Path("01_one.ipynb"), Path("out"), {"dataset": "ml-1m", "seed": seed})
        build._add_to_record(job, {"rmse": value, "losses": [value]}, 1.26, fingerprint)
        return json.loads(path.read_text())

    add(2, 0.123456789)
    add(1, 0.5)
    record = add(1, 0.75)
    assert [run["parameters"]["seed"] for run in record["runs"]] == [1, 2]
    assert record["runs"][0]["metrics"] == {"rmse": 0.75, "losses": [0.75]}
    assert record["runs"][1]["metrics"]["rmse"] == 0.123457
    assert record["runs"][1]["seconds"] == 1.3
    assert len(add(3, 0.5, fingerprint="g")["runs"]) == 1


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://github.com/some/book.git", "https://github.com/some/book"),
        ("https://name:secret@github.com/some/book", "https://github.com/some/book"),
        ("git@github.com:some/book.git", "https://github.com/some/book"),
        ("ssh://git@gitlab.com/some/book.git", "https://gitlab.com/some/book"),
        ("https://example.org/some/book", None),
        ("/some/folder", None),
        ("", None),
    ],
)
def test_only_a_known_repository_gets_buttons(root, monkeypatch, remote, url):
    monkeypatch.setattr(build, "_git", lambda *arguments: remote if arguments[0] == "remote" else "main")
    (root / "book" / "ledger.md").write_text("# Ledger\n")
    build.stage(root / "staged", [])
    config = (root / "staged" / "_config.yml").read_text()
    assert build.repository_url() == url
    assert "secret" not in config
    assert ("repository:" in config) is (url is not None)
    assert ("launch_buttons:" in config) is (url is not None and "github" in url)
    assert "colab_url" not in config


def test_colab_is_offered_where_a_branch_has_notebooks_that_fetch_the_book(root, monkeypatch):
    monkeypatch.setenv("DEEPFM_REPOSITORY_URL", "https://github.com/some/book")
    monkeypatch.setenv("DEEPFM_LAUNCH_BRANCH", "launch")
    (root / "book" / "ledger.md").write_text("# Ledger\n")
    build.stage(root / "staged", [])
    config = (root / "staged" / "_config.yml").read_text()
    assert "colab_url" in config
    assert "branch: launch" in config
    for copy in sorted(build.launch_copies().glob("*.ipynb")):
        ours, copied = (nbformat.read(p, as_version=4) for p in (build.NOTEBOOKS / copy.name, copy))
        first = copied.cells.pop(1)
        assert copied.cells == ours.cells
        assert "git clone --quiet --depth 1 https://github.com/some/book /content/book" in first.source
    assert len(list(build.launch_copies().glob("*.ipynb"))) == len(list(build.NOTEBOOKS.glob("*.ipynb"))) > 0


def test_without_an_address_there_is_nothing_to_launch(root, monkeypatch):
    monkeypatch.setattr(build, "repository_url", lambda: None)
    with pytest.raises(build.BuildFailed, match="DEEPFM_REPOSITORY_URL"):
        build.launch_copies()


@pytest.mark.parametrize(
    ("repository", "named", "url"),
    [
        ("https://github.com/Some/book", None, "https://some.github.io/book/"),
        ("https://github.com/Some/some.github.io", None, "https://some.github.io/"),
        ("https://github.com/Some/book", "https://book.org", "https://book.org/"),
        ("https://gitlab.com/some/book", None, None),
        (None, None, None),
    ],
)
def test_the_address_of_the_pages_follows_from_the_repository(root, monkeypatch, repository, named, url):
    monkeypatch.setattr(build, "repository_url", lambda: repository)
    if named:
        monkeypatch.setenv("DEEPFM_SITE_URL", named)
    assert build.site_url() == url


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda nb: nb.cells[2].update(execution_count=None), "execution counts are not 1 to n"),
        (lambda nb: nb.cells[1].metadata.pop("tags"), "no cell is tagged parameters"),
        (lambda nb: nb.cells.pop(0), "first cell is not the title"),
        (lambda nb: output(nb, "error", ename="E", evalue="v", traceback=[]), r"cell \[2\] failed: E: v"),
        (lambda nb: output(nb, "stream", name="stderr", text="oh"), "wrote to stderr: oh"),
        (lambda nb: output(nb, "stream", name="stdout", text=f"{Path.home()}/x"), "a path of this machine"),
        (lambda nb: output(nb, "stream", name="stdout", text="in /" + "tmp/x.txt"), "a path of this machine"),
        (lambda nb: output(nb, "stream", name="stdout", text="y" * 1_000_001), "stays below 1 MB"),
        (lambda nb: output(nb, "display_data", data={"image/svg+xml": "<dc:date>"}), "SVG with its date"),
        (lambda nb: nb.cells[2].metadata.update(tags=["hide-cell,"]), "not a valid notebook: 'hide-cell,'"),
        (lambda nb: caption_two(nb), "2 outputs; give the figure its own cell"),
        (lambda nb: nb.cells[2].metadata.update(execution={}), "time stamps of its run"),
        (
            lambda nb: nb.cells[2].metadata.update(tags=["papermill-error-cell-tag"]),
            "marker of a failed cell",
        ),
    ],
)
def test_the_gate_refuses_a_spoilt_notebook(tmp_path, spoil, says):
    path = write_chapter(tmp_path / "in" / "01_one.ipynb", "1")
    notebook = nbformat.read(path, as_version=4)
    for count, cell in enumerate(notebook.cells[1:], start=1):
        cell.execution_count = count
    nbformat.write(notebook, path)
    assert checks.notebook_problems(path) == []
    spoil(notebook)
    nbformat.write(notebook, path)
    with pytest.raises(AssertionError, match=says):
        assert not checks.notebook_problems(path), "\n".join(checks.notebook_problems(path))


def caption_two(notebook) -> None:
    """Give a cell a figure caption and two outputs."""
    notebook.cells[-1].metadata["mystnb"] = {"figure": {"caption": "One."}}
    for text in "ab":
        output(notebook, "display_data", data={"text/plain": text})


def output(notebook, kind: str, **content) -> None:
    """Add an output to the last cell."""
    notebook.cells[-1].outputs.append(nbformat.v4.new_output(kind, **content))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda site: (site / "a.html").unlink(), "a.html: in the table of contents, not among the pages"),
        (lambda site: (site / "b.html").write_text(""), "b.html: a page outside the table of contents"),
        (lambda site: add(site, '<div class="output traceback">'), "a.html: shows a failed cell"),
        (lambda site: add(site, '<span id="papermill-error-cell">'), "papermill's marker"),
        (lambda site: add(site, '<script src="https://x.org/m.js"></script>'), "needs https://x.org/m.js"),
        (lambda site: add(site, '<script>import("https://x.org/m.js")</script>'), "a script needs"),
        (lambda site: add(site, '<link rel="stylesheet" href="//x.org/c.css">'), "needs //x.org/c.css"),
        (lambda site: add(site, '<img src="none.png">'), "leads to none.png, which does not exist"),
        (lambda site: add(site, '<a href="index.html#none">'), "where there is no such place"),
        (
            lambda site: (site / "s.css").write_text('@font-face {src: url("https://x.org/f.woff")}'),
            "s.css: needs https://x.org/f.woff from elsewhere",
        ),
    ],
)
def test_the_site_check_refuses_a_spoilt_site(tmp_path, spoil, says):
    toc = tmp_path / "_toc.yml"
    toc.write_text("format: jb-book\nroot: root\nparts:\n- caption: I\n  chapters:\n  - file: a.md\n")
    site = tmp_path / "html"
    site.mkdir()
    for name in ("root", "index", "search"):
        (site / f"{name}.html").write_text("<p id='here'>")
    (site / "a.html").write_text('<a href="index.html#here">x</a> <a href="https://x.org">y</a>')
    assert checks.site_problems(site, toc) == []
    spoil(site)
    assert any(says in problem for problem in checks.site_problems(site, toc))


def add(site: Path, text: str) -> None:
    """Add ``text`` to the page ``a``."""
    (site / "a.html").write_text((site / "a.html").read_text() + text)


def test_the_command_line_reports_a_failure_in_one_line(root, capsys):
    assert build.main(["execute", "42"]) == 1
    assert capsys.readouterr().err == "error: no single notebook is called 42; there are 01_one\n"
    assert build.main(["serve"]) == 1
    assert "run `make book`" in capsys.readouterr().err


def test_the_check_of_a_claim_is_found_in_its_cell():
    source = "for n in (1, 2):\n    claim(\n        f'{n}',\n        n > 0,\n    )\nclaim('b', holds=x == y)"
    assert build._check_of(source, 2) == "`` n > 0 ``"
    assert build._check_of(source, 6) == "`` x == y ``"
    assert build._check_of("%time claim('a', True)", 1) == "checked in the cell that states it"
