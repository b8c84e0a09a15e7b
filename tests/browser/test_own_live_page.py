"""The page of a model of your own data, and that of MovieLens as clicks: the numbers in Chromium are the model's."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from every_kind import BREAKS_OUT, chosen, in_row, model_of, tables
from scipy.special import expit

from deepfm_helpers import clicks, datasets, evaluation, features, models, recommending
from deepfm_helpers import live as form
from deepfm_helpers.own import data, lists, scoring, showing
from deepfm_helpers.press import live

pytestmark = pytest.mark.browser
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}
TERMS = """rows => {
  const model = DeepFM.load(window.DEEPFM_MODEL);
  return rows.map(row => {
    const terms = DeepFM.terms(model, row.map((value, place) => DeepFM.lookUp(model, place, value)));
    return [terms.w0, ...terms.first, ...terms.pairs, terms.deep];
  });
}"""


class Case:
    """A dataset, a model of it with random weights, its page, and a function that opens the page."""

    def __init__(self, task: str, folder, browser):
        self.own = data.read(tables(folder / "garden", task))
        self.kept = model_of(self.own)
        self.path = folder / "page.html"
        self.exported = showing.show(self.kept, self.own, self.path).exported
        self.browser = browser

    def open(self, **options):
        page = self.browser.new_context(reduced_motion="reduce", **options).new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda said: page.problems.append(said.text) if said.type == "error" else None)
        address = self.path.as_uri()
        page.on(
            "request",
            lambda asked: page.problems.append(asked.url) if asked.url.split("#")[0] != address else None,
        )
        page.goto(address)
        return page

    def predicted(self, rows: pd.DataFrame) -> np.ndarray:
        """What the model predicts, not cut to the range of the ratings."""
        return evaluation.predict(self.kept.model, [field.encode(rows) for field in self.kept.fields])


@pytest.fixture(scope="module", params=["rating", "click"])
def case(request, tmp_path_factory, browser):
    return Case(request.param, tmp_path_factory.mktemp("own"), browser)


@pytest.fixture
def page(case):
    page = case.open()
    yield page
    assert page.problems == []
    page.context.close()


def number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", ""))


def total(page) -> float:
    return number(page.locator(".live-total strong").first.inner_text())


def choose(page, exported: dict, row: pd.Series) -> None:
    """Sets the user, the item and all that belongs to the row."""
    page.locator("#live-user").select_option(str(exported["people"]["uid"].index(row.uid)))
    page.locator("#live-film").fill(exported["films"]["title"][row.mid - 1])
    page.locator("#live-film").press("Enter")
    values = chosen(exported, row)
    for field, value in zip(exported["fields"], values, strict=True):
        control = page.locator(f"#live-row-{field['name']}")
        if field["side"] != "rating":
            continue
        if field.get("time"):
            control.fill("" if value is None else pd.Timestamp(value, unit="s").strftime("%Y-%m-%dT%H:%M"))
            control.press("Tab")
        elif field["kind"] == "numeric":
            control.fill("" if value is None else str(value))
            control.press("Tab")
        else:
            control.select_option([str(one) for one in np.atleast_1d(value)])


def test_javascript_and_numpy_agree_on_every_term(case, page):
    rows = [chosen(case.exported, row) for _, row in case.own.learned().head(200).iterrows()]
    rows += [[None if f["kind"] == "numeric" else 0 for f in case.exported["fields"]]]
    found = page.evaluate(TERMS, rows)
    np.testing.assert_allclose(found, [form.terms(case.exported, row) for row in rows], atol=1e-6)


def test_the_page_shows_what_the_model_predicts(case, page):
    rows = case.own.learned()
    several = rows[rows.tools.notna() & rows.depth.notna() & rows.watered.notna()].head(4)
    # in the controls, no number is the mean, as for the model; no tool at all can only be said in an address
    missing = rows[rows.depth.isna() & rows.tools.notna()], rows[rows.watered.isna() & rows.tools.notna()]
    rows = pd.concat([several, *(some.head(1) for some in missing)])
    for (_, row), predicted in zip(rows.iterrows(), case.predicted(rows), strict=True):
        choose(page, case.exported, row)
        assert total(page) == pytest.approx(predicted, abs=0.0001 if case.own.task == "click" else 0.012)
        shown = page.locator(".live-term .live-number > span:first-child").all_text_contents()
        terms = form.terms(case.exported, chosen(case.exported, row))
        unit = 0.001 if case.own.task == "click" else 0.01
        np.testing.assert_allclose([number(text) for text in shown], terms.iloc[1:-1], atol=0.51 * unit)
        subject = page.locator(".live-total span").first.inner_text()
        assert f"for user {row.uid} and {case.exported['films']['title'][row.mid - 1]}" in subject
    cut = scoring.scores(case.kept, rows)
    story = page.locator(".live-story").inner_text()
    if case.own.task == "click":
        log_odds = number(page.locator(".live-sum .live-of").first.inner_text())
        told = number(page.locator(".live-sigmoid .live-of").first.inner_text())
        assert told == total(page) == pytest.approx(expit(log_odds), abs=2e-4)
        assert "probability that “again” is 1" in subject
    else:
        assert ("would be told as" in story) == (cut[-1] in (0, 100))


def test_a_score_outside_of_the_range_is_told(browser, tmp_path):
    case = Case("rating", tmp_path, browser)
    page = case.open()
    predicted = case.predicted(case.own.learned())
    for at, end in ((predicted.argmin(), 0), (predicted.argmax(), 100)):
        choose(page, case.exported, case.own.learned().iloc[at])
        story = page.locator(".live-story").inner_text()
        assert f"The range of points ends at 0 and 100, so this would be told as {end}." in story
    page.context.close()


def test_the_list_is_that_of_recommend_if_the_row_is_unknown(case, page):
    for field in case.exported["fields"]:
        if field["side"] == "rating" and field["kind"] == "single":
            page.locator(f"#live-row-{field['name']}").select_option(str(len(field["values"])))
        if field["side"] == "rating" and field["kind"] == "multi":
            page.goto(
                f"{page.url}&row-{field['name']}="
            )  # no value at all: only an address says so of a list
            page.reload()
    user = "m11"
    page.locator("#live-user").select_option(str(case.exported["people"]["uid"].index(user)))
    expected = lists.table(case.kept, case.own, user, 10)
    titles = case.exported["films"]["title"]
    assert page.locator(".live-ten .live-title").all_inner_texts() == [
        titles[mid - 1] for mid in expected.plant
    ]
    shown = [number(text) for text in page.locator(".live-ten .live-number").all_inner_texts()]
    scores = expit(expected.score) if case.own.task == "click" else expected.score
    np.testing.assert_allclose(shown, scores, atol=0.0001 if case.own.task == "click" else 0.06)


def test_someone_new_is_the_mixture_that_the_two_sides_make(case, page):
    sides, likes = lists.sides(case.kept, case.own), [4, 9]
    side = sides.new_user({"town": "Elmham"}, [like + 1 for like in likes], noise=case.exported["error"])
    page.locator("#live-user").select_option("-1")
    page.locator("#live-of-town").select_option(label="Elmham")
    titles = case.exported["films"]["title"]
    for like in likes:
        page.locator("#live-like").fill(titles[like])
        page.locator("#live-like").press("Enter")
    assert page.locator(".live-chips li").count() == 2
    assert not {titles[like] for like in likes} & set(page.locator(".live-ten .live-title").all_inner_texts())

    # for `sides` what belongs to the row is unknown, so the page is told the same
    mixed = page.evaluate(
        """([likes, town, row]) => {
      const model = DeepFM.load(window.DEEPFM_MODEL);
      const entries = (uid, film) => model.fields.map((f, i) => {
        if (f.name === "uid") return uid;
        if (f.name === "mid") return DeepFM.lookUp(model, i, film + 1);
        if (f.side === "film") return DeepFM.lookUp(model, i, model.films.values[f.name][film]);
        if (f.side === "rating") return DeepFM.lookUp(model, i, row[f.name]);
        return DeepFM.lookUp(model, i, f.name === "town" ? town : f.kind === "numeric" ? null : 0);
      });
      const uid = DeepFM.newUser(model, entries, likes);
      return model.films.title.map((_, film) => DeepFM.score(DeepFM.terms(model, entries(uid, film))));
    }""",
        [likes, 2, {f["name"]: in_row(f, None) for f in case.exported["fields"] if f["side"] == "rating"}],
    )
    np.testing.assert_allclose(mixed, sides.scores(side)[0], rtol=1e-3, atol=2e-3)


def test_a_value_of_the_row_moves_its_terms_alone(case, page):
    page.locator("#live-row-depth").fill("30")
    page.locator("#live-row-depth").press("Enter")
    moved = page.locator(".live-term.live-has-moved th").all_text_contents()
    assert moved[0] == "depth 30"
    assert all("depth" in name for name in moved)
    # the vector of a number at its mean is zero, and so is that of an empty list; their pairs stay zero
    zero = [f["label"] for f in case.exported["fields"] if f["kind"] in ("numeric", "multi")]
    zero.remove("depth")
    still = [
        name
        for name in page.locator(".live-term:not(.live-has-moved) th").all_text_contents()
        if "depth" in name
    ]
    assert all(any(label in name for label in zero) for name in still)
    assert len(moved) + len(still) == len(case.exported["fields"])
    assert "depth: not given → 30" in page.locator(".live-story").inner_text()
    page.locator("#live-row-depth").fill("")
    page.locator("#live-row-depth").press("Enter")
    assert "depth: 30 → not given" in page.locator(".live-story").inner_text()


def test_an_address_brings_back_numbers_times_and_lists(case):
    page = case.open()
    rows = case.own.learned()
    row = rows[rows.tools.fillna("").str.contains(r"\|") & rows.depth.notna() & rows.watered.notna()].iloc[0]
    choose(page, case.exported, row)
    page.locator("#live-of-altitude").fill("-12.5")
    page.locator("#live-of-altitude").press("Tab")
    address, before = page.locator("#live-address").input_value(), total(page)
    page.context.close()
    other = case.open()
    other.goto(address)
    other.reload()
    assert total(other) == before
    assert other.locator("#live-of-altitude").input_value() == "-12.5"
    assert number(other.locator("#live-row-depth").input_value()) == row.depth
    for right, wrong in (
        ("A-altitude=-12.5", "A-altitude=1e999"),
        ("row-depth=", "row-depth=deep"),
        ("row-tools=", "row-tools=99."),
    ):
        assert right in address
        other.goto(address.replace(right, wrong))
        other.reload()
        assert f"cannot use “{wrong.split('=')[0]}=" in other.locator(".live-warning").inner_text()
    other.context.close()


def test_a_title_stays_text(case, page):
    assert page.evaluate("typeof window.broken") == "undefined"
    page.locator("#live-film").fill(BREAKS_OUT)
    page.locator("#live-film").press("Enter")
    assert BREAKS_OUT in page.locator(".live-total").inner_text()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_everyone_can_read_and_operate_the_page(case, width, colours):
    page = case.open(viewport={"width": width, "height": 844}, color_scheme=colours)
    assert page.locator("html").get_attribute("data-theme") == colours
    assert page.locator("#live-user-b").is_hidden()
    for two in (False, True):
        if two:
            page.locator("#live-two").focus()
            page.keyboard.press("Space")
            assert page.locator("#live-user-b").is_visible()
        if not page.locator("#live-terms-pairs").is_visible():
            page.locator("[aria-controls=live-terms-pairs]").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        problems = Axe().run(page, options=WCAG).response["violations"]
        assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in problems] == []
        small = page.evaluate(
            """() => [...document.querySelectorAll("main :is(button, input, select)")].filter(target => {
          const boxes = [target, ...(target.labels ?? [])].map(box => box.getBoundingClientRect());
          return target.offsetParent && !boxes.some(({ width, height }) => width >= 24 && height >= 24);
        }).map(target => target.outerHTML)"""
        )
        assert small == []
    assert page.locator(".live-row legend").inner_text() == "The row"
    assert page.problems == []
    page.context.close()


def test_movielens_as_clicks_is_the_same_page(browser, tmp_path):
    planted = datasets.planted(n_users=60, n_movies=80, n_ratings=1500, seed=4)
    fields = features.describe(planted)
    rows = clicks.of(datasets.join(planted.ratings, planted.movies, planted.users))
    share = float(rows.rating.mean())
    options = {"task": "click", "mean_rating": share, "k": 4, "dnn_dim": (8,), "embedding_spread": 0.4}
    model = models.deep_fm_model(features=fields, **options)[-1]
    exported = live.export(model, fields, planted, rows, tmp_path / "model.js", error=0.5)
    page = browser.new_page()
    page.set_content('<div id="live" hidden></div>')
    for script in (tmp_path / "model.js", form.FORWARD, form.PAGE):
        page.add_script_tag(path=script)
    sides = recommending.TwoSides(model, planted, fields, rows)
    for person in (0, 3):
        page.locator("#live-user").select_option(str(person))
        title = page.locator("#live-film").input_value()
        film = exported["films"]["title"].index(title)
        log_odds = sides.scores(exported["people"]["uid"][person : person + 1])[0, film]
        assert number(page.locator(".live-sum .live-of").first.inner_text()) == pytest.approx(
            log_odds, abs=0.002
        )
        assert total(page) == pytest.approx(expit(log_odds), abs=0.0005)
        assert "probability of a click for user" in page.locator(".live-total").inner_text()
        ratings = exported["people"]["ratings"][person]["train"]
        truth = page.locator(".live-true .live-of").first.inner_text() if film in ratings else ""
        assert truth == (str(ratings[film]) if film in ratings else "")
        assert (
            page.locator(".live-true .live-point").count()
            <= page.locator(".live-true .live-lane[hidden]").count()
        )
    page.close()


def test_a_page_of_real_clicks_says_that_it_holds_none(tmp_path):
    planted = datasets.planted(n_users=60, n_movies=80, n_ratings=1500, seed=4)
    fields = features.describe(planted)
    rows = clicks.of(datasets.join(planted.ratings, planted.movies, planted.users))
    model = models.deep_fm_model(features=fields, task="click", k=4, dnn_dim=(8,))[-1]
    real = live.export(model, fields, replace(planted, truth=None), rows, tmp_path / "model.js", error=0.5)
    assert "The page holds no ratings." in real["notes"]["lists"]
    assert "log-loss of the first is 0.500 nats" in real["notes"]["model"]
    assert "ratings" not in real["people"]
