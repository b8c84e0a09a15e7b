"""Recipes: what a change changes, and that each way of selecting a model does what it says."""

import doctest

import numpy as np
import pytest

from deepfm_helpers import anatomy, datasets, evaluation, features, models, recipes

QUICK = {
    "describe": {"fields": ("uid", "mid", "genre")},
    "model": {"k": 2, "dnn_dim": (4,), "dnn_dr": 0.0, "mean_rating": "train"},
    "split": {"held": 0.2, "by": "random"},
    "training": {"epochs": 3, "batch_size": 128, "learning_rate": 0.01, "patience": 3},
}


@pytest.fixture(scope="module")
def split():
    data = datasets.load("planted", n_users=80, n_movies=60, n_ratings=2_000, seed=3)
    joined = datasets.join(data.ratings, data.movies, data.users)
    return data, *features.split_rows(joined, 0.2, seed=1)


def test_a_change_replaces_arguments_and_leaves_the_rest():
    new = recipes.changed(models.AS_PUBLISHED, {"model": {"head": "sum"}, "selection": "refit"})
    assert new["model"]["head"] == "sum"
    assert {k: v for k, v in new["model"].items() if k != "head"} == {
        k: v for k, v in models.AS_PUBLISHED["model"].items() if k != "head"
    }
    assert new["selection"] == "refit"
    assert models.AS_PUBLISHED["model"]["head"] == "dense"
    assert "selection" not in models.AS_PUBLISHED


@pytest.mark.parametrize("name", recipes.REPAIRS)
def test_every_repair_changes_the_recipe_of_the_post(name):
    assert recipes.changed(models.AS_PUBLISHED, recipes.REPAIRS[name]) != models.AS_PUBLISHED


def test_the_repaired_recipe_holds_every_repair():
    for repair in recipes.REPAIRS.values():
        assert recipes.changed(recipes.REPAIRED, repair) == recipes.REPAIRED


def test_the_repaired_recipe_keeps_to_the_inputs_of_the_two_files():
    assert "history" not in recipes.REPAIRED


def test_the_same_seed_gives_the_same_scores(split):
    data, train, test = split
    one, same, other = (recipes.fit(QUICK, data, train, seed).predict(test) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-3
    assert one.min() >= 1
    assert one.max() <= 5


def test_members_are_what_fit_makes_of_each_seed_and_share_the_history(split, monkeypatch):
    data, train, test = split
    recipe = recipes.changed(
        recipes.FULL, {"history": {"components": 4}, "training": {"epochs": 2, "batch_size": 256}}
    )
    apart = [recipes.fit(recipe, data, train, seed).predict(test) for seed in (3, 4)]
    computed = []
    who = recipes.history.who_rated_what
    monkeypatch.setattr(recipes.history, "who_rated_what", lambda *asked: computed.append(1) or who(*asked))
    together = [fitted.predict(test) for fitted in recipes.members(recipe, data, train, (3, 4))]
    np.testing.assert_array_equal(apart, together)
    assert len(computed) == 1


def test_refit_trains_on_all_rows_for_the_epochs_that_were_best(split, monkeypatch):
    data, train, _ = split
    seen = []
    train_once = recipes._train

    def watched(recipe, data, fields, rows, *more):
        result = train_once(recipe, data, fields, rows, *more)
        seen.append((len(rows), len(result[2])))
        return result

    monkeypatch.setattr(recipes, "_train", watched)
    quick = recipes.changed(QUICK, {"training": {"epochs": 12, "learning_rate": 0.05, "patience": 2}})
    first = recipes.fit(quick, data, train, 1)
    best = int(first.history.val_rmse.argmin()) + 1
    assert best < len(first.history)
    seen.clear()
    recipes.fit(recipes.changed(quick, {"selection": "refit"}), data, train, 1)
    assert [rows for rows, _ in seen] == [round(0.8 * len(train)), len(train)]
    assert seen[1][1] == best


@pytest.mark.parametrize(
    ("section", "value"), [("selection", "test rows"), ("training", {"schedule": "zigzag"})]
)
def test_an_unknown_choice_is_refused(split, section, value):
    data, train, _ = split
    with pytest.raises(ValueError, match=r"test rows|zigzag"):
        recipes.fit(recipes.changed(QUICK, {section: value}), data, train, 1)


def test_an_unknown_selection_is_refused_before_the_first_member(split):
    data, train, _ = split
    with pytest.raises(ValueError, match="test rows"):
        recipes.members(recipes.changed(QUICK, {"selection": "test rows"}), data, train, [1, 2])


def test_the_full_recipe_learns_what_offsets_cannot(split):
    data, train, test = split
    full = recipes.changed(recipes.FULL, {"history": {"components": 8}, "training": {"epochs": 30}})
    y = test.rating.to_numpy()
    error = evaluation.rmse(y, recipes.fit(full, data, train, 1).predict(test))
    assert error < evaluation.rmse(y, np.full(len(y), train.rating.mean()))


def test_the_penalty_is_that_of_one_rating(split):
    """λ ‖table‖² on the sum of squared errors is λ/n on their mean: the loss that Keras reports holds it."""
    data, train, _ = split
    recipe = recipes.changed(QUICK, {"penalty": {"uid": 7.0, "first_order": 3.0}, "selection": "all rows"})
    fitted = recipes.fit(
        recipes.changed(recipe, {"training": {"epochs": 1, "learning_rate": 1e-9}}), data, train, 1
    )
    penalty = 0.0
    for f in fitted.fields:
        factors = 3.0, 7.0 if f.name == "uid" else f.penalty
        for factor, layer in zip(factors, anatomy.tables(fitted.model, f), strict=True):
            penalty += factor * np.sum(layer.get_weights()[0] ** 2)
    log = fitted.history.iloc[0]
    assert log.loss - log.rmse**2 == pytest.approx(penalty / len(train), rel=1e-2)


def penalties(recipe, data, rows):
    """λ for every table, as the model of a recipe gets them, and the factor of the network."""

    class Given(Exception):
        pass

    def stop(**options):
        raise Given(options["table_l2"])

    with pytest.raises(Given) as given:
        recipes.fit(recipes.changed(recipe, {"selection": "all rows"}), data, rows, 1, build=stop)
    factors = dict(given.value.args[0])
    deep = factors.pop("deep")
    return {name: round(value * len(rows), 9) for name, value in factors.items()}, deep


SIX = {
    "uid": 12.0,
    "mid": 20.0,
    "gender": 25.0,
    "age": 25.0,
    "occupation": 25.0,
    "genre": 25.0,
    "first_order": 5.0,
}
FULL = SIX | {
    "uid": 20.0, "mid": 50.0, "day": 25.0, "since_first": 25.0, "rated": 15.0, "raters": 15.0,
    "stretch_8": 60.0, "stretch_16": 60.0, "stretch_32": 60.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "expected", "deep"),
    [
        (recipes.FULL, FULL, 1e-4),
        (recipes.WITHOUT_HISTORY, SIX, 3e-4),
        (recipes.REPAIRED, SIX, 3e-4),
        (recipes.changed(models.AS_PUBLISHED, recipes.REPAIRS["a penalty for each table"]),
         {"user_fea3": 25.0, "uid": 12.0, "mid": 20.0, "genre": 25.0, "first_order": 5.0}, 3e-4),
    ],
    ids=["full", "without history", "repaired", "one repair"],
)  # fmt: skip
def test_the_recipes_of_the_book_have_these_penalties(split, recipe, expected, deep):
    if "history" in recipe:
        recipe = recipes.changed(recipe, {"history": {"components": 4}})
    assert penalties(recipe, split[0], split[1]) == (expected, deep)


