"""The labs of the chapters: each takes the place of its figure, answers, and says what is true."""

import json
import re
from functools import partial
from operator import methodcaller

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import clicks, features, ranking

pytestmark = pytest.mark.browser
LABS = {
    "multi-hot": "notebooks/02_genre_multi_hot.html",
    "same-order": "notebooks/03_first_order.html",
    "square": "notebooks/04_second_order.html",
    "two-vectors": "notebooks/04_second_order.html",
    "bends": "notebooks/05_deep_part.html",
    "shares": "notebooks/09_contributions.html",
    "one-vector": "notebooks/06_deepfm.html",
    "leave-out": "notebooks/09_contributions.html",
    "popular-or-taste": "notebooks/12_recommending.html",
    "bets": "notebooks/16_clicks.html",
}
IN_FIGURES = [name for name in LABS if name != "same-order"]
BESIDE = {"bends", "bets", "shares", "one-vector"}  # their figures stay
DIGITS = str.maketrans("−", "-")


def pass_questions(page):
    """Open what waits for a guess: some labs stand there."""
    for button in page.get_by_role("button", name="Show without guessing").all()[::-1]:
        button.click()


@pytest.fixture(params=IN_FIGURES)
def lab(request, visit):
    with visit(LABS[request.param]) as page:
        pass_questions(page)
        yield page.locator(f'.lab[data-lab="{request.param}"]')
        assert page.problems == []


@pytest.fixture
def open_lab(visit):
    opened = []

    def open_lab(name: str, **options):
        context = visit(LABS[name], **options)
        page = context.__enter__()
        opened.append(context)
        pass_questions(page)
        return page, page.locator(f'.lab[data-lab="{name}"]')

    yield open_lab
    for context in opened:
        context.__exit__(None, None, None)


def test_a_lab_stands_in_its_figure_and_the_picture_returns_in_print(lab):
    figure = lab.locator("xpath=ancestor::figure")
    assert figure.get_attribute("id") == lab.get_attribute("data-figure")
    assert len(lab.get_attribute("data-values")) <= 30_000
    picture = figure.locator("img")
    assert picture.get_attribute("alt")
    assert lab.is_visible()
    assert picture.is_visible() == (lab.get_attribute("data-lab") in BESIDE)
    lab.page.emulate_media(media="print")
    assert not lab.is_visible()
    assert picture.is_visible()


@pytest.mark.parametrize("name", IN_FIGURES)
def test_without_javascript_the_figure_stays(name, visit):
    with visit(LABS[name], java_script_enabled=False) as page:
        lab = page.locator(f'.lab[data-lab="{name}"]')
        assert not lab.is_visible()
        assert page.locator(f"#{lab.get_attribute('data-figure')} img").is_visible()


def test_a_lab_without_a_figure_follows_its_equation_which_stays(open_lab):
    page, lab = open_lab("same-order")
    equation = page.locator("#equation-eq-same-order + .lab").locator("xpath=preceding-sibling::*[1]")
    assert lab.is_visible()
    assert equation.is_visible()
    page.emulate_media(media="print")
    assert not lab.is_visible()
    assert equation.is_visible()
    assert page.problems == []
    page, lab = open_lab("same-order", java_script_enabled=False)
    assert not lab.is_visible()
    assert page.locator("#equation-eq-same-order").is_visible()


def facts(lab) -> dict[str, str]:
    terms, texts = (lab.locator(tag).all_inner_texts() for tag in ("dt", "dd"))
    return dict(zip(terms, texts, strict=True))


@pytest.mark.parametrize("seed", range(3))
def test_the_places_of_the_post_hold_what_the_helper_puts_there(seed, open_lab):
    page, lab = open_lab("multi-hot", has_touch=True)
    hand = ("mouse", "finger", "keyboard")[seed]
    ids = json.loads(lab.get_attribute("data-values"))["genre_ids"]
    chosen = sorted(np.random.default_rng(seed).choice(list(ids), 5, replace=False))
    for name in ids:
        button = lab.get_by_role("button", name=re.compile(rf"^[01] {re.escape(name)}$"))
        if (button.get_attribute("aria-pressed") == "true") != (name in chosen):
            {"mouse": button.click, "finger": button.tap, "keyboard": partial(button.press, "Space")}[hand]()
    vocabulary = sorted(ids, key=ids.get)
    field = features.Feature(
        "genre", "multi", "movie_genre", 14, tuple(vocabulary[:14]), slots=3, truncating="pre"
    )
    row = field.encode(pd.DataFrame({"movie_genre": ["|".join(chosen)]}))[0]
    told = facts(lab)
    assert told["In the file"] == "|".join(chosen)
    assert told["The post's 3 places"].startswith(str(row.tolist()))
    lost = {name for name in chosen if ids[name] not in row}
    assert {part.split(" (")[0] for part in told["Lost on the way"].split(", ")} == (lost or {"nothing"})
    assert lab.locator("[aria-pressed=true]").count() == len(chosen)
    assert {text[2:] for text in lab.locator(".lab-lost").all_inner_texts()} == lost


