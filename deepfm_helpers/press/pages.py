"""A Sphinx extension for the pages of this book: reading times, definitions of terms, numbers for the tables that cells
print, marks beside checked equations, readable tables, lines and docstrings, and what search engines and links need.

``_config.yml`` loads the extension. What needs the address of the site is made only if ``html_baseurl`` is set.
"""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

import nbformat
from docutils import nodes
from sphinx.util import logging

from deepfm_helpers import live
from deepfm_helpers.claims import anchor_of
from deepfm_helpers.press.equations import equation_problems

WORDS_A_MINUTE = 180
LINES_A_MINUTE = 20  # of code
CARD = "_static/card.png"
LOST = """<section><h1>There is no such page</h1>
<p>The address leads nowhere in this book: a chapter may have moved, or a letter is missing. Begin at the
<a href="index.html">first page</a>, look in the <a href="genindex.html">index</a>, or
<a href="search.html">search</a>.</p></section>"""


def reading_minutes(notebook: nbformat.NotebookNode) -> int:
    """Return the minutes to read a chapter, in fives, from the words in its prose and outputs and its lines of code.

    What is folded away does not count.
    """
    words = lines = 0
    for cell in notebook.cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type == "markdown":
            words += len(cell.source.split())
            continue
        if not tags & {"hide-cell", "remove-cell", "hide-output", "remove-output"}:
            said = [output.get("data", {}).get("text/markdown", "") for output in cell.outputs]
            words += sum(len(re.sub("<[^>]*>", "", text).split()) for text in said)
        if not tags & {"hide-cell", "remove-cell", "hide-input", "remove-input"}:
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    return 5 * max(1, round((words / WORDS_A_MINUTE + lines / LINES_A_MINUTE) / 5))


def add_reading_time(app, doctree) -> None:
    """Say below the title of a chapter how long it takes to read."""
    path = Path(app.env.doc2path(app.env.docname))
    title = next(doctree.findall(nodes.title), None)
    if path.suffix == ".ipynb" and title is not None:
        minutes = reading_minutes(nbformat.read(path, as_version=4))
        text = f"About {minutes} minutes to read; longer with the exercises."
        title.parent.insert(
            title.parent.index(title) + 1, nodes.paragraph("", text, classes=["reading-time"])
        )


def demand_checks(app, doctree) -> None:
    """Warn, and so stop a strict build, where a numbered equation is not checked or a check checks nothing."""
    path = Path(app.env.doc2path(app.env.docname))
    is_notebook = path.suffix == ".ipynb"
    notebook = nbformat.read(path, as_version=4) if is_notebook else nbformat.v4.new_notebook()
    labels = [block["label"] for block in doctree.findall(nodes.math_block) if block.get("label")]
    for problem in equation_problems(notebook, labels):
        logging.getLogger(__name__).warning(problem, location=app.env.docname)


_NUMBER_OF_EQUATION = re.compile(
    r'(<div class="math[^"]*" id="equation-([^"]+)">\s*<span class="eqno">)(?=\()'
)


def mark_equations(app, pagename, templatename, context, doctree) -> None:
    """Put a small mark before the number of each checked equation, with a link to its check."""
    body = context.get("body", "")

    def marked(found: re.Match) -> str:
        anchor = anchor_of(found[2])
        if f'id="{anchor}"' not in body:
            return found[0]
        says = 'title="Checked: see how" aria-label="checked: see how"'
        return f'{found[1]}<a class="checked" href="#{anchor}" {says}>✓</a> '

    if body:
        context["body"] = _NUMBER_OF_EQUATION.sub(marked, body)


class OutputTable(nodes.figure):
    """A table that a cell prints, with a caption and a number among the tables instead of the figures."""


def number_tables(app, doctree) -> None:
    """Turn figures with the class ``output-table`` into tables."""
    for figure in list(doctree.findall(nodes.figure)):
        if "output-table" in figure["classes"]:
            table = OutputTable(figure.rawsource, *figure.children, **figure.attributes)
            figure.replace_self(table)
            doctree.ids |= dict.fromkeys(table["ids"], table)  # where references look for what they name


