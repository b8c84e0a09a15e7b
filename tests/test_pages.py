"""What the pages get through Sphinx, on a book of three pages made here."""

import io
import re

import nbformat
import numpy as np
import pandas as pd
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from deepfm_helpers.press import pages

INDEX = "# A book\n\nA {term}`one-hot` row, which says which value of several is there.\n\n"
GLOSSARY = (
    "# Words\n\n```{glossary}\none-hot\n  A row of zeros\n  with a *single* one.\n\n  More of it.\n```\n"
)


@pytest.fixture
def build(tmp_path):
    """A function that builds the book for a given address and returns the folder of its pages."""

    def build(address: str, more: dict[str, str] | None = None):
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir()
        files = {"words.md": GLOSSARY, **(more or {})}
        names = "\n".join(name.partition(".")[0] for name in files)
        files["index.md"] = f"{INDEX}```{{toctree}}\n{names}\n```\n"
        for name, text in files.items():
            (source / name).write_text(text)
        settings = {
            "extensions": ["myst_nb", "deepfm_helpers.press.pages"],
            "nb_execution_mode": "off",
            "numfig": True,
            "html_title": "The <book>",
            "html_theme": "basic",
            "html_baseurl": address,
        }
        with docutils_namespace():  # Sphinx leaves its own nodes behind, and would warn at the second book
            said = io.StringIO()
            Sphinx(source, None, out, tmp_path / "trees", "html", settings, io.StringIO(), said).build()
        assert said.getvalue() == ""
        return out

    return build


def test_a_term_carries_the_first_paragraph_of_its_definition(build):
    page = (build("") / "index.html").read_text()
    assert 'href="words.html#term-one-hot" title="A row of zeros with a single one."' in page


def test_a_site_without_an_address_names_none(build):
    site = build("")
    page = (site / "index.html").read_text()
    assert (
        '<meta name="description" content="A one-hot row, which says which value of several is there."'
        in page
    )
    assert 'property="og:site_name" content="The &lt;book&gt;"' in page
    assert "og:url" not in page
    assert "og:image" not in page
    assert "There is no such page" in (site / "404.html").read_text()
    assert not (site / "sitemap.xml").exists()


def test_a_site_with_an_address_is_mapped(build):
    site = build("https://some.org/book/")
    page = (site / "index.html").read_text()
    assert 'property="og:image" content="https://some.org/book/_static/card.png"' in page
    assert '<base href="https://some.org/book/">' in (site / "404.html").read_text()
    assert "<loc>https://some.org/book/words.html</loc>" in (site / "sitemap.xml").read_text()
    assert "404" not in (site / "sitemap.xml").read_text()
    assert "Sitemap: https://some.org/book/sitemap.xml" in (site / "robots.txt").read_text()


def test_a_table_that_a_cell_prints_is_numbered_among_the_tables(build):
    cell = nbformat.v4.new_code_cell("table")
    cell.outputs = [
        nbformat.v4.new_output("display_data", {"text/html": "<table><tr><td>1</td></tr></table>"})
    ]
    figure = {"caption": "Some numbers.", "classes": "output-table", "name": "tab-x"}
    cell.metadata["mystnb"] = {"figure": figure}
    title = nbformat.v4.new_markdown_cell("# Cells\n\nSee {numref}`tab-x`.\n")
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    notebook = nbformat.v4.new_notebook(cells=[title, cell], metadata=language)
    before = "# Before\n\n```{table} Others.\n| a |\n|---|\n| 1 |\n```\n"
    site = build("", {"before.md": before, "cells.ipynb": nbformat.writes(notebook)})
    page = (site / "cells.html").read_text()
    assert (  # each page without a number counts for itself
        '<span class="caption-number">Table 1 </span><span class="caption-text">Some numbers.</span>' in page
    )
    assert '<span class="std std-numref">Table 1</span>' in page
    assert '<span class="caption-number">Table 1 </span>' in (site / "before.html").read_text()


def test_the_tables_of_pandas_are_tidied():
    frame = pd.DataFrame(
        {"film": ["12 Angry Men", "Heat & Dust"], "gain": [-0.5, np.nan], "±": ["0.1 ± 0.2", "–"]}
    )
    frame.index = pd.Index(["a_b", "c"], name="seed")
    html = pages._TABLE.sub(pages._tidied, frame.to_html())
    (head,) = re.findall("<thead>(.*?)</thead>", html, re.DOTALL)
    assert re.findall("<th.*?>(.*?)</th>", head) == ["seed", "film", "gain", "±"]
    assert re.findall('<td class="number">(.*?)</td>', html) == [
        "−0.5",
        "0.1\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.2",
        "–",
        "–",
    ]
    assert "<td>12 Angry Men</td>" in html
    assert "<th>a_<wbr>b</th>" in html
    assert "<td>Heat &amp; Dust</td>" in html
    crossed = frame.set_index("film", append=True)[["gain"]].unstack("film").to_html()
    assert "<th>gain</th>" not in pages._TABLE.sub(pages._tidied, crossed)  # its head keeps its two rows
    named = frame.gain.to_frame().rename_axis(columns="what").to_html()
    assert "<th>seed ↓ what →</th>" in pages._TABLE.sub(pages._tidied, named)


