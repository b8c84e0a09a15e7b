"""The forward pass in JavaScript against Keras and NumPy, and the page "The model, live" under a reader's hands."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, models, recommending
from deepfm_helpers import live as form
from deepfm_helpers.press import live

pytestmark = pytest.mark.browser
SCORE = """([rows, lists]) => {
  const loaded = DeepFM.load(window.DEEPFM_MODEL), model = lists ? loaded.lists : loaded;
  return rows.map(row => {
    const terms = DeepFM.terms(model, row.map((ids, place) => DeepFM.lookUp(model, place, ids)));
    return [terms.w0, ...terms.first, ...terms.pairs, terms.deep, DeepFM.score(terms),
            DeepFM.score(terms, {pairs: true, deep: true})];
  });
}"""
LISTED = """films => {
  const model = DeepFM.load(window.DEEPFM_MODEL).lists;
  return films.map(([taste, ...row]) => {
    const place = model.fields.findIndex(f => f.name === "taste");
    row.splice(place, 0, null);
    const entries = row.map((ids, i) => i === place ? DeepFM.taste(model, i, taste) : DeepFM.lookUp(model, i, ids));
    return DeepFM.score(DeepFM.terms(model, entries));
  });
}"""
NEW_USER = """([traits, liked]) => {
  const model = DeepFM.load(window.DEEPFM_MODEL);
  const entries = (uid, film) => model.fields.map((f, place) =>
    f.name === "uid" ? uid : DeepFM.lookUp(model, place, f.name === "mid" ? film + 1
      : f.side === "film" ? model.films.values[f.name][film] : traits[f.name]));
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
    lists = live.ranker(data, train, seed=1, epochs=1)._replace(recall=0.5, popular=0.4)
    exported = live.export(model, fields, replace(data, truth=None), train, path, error=0.8, lists=lists)
    page = browser.new_page()
    page.add_script_tag(path=path)
    page.add_script_tag(path=form.FORWARD)
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
    found = np.array(page.evaluate(SCORE, [rows, False]))

    terms = np.array([form.terms(exported, row) for row in rows])
    np.testing.assert_allclose(found[:, :-2], terms, atol=1e-9)
    by_part = evaluation.parts(model, x)
    np.testing.assert_allclose(found[:, 1:7].sum(axis=1), by_part.first_order, atol=5e-4)
    np.testing.assert_allclose(found[:, 7:22].sum(axis=1), by_part.second_order, atol=5e-4)
    np.testing.assert_allclose(found[:, 22], by_part.deep, atol=5e-4)
    np.testing.assert_allclose(found[:, 23], evaluation.predict(model, x), atol=5e-4)
    np.testing.assert_allclose(found[:, 24], by_part.bias + by_part.first_order, atol=5e-4)
    assert by_part.std().drop("bias").min() > 0.1  # every part has something to say

    terms = [anatomy.terms(model, f) for f in fields]
    outputs = [*(t.weight for t in terms), *(t.vector for t in terms)]
    probe = evaluation._outputs(type(model)(model.inputs, outputs), x)
    first, vectors = (np.concatenate(some, axis=1) for some in (probe[:6], probe[6:]))
    pairs = np.einsum("nik,njk->nij", vectors, vectors)[:, *np.triu_indices(len(fields), 1)]
    np.testing.assert_allclose(found[:, 1:7], first, atol=5e-4)
    np.testing.assert_allclose(found[:, 7:22], pairs, atol=5e-4)


def test_javascript_and_numpy_agree_on_the_model_that_makes_the_lists(case):
    *_, exported, page = case
    lists, rng = exported["lists"], np.random.default_rng(1)
    names = [f["name"] for f in lists["fields"]]
    rows = [
        [[int(i) for i in rng.integers(1, f["rows"], 2)] if f["name"] == "genre" else int(rng.integers(f["rows"]))
         for f in lists["fields"]] for _ in range(200)
    ]  # fmt: skip
    found = np.array(page.evaluate(SCORE, [rows, True]))
    np.testing.assert_allclose(found[:, :-2], [form.terms(lists, row) for row in rows], atol=1e-9)
    assert (found[:, :-2].std(axis=0)[[1, 7, -1]] > 0.001).all()

    tastes = [[], [3], [3, 40, 77]]
    own = names.index("taste")
    mixed = page.evaluate(LISTED, [[t, *row[:own], *row[own + 1 :]] for t in tastes for row in rows])
    expected = [
        form.terms(lists, [*row[:own], [i + 1 for i in t] or 0, *row[own + 1 :]]).sum()
        for t in tastes
        for row in rows
    ]
    np.testing.assert_allclose(mixed, expected, atol=1e-9)


@pytest.mark.parametrize("likes", [[], [3], [3, 40, 77]])
def test_someone_new_is_the_mixture_that_the_two_sides_make(case, likes):
    data, model, fields, train, exported, page = case
    sides = recommending.TwoSides(model, data, fields, train)
    traits = {"gender": "F", "age": 25}  # no occupation: the average
    ids = {f.name: f.vocabulary.index(traits[f.name]) + 1 if f.name in traits else 0 for f in fields[2:5]}
    side = sides.new_user(traits, sides.films.mid.iloc[likes].tolist(), noise=exported["error"])
    found = page.evaluate(NEW_USER, [ids, likes])
    np.testing.assert_allclose(found, sides.scores(side)[0], atol=1e-3)


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
    exported = live.export(model, fields, data, train, tmp_path / "model.js", error=0.8)
    page = browser.new_page()
    page.set_content('<div id="live" hidden></div>')
    for script in (tmp_path / "model.js", form.FORWARD, form.PAGE):
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
        rows = [films["values"]["year"][film], taste, film + 1, people["values"]["age"][0], people["row"][0]]
        return form.terms(exported, rows).sum()

    value = page.locator(".live-term th", has_text="taste").first
    assert shown() == pytest.approx(expected(people["values"]["taste"][0], film), abs=0.0006)
    assert shown() == pytest.approx(sides.scores(people["uid"][:1])[0, film], abs=0.0006)
    page.locator("#live-of-taste").select_option(["0", "1", "3"])
    assert shown() == pytest.approx(expected([1, 3], film), abs=0.0006)
    assert exported["fields"][1]["values"][0] in value.inner_text()
    assert exported["fields"][1]["values"][2] in value.inner_text()
    page.locator("#live-of-taste").select_option("0")
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


def _exported(html) -> dict:
    text = (html / "_static" / "live" / "model.js").read_text(encoding="utf-8")
    return json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))


