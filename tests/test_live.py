"""What the script of the page "The model, live" holds, and what it must not hold."""

import ast
import json
from dataclasses import replace

import nbformat
import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import (
    anatomy,
    clicks,
    datasets,
    evaluation,
    features,
    models,
    neighbours,
    plots,
    ranking,
    recommending,
    training,
)
from deepfm_helpers import live as form
from deepfm_helpers.press import live
from deepfm_helpers.press.checkout import HERE, Checkout


def made(data, fields=None, **options):
    """A DeepFM with random weights everywhere, its fields, and nine tenths of the ratings."""
    fields = features.describe(data) if fields is None else fields
    model = models.deep_fm_model(features=fields, **{"dnn_dim": (8, 4), "k": 4} | options)[-1]
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.4, w.shape) for w in model.get_weights()])
    joined = datasets.join(data.ratings, data.movies, data.users)
    return model, fields, features.split_rows(joined, 0.1, seed=1)[0]


def read(path) -> dict:
    """What a script file assigns."""
    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"window.{form.NAME} = {{")
    return json.loads(text.partition(" = ")[2].rstrip().removesuffix(";"))


@pytest.fixture(scope="module")
def data():
    """Ratings of few users and many films, so that some films have no training row."""
    return datasets.planted(n_users=70, n_movies=120, n_ratings=800, seed=3)


@pytest.fixture(scope="module")
def trained(data):
    return made(data)


@pytest.fixture(scope="module")
def ranker(data, trained):
    return live.ranker(data, trained[2], seed=1, epochs=1)


@pytest.fixture
def export(data, trained, tmp_path):
    """A function that exports the model as one of this data, or of the given data, and reads it back."""

    def export(data=data, **options):
        model, fields, train = trained
        returned = live.export(model, fields, data, train, tmp_path / "model.js", error=0.9, **options)
        assert read(tmp_path / "model.js") == json.loads(json.dumps(returned))
        return returned

    return export


def test_the_tables_of_the_script_are_those_of_the_model(data, trained, export):
    model, fields, train = trained
    exported = export()
    users = np.sort(train.uid.unique())
    films = np.sort(data.movies.mid)
    warm = np.isin(films, train.mid)
    assert 0 < warm.sum() < len(films)
    for field, f in zip(exported["fields"], fields, strict=True):
        for key, layer in zip("wv", anatomy.tables(model, f), strict=True):
            table = layer.get_weights()[0].astype(float)
            found = form.decode(field[key], field["rows"], -1)
            ids = f.encode(train)
            there = (ids > 0)[..., None]
            near = {"atol": field[key]["step"] * 0.51, "rtol": 0}
            average = ((table[ids] * there).sum(axis=1) / there.sum(axis=1)).mean(axis=0)
            if f.name == "mid":
                np.testing.assert_allclose(found[1:][warm], table[films[warm]], **near)
                np.testing.assert_allclose(found[1:][~warm], np.tile(average, ((~warm).sum(), 1)), **near)
            else:
                known = table[users if f.name == "uid" else slice(1, None)]
                np.testing.assert_allclose(found[1:], known, **near)
            np.testing.assert_allclose(found[0], average, **near)
            assert near["atol"] < 5e-5
    for layer, trained_layer in zip(exported["network"], anatomy.network(model), strict=True):
        kernel, bias = trained_layer.get_weights()
        for array, found in ((kernel, layer["kernel"]), (bias, layer["bias"])):
            np.testing.assert_allclose(
                form.decode(found, *array.shape), array, atol=found["step"] * 0.51, rtol=0
            )


