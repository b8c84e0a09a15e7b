"""Every page of the book as a browser shows it: whole, light, readable on a phone and for everyone."""

import gzip
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from deepfm_helpers.press.checkout import HERE

pytestmark = pytest.mark.browser
PAGES = [*HERE.contents(), "genindex", "search", "404"]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 800}

WEIGHT = 1_500_000  # bytes of a page and all that it loads
APART = "_static/live/model.js"  # the weights of a trained model: they are what the page live is about
REQUESTS = 60  # of a page, itself among them

WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
ALLOWED = {  # a rule of axe, and the nodes, all of them made by Sphinx, that may break it
    # the list of citations carries roles of an older standard, which screen readers still know
    "aria-deprecated-role": 'class="citation"',
    "aria-required-children": 'class="citation-list"',
    # a long signature is a <dl> with one <dd> per parameter and no <dt>
    "definition-list": r"^<dl>(\s*<dd><em class=.sig-param|$)",
}

RAW_MATH = r"""() => {
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const raw = [];
  for (let node; (node = walker.nextNode()); )
    if (!node.parentElement.closest("pre, code, script, style, mjx-container")
        && /\\\(|\\\[|\\begin\{|\$[^$\s][^$]*\$/.test(node.data)) raw.push(node.data.trim());
  return raw;
}"""

CUT_AT_THE_LEFT = """() => [...document.querySelectorAll("div.math")].filter(box => {
  const formula = box.querySelector("mjx-math");
  return formula && formula.getBoundingClientRect().left < box.getBoundingClientRect().left - 1;
}).map(box => box.id)"""

FORMULAS = r"""() => {
  const problems = [];
  for (const box of document.querySelectorAll("div.math"))
    if (box.scrollWidth > box.clientWidth + 1) problems.push(`${box.id}: wider than the page`);
  for (const formula of document.querySelectorAll("main mjx-container:not([display])")) {
    const { right, bottom } = formula.getBoundingClientRect();
    const said = formula.closest("p, li, td, dd")?.textContent.slice(0, 60);
    if (right > innerWidth) problems.push(`${said}: a formula runs out of the page`);
    const next = formula.parentElement.nextSibling;
    if (next?.nodeType !== Node.TEXT_NODE || !/^[.,;:)]/.test(next.data)) continue;
    const sign = new Range();
    sign.setStart(next, 0);
    sign.setEnd(next, 1);
    if (sign.getBoundingClientRect().top > bottom) problems.push(`${said}: a line begins with ${next.data[0]}`);
  }
  return problems;
}"""

SMALL = """() => [...document.querySelectorAll("main :is(button, input, select, summary)")].filter(target => {
  const boxes = [target, ...(target.labels ?? [])].map(box => box.getBoundingClientRect());
  return target.offsetParent && !target.matches(".copybtn") // is there under a mouse only
    && !boxes.some(({ width, height }) => width >= 24 && height >= 24);
}).map(target => target.outerHTML.slice(0, 200))"""

COVERED = """() => [...document.querySelectorAll(".bd-content .pst-scrollable-table-container tr, table.dataframe tr")]
  .filter(row => getComputedStyle(row).backgroundColor.startsWith("rgb("))
  .map(row => row.textContent)"""

ROW_NAMES = """() => {
  const moved = [];
  for (const table of document.querySelectorAll(".cell_output table.dataframe:not(:has(tbody [rowspan]))")) {
    let box = table.parentElement;
    while (getComputedStyle(box).overflowX !== "auto") box = box.parentElement;
    if (table.offsetWidth <= box.clientWidth) continue;
    box.scrollLeft = 40;
    for (const name of table.querySelectorAll("th:first-child")) {
      const off = name.getBoundingClientRect().left - box.getBoundingClientRect().left;
      const through = getComputedStyle(name).backgroundColor === "rgba(0, 0, 0, 0)";
      if (Math.abs(off) > 1 || through) moved.push([name.textContent, off, through]);
    }
    box.scrollLeft = 0;
  }
  return moved;
}"""