def test_the_film_of_the_reader_begins_with_nothing_lost(open_lab):
    _, lab = open_lab("multi-hot")
    told = facts(lab)
    assert told["Lost on the way"] == "nothing"
    assert lab.locator(".lab-lost").count() == 0
    assert "|" in told["In the file"]


def test_no_weights_make_two_users_rank_two_films_differently(open_lab):
    page, lab = open_lab("same-order")
    values = json.loads(lab.get_attribute("data-values"))
    weights, (ben, comedy) = values["weights"], lab.get_by_role("slider").all()
    ben.press("ArrowRight")
    assert float(ben.input_value()) == pytest.approx(weights["Ben"] + 0.1)
    leads = set()
    for moved in [(-1, -1), (1, 0.6), (0.4, 1), (-0.3, 0.9), (0.7, 0.2)]:
        weights["Ben"], weights["comedy"] = moved
        for slider, weight in zip((ben, comedy), moved, strict=True):
            slider.fill(f"{weight}")
        scores = {
            user: {
                film: values["constant"]
                + weights[user]
                + weights[film]
                + np.mean([weights[g] for g in genres])
                for film, genres in values["genres"].items()
            }
            for user in values["users"]
        }
        said = lab.locator(".lab-result > span").all_inner_texts()
        for user, line in zip(scores, said, strict=False):
            order = re.findall(r"(\w+) (\d\.\d)", line)
            assert line.startswith(f"{user}: ")
            assert {film: float(score) for film, score in order} == pytest.approx(scores[user])
            assert [film for film, _ in order] == sorted(scores[user], key=scores[user].get, reverse=True)
        apart = abs(scores["Ada"]["Rain"] - scores["Ada"]["Pranks"])
        assert numbers_of(lab) == (pytest.approx(apart),) * 2
        slopes = [
            float(line.get_attribute("y2")) - float(line.get_attribute("y1"))
            for line in lab.locator(":is(.lab-a, .lab-b) line").all()
        ]
        assert slopes[0] == pytest.approx(slopes[1])
        leads.add(order[0][0])
    assert leads == {"Rain", "Pranks"}  # the order can change, for both at once


def test_sum_of_the_pairs_and_half_the_difference_agree_for_any_vectors(open_lab):
    _, lab = open_lab("square")
    start = json.loads(lab.get_attribute("data-values"))["vectors"]
    fields = lab.locator("input").all()
    assert [float(field.input_value()) for field in fields] == np.ravel(start).tolist()
    rng = np.random.default_rng(0)
    for vectors in rng.integers(-6, 7, (4, 4, 2)) / 2:
        for field, value in zip(fields, vectors.ravel(), strict=True):
            field.fill(f"{value:g}")
        shown = [float(text.translate(DIGITS)) for text in lab.locator("td:not(:empty)").all_inner_texts()]
        assert shown == (vectors @ vectors.T).ravel().tolist()
        assert numbers_of(lab) == (np.triu(vectors @ vectors.T, 1).sum(),) * 2


def test_pairs_never_meet_three_signs_and_three_hidden_units_do(open_lab):
    _, lab = open_lab("bends")
    values = json.loads(lab.get_attribute("data-values"))
    s, stars, biases = (np.array(values[name]) for name in ("s", "stars", "biases"))
    terms = {
        "single weights and pairs": [s, (s**2 - 3) / 2, s**0],
        "three hidden units": [*np.maximum(0, s + biases[:, None]), s**0],
    }
    rng = np.random.default_rng(0)
    zigzag = [1, -2, 2, -1]  # equation eq-zigzag
    for name, columns in terms.items():
        lab.get_by_role("button", name=name).click()
        sliders = lab.locator("input:visible").all()
        assert len(sliders) == len(columns)
        settings = [*(rng.integers(-6, 7, (3, len(columns))) / 2), *([zigzag] if len(columns) == 4 else [])]
        for weights in settings:
            for slider, weight in zip(sliders, weights, strict=True):
                slider.fill(f"{weight:g}")
            off = weights @ np.array(columns) - stars
            rmse = np.sqrt(np.mean(off**2))
            assert numbers_of(lab) == (pytest.approx(rmse, abs=0.0051), (off == 0).sum())
            assert rmse >= 1 or name != "single weights and pairs"
    assert numbers_of(lab) == (0, 8)


def numbers_of(lab) -> tuple[float, float]:
    return tuple(float(text.translate(DIGITS)) for text in lab.locator(".lab-result b").all_inner_texts())


