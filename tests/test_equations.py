"""Checks of numbered equations: what one compares, what a build refuses, and the mark that leads to a check."""

import io
import random
import re

import nbformat
import numpy as np
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from deepfm_helpers import claims
from deepfm_helpers.claims import CLAIM_MIME
from deepfm_helpers.equations import verify
from deepfm_helpers.press import checks
from deepfm_helpers.press.equations import equation_problems, labels_of


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """The bundles that a check displays."""
    bundles = []
    monkeypatch.setattr(claims, "display", lambda bundle, raw: bundles.append(bundle))
    return bundles


BINOMIAL = {
    "by_hand": ((1.0, 2.0), 9.0),
    "drawn": lambda rng: tuple(rng.normal(size=2)),
}


def square(a, b):
    return (a + b) ** 2


def in_pieces(a, b):
    return a**2 + 2 * a * b + b**2


def test_an_equation_that_holds_is_shown_as_a_claim_with_its_place(shown):
    verify("eq-square", "The square has three pieces", square, in_pieces, **BINOMIAL)
    (bundle,) = shown
    statement = "The square has three pieces. By hand: 9. On 20 random inputs: agreement to 9 digits."
    assert bundle["text/plain"] == f"✓ (by algebra) {statement}"
    assert bundle["text/markdown"].endswith(f"</span> {{eq}}`eq-square`: {statement}")
    assert '<span class="claim" id="check-eq-square" ' in bundle["text/markdown"]
    content = bundle[CLAIM_MIME]
    assert (content["equation"], content["on"], content["statement"]) == ("eq-square", "algebra", statement)


def test_a_result_is_shown_as_on_paper(shown):
    verify(
        "eq-x", "So", lambda x: (x, -x[:1]), lambda x: (x + 0, 0 - x[:1]),
        by_hand=((np.array([[1.0, 0.5]]),), ([[1, 0.5]], [[-1, -0.5]])),
        drawn=lambda rng: (rng.normal(size=(1, 2)),),
    )  # fmt: skip
    assert "By hand: (1, 0.5) and (−1, −0.5)." in shown[0]["text/plain"]


@pytest.mark.parametrize(
    ("sides", "change", "error", "says"),
    [
        ((square,), {}, ValueError, "eq-square has one side"),
        ((square, lambda a, b: a**2 + b**2), {}, AssertionError, "eq-square, by hand: side 2 gives"),
        ((square, in_pieces), {"by_hand": ((1.0, 2.0), 8.0)}, AssertionError, "by hand: side 1 gives"),
        ((square, lambda a, b: 9.0 * b / 2), {}, AssertionError, "random input 1: side 2 gives"),
        ((square, lambda a, b: [in_pieces(a, b)]), {}, AssertionError, r"side 2 has the shapes \[\(1,\)\]"),
        ((square, lambda a, b: in_pieces(a, b) + 1e-7), {}, AssertionError, "by hand: side 2"),
        ((square, lambda a, b: in_pieces(a, b) if a == 1 else np.nan), {}, AssertionError, "random input 1"),
        ((square, in_pieces), {"drawn": lambda rng: (1.0, 3.0)}, ValueError, "one result for all"),
    ],
)
def test_what_does_not_hold_or_checks_nothing_is_refused(shown, sides, change, error, says):
    with pytest.raises(error, match=says):
        verify("eq-square", "The square has three pieces", *sides, **(BINOMIAL | change))
    assert shown == []


def test_digits_are_counted_from_the_largest_number():
    def nearly(a, b):
        return in_pieces(a, b) * (1 + 1e-6)

    verify("eq-square", "So", square, nearly, **BINOMIAL, digits=5)
    with pytest.raises(AssertionError):
        verify("eq-square", "So", square, nearly, **BINOMIAL, digits=7)


def test_inputs_are_the_same_each_time_and_the_run_goes_on_as_if_nothing_had_been_drawn():
    inputs = []
    for _ in range(2):
        state = random.getstate()

        def drawn(rng):
            random.random()
            inputs.append(rng.normal(size=2))
            return tuple(inputs[-1])

        verify("eq-square", "So", square, in_pieces, by_hand=((1.0, 2.0), 9.0), drawn=drawn, draws=3)
        assert random.getstate() == state
    np.testing.assert_array_equal(inputs[:3], inputs[3:])