def test_the_terms_add_up_to_the_score_of_the_model_and_of_its_two_sides(data, trained, export):
    model, fields, train = trained
    exported = export()
    people, films = exported["people"], exported["films"]
    scores = recommending.TwoSides(model, data, fields, train).scores(people["uid"])
    for person, film in [(0, 0), (3, 50), (9, 119)]:
        of = {"uid": people["row"][person], "mid": film + 1}
        names = [f["name"] for f in exported["fields"]]
        of |= {name: some[person] for name, some in people["values"].items()}
        of |= {name: some[film] for name, some in films["values"].items()}
        rows = [of[n] for n in names]
        terms = form.terms(exported, rows)
        assert len(terms) == 1 + 6 + 15 + 1
        assert terms.sum() == pytest.approx(scores[person, film], abs=5e-4)


def test_of_real_data_no_rating_and_few_people_leave(data, ranker, export):
    real = export(replace(data, truth=None), lists=ranker)
    assert set(real["people"]) == {"uid", "row", "values"}
    assert set(real["people"]["values"]) == {"gender", "age", "occupation"}
    columns = real["people"] | real["people"]["values"]
    del columns["values"]
    assert all(len(column) == live.PEOPLE < 100 for column in columns.values())
    assert set(real["films"]) == {"title", "rows", "values"}
    assert set(real["films"]["values"]) == {"genre"}
    assert set(real) == {
        "dataset", "fingerprint", "seed", "error", "w0", "fields", "network", "films", "people", "lists", "task",
        "range", "words", "notes",
    }  # fmt: skip
    assert set(real["lists"]) == {"recall", "popular", "w0", "fields", "network"}
    rows = {f["name"]: f["rows"] for f in real["lists"]["fields"]}
    assert (
        rows["taste"] == 1 + len(data.movies) + live.PEOPLE
    )  # the films', and those of the people described
    assert "uid" not in rows
    assert real["people"]["uid"] == export(replace(data, truth=None))["people"]["uid"]
    assert real["people"]["uid"] != export(replace(data, truth=None), seed=5)["people"]["uid"]


def test_only_people_with_many_rows_are_described_and_their_tastes_are_rounded(data, trained, ranker, export):
    """So that a person's taste, a sum over the films liked, does not tell which films they are."""
    exported = export(lists=ranker)
    rows = trained[2].groupby("uid").size()
    assert (rows[exported["people"]["uid"]] >= rows.median()).all()
    (taste,) = [f for f in exported["lists"]["fields"] if f["name"] == "taste"]
    both = np.column_stack([form.decode(taste["w"], -1), form.decode(taste["v"], -1, taste["k"])])
    of_films, of_people = both[1 : 1 + len(data.movies)], both[1 + len(data.movies) :]
    values = [len(np.unique(column)) for column in of_people.T]
    assert 2 < np.mean(values) < max(values) < 9  # of thirty people
    assert min(len(np.unique(column)) for column in of_films.T) > 20


@pytest.mark.parametrize("liked", [[5], [3, 40, 77]])
def test_the_taste_of_named_films_gives_the_scores_of_the_model_of_likes(
    data, trained, ranker, export, liked
):
    train, lists = trained[2], export(lists=ranker)["lists"]
    mids, taste = np.sort(data.movies.mid), ranker.fields[-1]
    likes = train[train.rating >= ranking.LIKED]
    someone = pd.DataFrame({"uid": data.users.uid.max() + 1, "mid": mids[liked]})
    table = neighbours.taste(data, likes, 8, 1, others=someone).table
    full = taste.table.copy()
    full[-1] = table[-1]
    model = type(ranker.model).from_config(ranker.model.get_config())
    model.set_weights(ranker.model.get_weights())
    for layer in anatomy.tables(model, taste):
        layer.table.assign(full)
    warm = np.flatnonzero(np.isin(mids, train.mid))
    pairs = datasets.join(
        pd.DataFrame({"uid": data.users.uid.iloc[0], "mid": mids[warm], "rating": 0.0}),
        data.movies,
        data.users,
    )
    x = [
        np.full((len(warm), 1), len(full) - 1) if f.name == "taste" else f.encode(pairs)
        for f in ranker.fields
    ]
    expected = evaluation.predict(model, x)

    ids = dict(zip([f.name for f in ranker.fields], x, strict=True))
    found = []
    for i, film in enumerate(warm):
        of = {f: row[i][row[i] > 0].tolist() for f, row in ids.items()}
        of |= {"mid": film + 1, "taste": [j + 1 for j in liked]}
        found.append(form.terms(lists, [of[f["name"]] for f in lists["fields"]]).sum())
    assert np.std(expected) > 0.02
    np.testing.assert_allclose(found, expected, atol=0.1 * np.std(expected))