OPEN = "document.querySelectorAll('details').forEach(part => part.open = true)"

# The shadow that says there is more is covered by the colour of the ground; another colour would be a shadow itself.
GROUNDS = r"""() => {
  const clear = "rgba(0, 0, 0, 0)";
  const wrong = [];
  for (const box of document.querySelectorAll(".bd-content *")) {
    const [, cover] = getComputedStyle(box).backgroundImage.match(/^linear-gradient\(to right, (rgb\(.*?\)) 35%/) ?? [];
    let ground = box;
    while (cover && getComputedStyle(ground).backgroundColor === clear) ground = ground.parentElement;
    const colour = getComputedStyle(ground).backgroundColor;
    if (cover && cover !== colour) wrong.push(`${box.className}: ${cover} on ${colour}`);
  }
  return wrong;
}"""

STRIPES = """() => [...document.querySelectorAll("table.dataframe tbody th")].filter(name => {
  const { backgroundImage, backgroundColor } = getComputedStyle(name);
  return backgroundImage !== "none" && backgroundColor === "rgba(0, 0, 0, 0)"; // one stripe on that of its row
}).map(name => name.textContent)"""

TOUCHING = """() => [...document.querySelectorAll("details.below-input")]
  .filter(fold => fold.offsetHeight && fold.previousElementSibling)
  .map(fold => fold.getBoundingClientRect().top - fold.previousElementSibling.getBoundingClientRect().bottom)
  .filter(gap => gap < 8)"""

TITLES = """() => [...document.querySelectorAll(".prev-next-title")].filter(title => {
  const room = document.createElement("canvas").getContext("2d");
  room.font = getComputedStyle(title).font;
  return title.clientWidth < Math.min(120, room.measureText(title.textContent).width - 1); // it is rounded
}).map(title => `${title.textContent}: ${title.clientWidth}px`)"""

NARROW = """() => [...document.querySelectorAll("div.cell_input pre")].filter(pre => pre.offsetHeight).flatMap(pre => {
  const { font, paddingLeft, paddingRight } = getComputedStyle(pre);
  const ruler = document.createElement("canvas").getContext("2d");
  ruler.font = font;
  const room = pre.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight);
  return room < ruler.measureText("x".repeat(100)).width ? [pre.textContent.slice(0, 60)] : [];
})"""

# Contrast is measured element by element: code is coloured in a few ways, thousands of times. One of each is kept.
THIN_OUT = """() => {
  const seen = new Set();
  for (const span of document.querySelectorAll("pre span, .sig span")) {
    const look = span.className + span.closest("pre, .sig").parentElement.className;
    if (seen.has(look)) span.replaceWith(...span.childNodes);
    seen.add(look);
  }
}"""


FRAMES = """() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"""

OUT_OF_REACH = """() => [...document.querySelectorAll(".bd-content pre")]
  .filter(box => box.scrollWidth > box.clientWidth && box.tabIndex < 0)
  .map(box => box.textContent.slice(0, 80))"""


@pytest.fixture(scope="module", params=PAGES)
def page(request, visit):
    """A page, open on a desk in light colours; the tests below look at it one after the other."""
    with visit(f"{request.param}.html", viewport=DESK, color_scheme="light", reduced_motion="reduce") as page:
        page.name = request.param
        page.wait_for_load_state("networkidle")
        page.loaded = page.evaluate(
            "performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname.slice(1))"
        )
        yield page


def test_it_loads_without_an_error_and_from_this_site_alone(page):
    assert page.problems == []


def test_its_mathematics_is_set(page):
    assert page.locator(".math:not(:has(mjx-container))").count() == 0
    assert page.locator("mjx-merror").count() == 0
    assert page.evaluate(RAW_MATH) == []


