"""The driver and its checks, on a book of one chapter made here."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from deepfm_helpers.files import only_one
from deepfm_helpers.press import __main__ as driver
from deepfm_helpers.press import (
    addresses,
    checks,
    executing,
    kernels,
    provenance,
    site,
)
from deepfm_helpers.press.checkout import HERE, BuildFailed, Checkout
from deepfm_helpers.press.digests import digest_of_run

CODE = (
    "from deepfm_helpers.claims import claim\n"
    "from deepfm_helpers.records import record\n"
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
        nbformat.v4.new_code_cell("used = dataset, seed", id="used"),
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Checkout:
    """A checkout with one chapter and one page of prose."""
    root = tmp_path / "project"
    (root / "book").mkdir(parents=True)
    shutil.copytree(HERE.root / "book" / "_static", root / "book" / "_static")
    (root / "book" / "intro.md").write_text("# A book\n\nThe [ledger](ledger.md).\n")
    (root / "book" / "how_it_is_tested.md").write_text("# How this book is tested\n")  # the ledger names it
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n- file: notebooks/01_one\n- file: book/ledger\n"
        "- file: book/how_it_is_tested\n"
    )
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(HERE.root / name, root / name)
    package = root / "deepfm_helpers"
    (package / "records").mkdir(parents=True)
    for name in ("__init__", "claims", "records", "unused"):
        (package / f"{name}.py").write_text(f'"""The module {name}."""\n\nx = 1\n')
    write_chapter(root / "notebooks" / "01_one.ipynb", CODE)
    for variable in ("DEEPFM_REPOSITORY_URL", "DEEPFM_SITE_URL", "DEEPFM_LAUNCH_BRANCH"):
        monkeypatch.delenv(variable, raising=False)
    return Checkout(root)


DATA = SimpleNamespace(
    name="planted",
    ratings=range(1000),
    provenance=SimpleNamespace(source="drawn from a seed", fingerprint="0123456789abcdef"),
)


def test_notebooks_are_named_by_number_name_or_path(here):
    two = write_chapter(here.root / "notebooks" / "02_two.ipynb")
    one = here.root / "notebooks" / "01_one.ipynb"
    assert here.select() == [one, two]
    assert here.select(["02"]) == here.select(["02_two"]) == here.select(["notebooks/02_two.ipynb"]) == [two]
    with pytest.raises(BuildFailed, match="no single notebook is called 03; there are 01_one, 02_two"):
        here.select(["03"])


def test_execute_stores_outputs_and_ledger_and_nothing_that_a_check_refuses(here, capsys):
    one = here.root / "notebooks" / "01_one.ipynb"
    bad = write_chapter(
        here.root / "notebooks" / "02_bad.ipynb", "from pathlib import Path\nprint(Path.cwd())"
    )
    worse = write_chapter(here.root / "notebooks" / "03_worse.ipynb", "seed / 0")
    before = bad.read_bytes(), worse.read_bytes()
    with pytest.raises(BuildFailed, match="2 of 3 notebooks failed: 0._"):
        executing.store_outputs(here)
    printed = capsys.readouterr().out
    assert "shows a path of this machine" in printed
    assert "ZeroDivisionError" in printed
    assert (bad.read_bytes(), worse.read_bytes()) == before
    assert checks.notebook_problems(one) == []
    assert kernels.metrics_of(one) == {"double": 2}
    assert provenance.kept_digest(nbformat.read(one, as_version=4)) == digest_of_run(here, one)
    ledger = (here.root / "book" / "ledger.md").read_text()
    assert "## [A chapter](../notebooks/01_one.ipynb)" in ledger
    assert "1. twice 1 is even.  \n   `` 2 * seed % 2 == 0 ``\n" in ledger
    assert "In all: 1 claim: 1 checked on the numbers of the chapter's own run." in ledger


def test_a_book_is_built_once_and_then_only_what_changed(here, capsys):
    index = driver.book(here, DATA, 1)
    first = capsys.readouterr().out
    assert "0 of 1 chapters are up to date" in first
    assert "[1/1] 01_one" in first
    assert "data: planted (drawn from a seed), fingerprint 0123456789ab" in first
    assert index.as_uri() in first
    assert index.relative_to(here.root).as_posix() == "_build/planted/html/index.html"
    page = (index.parent / "notebooks" / "01_one.html").read_text()
    assert "twice 1 is even" in page
    assert "cdn" not in page
    assert "About 5 minutes to read" in page
    assert "<details" in page
    assert digest_of_run(here, here.root / "notebooks" / "01_one.ipynb") in page
    assert 'href="../book/ledger.html#claims-01-one"' in page
    assert "has changed since" not in page
    stamped = index.stat().st_mtime_ns

    driver.book(here, DATA, 1)
    again = capsys.readouterr().out
    assert "1 of 1 chapters are up to date" in again
    assert "the pages are up to date" in again
    assert index.stat().st_mtime_ns == stamped

    write_chapter(here.root / "notebooks" / "01_one.ipynb", CODE, text="# A better title\n\nAnd a sentence.")
    driver.book(here, DATA, 1)
    assert "1 of 1 chapters are up to date" in capsys.readouterr().out
    page = (index.parent / "notebooks" / "01_one.html").read_text()
    assert "A better title" in page
    assert "twice 1 is even" in page
    stamped = index.stat().st_mtime_ns

    write_chapter(here.root / "notebooks" / "01_one.ipynb", CODE, "{}['x']")
    with pytest.raises(BuildFailed, match="1 of 1 notebooks failed: 01_one"):
        driver.book(here, DATA, 1)
    assert index.stat().st_mtime_ns == stamped  # the book built last is still there, whole


@pytest.mark.parametrize("spoilt", ["", "{", "[]", '{"cells": []}'])
def test_an_executed_chapter_that_cannot_be_read_is_due_again(here, capsys, spoilt):
    executing.executed_chapters(here, "planted", "f", here.built, 1)
    (kept,) = (here.built / "executed").glob("*/01_one.ipynb")
    kept.write_text(spoilt)
    (path,) = executing.executed_chapters(here, "planted", "f", here.built, 1)
    assert capsys.readouterr().out.count("0 of 1 chapters are up to date") == 2
    assert checks.notebook_problems(path) == []


def test_a_reference_that_leads_nowhere_stops_the_book(here):
    (here.root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n")
    (here.root / "book" / "intro.md").write_text("# A book\n\nSee {ref}`nowhere`.\n")
    with pytest.raises(BuildFailed, match="nowhere"):
        site.sphinx(here.root, here.root / "site")


def test_a_chapter_is_due_when_something_changed_that_its_outputs_depend_on_and_not_otherwise(here):
    chapter = here.root / "notebooks" / "01_one.ipynb"

    def key(dataset="ml-100k", fingerprint="f"):
        return executing.chapter_jobs(here, dataset, fingerprint, here.built)[0].output.parent.name

    def rewrite(name: str, text: str) -> str:
        (here.package / f"{name}.py").write_text(text)
        return key()

    first = key()
    assert len({first, key("planted"), key(fingerprint="g")}) == 3

    (here.package / "book.mplstyle").write_text("figure.dpi: 100\n")
    (here.package / "records" / "02_two.json").write_text("{}")
    assert rewrite("unused", "x = 2\n") == first
    assert rewrite("claims", '"""Said otherwise."""\n\n# why\nx = (1)\n') == first
    write_chapter(chapter, CODE, text="# Another title\n\nAnother sentence.")
    assert key() == first

    assert rewrite("records", "from deepfm_helpers import unused\n") != first
    before = key()
    assert rewrite("unused", "x = 3\n") != before  # reached by way of another module
    before = key()
    write_chapter(chapter, CODE, "2")
    assert key() != before


def test_a_chapter_without_a_dataset_is_executed_as_it_is(here):
    chapter = here.root / "notebooks" / "01_one.ipynb"

    def asked(dataset: str) -> dict:
        return executing.chapter_jobs(here, dataset, "f", here.built)[0].parameters

    assert (asked("ml-100k"), asked("planted")) == ({}, {"dataset": "planted"})
    chapter.write_text(chapter.read_text("utf-8").replace("dataset: str", "name: str"), "utf-8")
    assert asked("planted") == {}


def test_a_chapter_that_shows_source_code_or_recorded_numbers_depends_on_their_text(here):
    chapter = here.root / "notebooks" / "01_one.ipynb"

    def key():
        return executing.chapter_jobs(here, "ml-100k", "f", here.built)[0].output.parent.name

    write_chapter(chapter, CODE, "import inspect", "%precision 3", "recorded('02_two')")
    before = key()
    (here.package / "claims.py").write_text('"""Said otherwise."""\n\nx = 1\n')
    after = key()
    assert after != before
    (here.package / "records" / "02_two.json").write_text("{}")
    assert key() != after


def test_a_chapter_that_reruns_a_notebook_depends_on_its_code(here):
    chapter, other = (here.root / "notebooks" / name for name in ("01_one.ipynb", "lean.ipynb"))

    def key():
        return executing.chapter_jobs(here, "ml-100k", "f", here.built)[0].output.parent.name

    write_chapter(other, CODE)
    write_chapter(chapter, CODE, "notebook = 'notebooks/lean.ipynb'")
    before = key()
    write_chapter(other, CODE, text="# Another title")
    assert key() == before
    write_chapter(other, "2", CODE)
    assert key() != before


def test_the_digest_of_a_run_is_of_what_can_move_a_recorded_number(here):
    chapter = here.root / "notebooks" / "01_one.ipynb"
    (here.package / "plots.py").write_text("x = 1\n")
    start = "from deepfm_helpers import plots, unused\nfrom deepfm_helpers.records import record\nx = 3"

    def key(*cells):
        write_chapter(chapter, *cells)
        return digest_of_run(here, chapter)

    first = key(start, "record(x=x)")
    assert key(start + "  # three", "claim('x is odd', x % 2 == 1)\nrecord(x = x)") == first
    asking = "from deepfm_helpers.asking import predict, reveal\n"
    asked = ("predict('x', 'Odd?', ['yes', 'no'])", "reveal('x', 'yes', {'yes': f'{x}', 'no': ''})")
    assert key(asking + start, asked[0], "record(x=x)", asked[1]) == first
    assert key(asking + start, f"{asked[0]}\nx = 4", "record(x=x)") != first
    checking = "from deepfm_helpers.equations import verify\n"
    check = "def twice(a):\n    return a + a\nverify('eq-x', 'So', twice, lambda a: 2 * a, by_hand=((1,), 2), drawn=x)"
    assert key(checking + start, check, "record(x=x)") == first
    assert key(checking + start, check, "record(x=twice(x))") != key(
        start, "record(x=twice(x))"
    )  # it is used
    assert key(checking + start, f"{check}\nx = 4", "record(x=x)") != first
    assert key(start, "if x:\n    say(f'{x}')", "record(x=x)", "x = 4\nprint(x)") != first  # an if computes
    assert key(start, "record(x=x)", "recorded('01_one')", "x = 4") == first  # after the last record
    assert key(start, "record(x=x)", "x = 4", "record(y=x)") != first
    assert key(start.replace("3", "4"), "record(x=x)") != first
    (here.package / "plots.py").write_text("x = 2\n")
    (here.package / "records" / "01_one.json").write_text("{}")
    assert key(start, "record(x=x)") == first
    (here.package / "unused.py").write_text("x = 2\n")
    assert key(start, "record(x=x)") != first


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
def test_only_a_known_repository_gets_buttons(here, remote, url):
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", here.root], check=True)
    if remote:
        here.git("remote", "add", "origin", remote)
    (here.root / "book" / "ledger.md").write_text("# Ledger\n")
    site.stage(here, here.root / "staged", [])
    config = (here.root / "staged" / "_config.yml").read_text()
    assert addresses.repository_url(here) == url
    assert "secret" not in config
    assert ("repository:" in config) is (url is not None)
    assert ("launch_buttons:" in config) is (url is not None and "github" in url)
    assert "colab_url" not in config


def test_colab_is_offered_where_a_branch_has_notebooks_that_fetch_the_book(here, monkeypatch):
    monkeypatch.setenv("DEEPFM_REPOSITORY_URL", "https://github.com/some/book")
    monkeypatch.setenv("DEEPFM_LAUNCH_BRANCH", "launch")
    (here.root / "book" / "ledger.md").write_text("# Ledger\n")
    site.stage(here, here.root / "staged", [])
    config = (here.root / "staged" / "_config.yml").read_text()
    assert "colab_url" in config
    assert "branch: launch" in config
    for copy in sorted(addresses.launch_copies(here).glob("*.ipynb")):
        ours, copied = (nbformat.read(p, as_version=4) for p in (here.notebooks / copy.name, copy))
        first = copied.cells.pop(1)
        assert copied.cells == ours.cells
        assert "git clone --quiet --depth 1 https://github.com/some/book /content/book" in first.source
    assert (
        len(list(addresses.launch_copies(here).glob("*.ipynb")))
        == len(list(here.notebooks.glob("*.ipynb")))
        > 0
    )


def test_without_an_address_there_is_nothing_to_launch(here):
    with pytest.raises(BuildFailed, match="DEEPFM_REPOSITORY_URL"):
        addresses.launch_copies(here)


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
def test_the_address_of_the_pages_follows_from_the_repository(here, monkeypatch, repository, named, url):
    for variable, value in (("DEEPFM_REPOSITORY_URL", repository), ("DEEPFM_SITE_URL", named)):
        if value:
            monkeypatch.setenv(variable, value)
    assert addresses.site_url(here) == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEEPFM_LAUNCH_BRANCH", 'm"><script>alert(1)</script>'),
        ("DEEPFM_LAUNCH_BRANCH", "two words"),
        ("DEEPFM_SITE_URL", 'https://book.org/"><script>'),
        ("DEEPFM_SITE_URL", "javascript:alert(1)"),
    ],
)
def test_what_the_environment_says_reaches_a_page_only_if_it_is_harmless(here, monkeypatch, variable, value):
    monkeypatch.setenv("DEEPFM_REPOSITORY_URL", "https://github.com/some/book")
    monkeypatch.setenv(variable, value)
    with pytest.raises(BuildFailed, match=f"{variable} = "):
        site.stage(here, here.root / "staged", [])


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda nb: nb.cells[2].update(execution_count=None), "execution counts are not 1 to n"),
        (lambda nb: nb.cells[1].metadata.pop("tags"), "no cell is tagged parameters"),
        (lambda nb: nb.cells.pop(0), "first cell is not the title"),
        (lambda nb: output(nb, "error", ename="E", evalue="v", traceback=[]), r"cell \[3\] failed: E: v"),
        (lambda nb: output(nb, "stream", name="stderr", text="oh"), "wrote to stderr: oh"),
        (lambda nb: output(nb, "stream", name="stdout", text=f"{Path.home()}/x"), "a path of this machine"),
        (lambda nb: output(nb, "stream", name="stdout", text="in /" + "tmp/x.txt"), "a path of this machine"),
        (lambda nb: output(nb, "stream", name="stdout", text="y" * 1_000_001), "stays below 1 MB"),
        (lambda nb: output(nb, "display_data", data={"image/svg+xml": "<dc:date>"}), "SVG with its date"),
        (lambda nb: nb.cells[2].metadata.update(tags=["hide-cell,"]), "not a valid notebook: 'hide-cell,'"),
        (lambda nb: caption_two(nb), "2 outputs; give the figure its own cell"),
        (lambda nb: nb.cells[2].metadata.update(mystnb={"figure": {}}), "a figure caption and no figure"),
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


def test_the_command_line_reports_a_failure_in_one_line(here, capsys):
    assert driver.main(["execute", "42"], here) == 1
    assert capsys.readouterr().err == "error: no single notebook is called 42; there are 01_one\n"


def test_a_message_is_printed_whatever_characters_the_terminal_knows(here):
    write_chapter(here.root / "notebooks" / "01_one.ipynb", 'raise ValueError("x ≤ 3")')
    code = f"""