def test_the_model_of_likes_is_that_of_chapter_12(data, trained):
    """The chapter's own functions, executed on this data, train the same model."""
    train = trained[2]
    cells = nbformat.read(HERE.notebooks / "12_recommending.ipynb", as_version=4).cells
    wanted = [
        ast.unparse(node)
        for cell in cells
        if cell.cell_type == "code" and ("def of_likes" in cell.source or "def trained" in cell.source)
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef)
    ]
    mids = np.sort(data.movies.mid)
    names = {
        "data": data, "seed": 1, "epochs": 1, "k": 8, "fields": features.describe(data), "films": mids,
        "named": pd.DataFrame({"uid": data.users.uid.max() + 1 + np.arange(len(mids)), "mid": mids}),
        "features": features, "models": models, "training": training, "ranking": ranking, "neighbours": neighbours,
    }  # fmt: skip
    exec("\n".join(wanted), names)  # noqa: S102
    *_, theirs = names["of_likes"](train)
    ours = live.ranker(data, train, seed=1, epochs=1).model
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_the_lists_are_measured_on_rows_held_out(data, trained, ranker):
    train = trained[2]
    held = datasets.join(data.ratings, data.movies, data.users).drop(train.index)
    found = live.measured(ranker, data, train, held)
    users = np.unique(train.uid)
    popular = recommending.TwoSides(ranker.model, data, ranker.fields, train).counts
    shares = []
    for uid in users:
        liked = set(held.mid[(held.uid == uid) & (held.rating >= ranking.LIKED)])
        open_ = ~np.isin(np.sort(data.movies.mid), train.mid[train.uid == uid]) & (popular > 0)
        order = np.argsort(-np.where(open_, popular, -1), kind="stable")[:10]
        if liked:
            shares.append(len(liked & set(np.sort(data.movies.mid)[order])) / len(liked))
    assert found.popular == pytest.approx(np.mean(shares))
    assert 0 < found.recall < 1


def test_planted_people_come_with_their_ratings(data, trained, export):
    train = trained[2]
    people = export()["people"]
    mids = np.sort(data.movies.mid)
    for uid, ratings in zip(people["uid"], people["ratings"], strict=True):
        own = data.ratings[data.ratings.uid == uid]
        both = ratings["train"] | ratings["test"]
        assert {int(mids[film]): stars for film, stars in both.items()} == dict(
            zip(own.mid, own.rating, strict=True)
        )
        assert len(ratings["train"]) == (train.uid == uid).sum()