def test_what_a_table_says_of_a_measured_number_stays_on_one_line():
    frame = pd.DataFrame(
        {
            "cost": ["-0.1 ± 0.2 AUC", "+0.3 ± 0.1 stars"],
            "less": ["-0.2 (-0.3 to -0.1)", "–"],
            "of some": ["", "-1"],
            "code": ["x -1", "y"],
        },
        index=["a name of some length", "b"],
    )
    html = pages._TABLE.sub(pages._tidied, frame.to_html())
    assert "<td>−0.1\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.2 AUC</td>" in html
    assert "<td>−0.2 (−0.3\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}−0.1)</td>" in html
    assert "<td>x -1</td>" in html
    assert re.findall(r'<td class="number">(.*?)</td>', html) == ["", "−1"]
    assert 'class="dataframe long-names"' in html
    assert "long-names" not in pages._TABLE.sub(pages._tidied, frame.set_index("code").to_html())


def test_a_formula_keeps_its_brackets_and_its_full_stop(build):
    text = "# Lines\n\nA sum ({math}`a + b`) of {math}`c` and `ml-100k`, not `a_longer-name.of_something`: {math}`d`.\n"
    page = (build("", {"lines.md": text}) / "lines.html").read_text()
    kept = re.findall(r'<span class="unbroken">(.*?)<span[^>]*>(.*?)</span>(.*?)</span>', page)
    assert kept == [("(", r"\(a + b\)", ")"), ("", r"\(d\)", ".")]
    assert re.findall('<code class="([^"]*)"', page) == [
        "short docutils literal notranslate",
        "docutils literal notranslate",
    ]
    assert r"A sum (\(a + b\)) of \(c\) and" in re.sub("<[^>]*>", "", page)


def test_a_click_on_a_hidden_cell_says_what_it_shows(build):
    whole, code, answer = (
        nbformat.v4.new_code_cell("x = 1", metadata={"tags": [tag]})
        for tag in ("hide-cell", "hide-input", "hide-cell")
    )
    title, exercises = map(nbformat.v4.new_markdown_cell, ("# Cells", "## Exercises"))
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    notebook = nbformat.v4.new_notebook(cells=[title, whole, code, exercises, answer], metadata=language)
    page = (build("", {"cells.ipynb": nbformat.writes(notebook)}) / "cells.html").read_text()
    shown = ["the code and its output", "the code", "the answer"]
    assert re.findall("(?:Show|Hide) the [a-z ]+", page) == [
        f"{does} {what}" for what in shown for does in ("Show", "Hide")
    ]
    assert "code cell" not in page


def test_the_reading_time_counts_words_said_ones_too_and_the_code_that_is_not_folded():
    said = '<span title="no word">yes</span> ' + "word " * (pages.WORDS_A_MINUTE * 5 - 1)
    outputs = [nbformat.v4.new_output("display_data", {"text/markdown": said})]
    tell = [
        nbformat.v4.new_code_cell("say()", outputs=outputs, metadata={"tags": [tag]})
        for tag in ("hide-input", "hide-cell", "hide-input", "hide-output")
    ]
    assert pages.reading_minutes(nbformat.v4.new_notebook(cells=tell)) == 10
    cells = [
        nbformat.v4.new_markdown_cell("# T\n\n" + "word " * pages.WORDS_A_MINUTE * 7),
        nbformat.v4.new_code_cell("x = 1\n\n" * pages.LINES_A_MINUTE * 4),
        nbformat.v4.new_code_cell("x = 1\n" * 1000, metadata={"tags": ["hide-cell"]}),
    ]
    assert pages.reading_minutes(nbformat.v4.new_notebook(cells=cells)) == 10
    assert pages.reading_minutes(nbformat.v4.new_notebook(cells=[])) == 5


def test_the_card_is_one_that_can_be_shared(tmp_path):
    pages.draw_card(tmp_path / "card.png")
    content = (tmp_path / "card.png").read_bytes()
    assert content[16:24] == (1200).to_bytes(4, "big") + (630).to_bytes(4, "big")
    assert len(content) < 100_000


def test_a_table_whose_index_spans_rows_is_tidied_as_any_other():
    index = pd.MultiIndex.from_product([["loss", "val_loss"], [1, 2]], names=["", "epoch"])
    frame = pd.DataFrame({"post": [2.5, -1.0, 3.5, np.nan], "of": ["a", "b", "c", "d"]}, index)
    tidy = pages._TABLE.sub(pages._tidied, frame.to_html())
    assert re.findall(r'<td class="number">(.*?)</td>', tidy) == ["2.5", "−1.0", "3.5", "–"]
    assert re.findall(r"<td>(.*?)</td>", tidy) == ["a", "b", "c", "d"]
    assert re.findall(r"<th[^>]*>([^<]+)</th>", tidy)[:3] == ["epoch", "post", "of"]
    assert '<th class="number">post</th>' in tidy
