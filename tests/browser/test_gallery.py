"""The gallery of runs: what its page shows of the record, to mouse, finger and keyboard, and from a file."""

import re

import pandas as pd
import pytest

from deepfm_helpers import records

pytestmark = pytest.mark.browser
PAGE = "notebooks/gallery.html"
VARIED = ["k", "hidden", "penalty"]


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    found = records.recorded("one_training").runs
    frame = pd.DataFrame([run["parameters"] | run["metrics"] for run in found])
    return frame.assign(hidden=frame.hidden.map(lambda widths: ", ".join(map(str, widths)) or "none"))


@pytest.fixture
def page(visit):
    with visit(PAGE) as page:
        without_guessing(page)
        yield page
        assert page.problems == []


def without_guessing(page) -> None:
    """Show what the question at the top of the page holds back: the chart and the tables."""
    page.locator("#ask-most-of-four").get_by_role("button", name="Show without guessing").click()


def choose(page, **columns: str) -> None:
    for label, column in columns.items():
        page.get_by_role("combobox", name=label.capitalize(), exact=True).select_option(column)


def told(page) -> str:
    return page.locator(".gallery-run > p").inner_text()


def telling(run) -> list[str]:
    return [
        f"vector length k {run.k};",
        f"hidden layers {run.hidden};",
        f"penalty factor {run.penalty:g};",
        f"seed {run.seed}",
    ]


def test_every_run_of_the_record_is_a_dot_that_says_its_numbers(page, runs):
    labels = page.locator('.gallery-dot[role="img"]').evaluate_all("all => all.map(dot => dot.ariaLabel)")
    assert len(labels) == len(runs)
    for label, (_, run) in zip(labels, runs.iterrows(), strict=True):
        for part in [*telling(run), f"test RMSE (stars) {run.test_rmse:.4f}", f"best epoch {run.best_epoch}"]:
            assert part in f"{label};", label


def test_the_page_begins_with_the_run_that_the_validation_rows_choose(page, runs):
    best = runs.loc[runs.val_rmse.idxmin()]
    assert all(part in told(page) for part in telling(best))


def test_a_run_under_the_mouse_lights_up_with_the_other_seeds_of_its_setting(page, runs):
    choose(page, across="val_rmse", up="test_rmse")
    lone = runs.test_rmse.idxmax()  # nothing lies above the highest dot
    page.locator('.gallery-dot[role="img"]').nth(lone).hover(force=True)
    run = runs.loc[lone]
    assert all(part in told(page) for part in telling(run))
    same = runs[(runs[VARIED] == run[VARIED]).all(axis=1)]
    assert page.locator(".gallery-lit").count() == len(same) > 1
    assert page.locator(".gallery-run tbody tr").count() == len(same)
    shown = page.locator(".gallery-run tr.gallery-this").inner_text()
    assert f"{run.test_rmse:.4f}" in shown
    page.mouse.move(0, 0)
    assert not all(part in told(page) for part in telling(run))


def test_a_run_that_was_clicked_stays_until_escape(page, runs):
    choose(page, across="val_rmse", up="test_rmse")
    lone = runs.test_rmse.idxmax()
    page.locator('.gallery-dot[role="img"]').nth(lone).click(force=True)
    page.mouse.move(0, 0)
    assert all(part in told(page) for part in telling(runs.loc[lone]))
    choose(page, colour="seed")
    assert all(part in told(page) for part in telling(runs.loc[lone]))
    page.locator('.gallery-dot[tabindex="0"]').press("Escape")
    page.mouse.move(0, 0)
    assert told(page).startswith("No run is chosen")


def test_arrow_keys_go_through_the_runs_in_the_order_of_the_axis(page, runs):
    choose(page, across="val_rmse", up="test_rmse")
    dot = page.locator('.gallery-dot[tabindex="0"]')
    assert dot.count() == 1  # one stop of the tabulator
    dot.focus()
    seen = []
    for _ in range(4):
        seen.append(
            float(re.search(r"validation RMSE \(stars\) ([\d.]+)", dot.get_attribute("aria-label"))[1])
        )
        page.keyboard.press("ArrowRight")
    assert seen == sorted(runs.val_rmse.round(4))[:4]
    page.keyboard.press("ArrowUp")
    assert page.locator(".gallery-lit.gallery-this").count() == 1


@pytest.mark.parametrize("colour", ["penalty", "val_rmse"])
def test_what_a_colour_means_is_written_beside_it(colour, page, runs):
    choose(page, colour=colour)
    entries = page.locator(".gallery-legend li").all_inner_texts()[1:]
    assert len(entries) == (runs.penalty.nunique() if colour == "penalty" else 5)
    kinds = page.locator('.gallery-dot[role="img"]').evaluate_all(
        "all => [...new Set(all.map(dot => dot.getAttribute('d')))].length"
    )
    assert kinds == (len(entries) if colour == "penalty" else 1)  # a shape for each colour that has a name


def test_headings_sort_the_table(page, runs):
    table = page.locator("#tab-gallery table")
    for heading, values in {"k": sorted(runs.groupby(VARIED).k.first()), "place": None}.items():
        button = table.get_by_role("button", name=heading, exact=True)
        button.click()
        cell = [text.strip() for text in table.locator("thead th").all_inner_texts()].index(heading)
        shown = [
            int(row.locator(":is(th, td)").nth(cell).inner_text()) for row in table.locator("tbody tr").all()
        ]
        assert shown == (values or list(range(1, len(shown) + 1)))
        assert button.locator("xpath=..").get_attribute("aria-sort") == "ascending"
    button.click()
    assert button.locator("xpath=..").get_attribute("aria-sort") == "descending"


def test_it_works_from_a_file_and_on_a_phone(browser, html):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True)
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto((html / PAGE).as_uri())
    without_guessing(page)
    choose(page, across="val_rmse", up="best_epoch", colour="n_weights")
    chart = page.locator(".gallery-chart")
    chart.scroll_into_view_if_needed()
    box, lab = chart.bounding_box(), page.locator(".lab").bounding_box()
    assert lab["x"] <= box["x"]
    assert box["x"] + box["width"] <= lab["x"] + lab["width"]
    texts = chart.locator("text").evaluate_all(
        "all => all.map(text => text.getBoundingClientRect()).map(b => [b.left, b.right, b.top, b.bottom])"
    )
    overlaps = [
        (a, b)
        for i, a in enumerate(texts)
        for b in texts[:i]
        if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
    ]
    assert len(texts) > 4
    assert overlaps == []
    assert problems == []
    page.close()


def test_the_chart_waits_for_the_guess_and_then_fills_its_frame(visit):
    with visit(PAGE) as page:
        chart = page.locator(".gallery-chart")
        assert not chart.is_visible()
        page.locator("#ask-most-of-four .ask-choice").first.click()
        chart.scroll_into_view_if_needed()
        page.wait_for_function("document.querySelector('.gallery-chart').clientWidth > 300")
        assert chart.bounding_box()["width"] == pytest.approx(
            page.locator(".gallery-up").bounding_box()["width"], abs=1
        )
        assert page.problems == []


def test_without_javascript_the_figure_and_the_table_stay(visit):
    with visit(PAGE, java_script_enabled=False) as page:
        assert page.locator("#fig-gallery img").is_visible()
        assert not page.locator(".lab").is_visible()
        assert page.locator("#tab-gallery tbody tr").count() > 9