def _number(text: str) -> float:
    return float(text.replace("−", "-").replace("+", ""))


def _wrong(page) -> list[str]:
    """What went wrong, without requests that end because the page is loaded again."""
    return [problem for problem in page.problems if not problem.startswith("failed: ")]


def _ten(page) -> list[str]:
    return page.locator(".live-ten .live-title").all_inner_texts()


def test_the_page_shows_the_terms_of_the_stored_model(live_page, html):
    exported = _exported(html)
    people, films = exported["people"], exported["films"]
    film = int(np.argmax(films["rows"]))
    terms = form.terms(
        exported,
        [
            people["row"][0],
            film + 1,
            *(people["values"][n][0] for n in ("gender", "age", "occupation")),
            films["values"]["genre"][film],
        ],
    )
    shown = live_page.locator(".live-term .live-number > span:first-child").all_text_contents()
    np.testing.assert_allclose([_number(t) for t in shown], terms.iloc[1:-1], atol=0.00051)
    assert live_page.locator(".live-total strong").inner_text() == f"{terms.sum():.3f} stars"
    assert live_page.locator(".live-term .live-number a").count() == 21


def test_one_feature_moves_its_weight_its_pairs_and_the_deep_part(live_page):
    select = live_page.locator("#live-of-occupation")
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
    places = []
    for user in ("0", "1", "2", "3"):
        live_page.locator("#live-user").select_option(user)
        places.append({title: place for place, title in enumerate(_ten(live_page))})
    for one in places:
        for other in places:  # what is left out differs; the order does not
            assert sorted(one.keys() & other, key=one.get) == sorted(one.keys() & other, key=other.get)
    assert max(len(one.keys() & other) for i, one in enumerate(places) for other in places[:i]) > 1
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
    live_page.locator(".live-choose").nth(2).click()
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
        page.locator("#live-of-occupation").select_option(index=3)
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
    live_page.locator(".live-choose").nth(2).click()
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
    assert live_page.locator("#live-user").input_value() == "2"
    assert not live_page.locator("#live-on-deep").is_checked()
    user = live_page.locator("#live-user option:checked").inner_text().partition(",")[0]
    film = live_page.locator("#live-film").input_value()
    assert f"for {user} and {film}" in live_page.locator(".live-total").inner_text()
    assert "Without" in live_page.locator(".live-story").inner_text()


