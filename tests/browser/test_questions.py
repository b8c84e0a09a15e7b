"""Questions before a run, under a reader's hands, on a book of one chapter made here."""

import shutil

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe

from deepfm_helpers.press import kernels
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.site import served, sphinx

pytestmark = pytest.mark.browser
CHAPTER = [
    "# A chapter",
    """\
from math import inf
from deepfm_helpers.asking import predict, reveal
claim = print
print('before all questions')""",
    "predict('square', 'Is $x^2 > x$ for $x = 3$?', ['yes, $x^2 > x$', 'no', 'they are equal'])",
    "print('the square is 9')",
    "Between the cells.",
    "x = 3\nclaim('Nine is more than three.')",
    "print('another output')",
    """\
reveal("square", "yes, $x^2 > x$", {
    "yes, $x^2 > x$": "Above 1 a square grows.",
    "no": "That holds between 0 and 1.",
    "they are equal": "That holds at $x = 1$.",
})""",
    "print('a figure of the squares')",
    "The squares run away:\n\n- from 9 to 81\n\nOn to $x < 1$.",
    "print('after the first answer')",
    "predict('root', 'Is the root of 4 below 4?', ['it is', 'it is not'])",
    "print('the root is 2')",
    "reveal('root', 'it is', {'it is': 'Above 1.', 'it is not': 'Below 1.'}, then=0)",
    "A new topic.",
    "predict('gain', 'By how many stars?', unit='stars')",
    "print('it is 0.034')",
    """\
reveal("gain", 0.034, within=0.001, why={
    -inf: "An error cannot fall so far.",
    0: "That is the size of a repair.",
    0.5: "So much only a constant loses.",
}, then=2)""",
    "That is little.\n\nIt is a lot in this field.",
    "print('a table of gains')",
    "## The end\n\nNothing waits here.",
    "print('the end')",
]
ANSWERS = (
    "the square is 9",
    "Nine is more than three",
    "another output",
    "Above 1 a square grows",
    "a figure of the squares",
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The page of the chapter, built with the settings of the book."""
    root = tmp_path_factory.mktemp("asking")
    shutil.copytree(HERE.root / "book" / "_static", root / "book" / "_static")
    for name in ("_config.yml", "book/references.bib"):
        shutil.copy2(HERE.root / name, root / name)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: book/chapter\n")
    (root / "book" / "intro.md").write_text("# A book\n\nOf one chapter.\n")
    markdown, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    cells = [(code if source[0].islower() else markdown)(source) for source in CHAPTER]
    for cell in cells:
        if cell.source.startswith(("predict", "reveal")):
            cell.metadata["tags"] = ["remove-input"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), root / "source.ipynb"
    )
    kernels.run(root / "source.ipynb", root / "book" / "chapter.ipynb", {}, 60)
    sphinx(root, root / "_build")
    return root / "_build" / "_build" / "html" / "book" / "chapter.html"


@pytest.fixture(scope="module")
def address(built):
    with served(built.parents[1]) as address:
        yield f"{address}/book/chapter.html"


@pytest.fixture
def chapter(browser, address):
    """A function that opens the chapter in a fresh profile; what its scripts complain about fails the test."""
    contexts, problems = [], []

    def chapter(url: str = address, script: str = "", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        if script != FORBIDDEN:  # which the theme does not expect
            page.on("pageerror", lambda error: problems.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(url)
        page.evaluate("window.MathJax?.startup?.promise")
        return page

    yield chapter
    for context in contexts:
        context.close()
    assert problems == []


def seen(page, text: str) -> bool:
    (place,) = page.locator(".cell_output", has_text=text).all()
    return place.is_visible()


def first(page):
    return page.locator("#ask-square")


def choose(page, i: int):
    first(page).locator(".ask-choice").nth(i).click()


def test_outputs_up_to_the_answer_wait_for_a_guess_and_no_others(chapter):
    page = chapter()
    assert not any(seen(page, text) for text in (*ANSWERS, "it is 0.034"))
    assert all(seen(page, t) for t in ("before all questions", "after the first answer", "the end"))
    assert page.locator(".ask-note:visible").count() == 3 + 1 + 1  # where a reader sees code
    choose(page, 1)
    assert all(seen(page, text) for text in ANSWERS)
    assert not seen(page, "it is 0.034")
    assert page.locator(".ask-note:visible").count() == 1 + 1


def waits(page, text: str) -> bool:
    """Whether a paragraph, an item or a line of code is not to be seen yet."""
    (place,) = page.locator("main :is(p, .cell_input):not(.ask *)", has_text=text).all()
    return not place.is_visible()


def test_what_tells_the_answer_waits_with_it_and_no_more(chapter):
    """Text and a claim in code before the answer, the cells after it and the paragraph that reads them."""
    page = chapter()
    of_square = (
        "Between the cells.",
        "claim('Nine is more",
        "a figure of the squares",
        "The squares run away",
        "from 9 to 81",
    )
    of_gain = ("That is little.", "It is a lot in this field.")
    others = ("print('the square is 9')", "On to", "A new topic.", "a table of gains", "Nothing waits here.")
    for texts, expected in ((of_square, True), (of_gain, True), (others, False)):
        assert [waits(page, text) for text in texts] == [expected] * len(texts)
    says = page.locator(".ask-note:visible").all_inner_texts()
    assert says == [
        "Guess first, then the output appears here.",
        "Guess first, then the code and its output appear here.",
        "Guess first, then the output and what the page says about it appear here.",
        "Guess first, then the output appears here.",
        "Guess first, then the output and what the page says about it appear here.",
    ]
    choose(page, 0)
    assert not any(waits(page, text) for text in (*of_square, *others))
    assert all(waits(page, text) for text in of_gain)


@pytest.mark.parametrize(
    ("i", "says", "sentence"),
    [
        (0, "✓ That is the answer of this run.", "Above 1 a square grows."),
        (1, "✗ The answer of this run is", "That holds between 0 and 1."),
        (2, "✗ The answer of this run is", "That holds at"),
    ],
)
def test_each_choice_gets_its_sentence_and_only_one_is_right(chapter, i, says, sentence):
    page = chapter()
    choose(page, i)
    said = first(page).get_by_role("status")
    assert said.inner_text().startswith(says)
    assert sentence in said.inner_text()
    assert said.locator("mjx-container").count() == [1, 1, 2][i]
    assert page.locator(".ask-mine").all_inner_texts()[0].find(sentence) >= 0
    assert first(page).locator("[aria-pressed=true]").count() == 1


@pytest.mark.parametrize("hand", ["mouse", "finger", "keyboard"])
def test_any_hand_can_guess_and_guess_again(chapter, hand):
    page = chapter(has_touch=True)

    def press(button):
        {"mouse": button.click, "finger": button.tap, "keyboard": lambda: button.press("Enter")}[hand]()

    press(first(page).locator(".ask-choice").nth(2))
    again = first(page).get_by_role("button", name="Guess again")
    assert again.evaluate("button => button === document.activeElement")
    press(again)
    assert not seen(page, ANSWERS[0])
    assert first(page).locator(".ask-choice").first.evaluate("button => button === document.activeElement")
    press(first(page).get_by_role("button", name="Show without guessing"))
    assert all(seen(page, text) for text in ANSWERS)
    assert first(page).locator("[aria-pressed=true]").count() == 0
    assert "answer of this run" not in first(page).inner_text()


def test_a_formula_that_was_held_back_has_the_size_of_the_others(chapter):
    page = chapter()
    choose(page, 0)
    sizes = """new Set([...document.querySelectorAll('main :is(section > p, .ask-answer) mjx-container')]
        .map((formula) => formula.style.fontSize))"""
    page.wait_for_function(f"({sizes}).size === 1", timeout=5000)


def test_a_guess_is_kept_for_the_next_visit_and_can_be_withdrawn(chapter):
    page = chapter()
    choose(page, 1)
    page.reload()
    assert "✗" in first(page).get_by_role("status").inner_text()
    assert seen(page, ANSWERS[0])
    first(page).get_by_role("button", name="Guess again").click()
    page.reload()
    assert not seen(page, ANSWERS[0])


@pytest.mark.parametrize("kept", ["7", "yes", "", "1.5"])
def test_a_guess_that_is_none_of_today_is_forgotten(chapter, kept):
    script = f"localStorage.setItem('deepfm guess ' + location.pathname + ' square', '{kept}')"
    page = chapter(script=script)
    assert not seen(page, ANSWERS[0])
    choose(page, 0)
    assert seen(page, ANSWERS[0])


FORBIDDEN = """Object.defineProperty(window, "localStorage",
    { get() { throw new DOMException("no", "SecurityError"); } })"""


def test_where_nothing_may_be_kept_a_guess_still_counts(chapter):
    page = chapter(script=FORBIDDEN)
    choose(page, 1)
    assert seen(page, ANSWERS[0])
    first(page).get_by_role("button", name="Guess again").click()
    assert not seen(page, ANSWERS[0])
    page.reload()
    assert not seen(page, ANSWERS[0])


def test_it_works_on_a_page_opened_as_a_file(chapter, built):
    page = chapter(built.as_uri())
    assert not seen(page, ANSWERS[0])
    choose(page, 0)
    assert seen(page, ANSWERS[0])


@pytest.mark.parametrize(
    ("guess", "says", "sentence"),
    [
        ("0.05", "✗ You guessed 0.05 stars. The answer of this run is 0.034 stars, 0.016 less than your guess.", 1),
        ("0.0345", "✓ You guessed 0.0345 stars. The answer of this run is 0.034 stars, 0.0005 less", 1),
        ("0.035", "✓", 1),
        ("0.0351", "✗", 1),
        ("0.034", "✓ You guessed 0.034 stars. The answer of this run is 0.034 stars.", 1),
        ("-1", "✗ You guessed −1 stars. The answer of this run is 0.034 stars, 1.034 more than your guess.", 0),
        ("0", "✗", 1),
        ("0.5", "✗", 2),
        ("1e3", "✗ You guessed 1,000 stars.", 2),
    ],
)  # fmt: skip
def test_a_number_is_told_how_far_off_it_is_and_where_it_lies(chapter, guess, says, sentence):
    page = chapter()
    question = page.locator("#ask-gain")
    question.get_by_role("spinbutton").fill(guess)
    page.keyboard.press("Enter")
    verdict, told = question.get_by_role("status").locator("p").all_inner_texts()
    assert verdict.startswith(says)
    sentences = (
        "An error cannot fall so far.",
        "That is the size of a repair.",
        "So much only a constant loses.",
    )
    assert told.endswith(sentences[sentence])
    assert seen(page, "it is 0.034")
    page.reload()
    assert question.get_by_role("status").locator("p").first.inner_text() == verdict
    assert float(question.get_by_role("spinbutton").input_value()) == float(guess)


def test_no_number_is_no_guess(chapter):
    page = chapter()
    page.locator("#ask-gain").get_by_role("button", name="Guess", exact=True).click()
    assert not seen(page, "it is 0.034")


@pytest.mark.parametrize(
    "place", [".ask-held:has-text('another output') .output", "main p:has-text('The squares run')"]
)
def test_a_link_to_what_is_held_back_shows_it(chapter, place):
    page = chapter()
    page.locator(place).first.evaluate("element => { element.id = 'there'; location.hash = 'there'; }")
    page.wait_for_function("!document.querySelector('#there').closest('.ask-held')")
    assert all(seen(page, text) for text in ANSWERS)
    assert not seen(page, "it is 0.034")


def everything(page):
    texts = (
        *ANSWERS,
        "The squares run away",
        "That is little.",
        "it is 0.034",
        "That holds between 0 and 1.",
        "So much only a constant loses.",
    )
    return all(page.locator("main").get_by_text(text).last.is_visible() for text in texts)


def test_paper_holds_nothing_back(chapter):
    page = chapter()
    assert not everything(page)
    page.emulate_media(media="print")
    assert everything(page)
    assert page.locator(".ask li").first.is_visible()
    assert page.locator(".ask-app:visible, .ask-note:visible").count() == 0


def test_without_scripts_nothing_is_held_back(chapter):
    page = chapter(java_script_enabled=False)
    assert everything(page)
    assert page.locator(".ask li").count() == 3 + 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("guessed", [False, True])
def test_a_question_is_accessible_and_fits_a_phone(chapter, scheme, guessed):
    page = chapter(color_scheme=scheme, viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    if guessed:
        choose(page, 1)
    root = page.evaluate("(root => [root.scrollWidth, root.clientWidth])(document.documentElement)")
    assert root[0] <= root[1]
    wcag = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
    found = Axe().run(page, context=".bd-article", options=wcag).response["violations"]
    assert [(rule["id"], node["html"]) for rule in found for node in rule["nodes"]] == []