def count_by_page(app, env) -> list[str]:
    """Count the figures and tables of a page without a number from 1, where Sphinx goes on from page to page."""
    for of_page in env.toc_fignumbers.values():
        for numbers in of_page.values():
            for place, (name, number) in enumerate(numbers.items(), start=1):
                numbers[name] = (place,) if len(number) == 1 else number
    return []


SHORT = 20  # characters of code that fit on any line
_OPENING, _CLOSING = re.compile(r"[(\[“‘]+$"), re.compile(r"[.,;:!?)\]’”]+")


def keep_together(app, doctree) -> None:
    """Keep on one line short code, which may hold a hyphen, and a formula with the punctuation before and after it."""
    for code in doctree.findall(nodes.literal):
        if max(map(len, code.astext().split()), default=0) <= SHORT:
            code["classes"].append("short")
    for formula in list(doctree.findall(nodes.math)):
        before, after = _taken(formula, -1, _OPENING.search), _taken(formula, 1, _CLOSING.match)
        if before or after:
            together = nodes.inline(classes=["unbroken"])
            formula.replace_self(together)
            together += [nodes.Text(before), formula, nodes.Text(after)]


def _taken(node: nodes.Element, step: int, found: Callable[[str], re.Match | None]) -> str:
    """Take from the text beside a node what is found there, and return it."""
    parent, place = node.parent, node.parent.index(node) + step
    text = parent[place] if 0 <= place < len(parent) else None
    match = found(text) if isinstance(text, nodes.Text) else None
    if not match:
        return ""
    parent[place] = nodes.Text(text[: match.start()] + text[match.end() :])
    return match[0]


_TABLE = re.compile(r'<table border="1" class="dataframe">.*?</table>', re.DOTALL)
_NUMBER = r"[-+]?(\d[\d,]*)?\.?\d+(e[-+]?\d+)?"
_FIGURE = re.compile(rf"{_NUMBER}( (to|±) {_NUMBER})? ?%?")
_MEASURED = re.compile(
    rf"{_NUMBER} (±|\({_NUMBER} to) {_NUMBER}"
)  # with its spread or its limits, and perhaps a unit
_NONE = ("NaN", "<NA>", "None")
LONG = 16  # characters of a name that are too many for one line of a phone


def tidy_tables(app, doctree) -> None:
    """Make the tables of pandas readable: one row of headings, numbers at the right, a true minus, – for NaN.

    A long name may be broken after _ or |, so that fewer tables are wider than a phone.
    """
    for node in doctree.findall(nodes.raw):
        if 'class="dataframe"' in node.astext():
            text = _TABLE.sub(_tidied, node.astext())
            node.clear()
            node += nodes.Text(text)


def _tidied(found: re.Match) -> str:
    table = ElementTree.fromstring(found[0])
    head, body = table.find("thead"), table.findall("tbody/tr")
    levels = len(body[0].findall("th")) if body else 0
    if len(head) > 1 and levels and not any(cell.text for cell in head[-1][levels:]):
        for corner, name in zip(head[-2], head[-1][:levels], strict=False):  # the names of the index
            corner.text = f"{name.text} ↓ {corner.text} →" if corner.text else name.text
        head.remove(head[-1])
    values = [
        row.findall("td") for row in body
    ]  # a name of the index may span rows, and stand in the first alone
    for place, column in enumerate(zip(*values, strict=True), start=levels):
        for cell in column:
            cell.text = "–" if cell.text in _NONE else cell.text or ""
        are_numbers = all(cell.text in ("–", "") or _FIGURE.fullmatch(cell.text) for cell in column)
        for cell in column:
            if are_numbers or _MEASURED.match(cell.text):
                cell.text = re.sub(r"(?<![\w.])-", "−", cell.text)
                cell.text = re.sub(
                    r"(?<=\d) (±|to) (?=[+−\d])", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", cell.text
                )
        if are_numbers:
            for cell in column:
                cell.set("class", "number")
            if len(head[-1]) == len(body[0]):
                head[-1][place].set("class", "number")
    if any(len(name.text or "") > LONG for name in table.findall("tbody/tr/th[1]")):
        table.set("class", "dataframe long-names")
    html = ElementTree.tostring(table, encoding="unicode", method="html")
    return re.sub(r"(?<=\w)[_|](?=\w)(?=[^<>]*<)", r"\g<0><wbr>", html)