def test_a_true_rating_stands_beside_the_prediction_where_there_is_one(live_page):
    rated = live_page.locator(".live-ten li").filter(has_text="rated")
    users = live_page.locator("#live-user option").count() - 1
    for user in range(users):
        live_page.locator("#live-user").select_option(str(user))
        if rated.count():
            break
    stars = rated.first.locator(".live-rated").inner_text().removeprefix("rated ")
    rated.first.locator(".live-choose").click()
    assert live_page.locator(".live-true th").is_visible()
    assert live_page.locator(".live-true .live-of").first.inner_text() == stars
    assert "held out" in live_page.locator(".live-true th").inner_text()


def test_the_list_is_that_of_the_second_model_without_what_was_rated_in_training(live_page, html):
    exported = _exported(html)
    lists, people, films = exported["lists"], exported["people"], exported["films"]
    for person in (0, 3):
        live_page.locator("#live-user").select_option(str(person))
        scores = []
        for film, rows in enumerate(films["rows"]):
            of = {
                "mid": film + 1,
                "genre": films["values"]["genre"][film],
                "taste": len(films["title"]) + 1 + person,
            }
            of |= {name: people["values"][name][person] for name in ("gender", "age", "occupation")}
            score = form.terms(lists, [of[f["name"]] for f in lists["fields"]]).sum()
            seen = str(film) in people["ratings"][person]["train"]
            scores.append(-np.inf if seen or not rows else score)
        best = np.argsort(-np.array(scores), kind="stable")[:10]
        assert _ten(live_page) == [films["title"][i] for i in best]


def test_a_film_marked_as_seen_leaves_the_lists_until_the_mark_is_taken_back(visit):
    with visit("book/live.html") as page:
        ten = _ten(page)
        marks = page.locator("ol[aria-label*='person A'] .live-mark")
        marks.nth(1).focus()
        page.keyboard.press("Enter")
        assert _ten(page)[:9] == [ten[0], *ten[2:]]
        assert page.evaluate("document.activeElement === document.querySelectorAll('.live-mark')[1]")
        page.locator("#live-seen").fill(ten[0])
        assert _ten(page)[:8] == ten[2:]
        page.locator("#live-two").check()
        page.locator("#live-user-b").select_option("-1")
        assert not {ten[0], ten[1]} & set(_ten(page))

        page.goto(page.url.partition("#")[0])  # later, without the address: the browser remembers
        page.reload()
        assert _ten(page)[:8] == ten[2:]
        page.get_by_role("button", name="Start again").click()
        assert _ten(page)[:8] == ten[2:]
        for title in ten[:2]:
            page.get_by_role("button", name=f"not seen: {title}").press("Enter")
        assert _ten(page) == ten
        page.reload()
        assert _ten(page) == ten
        assert _wrong(page) == []


def test_films_that_someone_new_names_are_not_listed(live_page):
    live_page.locator("#live-user").select_option("-1")
    ten = _ten(live_page)
    live_page.locator("#live-like").fill(ten[4])
    assert ten[4] not in _ten(live_page)
    assert _ten(live_page) != [
        *ten[:4],
        *ten[5:],
        _ten(live_page)[-1],
    ]  # the taste has changed the order, too


def test_two_people_stand_side_by_side_and_the_page_tells_what_differs(live_page):
    total = live_page.locator(".live-total strong")
    alone = []
    for user in ("4", "0"):
        live_page.locator("#live-user").select_option(user)
        alone.append((total.first.inner_text(), _ten(live_page)))
    live_page.locator("#live-two").focus()
    live_page.keyboard.press("Space")
    live_page.locator("#live-user-b").select_option("4")
    assert total.all_inner_texts() == [alone[1][0], alone[0][0]]
    assert _ten(live_page) == [*alone[1][1], *alone[0][1]]
    gap = _number(alone[0][0].split()[0]) - _number(alone[1][0].split()[0])
    story = live_page.locator(".live-story").inner_text()
    assert f"{abs(gap):.2f} stars {'less' if gap < 0 else 'more'} than A" in story

    rows = live_page.locator(".live-term").filter(has=live_page.locator(".live-moved:not(:empty)"))
    gaps = []
    for row in rows.all():
        a, b = (_number(text) for text in row.locator(".live-of").all_inner_texts())
        gaps.append(b - a)
        told = row.locator(".live-moved").inner_text()
        assert re.fullmatch(r"▲ \+[0-9.]+|▼ −[0-9.]+|[▲▼] < 0.001", told)
        assert "<" in told or _number(told[2:]) == pytest.approx(b - a, abs=0.0016)
    assert f"{max(map(abs, gaps)):.2f}" in story

    both = set(alone[0][1]) & set(alone[1][1])
    assert f"On both lists: {len(both)} of ten films." in live_page.locator(".live-common").inner_text()
    for item in live_page.locator(".live-ten li").all():
        there = item.locator(".live-title").inner_text().removeprefix("▸ ") in both
        assert there == (item.get_attribute("class") == "")
        assert there == bool(re.search("[AB]: [0-9]", item.locator(".live-rated").text_content()))
    assert live_page.locator(".live-lane-B:visible").count() > 20

    live_page.locator("#live-two").uncheck()
    assert total.first.inner_text() == alone[1][0]
    assert live_page.locator(".live-lane-B:visible").count() == 0
    assert _ten(live_page) == alone[1][1]


