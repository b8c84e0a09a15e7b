"""The book on paper, on a book of two chapters made here."""

import os
import re
import subprocess
import sys

import pytest

from deepfm_helpers.press import printing

pytestmark = pytest.mark.browser
WHOLE = """<!doctype html><html lang="en"><title>A book</title><body>
<div id="jb-print-toc"><nav><a href="#document-a">First</a></nav></div>
<article><section><h1>A book<a class="headerlink" href="#x">#</a></h1><p>Why.</p>
<span id="document-a"></span><section><h2>First</h2><h3>Inside</h3><details><summary>s</summary>x</details></section>
<span id="document-b"></span><section><h2>Second</h2><a href="book/intro.html#document-a">back</a></section>
</section></article>"""


def test_the_outline_lists_every_chapter_and_no_link_leads_out_of_the_book(tmp_path, browser):
    (tmp_path / "whole.html").write_text(WHOLE)
    printing.book(browser, tmp_path / "whole.html", tmp_path / "book.pdf")
    pdf = (tmp_path / "book.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    outline = {title.decode() for title in re.findall(rb"/Title \(([^)]*)\)", pdf)}
    assert outline == {"A book", "Contents", "First", "Inside", "Second"}
    assert b"file://" not in pdf
    assert sorted(path.name for path in tmp_path.iterdir()) == ["book.pdf", "whole.html"]


def test_a_missing_chromium_is_said_with_what_to_install():
    done = subprocess.run(
        [sys.executable, "-c", "from deepfm_helpers.press import printing\nwith printing.chromium(): pass"],
        env=os.environ | {"DEEPFM_CHROMIUM": "/nowhere/chromium"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NoBrowser: /nowhere/chromium does not start: install one" in done.stderr