def test_the_script_for_movielens_1m_stays_below_two_megabytes(tmp_path):
    data = datasets.planted(n_users=6040, n_movies=3952, n_ratings=60_000)
    data = replace(data, truth=None)
    options = live.RECIPE["model"]
    model, fields, train = made(data, k=options["k"], dnn_dim=options["dnn_dim"])
    assert options["k"] == 16
    taste = np.zeros((6041 + 3952, 250), "f4")
    known = features.Feature("taste", "known", "uid", len(taste) - 1, table=taste, owner="user")
    own = [*(f for f in fields if f.name != "uid"), known]
    lists = live.Ranker(models.deep_fm_model(features=own, k=32, dnn_dim=(64, 32))[-1], own, 0.1, 0.1)
    live.export(model, fields, data, train, tmp_path / "model.js", error=0.9, lists=lists)
    assert 900_000 < (tmp_path / "model.js").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("fields", "options", "says"),
    [
        (None, {"head": "dense"}, "head = 'dense'"),
        (None, {"deep_activation": "relu"}, "deep_activation = 'relu'"),
        (None, {"parts": ("first_order", "second_order")}, "the model has no deep"),
        (("uid", "genre"), {}, "lacks mid"),
        ("sum", {}, "pooling 'sum'"),
        ("ids", {}, "field gender has no vocabulary"),
    ],
)
def test_a_model_that_the_page_cannot_compute_is_refused(data, tmp_path, fields, options, says):
    if fields == "sum":
        fields = features.describe(data, pooling="sum")
    elif fields == "ids":
        fields = [replace(f, vocabulary=None) for f in features.describe(data)]
    else:
        fields = features.describe(data, fields) if fields else features.describe(data)
    model, fields, train = made(data, fields, **options)
    with pytest.raises(ValueError, match=says):
        form.check(model, fields)
    with pytest.raises(ValueError, match=says):
        live.export(model, fields, data, train, tmp_path / "model.js", error=0.9)
    assert not (tmp_path / "model.js").exists()


def test_a_number_is_measured_from_the_mean_of_the_training_rows(data, tmp_path):
    model, fields, train = made(data, features.describe(data, ("uid", "mid", "user_fea3")), numeric_bias=True)
    exported = live.export(model, fields, data, train, tmp_path / "model.js", error=0.9)
    number = exported["fields"][2]
    assert (number["kind"], number["spread"]) == ("numeric", 1.0)
    assert number["mean"] == pytest.approx(train.occupation.mean())
    scores = recommending.TwoSides(model, data, fields, train).scores(exported["people"]["uid"])
    codes = exported["people"]["values"]["user_fea3"]
    for person in (0, 5, 29):
        rows = [exported["people"]["row"][person], 51, codes[person]]
        assert form.terms(exported, rows).sum() == pytest.approx(scores[person, 50], abs=5e-3)
    average = form.terms(exported, [0, 0, None])
    assert average.equals(form.terms(exported, [0, 0, number["mean"]]))
    slope, start = (w.ravel()[0] for w in anatomy.tables(model, "user_fea3").first.get_weights())
    assert average["user_fea3"] == pytest.approx(slope * number["mean"] + start, abs=1e-3)


def test_the_terms_of_a_model_of_clicks_add_up_to_log_odds(data, tmp_path):
    joined = datasets.join(data.ratings, data.movies, data.users)
    answers = clicks.of(joined)
    model, fields, _ = made(data, task="click", mean_rating=0.6)
    exported = live.export(model, fields, data, answers, tmp_path / "model.js", error=0.5)
    assert exported["task"] == "click"
    assert exported["words"]["unit"] == " log-odds"
    people, films, mids = exported["people"], exported["films"], np.sort(data.movies.mid)
    answered = answers[answers.uid.isin(people["uid"])].head(50)
    predicted = evaluation.predict(model, [f.encode(answered) for f in fields])
    for (_, row), probability in zip(answered.iterrows(), predicted, strict=True):
        person, film = people["uid"].index(row.uid), int(np.searchsorted(mids, row.mid))
        of = {"uid": people["row"][person], "mid": film + 1}
        of |= {name: some[person] for name, some in people["values"].items()}
        of |= {name: some[film] for name, some in films["values"].items()}
        score = form.terms(exported, [of[f.name] for f in fields]).sum()
        assert 1 / (1 + np.exp(-score)) == pytest.approx(probability, abs=2e-4)
        assert people["ratings"][person]["train"][film] == row.rating
    assert {stars for one in people["ratings"] for stars in one["train"].values()} == {0, 1}