def link_equations(app, what, name, obj, options, lines) -> None:
    """Let a docstring's ``eq-deep`` become the number of that equation, and a link to it."""
    lines[:] = [re.sub(r"\beq-[a-z-]*[a-z]", r":eq:`\g<0>`", line) for line in lines]


def skip_numbered_fields(app, what, name, obj, skip, options) -> bool | None:
    """Leave out Python's own docstrings of the fields of a named tuple."""
    return True if str(obj.__doc__).startswith("Alias for field number") else None


def name_hidden_cells(app, doctree) -> None:
    """Say what a click shows: the answer of an exercise, code with or without its output, or what a cell recorded."""
    exercises = [section for section in doctree.findall(nodes.section) if "exercises" in section["names"]]
    answers = [cell for section in exercises for cell in section.findall(nodes.container)]
    for cell in doctree.findall(nodes.container):
        hidden = {
            "all": "the answer" if cell in answers else "the code and its output",
            "input": "the code",
            "output": "what was recorded",
        }
        if what := hidden.get(cell.get("hide_mode")):
            cell["prompt_show"], cell["prompt_hide"] = f"Show {what}", f"Hide {what}"


def _open_table(translator, node) -> None:
    translator.visit_figure(node)


def _close_table(translator, node) -> None:
    translator.depart_figure(node)


def minutes(name, rawtext, text, lineno, inliner, options=None, content=None) -> tuple[list, list]:
    """Return the reading time of a chapter, for the role {minutes}`01_loading`."""
    env = inliner.document.settings.env
    path = Path(env.srcdir) / "notebooks" / f"{text}.ipynb"
    if not path.is_file():
        problem = inliner.reporter.error(f"minutes: there is no chapter {text}", line=lineno)
        return [inliner.problematic(rawtext, rawtext, problem)], [problem]
    env.note_dependency(str(path))
    return [
        nodes.inline("", f"{reading_minutes(nbformat.read(path, as_version=4))} min", classes=["minutes"])
    ], []


def add_definitions(app, doctree, docname) -> None:
    """Give every link to a term its definition, the first paragraph of the glossary, as ``title``."""
    links = [link for link in doctree.findall(nodes.reference) if "#term-" in link.get("refuri", "")]
    if links:
        known = definitions(app.env)
        for link in links:
            link["reftitle"] = known[link["refuri"].rpartition("#")[2]]


def definitions(env) -> dict[str, str]:
    """Return the definition of each term of the glossary, in plain text, by the anchor of the term."""
    pages = {page for (kind, _), (page, _) in env.get_domain("std").objects.items() if kind == "term"}
    return {
        anchor: " ".join(item[-1][0].astext().split())
        for page in pages
        for item in env.get_doctree(page).findall(nodes.definition_list_item)
        for term in item.findall(nodes.term)
        for anchor in term["ids"]
    }