def _everything(page) -> list:
    return [*_controls(page), *page.locator(".live-number").all_text_contents(), *_ten(page)]


def test_an_address_brings_back_all_that_was_chosen(visit):
    with visit("book/live.html") as page:
        page.locator("#live-user").select_option("-1")
        page.locator("#live-of-age").select_option("3")
        for title in _ten(page)[:2]:
            page.locator("#live-like").fill(title)
        page.locator("#live-two").check()
        page.locator("#live-user-b").select_option("5")
        page.locator("#live-of-gender-b").select_option("0")
        page.locator(".live-choose").nth(3).click()
        page.locator(".live-mark").nth(6).click()
        page.locator("#live-on-pairs").uncheck()
        address = page.locator("#live-address").input_value()
        assert address == page.url
        assert "data=" in address
        page.reload()  # a line on what has just changed is not part of an address
        before = _everything(page)
        assert _wrong(page) == []
    with visit(f"book/live.html#{address.partition('#')[2]}") as page:
        assert _wrong(page) == []
        assert _everything(page) == before
        own = page.evaluate("Object.keys(localStorage).filter(key => key.startsWith('deepfm-seen'))")
        assert own == []  # whoever opens the address keeps their own marks
        page.get_by_role("button", name="Start again").click()
        assert "#" not in page.url
        page.evaluate("hash => { location.hash = hash; }", address.partition("#")[2])
        page.wait_for_function("document.querySelector('#live-two').checked")
        assert _everything(page) == before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("data=", "data=0"), "made with other data"),
        (("film=", "film=9"), "film=9"),
        (("film=", "film=x"), "film=x"),
        (("&film=", "&flim="), "film="),
        (("A=", "A=99"), "A=99"),
        (("film=", "B=nobody&film="), "B=nobody"),
        (("film=", "A-age=77&film="), "A-age=77"),
        (("film=", "A.likes=1&film="), "A.likes=1"),
        (("film=", "without=head&film="), "without=head"),
        (("film=", "seen=1.-2&film="), "seen=1.-2"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_and_the_page_begins_as_usual(visit, change, says):
    with visit("book/live.html") as page:
        usual = _everything(page)
        page.goto(page.locator("#live-address").input_value().replace(*change))
        page.reload()
        warning = page.locator(".live-warning")
        assert "The address cannot be used: " in warning.inner_text()
        assert says in warning.inner_text()
        assert _everything(page) == usual
        page.locator("#live-user").select_option("1")
        assert warning.inner_text() == ""
        assert _wrong(page) == []


def test_a_place_on_the_page_is_no_address_of_a_state(visit):
    with visit("book/live.html#things-to-try") as page:
        assert page.locator(".live-warning").inner_text() == ""
        page.locator("#live-user").select_option("3")
        page.evaluate("location.hash = 'how-to-read-it'")
        page.wait_for_timeout(50)
        assert page.locator("#live-user").input_value() == "3"
        assert _wrong(page) == []


def test_the_address_is_copied_by_keyboard_or_selected_where_the_browser_forbids_that(visit):
    with visit("book/live.html", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("button", name="Copy").press("Enter")
        page.get_by_text("Copied.").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == page.locator("#live-address").input_value()
        page.evaluate(
            "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('forbidden')); }"
        )
        page.get_by_role("button", name="Copy").press("Enter")
        page.get_by_text("The address is selected").wait_for()
        selected = (
            "(({id, value, selectionStart, selectionEnd}) => [id, value.slice(selectionStart, selectionEnd)])"
        )
        address = page.locator("#live-address").input_value()
        assert page.evaluate(f"{selected}(document.activeElement)") == ["live-address", address]


def test_the_page_works_from_a_file(browser, html):
    context = browser.new_context()
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((html / "book" / "live.html").as_uri())
    page.locator("#live-two").check()
    page.locator(".live-mark").first.click()
    ten, address = _ten(page), page.locator("#live-address").input_value()
    other = context.new_page()
    other.goto(address)
    assert _ten(other) == ten
    assert other.locator("#live-two").is_checked()
    assert wrong == []
    context.close()


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