def test_a_new_field_and_a_cross_bring_their_penalties(split):
    fields = {"describe": {"fields": ("uid", "gender", "age", "year")}, "crosses": [("gender", "age")]}
    asked = {"penalty": {"year": 7.0}}
    found, _ = penalties(recipes.changed(recipes.WITHOUT_HISTORY, fields, asked), *split[:2])
    assert found == {
        "uid": 12.0, "gender": 25.0, "age": 25.0, "year": 7.0, "gender_x_age": 25.0, "first_order": 5.0
    }  # fmt: skip


def test_penalties_of_all_fields_can_be_set_and_scaled(split):
    fields = {"describe": {"fields": ("uid", "mid")}}
    asked = {"penalty": {"fields": 30.0, "mid": 8.0, "times": 0.5}}
    found = penalties(recipes.changed(recipes.WITHOUT_HISTORY, fields, asked), *split[:2])
    assert found == ({"uid": 15.0, "mid": 4.0, "first_order": 2.5}, 3e-4)


@pytest.mark.parametrize("nothing", [{}, {"penalty": None}])
def test_a_recipe_without_penalty_penalises_nothing(split, nothing):
    fitted = recipes.fit(recipes.changed(QUICK, nothing, {"training": {"epochs": 1}}), *split[:2], 1)
    assert not fitted.model.losses


def test_an_unknown_name_of_a_penalty_or_section_is_refused(split):
    for change, message in (
        ({"penalty": {"zodiac": 3.0}}, "penalty: the model has no field zodiac; choose from uid, mid, genre"),
        ({"penalties": {"uid": 3.0}}, "no section penalties; choose from describe"),
    ):
        with pytest.raises(ValueError, match=message):
            recipes.fit(recipes.changed(QUICK, change), *split[:2], 1)


def test_a_recipe_with_the_year_is_fitted(split):
    data, train, test = split
    recipe = recipes.changed(QUICK, {"describe": {"fields": ("uid", "mid", "year")}})
    scores = recipes.fit(recipe, data, train, 1).predict(test)
    assert np.isfinite(scores).all()


def test_the_examples_of_the_docstrings_run():
    result = doctest.testmod(recipes)
    assert (result.failed, result.attempted >= 10) == (0, True)


def test_the_history_of_a_recipe_sees_no_validation_row(split, monkeypatch):
    data, train, _ = split
    seen, describe = [], recipes.history.describe

    def watched(data, rows, **how):
        seen.append(rows.index.tolist())
        return describe(data, rows, **how)

    monkeypatch.setattr(recipes.history, "describe", watched)
    recipes.fit(recipes.changed(QUICK, {"history": {"components": 4}}), data, train, 1)
    kept, _ = features.split_rows(train, seed=1, **QUICK["split"])
    assert seen == [kept.index.tolist()]


def test_a_recipe_of_clicks_predicts_probabilities_from_the_share_of_ones(split):
    data, *parts = split
    train, test = (rows.assign(rating=(rows.rating > 3).astype("float32")) for rows in parts)
    fitted = recipes.fit(recipes.changed(QUICK, {"model": {"task": "click"}}), data, train, 1)
    p, y = fitted.predict(test).astype("f8"), test.rating.to_numpy()
    assert fitted.range == (0, 1)
    assert list(fitted.history)[2] == "log_loss"
    base = float(train.rating.mean())
    assert -np.mean(np.log(np.where(y > 0, p, 1 - p))) < -np.mean(np.log(np.where(y > 0, base, 1 - base)))
