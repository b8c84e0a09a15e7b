"""The forward pass in JavaScript against Keras and NumPy, and the page "The model, live" under a reader's hands."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, models, recommending
from deepfm_helpers.press import live

pytestmark = pytest.mark.browser
FORWARD = Path(__file__).resolve().parents[2] / "book" / "_static" / "live" / "deepfm.js"
SCORE = """rows => {
  const model = DeepFM.load(window.DEEPFM_MODEL);
  return rows.map(row => {
    const terms = DeepFM.terms(model, row.map((ids, place) => DeepFM.lookUp(model, place, ids)));
    return [terms.w0, ...terms.first, ...terms.pairs, terms.deep, DeepFM.score(terms),
            DeepFM.score(terms, {pairs: true, deep: true})];
  });
}"""
NEW_USER = """([traits, liked]) => {
  const model = DeepFM.load(window.DEEPFM_MODEL);
  const entries = (uid, film) => model.fields.map((f, place) =>
    f.name === "uid" ? uid : DeepFM.lookUp(model, place, f.name === "mid" ? film + 1
      : f.side === "film" ? model.films[f.name][film] : traits[f.name]));
  const uid = DeepFM.newUser(model, entries, liked);
  return model.films.title.map((_, film) => DeepFM.score(DeepFM.terms(model, entries(uid, film))));
}"""


@pytest.fixture(scope="module")
def case(tmp_path_factory, browser):
    """A DeepFM with random weights, its fields and training rows, what was exported, and a tab that has loaded it."""
    data = datasets.planted(n_users=60, n_movies=80, n_ratings=1500, seed=4)
    fields = features.describe(data)
    model = models.deep_fm_model(features=fields, k=16, dnn_dim=(64, 32), dnn_dr=0.0)[-1]
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.2, w.shape) for w in model.get_weights()])
    train = datasets.join(data.ratings, data.movies, data.users)
    path = tmp_path_factory.mktemp("live") / "model.js"
    exported = live.export(model, fields, replace(data, truth=None), train, path, rmse=0.8)
    page = browser.new_page()
    page.add_script_tag(path=path)
    page.add_script_tag(path=FORWARD)
    yield data, model, fields, train, exported, page
    page.close()


def test_javascript_keras_and_numpy_agree_on_every_term(case):
    _, model, fields, train, exported, page = case
    rng = np.random.default_rng(1)
    x, rows = [], []
    trained = {"uid": np.unique(train.uid), "mid": np.unique(train.mid)}
    for f in fields:
        if f.kind == "multi":
            ids = [rng.permutation(f.size)[: rng.integers(1, f.slots + 1)] + 1 for _ in range(1000)]
            x.append(np.array([[*some, *[0] * (f.slots - len(some))] for some in ids], np.int32))
            rows.append([some.tolist() for some in ids])
        else:
            ids = rng.choice(trained.get(f.name, np.arange(1, f.size + 1)), 1000)
            x.append(ids.astype(np.int32)[:, None])
            place = np.searchsorted(np.unique(train.uid), ids) + 1 if f.name == "uid" else ids
            rows.append(place.tolist())
    rows = [list(row) for row in zip(*rows, strict=True)]
    found = np.array(page.evaluate(SCORE, rows))

    terms = np.array([live.terms(exported, row) for row in rows])
    np.testing.assert_allclose(found[:, :-2], terms, atol=1e-9)
    by_part = evaluation.parts(model, x)
    np.testing.assert_allclose(found[:, 1:7].sum(axis=1), by_part.first_order, atol=1e-5)
    np.testing.assert_allclose(found[:, 7:22].sum(axis=1), by_part.second_order, atol=1e-5)
    np.testing.assert_allclose(found[:, 22], by_part.deep, atol=1e-5)
    np.testing.assert_allclose(found[:, 23], evaluation.predict(model, x), atol=1e-5)
    np.testing.assert_allclose(found[:, 24], by_part.bias + by_part.first_order, atol=1e-5)
    assert by_part.std().drop("bias").min() > 0.1  # every part has something to say

    terms = [anatomy.terms(model, f) for f in fields]
    outputs = [*(t.weight for t in terms), *(t.vector for t in terms)]
    probe = evaluation._outputs(type(model)(model.inputs, outputs), x)
    first, vectors = (np.concatenate(some, axis=1) for some in (probe[:6], probe[6:]))
    pairs = np.einsum("nik,njk->nij", vectors, vectors)[:, *np.triu_indices(len(fields), 1)]
    np.testing.assert_allclose(found[:, 1:7], first, atol=1e-5)
    np.testing.assert_allclose(found[:, 7:22], pairs, atol=1e-5)


@pytest.mark.parametrize("likes", [[], [3], [3, 40, 77]])
def test_someone_new_is_the_mixture_that_the_two_sides_make(case, likes):
    data, model, fields, train, exported, page = case
    sides = recommending.TwoSides(model, data, fields, train)
    traits = {"gender": "F", "age": 25}  # no occupation: the average
    ids = {f.name: f.vocabulary.index(traits[f.name]) + 1 if f.name in traits else 0 for f in fields[2:5]}
    side = sides.new_user(traits, sides.films.mid.iloc[likes].tolist(), noise=exported["rmse"])
    found = page.evaluate(NEW_USER, [ids, likes])
    np.testing.assert_allclose(found, sides.scores(side)[0], atol=1e-4)


@pytest.fixture
def tastes(tmp_path, browser):
    """A model with a multi-valued field of the user and release years, one of them unknown; and its page alone."""
    data = datasets.planted(n_users=60, n_movies=80, n_ratings=1500, seed=4)
    liked = [["Old|Odd", "New", "Odd", ""][i % 4] for i in range(len(data.users))]
    movies = data.movies.assign(movie_name=["Untitled", *data.movies.movie_name[1:]])
    data = replace(data, users=data.users.assign(tastes=liked), movies=movies)
    taste = features.Feature("taste", "multi", "tastes", owner="user").described(data.users)
    year, mid, age, uid = features.describe(data, ("year", "mid", "age", "uid"))
    fields = [year, taste, mid, age, uid]
    model = models.deep_fm_model(features=fields, k=4, dnn_dim=(8,), dnn_dr=0.0, embedding_spread=0.3)[-1]
    train = datasets.join(data.ratings, data.movies, data.users)
    exported = live.export(model, fields, data, train, tmp_path / "model.js", rmse=0.8)
    page = browser.new_page()
    page.set_content('<div id="live" hidden></div>')
    for script in (tmp_path / "model.js", FORWARD, FORWARD.with_name("page.js")):
        page.add_script_tag(path=script)
    yield exported, recommending.TwoSides(model, data, fields, train), page
    page.close()


def test_a_person_can_be_given_several_values_of_a_field(tastes):
    exported, sides, page = tastes
    people, films = exported["people"], exported["films"]
    film = int(np.argmax(films["rows"]))

    def shown() -> float:
        return _number(page.locator(".live-total strong").inner_text().split()[0])

    def expected(taste: list[int], film: int) -> float:
        rows = [films["year"][film], taste, film + 1, people["age"][0], people["row"][0]]
        return live.terms(exported, rows).sum()

    value = page.locator(".live-term th", has_text="taste").first
    assert shown() == pytest.approx(expected(people["taste"][0], film), abs=0.0006)
    assert shown() == pytest.approx(sides.scores(people["uid"][:1])[0, film], abs=0.0006)
    page.locator("#live-taste").select_option(["0", "1", "3"])
    assert shown() == pytest.approx(expected([1, 3], film), abs=0.0006)
    assert exported["fields"][1]["values"][0] in value.inner_text()
    assert exported["fields"][1]["values"][2] in value.inner_text()
    page.locator("#live-taste").select_option("0")
    assert shown() == pytest.approx(expected([0], film), abs=0.0006)
    assert "not given" in value.inner_text()

    page.get_by_label("film: type a part of its title").fill("Untitled")
    assert shown() == pytest.approx(expected([0], 0), abs=0.0006)
    assert "unknown" in page.locator(".live-term th", has_text="year").first.inner_text()
    page.locator("#live-user").select_option("-1")
    someone = sides.scores(sides.new_user({}))[0, 0]
    assert shown() == pytest.approx(someone, abs=0.0006)


@pytest.fixture
def live_page(visit):
    with visit("book/live.html", reduced_motion="reduce") as page:
        yield page


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _ten(page) -> list[str]:
    return page.locator(".live-ten .live-title").all_inner_texts()


def test_the_page_shows_the_terms_of_the_stored_model(live_page, html):
    text = (html / "_static" / "live" / "model.js").read_text(encoding="utf-8")
    exported = json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))
    people, films = exported["people"], exported["films"]
    film = int(np.argmax(films["rows"]))
    terms = live.terms(
        exported,
        [
            people["row"][0],
            film + 1,
            *(people[n][0] for n in ("gender", "age", "occupation")),
            films["genre"][film],
        ],
    )
    shown = live_page.locator(".live-term .live-number > span:first-child").all_text_contents()
    np.testing.assert_allclose([_number(t) for t in shown], terms.iloc[1:-1], atol=0.00051)
    assert live_page.locator(".live-total strong").inner_text() == f"{terms.sum():.3f} stars"
    assert live_page.locator(".live-term .live-number a").count() == 21


def test_one_feature_moves_its_weight_its_pairs_and_the_deep_part(live_page):
    select = live_page.locator("#live-occupation")
    select.select_option(index=3 if select.input_value() != "3" else 4)
    story = live_page.locator(".live-story").inner_text()
    assert "7 of 22 terms moved: 1 of 6 weights, 5 of 15 pairs, and the deep part." in story
    moved = live_page.locator(".live-term.live-has-moved th").all_text_contents()
    assert len(moved) == 6
    assert all("occupation" in name for name in moved)
    marks = live_page.locator(".live-has-moved .live-moved").all_text_contents()
    assert all(re.match(r"[▲▼] ", mark) for mark in marks)


def test_a_part_taken_out_leaves_the_sum_and_weights_alone_make_one_list_for_all(live_page):
    before = live_page.locator(".live-total strong").inner_text()
    live_page.keyboard.press("Tab")
    for part in ("pairs", "deep"):
        live_page.locator(f"#live-on-{part}").focus()
        live_page.keyboard.press("Space")
    assert "Without the second order and the deep part." in live_page.locator(".live-story").inner_text()
    lists = []
    for user in ("0", "1", "2"):
        live_page.locator("#live-user").select_option(user)
        lists.append(_ten(live_page))
    assert lists[0] == lists[1] == lists[2]
    live_page.locator("#live-on-pairs").check()
    assert live_page.locator(".live-story").inner_text().endswith("Without the deep part.")
    live_page.get_by_role("button", name="Start again").click()
    assert live_page.locator(".live-total strong").inner_text() == before


def test_a_title_or_a_part_of_one_chooses_a_film_and_so_does_the_list(live_page):
    search = live_page.get_by_label("film: type a part of its title")
    search.fill("no such film at all")
    search.press("Enter")
    assert "No title contains" in live_page.locator("#live-film-note").inner_text()
    third = _ten(live_page)[2]
    live_page.locator(".live-ten button").nth(2).click()
    assert search.input_value() == third
    assert live_page.locator(".live-ten [aria-current] .live-title").inner_text() == third
    search.fill(_ten(live_page)[4].split(" (")[0] + " (")
    search.press("Enter")
    assert search.input_value() == _ten(live_page)[4]
    assert "Without" not in live_page.locator(".live-story").inner_text()


def test_films_that_someone_new_likes_move_terms_of_uid_only(live_page):
    live_page.locator("#live-user").select_option("-1")
    likes = live_page.get_by_label("liked films")
    for title in _ten(live_page)[:2]:
        likes.first.fill(title)
    assert live_page.locator(".live-chips li").count() == 2
    names = live_page.locator(".live-term.live-has-moved th").all_text_contents()
    assert len(names) == 6
    assert all(name.startswith("uid") for name in names)
    live_page.get_by_role("button", name=re.compile("^remove")).first.click()
    assert live_page.locator(".live-chips li").count() == 1


def _controls(page) -> list:
    """All that a reader can set, and what the page says of it."""
    return page.locator("#live").evaluate(
        """app => [...app.querySelectorAll("select, input")].map(e => e.type === "checkbox" ? e.checked : e.value)
           .concat([...app.querySelectorAll("tbody, #live-likes")].map(e => e.hidden),
                   [...app.querySelectorAll(".live-chips li, .live-note, .live-story, .live-total")]
                   .map(e => e.textContent))"""
    )


@pytest.mark.parametrize("hand", ["mouse", "finger", "keyboard"])
@pytest.mark.parametrize("box", ["#live-like", "#live-film"])
def test_one_press_starts_again_and_puts_everything_back(visit, hand, box):
    with visit("book/live.html", has_touch=True) as page:
        before = _controls(page)
        again = page.get_by_role("button", name="Start again")
        page.locator("#live-user").select_option("-1")
        page.locator("#live-like").fill(_ten(page)[0])
        page.locator("#live-occupation").select_option(index=3)
        page.locator("#live-on-deep").uncheck()
        page.locator("[aria-controls=live-terms-first]").click()
        page.locator("[aria-controls=live-terms-pairs]").click()
        page.locator(box).press_sequentially("film 1")
        assert _controls(page) != before
        {"mouse": again.click, "finger": again.tap, "keyboard": lambda: again.press("Space")}[hand]()
        assert _controls(page) == before


@pytest.mark.parametrize("leave", ["Enter", "Tab", "click", "tap"])
@pytest.mark.parametrize("box", ["#live-like", "#live-film"])
def test_a_part_of_a_title_is_taken_by_enter_and_by_leaving_the_field(visit, box, leave):
    with visit("book/live.html", has_touch=True) as page:
        page.locator("#live-user").select_option("-1")
        first = _ten(page)[0]
        page.locator(box).click()
        page.keyboard.type(first[:-2])
        title = page.get_by_role("heading", name="Ten films")
        if leave in ("click", "tap"):
            getattr(title, leave)()
        else:
            page.keyboard.press(leave)
        chosen = {"#live-like": ".live-chips li", "#live-film": "[aria-current] .live-title"}[box]
        assert page.locator(chosen).inner_text().startswith(first)
        assert page.locator(box).input_value() == (first if box == "#live-film" else "")
        page.locator("#live-film").focus()
        page.locator("#live-film").fill(first.partition(" (")[0])  # the film that is chosen already
        page.keyboard.press("Enter")
        assert first.partition(" (")[0] in page.locator("#live-film").input_value()
        assert page.locator("#live-film").input_value().endswith(")")


def test_a_field_that_is_left_for_another_window_waits(live_page):
    search = live_page.locator("#live-film")
    before = _controls(live_page)
    search.press_sequentially("zzzz")
    search.evaluate("field => field.dispatchEvent(new FocusEvent('blur'))")
    assert live_page.locator("#live-film-note").inner_text() == ""
    search.press("Escape")
    assert _controls(live_page) == before


def test_a_message_about_a_title_goes_when_another_is_typed(live_page):
    search, note = live_page.locator("#live-film"), live_page.locator("#live-film-note")
    title = search.input_value()
    for leave in ("Escape", "x", "Backspace"):
        search.press("Control+A")
        live_page.keyboard.type("zzzz")
        search.press("Enter")
        assert note.inner_text() == "No title contains “zzzz”."
        search.press(leave)
        assert note.inner_text() == ""
    search.press("Enter")
    assert note.inner_text() == "No title contains “zzz”."
    live_page.locator("#live-user").select_option("1")  # another change
    assert note.inner_text() == ""
    assert search.input_value() == title


def test_a_film_of_the_list_wins_over_text_that_was_half_typed(live_page):
    third = _ten(live_page)[2]
    live_page.locator("#live-film").press_sequentially("film 1")
    live_page.locator(".live-ten button").nth(2).click()
    assert live_page.locator("#live-film").input_value() == third
    assert live_page.locator(".live-ten [aria-current] .live-title").inner_text() == third


def test_a_film_that_cannot_be_added_is_told_why_and_the_chips_are_removed_by_keyboard(live_page):
    live_page.locator("#live-user").select_option("-1")
    likes, note, chips = (live_page.locator(s) for s in ("#live-like", "#live-like-note", ".live-chips li"))
    titles = _ten(live_page)[:6]
    for title in titles[:5]:
        likes.fill(title)
    assert note.inner_text() == ""
    for title, told in ((titles[1], f"{titles[1]} is among them."), (titles[5], "5 films: remove one")):
        likes.fill(title)
        assert note.inner_text().startswith(told)
        assert chips.count() == 5
    chips.nth(3).get_by_role("button").focus()
    for left in (4, 3, 2, 1, 0):
        live_page.keyboard.press("Enter")
        assert chips.count() == left
        assert note.inner_text() == ""
    assert likes.evaluate("field => field === document.activeElement")


def test_the_page_agrees_with_its_controls_when_the_reader_comes_back(live_page, site):
    live_page.locator("#live-user").select_option("2")
    live_page.locator("#live-on-deep").uncheck()
    live_page.locator("#live-film").press_sequentially("film 1")
    live_page.goto(f"{site}/book/notation.html")
    live_page.go_back()
    user = live_page.locator("#live-user option:checked").inner_text().partition(",")[0]
    film = live_page.locator("#live-film").input_value()
    assert f"for {user} and {film}" in live_page.locator(".live-total").inner_text()
    out = not live_page.locator("#live-on-deep").is_checked()
    assert out == ("Without" in live_page.locator(".live-story").inner_text())


def test_a_true_rating_stands_beside_the_prediction_where_there_is_one(live_page):
    rated = live_page.locator(".live-ten li").filter(has_text="rated").first
    if rated.count():
        rated.get_by_role("button").click()
        assert live_page.locator(".live-true th").is_visible()


def test_paper_shows_the_figure(live_page):
    figure = "figure.live-static"
    assert live_page.locator(figure).is_hidden()
    live_page.emulate_media(media="print")
    assert live_page.locator(figure).is_visible()
    assert live_page.locator("#live").is_hidden()


def test_without_scripts_the_page_shows_the_figure(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site}/book/live.html")
    assert page.locator("figure.live-static").is_visible()
    assert page.locator("#live").is_hidden()
    context.close()


def test_no_other_page_loads_the_model(html):
    pages = [path for path in html.rglob("*.html") if "live/model.js" in path.read_text(encoding="utf-8")]
    assert [path.name for path in pages] == ["live.html"]
    assert live.PLACE.name == "model.js"