TEXT = "# A chapter\n\nAn equation:\n\n$$\n(a + b)^2 = a^2 + 2ab + b^2\n$$ (eq-square)\n"
CHECK = "verify('eq-square', 'So', square, in_pieces, by_hand=((1, 2), 9), drawn=some)"
PLACE = claims.anchor_of("eq-square")


def chapter(*sources: str, ran: bool = True, text: str = TEXT) -> nbformat.NotebookNode:
    """A chapter of one equation, whose cells have run and shown that it holds, or have not."""
    language = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    cells = [nbformat.v4.new_code_cell(source, execution_count=n) for n, source in enumerate(sources, 1)]
    if ran and cells:
        claim = {"statement": "So.", "on": "algebra", "line": 1, "equation": "eq-square"}
        data = {CLAIM_MIME: claim, "text/markdown": f'<span class="claim" id="{PLACE}">✓</span> So.'}
        cells[-1].outputs = [nbformat.v4.new_output("display_data", data)]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text), *cells], metadata=language)


FAULTS = {
    "no check": (chapter("x = 1"), "equation eq-square has no check"),
    "only a claim": (chapter("claim('eq-square', True)"), "equation eq-square has no check"),
    "not run": (chapter(CHECK, ran=False), "the check of equation eq-square did not run"),
    "nothing compared": (
        chapter(CHECK.replace("in_pieces", "square")),
        "the check of equation eq-square asserts nothing",
    ),
    "one side": (
        chapter(CHECK.replace("in_pieces, ", "")),
        "the check of equation eq-square asserts nothing",
    ),
    "unknown": (
        chapter(CHECK.replace("eq-square", "eq-cube"), CHECK),
        r"verify\('eq-cube', …\) names no numbered equation",
    ),
}


def test_a_checked_equation_has_no_problem():
    assert equation_problems(chapter(CHECK), labels_of(chapter(CHECK))) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_chapter_whose_equation_is_not_checked_is_not_stored(fault, tmp_path):
    notebook, says = FAULTS[fault]
    nbformat.write(notebook, tmp_path / "01_one.ipynb")
    assert re.search(says, "\n".join(checks.notebook_problems(tmp_path / "01_one.ipynb")))


@pytest.fixture
def build(tmp_path):
    """A function that builds a book of one page, and returns the page and what Sphinx warns of."""

    def build(name: str, text: str) -> tuple[str, str]:
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir()
        (source / name).write_text(text)
        settings = {
            "extensions": ["myst_nb", "deepfm_helpers.press.pages"],
            "nb_execution_mode": "off",
            "nb_render_markdown_format": "myst",
            "myst_enable_extensions": ["dollarmath"],
            "suppress_warnings": ["mystnb.unknown_mime_type"],
            "html_theme": "basic",
            "root_doc": name.partition(".")[0],
        }
        said = io.StringIO()
        with docutils_namespace():
            Sphinx(source, None, out, tmp_path / "trees", "html", settings, io.StringIO(), said).build()
        return (out / name).with_suffix(".html").read_text(), said.getvalue()

    return build


def test_a_mark_beside_a_checked_equation_leads_to_its_check(build):
    page, said = build("one.ipynb", nbformat.writes(chapter(CHECK)))
    assert said == ""
    (mark,) = re.findall(r'<span class="eqno">(<a class="checked".*?</a>) \(1\)', page)
    assert f'href="#{PLACE}"' in mark
    assert 'aria-label="checked: see how">✓' in mark
    assert page.count(f'<span class="claim" id="{PLACE}">') == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_a_build_warns_of_an_equation_that_is_not_checked(fault, build):
    notebook, says = FAULTS[fault]
    _, said = build("one.ipynb", nbformat.writes(notebook))
    assert re.search(says, said)


@pytest.mark.parametrize(
    "text",
    [TEXT, TEXT.replace("$$\n(a", "```{math}\n:label: eq-square\n(a").replace("$$ (eq-square)", "```")],
)
def test_a_numbered_equation_on_a_page_without_code_is_refused(text, build):
    page, said = build("one.md", text)
    assert "equation eq-square has no check" in said
    assert 'class="checked"' not in page