def test_it_weighs_little(page, html):
    """Counted as a public host sends it, with text compressed."""
    names = {f"{page.name}.html", *page.loaded} - {APART}
    sizes = {name: _sent(html / name) for name in names if (html / name).is_file()}
    heaviest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    assert sum(sizes.values()) <= WEIGHT, f"{sum(sizes.values()):,} bytes, most of it {heaviest}"


def _sent(path: Path) -> int:
    content = path.read_bytes()
    return len(gzip.compress(content)) if path.suffix in (".html", ".css", ".js", ".svg") else len(content)


def test_it_asks_for_few_files(page):
    assert 1 + len(page.loaded) <= REQUESTS, sorted(page.loaded)


def test_it_is_no_wider_than_a_phone_and_its_equations_begin_at_their_beginning(page):
    page.set_viewport_size(PHONE)
    root = page.evaluate("(root => [root.scrollWidth, root.clientWidth])(document.documentElement)")
    cut = page.evaluate(CUT_AT_THE_LEFT)
    page.set_viewport_size(DESK)
    assert root[0] <= root[1]
    assert cut == []


def test_the_names_of_its_rows_stay_in_sight_when_a_table_scrolls_on_a_phone(page):
    page.set_viewport_size(PHONE)
    moved = page.evaluate(ROW_NAMES)
    page.set_viewport_size(DESK)
    assert moved == []


def test_a_row_of_its_tables_has_one_stripe_on_a_phone(page):
    page.set_viewport_size(PHONE)
    striped = page.evaluate(STRIPES)
    page.set_viewport_size(DESK)
    assert striped == []


def test_the_titles_at_its_foot_have_room_on_a_phone(page):
    page.set_viewport_size(PHONE)
    squeezed = page.evaluate(TITLES)
    page.set_viewport_size(DESK)
    assert squeezed == []


def test_its_formulas_fit_on_a_phone_and_no_line_begins_with_their_full_stop(page):
    page.set_viewport_size(PHONE)
    problems = page.evaluate(FORMULAS)
    page.set_viewport_size(DESK)
    assert problems == []
    assert page.evaluate(FORMULAS) == []


def test_what_is_pressed_on_it_is_large_enough_for_a_finger(page):
    page.set_viewport_size(PHONE)
    small = page.evaluate(SMALL)
    page.set_viewport_size(DESK)
    assert small == []


def test_the_rows_of_its_tables_do_not_cover_the_shadow_that_says_there_is_more(page):
    assert page.evaluate(COVERED) == []


def test_no_closed_fold_is_printed(page):
    page.emulate_media(media="print")
    shown = page.locator("details.hide:not([open])").evaluate_all(
        "all => all.filter(fold => fold.offsetHeight).length"
    )
    page.emulate_media(media="screen")
    assert shown == 0


def test_it_is_light_on_paper_and_as_it_was_afterwards(page):
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(theme)
    page.evaluate(f"{theme} = 'dark'")
    for step, wanted in {"beforeprint": "light", "afterprint": "dark"}.items():
        page.evaluate(f"dispatchEvent(new Event('{step}'))")
        assert page.evaluate(theme) == wanted
    page.evaluate(f"{theme} = {before!r}")


def test_its_folded_parts_are_named_by_the_words_on_them(page):
    assert page.locator("details > summary[aria-label]").count() == 0


def test_what_scrolls_is_reached_by_keyboard_after_a_print_too(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('resize'))")
    page.wait_for_timeout(400)  # the theme looks again 0.3 s after a window changed
    page.emulate_media(media="screen")
    page.evaluate(FRAMES)
    assert page.evaluate(OUT_OF_REACH) == []


def test_it_is_accessible(page):
    page.emulate_media(reduced_motion="reduce")  # what fades in has no contrast yet
    page.evaluate(OPEN)
    page.evaluate(THIN_OUT)
    page.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
    page.evaluate(FRAMES)
    assert _barriers(page, WCAG) == ""


def test_its_folded_parts_stand_apart_from_the_code_above_and_have_room_for_a_line_of_code(page):
    page.evaluate(OPEN)
    assert page.evaluate(TOUCHING) == []
    assert page.evaluate(NARROW) == []