def test_dot_product_and_fast_identity_agree_wherever_the_arrows_are(open_lab):
    page, lab = open_lab("two-vectors")
    fields = lab.locator("input")
    rng = np.random.default_rng(0)
    for a1, a2, b1, b2 in rng.integers(-6, 7, (10, 4)) / 2:
        for field, value in zip(fields.all(), (a1, a2, b1, b2), strict=True):
            field.fill(f"{value:g}")
        assert numbers_of(lab) == (pytest.approx(a1 * b1 + a2 * b2),) * 2
    fields.first.focus()
    fields.first.fill("1")
    page.keyboard.press("ArrowUp")
    assert float(fields.first.input_value()) == 1.5
    fields.first.fill("7")
    page.keyboard.press("Tab")
    assert float(fields.first.input_value()) == 1.5


def drag(lab, name: str, button: str = "left") -> bool:
    """Whether the arrow head of ``name`` follows the middle of its handle."""
    mouse, handle = lab.page.mouse, lab.locator(f".lab-{name} .lab-handle")
    before = [field.input_value() for field in lab.locator("input").all()]
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    mouse.down(button=button)
    mouse.move(box["x"] + 60, box["y"] + 40, steps=4)
    mouse.up(button=button)
    return before != [field.input_value() for field in lab.locator("input").all()]


def test_an_arrow_follows_the_pointer(open_lab):
    _, lab = open_lab("two-vectors")
    before = float(lab.locator("input").first.input_value())
    assert drag(lab, "a")
    assert float(lab.locator("input").first.input_value()) > before
    dot, fast = numbers_of(lab)
    assert dot == fast


def test_nothing_drawn_above_an_arrow_head_keeps_the_pointer_from_it(open_lab):
    _, lab = open_lab("two-vectors")
    for field, value in zip(lab.locator("input").all(), ("1", "1.5", "0", "0"), strict=True):
        field.fill(value)  # the sum lies on the head of a
    assert drag(lab, "a")
    assert drag(lab, "b")
    assert not drag(lab, "a", button="right")


@pytest.mark.parametrize(("typed", "kept"), [("7", None), ("0.3", "0"), ("", None), ("-", None)])
@pytest.mark.parametrize("leave", ["Tab", "Enter", "a drag"])
def test_a_number_that_is_none_of_the_lab_gives_way(typed, kept, leave, open_lab):
    page, lab = open_lab("two-vectors")
    field = lab.locator("input").first
    before = field.input_value()
    field.focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Delete")
    page.keyboard.type(typed)
    if leave == "a drag":
        assert drag(lab, "b")
    else:
        page.keyboard.press(leave)
    assert field.input_value() == (kept or before)  # the last one that was


@pytest.mark.parametrize(
    "name", ["same-order", "square", "two-vectors", "shares", "one-vector", "popular-or-taste", "bets"]
)
def test_a_lab_agrees_with_its_controls_when_the_reader_comes_back(name, open_lab, site):
    page, lab = open_lab(name)
    controls, said = lab.locator("input"), lab.locator(".lab-result")
    before = [control.input_value() for control in controls.all()], said.inner_text()
    controls.last.press("ArrowUp")
    assert said.inner_text() != before[1]
    page.goto(f"{site}/book/notation.html")
    page.go_back()
    assert ([control.input_value() for control in controls.all()], said.inner_text()) == before


def test_the_shares_shown_are_those_measured(open_lab):
    page, lab = open_lab("shares")
    values = json.loads(lab.get_attribute("data-values"))
    slider = lab.get_by_role("slider")
    slider.focus()
    for at, k in enumerate(values["k"]):
        assert slider.get_attribute("aria-valuetext") == f"k = {k}"
        shown = [
            int(text.removesuffix("%").translate(DIGITS)) for text in lab.locator("td b").all_inner_texts()
        ]
        assert shown == [round(100 * share[at]) for share in values["shares"].values()]
        assert f"{values['rmse'][at]:.3f} stars" in lab.locator(".lab-result").inner_text()
        page.keyboard.press("ArrowRight")


def test_the_price_of_the_bets_is_that_of_the_slope_and_the_constant(open_lab):
    _, lab = open_lab("bets")
    values = json.loads(lab.get_attribute("data-values"))
    s, n, ones = (np.array(values[name]) for name in ("log_odds", "rows", "clicks"))
    y, scores = np.repeat(np.tile([1, 0], len(s)), np.c_[ones, n - ones].ravel()), np.repeat(s, n)
    share = y.mean()
    assert values["auc"] == pytest.approx(clicks.auc(y, scores), abs=1e-4)

    def shown():
        return [float(text) for text in lab.locator(".lab-result b").all_inner_texts()]

    def expected(a, c):
        p = 1 / (1 + np.exp(-(a * scores + c)))
        loss = clicks.log_loss(y, p)
        return [loss, loss / clicks.entropy(share), values["auc"], p.mean(), share]

    slope, constant = lab.get_by_role("slider").all()
    assert shown() == pytest.approx(expected(1, 0), abs=6e-4)
    slope.fill("1.7")
    constant.fill("-0.5")
    assert shown() == pytest.approx(expected(1.7, -0.5), abs=6e-4)
    for name, (a, c) in {"doubled": (2, 0), "fitted on validation rows": values["fitted"]}.items():
        lab.get_by_role("button", name=name).click()
        assert (float(slope.input_value()), float(constant.input_value())) == (a, c)
        assert shown() == pytest.approx(expected(a, c), abs=6e-4)