def describe(app, pagename, templatename, context, doctree) -> None:
    """Describe a page to search engines and to those who share a link to it."""
    root = app.config.html_baseurl
    before = context.get("metatags", "")
    if (
        pagename == "404"
    ):  # shown at any address: what it needs lies at the root of the site, if that is known
        context["metatags"] = before + (f"<base href={quoteattr(root)}>" if root else "")
        return
    text = next(filter(_is_prose, doctree.findall(nodes.paragraph)), None) if doctree else None
    titles = app.env.titles
    title = titles[pagename].astext() if pagename in titles else app.config.html_title
    facts = {"og:title": title, "og:site_name": app.config.html_title, "og:type": "article"}
    tags = []
    if text:
        facts["og:description"] = " ".join(text.astext().split())[:300]
        tags.append(f'<meta name="description" content={quoteattr(facts["og:description"])}>')
    if root:
        facts |= {"og:url": urljoin(root, f"{pagename}.html"), "og:image": urljoin(root, CARD)}
        tags.append('<meta name="twitter:card" content="summary_large_image">')
    tags += [f'<meta property="{name}" content={quoteattr(value)}>' for name, value in facts.items()]
    context["metatags"] = before + "\n".join(tags)


def _is_prose(paragraph: nodes.paragraph) -> bool:
    return "reading-time" not in paragraph["classes"] and len(paragraph.astext()) > 40


def add_lost_page(app):
    """Yield the page for an address that leads nowhere."""
    if app.builder.name == "html":
        yield "404", {"title": "There is no such page", "body": LOST}, "page.html"


def map_site(app, error) -> None:
    """Write ``sitemap.xml``, and a ``robots.txt`` that names it, if the address of the site is known."""
    root = app.config.html_baseurl
    if error or app.builder.name != "html" or not urlsplit(root).scheme:
        return
    pages = [urljoin(root, f"{page}.html") for page in sorted(app.env.found_docs)]
    rows = "".join(f"<url><loc>{escape(page)}</loc></url>\n" for page in pages)
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    )
    site = Path(app.outdir)
    (site / "sitemap.xml").write_text(f"{head}\n{rows}</urlset>\n", encoding="utf-8")
    (site / "robots.txt").write_text(f"User-agent: *\nAllow: /\nSitemap: {urljoin(root, 'sitemap.xml')}\n")


def draw_card(path: Path) -> None:
    """Draw the picture of a shared link: the title, and the score that chapter 6 adds up by hand."""
    import pandas as pd

    from deepfm_helpers import plots

    terms = {"constant": 3.5, "first order": 0.7, "second order": -0.5, "network": 0.1}
    ax = plots.new_axes(width=12, height=6.3)
    ax.set_position((0.2, 0.12, 0.68, 0.44))
    figure = ax.figure
    figure.text(0.06, 0.76, "DeepFM, Taken Apart", size=46, weight="bold", color=plots.BLUE)
    figure.text(0.06, 0.66, "A tutorial whose every ✓ claim is checked", size=24, color="#444444")
    plots.waterfall(pd.Series(terms), ax)
    for text in [*ax.texts, *ax.get_xticklabels(), *ax.get_yticklabels(), ax.xaxis.label]:
        text.set_size(17)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def add_static_files(app, config) -> None:
    """Add the scripts and styles that belong to the package to those of the book."""
    config.html_static_path.append(str(live.STATIC))


def setup(app) -> dict[str, bool]:
    """Register everything with Sphinx."""
    app.add_role("minutes", minutes)
    app.connect("config-inited", add_static_files)
    app.add_enumerable_node(OutputTable, "table", html=(_open_table, _close_table))
    app.connect("doctree-read", add_reading_time)
    app.connect("doctree-read", demand_checks)
    app.connect("html-page-context", mark_equations)
    app.connect("doctree-read", number_tables)
    app.connect("env-get-updated", count_by_page, priority=900)  # after Sphinx has numbered
    app.connect("doctree-read", name_hidden_cells)
    app.connect("doctree-read", tidy_tables)
    app.connect("doctree-read", keep_together)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", link_equations)
    app.connect("autodoc-skip-member", skip_numbered_fields)
    app.connect("doctree-resolved", add_definitions)
    app.connect("html-page-context", describe)
    app.connect("html-collect-pages", add_lost_page)
    app.connect("build-finished", map_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    draw_card(Path(__file__).resolve().parents[2] / "book" / CARD)
