"""Chromium, and the pages built from the stored outputs, served on this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deepfm_helpers.press import printing
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.site import served, stored

HTML = HERE.built / "stored" / "_build" / "html"


@pytest.fixture(scope="session")
def browser():
    """Chromium, or a failure that says how to get it: a page that no browser has shown is not tested."""
    try:
        with printing.chromium() as browser:
            yield browser
    except printing.NoBrowser as error:
        pytest.fail(str(error))


@pytest.fixture(scope="session")
def html() -> Path:
    """The folder of the built pages; built here if there are none yet."""
    if not (HTML / "index.html").is_file():
        if "PYTEST_XDIST_WORKER" in os.environ:  # several processes would build it at once
            pytest.fail("no pages yet: `python tests/run_all.py pages browser` builds them first")
        stored(HERE)
    return HTML


@pytest.fixture(scope="session")
def site(html) -> Iterator[str]:
    """The address of the built pages."""
    with served(html) as address:
        yield address


@pytest.fixture(scope="session")
def visit(browser, site) -> Callable:
    """A context manager that opens a page in a fresh profile and yields it when its formulas are set.

    What goes wrong (errors of scripts, requests that fail or leave the site) is in its list ``problems``.
    """

    @contextmanager
    def visit(name: str, **options):
        context = browser.new_context(**options)
        page = context.new_page()
        page.problems = []

        def asked(request) -> None:
            if not request.url.startswith((f"{site}/", "data:", "blob:")):
                page.problems.append(f"leaves the site: {request.url}")

        def said(message) -> None:
            if message.type == "error":
                page.problems.append(f"console: {message.text} {message.location.get('url')}")

        page.on("request", asked)
        page.on("requestfailed", lambda request: page.problems.append(f"failed: {request.url}"))
        page.on("console", said)
        page.on("pageerror", lambda error: page.problems.append(f"script: {error}"))
        page.goto(f"{site}/{name}", wait_until="load")
        page.evaluate("window.MathJax?.startup?.promise")
        yield page
        context.close()

    return visit