def test_the_parts_shown_are_those_of_the_scaled_vector(open_lab):
    page, lab = open_lab("one-vector")
    values = json.loads(lab.get_attribute("data-values"))
    parts = pd.DataFrame(values["parts"], index=values["factors"])
    slider, flip = lab.get_by_role("slider"), lab.get_by_role("button")
    assert slider.get_attribute("aria-valuetext") == "times 1"
    slider.press("Home")
    steps = []
    for factor in parts.index[:-1]:
        assert slider.get_attribute("aria-valuetext").translate(DIGITS) == f"times {factor:g}"
        cells = [text.translate(DIGITS) for text in lab.locator("tbody td").all_inner_texts()]
        assert [float(x) for x in cells[1::3]] == pytest.approx(parts.loc[factor], abs=6e-4)
        steps.append([float(x) for x in cells[2::3]])
        score = re.search(r"The score is (\S+) stars", lab.locator(".lab-result").inner_text())[1]
        assert float(score) == pytest.approx(values["constant"] + parts.loc[factor].sum(), abs=6e-3)
        slider.press("ArrowRight")
    first, second, deep = np.ptp(steps, axis=0)
    assert first == 0
    assert second < 2e-3 < deep
    flip.press("Enter")
    assert slider.get_attribute("aria-valuetext") == "times −2"
    flip.click()
    assert slider.get_attribute("aria-valuetext") == "times 2"


HANDS = {
    "mouse": methodcaller("click"),
    "finger": methodcaller("tap"),
    "keyboard": methodcaller("press", "Space"),
}


@pytest.mark.parametrize("use", HANDS.values(), ids=HANDS)
def test_what_is_left_of_a_score_is_the_sum_or_the_model_of_what_is_left(use, open_lab):
    _, lab = open_lab("leave-out", has_touch=True)
    values = json.loads(lab.get_attribute("data-values"))

    def agrees(kept: list[str], again: bool) -> None:
        name = ", ".join(part for part in values["parts"] if part in kept)
        shown = [float(text) for text in lab.locator("tbody b").all_inner_texts()]
        for row, score in zip(values["rows"], shown, strict=True):
            adds = dict(zip(values["parts"], row["adds"], strict=True))
            expected = row["alone"][name] if again else values["constant"] + sum(adds[part] for part in kept)
            assert score == pytest.approx(expected, abs=6e-3)
        rmse = values["rmse"]["again" if again else "stays"][name]
        assert f"set aside: {rmse:.3f} stars" in lab.locator(".lab-result").inner_text()

    kept, again = list(values["parts"]), False
    agrees(kept, again)
    for control in ("deep", "again", "first order", "second order", "again", "deep", "again"):
        if control == "again":
            use(lab.get_by_role("checkbox"))
            again = not again
        else:
            use(lab.get_by_role("button", name=control))
            kept = [part for part in values["parts"] if (part in kept) != (part == control)]
        agrees(kept, again)
    whole = ", ".join(values["parts"])
    for row in values["rows"]:
        assert row["alone"][whole] == pytest.approx(values["constant"] + sum(row["adds"]), abs=1e-3)


def test_the_list_shown_is_the_best_of_the_mixture(open_lab):
    _, lab = open_lab("popular-or-taste")
    values = json.loads(lab.get_attribute("data-values"))
    films = pd.DataFrame(values["films"])
    slider = lab.get_by_role("slider")
    for t in np.arange(21) / 20:
        mixed = (1 - t) * films.score + t * np.log1p(films.ratings)
        best = films.iloc[ranking.best(mixed.to_numpy()[None], values["n"])[0]]
        assert lab.locator("tbody td:first-child").all_inner_texts() == best.title.tolist()
        marks = lab.locator("tbody td:last-child").all_inner_texts()
        assert [mark == "✓" for mark in marks] == best.hit.tolist()
        said = lab.locator(".lab-result").inner_text()
        mean, hits, liked = map(int, re.findall(r"\d+", said))
        assert mean == pytest.approx(best.ratings.mean(), abs=0.51)
        assert (hits, liked) == (best.hit.sum(), values["liked"])
        slider.press("ArrowRight")
    assert best.ratings.is_monotonic_decreasing