from pathlib import Path
from deepfm_helpers.press import __main__ as driver
from deepfm_helpers.press.checkout import Checkout
raise SystemExit(driver.main(["execute"], Checkout(Path({str(here.root)!r}))))
"""
    script = here.root.parent / "drive.py"
    script.write_text(f"if __name__ == '__main__':{textwrap.indent(code, '    ')}")
    done = subprocess.run(
        [sys.executable, script],
        env=os.environ | {"PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        encoding="cp1252",
        check=False,
    )
    assert done.returncode == 1
    assert "ValueError: x \\u2264 3" in done.stdout
    assert done.stderr == "error: 1 of 1 notebooks failed: 01_one\n"


def test_only_one_build_at_a_time_works_on_a_checkout(here, capsys):
    with only_one(here.built):
        holder = subprocess.run(
            [sys.executable, "-c", ONE_MORE, here.root], capture_output=True, text=True, check=False
        )
    assert holder.returncode == 1
    assert holder.stderr.startswith(f"error: another build is running (pid {os.getpid()} on ")
    assert driver.main(["execute", "42"], here) == 1
    assert "no single notebook is called 42" in capsys.readouterr().err  # the lock is gone with its holder


ONE_MORE = """
import sys
from pathlib import Path
from deepfm_helpers.press import __main__ as driver
from deepfm_helpers.press.checkout import Checkout
sys.exit(driver.main(["execute"], Checkout(Path(sys.argv[1]))))
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGKILL], ids=["terminated", "killed"])
def test_workers_and_kernels_end_with_the_driver(here, signal_):
    note = here.root / "kernel.pid"
    write_chapter(
        here.root / "notebooks" / "01_one.ipynb",
        "import os, time\nfrom pathlib import Path\n"
        f"_ = Path({str(note)!r}).write_text(f'{{os.getpid()}} {{os.getppid()}}')",
        "time.sleep(300)",
    )
    script = here.root.parent / "drive.py"
    script.write_text(f"if __name__ == '__main__':\n{textwrap.indent(ONE_MORE, '    ')}")
    driving = subprocess.Popen([sys.executable, script, here.root], stdout=subprocess.DEVNULL)
    try:
        wait_until(
            lambda: driving.poll() is not None or note.is_file() and len(note.read_text().split()) == 2
        )
        kernel, worker = map(int, note.read_text().split())
        driving.send_signal(signal_)
        driving.wait()
        wait_until(lambda: not is_running(worker) and not is_running(kernel))
        assert not is_running(worker)
        assert not is_running(kernel)
    finally:
        driving.kill()


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended already."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text() if Path("/proc/self").exists() else ""
        os.kill(pid, 0)
    except OSError:
        return False
    return ") Z " not in status


def wait_until(holds, seconds: float = 120) -> None:
    """Wait until ``holds()`` is true; fail if it takes too long."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.2)