def test_no_shadow_lies_where_nothing_scrolls(page):
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.evaluate(OPEN)
    assert page.evaluate(GROUNDS) == []
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert page.evaluate(GROUNDS) == []


def test_its_dark_side_has_contrast(page):
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert _barriers(page, WCAG | {"runOnly": ["color-contrast"]}) == ""


def _barriers(page, options: dict) -> str:
    return "\n".join(
        f"{rule['id']}: {node['html'][:300]} {node['failureSummary']}"
        for rule in Axe().run(page, options=options).response["violations"]
        for node in rule["nodes"]
        if not re.search(ALLOWED.get(rule["id"], "$^"), node["html"])
    )


def test_the_theme_button_changes_the_theme_and_the_next_page_keeps_it(visit, site):
    theme = "document.documentElement.dataset.theme"
    with visit("book/intro.html", color_scheme="light") as page:
        seen = [page.evaluate(theme)]
        while len(seen) < 4 and seen[-1] != "dark":  # the button goes through automatic, dark, light
            page.locator("button.theme-switch-button:visible").first.click()
            seen.append(page.evaluate(theme))
        assert (seen[0], seen[-1]) == ("light", "dark")
        page.goto(f"{site}/book/notation.html")
        assert page.evaluate(theme) == "dark"


def test_the_search_finds_a_term_and_its_results_exist(visit, html):
    with visit("search.html?q=factorization") as page:
        links = page.locator("#search-results li > a")
        links.nth(2).wait_for()
        paths = links.evaluate_all("all => all.map(a => a.pathname)")
    assert [path for path in paths if not (html / path.lstrip("/")).is_file()] == []


def test_the_address_of_the_site_leads_to_its_first_page(html, browser, site):
    page = browser.new_page()
    page.goto(site, wait_until="commit")
    page.wait_for_url("**/book/intro.html")
    assert "Begin with chapter 1" in page.content()
    page.close()


@pytest.mark.parametrize("hand", ["mouse", "keyboard", "finger"])
def test_a_term_says_what_it_means(visit, hand):
    with visit("book/notation.html", has_touch=True) as page:
        link, note = page.locator('a[href$="#term-field"]').first, page.locator("#definition")
        assert not note.is_visible()
        {"mouse": link.hover, "keyboard": link.focus, "finger": link.tap}[hand]()
        assert note.inner_text().startswith("A column of the data")
        assert page.url.endswith("notation.html")
        page.keyboard.press("Escape")
        assert not note.is_visible()
        if hand == "finger":
            link.tap()
            link.tap()
            page.wait_for_url("**/glossary.html#term-field")


@pytest.mark.parametrize("hand", ["mouse", "keyboard"])
def test_a_finger_that_only_scrolled_over_a_term_swallows_no_later_click(visit, hand):
    with visit("book/notation.html", has_touch=True) as page:
        link = page.locator('a[href$="#term-field"]').first
        link.scroll_into_view_if_needed()
        box = link.bounding_box()
        at = {"x": box["x"] + 3, "y": box["y"] + 3}
        finger = page.context.new_cdp_session(page)
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [at]})
        for up in (20, 40, 60):
            at["y"] -= up
            finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [at]})
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        link.click() if hand == "mouse" else link.press("Enter")
        page.wait_for_url("**/glossary.html#term-field")


def test_a_page_that_comes_back_shows_no_old_definition(visit):
    with visit("book/notation.html") as page:
        page.locator('a[href$="#term-field"]').first.hover()
        assert page.locator("#definition").is_visible()
        page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', {persisted: true}))")
        assert not page.locator("#definition").is_visible()


def test_a_chapter_can_be_downloaded_as_a_notebook(visit, site):
    with visit("notebooks/04_second_order.html") as page:
        link = page.locator('a[href$=".ipynb"]').first.evaluate("link => link.href")
        assert link.startswith(site)
        assert page.request.get(link).json()["nbformat"] == 4
