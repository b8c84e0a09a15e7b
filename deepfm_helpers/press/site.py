"""Lay the book out for Jupyter Book, build its pages strictly, and print them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml

from deepfm_helpers.files import write_whole
from deepfm_helpers.press import checks, printing
from deepfm_helpers.press.addresses import launch_branch, repository_url, site_url
from deepfm_helpers.press.checkout import BuildFailed, Checkout, refuse
from deepfm_helpers.press.digests import digest, digest_of_file
from deepfm_helpers.press.ledger import ledger


def stage(here: Checkout, source: Path, executed: Iterable[Path], footer: str = "") -> None:
    """Lay out in ``source`` what Jupyter Book reads: settings, prose and the executed chapters."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(here.root / "book", source / "book")
    shutil.copy2(here.root / "_toc.yml", source)
    (source / "notebooks").mkdir()
    executed = list(executed)
    for path in executed:
        shutil.copy2(path, source / "notebooks")
    write_whole(source / "book" / "ledger.md", ledger(executed))
    config = yaml.safe_load((here.root / "_config.yml").read_text(encoding="utf-8"))
    config["html"] = config.get("html", {}) | {"extra_footer": f"<p>{footer}</p>" if footer else ""}
    if address := site_url(here):
        config["html"]["baseurl"] = address
    if url := repository_url(here):
        prepared = launch_branch()  # its notebooks are those of `launch_copies`
        branch = prepared or here.git("rev-parse", "--abbrev-ref", "HEAD") or "main"
        config["repository"] = {"url": url, "branch": branch}
        config["html"] |= {"use_repository_button": True, "use_issues_button": True}
        if "//github.com/" in url:
            launchers = {"notebook_interface": "jupyterlab", "binderhub_url": "https://mybinder.org"}
            colab = {"colab_url": "https://colab.research.google.com"} if prepared else {}
            config["launch_buttons"] = launchers | colab
    write_whole(source / "_config.yml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))


def build(here: Checkout, place: Path) -> Path:
    """Build the staged source of ``place`` into ``place/html``, unless the pages are up to date, and check them.

    The new site replaces the last one in a single step, after every check has passed.

    Returns:
        The path of ``index.html``.
    """
    html, part = place / "html", place / "html.part"
    done = place / "html.key"
    sources = sorted(path for path in (place / "source").rglob("*") if path.is_file())
    sources += sorted(here.package.rglob("*.py"))  # the API pages show their docstrings
    sources += sorted(path for path in (here.package / "static").rglob("*") if path.is_file())
    key = digest([(str(path), digest_of_file(path)) for path in sources])
    if (html / "index.html").is_file() and done.is_file() and done.read_text() == key:
        print("the pages are up to date", flush=True)
        return html / "index.html"
    done.unlink(missing_ok=True)
    shutil.rmtree(part, ignore_errors=True)
    sphinx(place / "source", part)
    refuse(
        checks.site_problems(part / "_build" / "html", place / "source" / "_toc.yml"),
        "the built pages are not right",
    )
    shutil.rmtree(html, ignore_errors=True)
    (part / "_build" / "html").replace(html)
    shutil.rmtree(part)
    done.write_text(key)
    return html / "index.html"


def stored(here: Checkout) -> Path:
    """Build the pages from the outputs stored in ``notebooks/`` and check them; execute nothing."""
    place = here.built / "stored"
    shutil.rmtree(place, ignore_errors=True)
    sphinx(here.root, place)
    html = place / "_build" / "html"
    refuse(checks.site_problems(html, here.root / "_toc.yml"), "the built pages are not right")
    return html / "index.html"


@contextmanager
def served(html: Path) -> Iterator[str]:
    """Serve built pages on this machine while the body runs, and yield their address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(html))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def pdf(here: Checkout) -> Path:
    """Print the whole book, from the stored outputs, as one PDF.

    Returns:
        The path of the PDF.
    """
    place, output = here.built / "pdf", here.built / "deepfm_taken_apart.pdf"
    shutil.rmtree(place, ignore_errors=True)
    sphinx(here.root, place, "singlehtml")
    single = place / "_build" / "singlehtml"
    # Sphinx writes the page beside the book's first one, and names its files as if the page lay at the root
    whole = (single / f"{here.contents()[0]}.html").replace(single / "whole.html")
    with printing.chromium() as browser:
        printing.book(browser, whole, output)
    return output


def sphinx(source: Path, output: Path, builder: str = "html") -> None:
    """Run Jupyter Book strictly: a warning, a broken reference or a page outside the contents is an error."""
    command = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
    strict = ["build", str(source), "--path-output", str(output), "--builder", builder]
    strict += ["-W", "-n", "--keep-going", "--all"]
    done = subprocess.run(
        [sys.executable, "-c", command, *strict],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()
        said = [line for line in lines if re.search(r"WARNING|ERROR|CRITICAL|Error: ", line)] or lines[-30:]
        raise BuildFailed("Jupyter Book found:\n" + "\n".join(said))