def test_a_recipe_of_clicks_makes_the_page_of_clicks(data, tmp_path):
    options = {"training": {"epochs": 1}, "model": {"task": "click"}}
    exported = live.train_and_export(
        data, tmp_path / "model.js", recipe=live.recipes.changed(live.RECIPE, options)
    )
    answers = clicks.of(datasets.join(data.ratings, data.movies, data.users))
    assert exported["task"] == "click"
    assert sum(exported["films"]["rows"]) == round(0.9 * len(answers))
    assert 0.3 < exported["error"] < 1
    assert 0 < exported["lists"]["recall"] < 1
    assert f"log-loss of the first is {exported['error']:.3f} nats" in exported["notes"]["model"]


@pytest.mark.parametrize(("bits", "within"), [(8, 0.5 * 3 / 127), (16, 0.5 * 3 / 32767), (32, 1e-7)])
def test_an_array_comes_back_to_its_bits(bits, within):
    array = np.array([[3.0, -0.1], [0.7, -2.9]], "f4")
    encoded = form.encode(array, bits)
    np.testing.assert_allclose(form.decode(encoded, 2, 2), array, rtol=0, atol=within * 1.001)
    assert len(encoded["data"]) == 4 * -(-4 * bits // 8 // 3)
    assert form.decode(form.encode(np.zeros(3), bits), 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="not finite"):
        form.encode(np.array([1.0, np.nan]), bits)


def test_training_measures_rows_that_it_has_not_seen(data, tmp_path):
    recipe = live.recipes.changed(live.RECIPE, {"training": {"epochs": 1}})
    exported = live.train_and_export(data, tmp_path / "model.js", seed=2, recipe=recipe)
    assert exported["fields"][0]["k"] == 16
    assert sum(exported["films"]["rows"]) == round(0.9 * len(data.ratings))
    assert 0.5 < exported["error"] < 2
    assert 0 < exported["lists"]["recall"] < 1
    assert exported["seed"] == 2


def test_the_waterfall_begins_at_the_constant_and_ends_at_the_score(export, tmp_path):
    live.draw(export(), tmp_path / "waterfall.svg")
    svg = (tmp_path / "waterfall.svg").read_text()
    assert svg.rstrip().endswith("</svg>")
    assert "<dc:date>" not in svg
    assert "<image" not in svg
    terms = form.terms(export(), [1, 1, 1, 1, 1, [1, 2]])
    ax = plots.waterfall(terms)
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert bars[0][0] == pytest.approx(terms["w0"])
    assert all(end == pytest.approx(begin) for (_, end), (begin, _) in zip(bars, bars[1:], strict=False))
    assert bars[-1][1] == pytest.approx(terms.sum())


def test_the_small_waterfall_shows_all_pairs_as_one_bar(export, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "waterfall", lambda bars, ax: drawn.append(bars) or ax)
    exported = export()
    film = int(np.argmax(exported["films"]["rows"]))
    exported["people"]["ratings"][0]["test"] = {film: 4}
    live.draw(exported, tmp_path / "summary.svg", small=True)
    names = ["constant", "user", "film", "gender", "age", "occupation", "genre", "15 pairs", "deep"]
    assert drawn[0].index.tolist() == names
    svg = (tmp_path / "summary.svg").read_text()
    assert f"user {exported['people']['uid'][0]}, {exported['films']['title'][film]}" in svg
    assert "held-out rating: 4" in svg


def test_the_stored_script_belongs_to_the_planted_data_of_today(tmp_path):
    path = HERE.root / live.PLACE
    stored = read(path)
    data = datasets.planted(**live.STORED)
    assert stored["fingerprint"] == data.provenance.fingerprint, "run `python -m deepfm_helpers.press live`"
    assert path.stat().st_size < 150_000
    model, fields, train = made(data, **{name: live.RECIPE["model"][name] for name in ("k", "dnn_dim")})
    lists = live.ranker(data, train, seed=1, epochs=1)._replace(recall=0.5, popular=0.5)
    options = {"error": 0.9, "lists": lists, "seed": stored["seed"]}
    fresh = live.export(model, fields, data, train, tmp_path / "model.js", **options)
    assert _shape(stored) == _shape(json.loads(json.dumps(fresh)))
    truth = evaluation.baselines(train, train).rmse["global mean"]
    assert stored["error"] < truth


def _shape(value):
    """Keys and lengths, without the numbers."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items() if key != "ratings"}
    return len(value) if isinstance(value, (list, str)) else type(value)


def test_a_build_trains_the_model_of_the_page_once(tmp_path):
    here, cache = Checkout(tmp_path), tmp_path / "cache"
    here.package.mkdir()
    (here.package / "__init__.py").touch()
    toc = tmp_path / "_toc.yml"
    toc.write_text("format: jb-book\nroot: book/intro\n")
    small, other = (datasets.planted(60, 80, 2000, seed=seed) for seed in (1, 2))
    assert live.script(here, small, cache) is None
    toc.write_text("format: jb-book\nroot: book/intro\nchapters:\n- file: book/live\n")
    first = live.script(here, small, cache)
    made = first.stat().st_mtime_ns
    assert live.script(here, small, cache) == first
    assert first.stat().st_mtime_ns == made
    assert live.script(here, other, cache) != first
    assert not first.exists()


def several(data):
    """The data with tastes: a multi-valued field of the user; and a film whose title holds no year."""
    tastes = [["Old|Odd", "New", "Odd", ""][i % 4] for i in range(len(data.users))]
    movies = data.movies.assign(movie_name=["Untitled", *data.movies.movie_name[1:]])
    data = replace(data, users=data.users.assign(tastes=tastes), movies=movies)
    taste = features.Feature("taste", "multi", "tastes", owner="user").described(data.users)
    year, age, uid, mid = features.describe(data, ("year", "age", "uid", "mid"))
    return data, [year, taste, mid, age, uid]


def test_any_field_of_the_user_or_the_film_is_looked_up(data, tmp_path):
    """In any order; a film whose year nobody knows has the model's own row for that, and not the average."""
    data, fields = several(data)
    model, fields, train = made(data, fields)
    exported = live.export(model, fields, data, train, tmp_path / "model.js", error=0.9)
    assert [(f["name"], f["side"]) for f in exported["fields"]] == [
        ("year", "film"), ("taste", "user"), ("mid", "film"), ("age", "user"), ("uid", "user"),
    ]  # fmt: skip
    people, films = exported["people"], exported["films"]
    assert exported["fields"][0]["values"] == [*fields[0].labels(), "unknown"]
    assert films["values"]["year"][0] == fields[0].size + 1
    assert sorted(exported["fields"][1]["values"]) == ["new", "odd", "old"]
    scores = recommending.TwoSides(model, data, fields, train).scores(people["uid"])
    for person in (0, 1, 2, 3, 25):
        for film in (0, 1, 119):
            rows = [
                films["values"]["year"][film],
                *(people["values"]["taste"][person], film + 1, people["values"]["age"][person]),
                people["row"][person],
            ]  # fmt: skip
            assert form.terms(exported, rows).sum() == pytest.approx(scores[person, film], abs=5e-4)
    live.draw(exported, tmp_path / "waterfall.svg")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (
            features.Feature("day", "single", "timestamp", 5, tuple("abcde")),
            "day belongs to the single rating",
        ),
        (
            features.Feature("rated", "known", "uid", 40, table=np.ones((41, 2)), owner="user"),
            "field rated has no table of vectors",
        ),
        ("wide", "field gender has no table of vectors"),
        ("cross", "field gender_x_age has no vocabulary"),
    ],
)
def test_fields_that_the_page_cannot_ask_for_are_refused(data, field, says):
    fields = list(features.describe(data))
    if field == "wide":
        fields[2] = replace(fields[2], wide=True)
    elif field == "cross":
        fields.append(replace(features.cross(fields[2], fields[3]), pooling="mean"))
    else:
        fields.append(field)
    *_, model = models.deep_fm_model(features=fields)
    with pytest.raises(ValueError, match=says):
        form.check(model, fields)
