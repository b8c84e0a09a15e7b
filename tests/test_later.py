"""The layers of later models, each against a few lines of NumPy in float64, and the models that hold them."""

from itertools import combinations

import numpy as np
import pytest

from deepfm_helpers import anatomy, clicks, datasets, evaluation, features, later, models, recipes, training
from deepfm_helpers._keras import keras

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(7, 5, 4))
BUILDS = {"fwfm": later.fwfm(), "dcn_v2": later.dcn_v2(2), "autoint": later.autoint(2, heads=3, units=4)}

DATA = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
ROWS = clicks.of(datasets.join(DATA.ratings, DATA.movies, DATA.users))
FIELDS = features.describe(DATA)
OPTIONS = {"features": FIELDS, "k": 3, "dnn_dim": (6,), "dnn_dr": 0.0, "embedding_spread": 0.3}


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def drawn(layer, *inputs):
    """The layer's output, with its weights drawn at random, and these weights by name."""
    layer(*inputs)
    for weight in layer.weights:
        weight.assign(RNG.normal(size=weight.shape))
    return numpy(layer(*inputs)), {weight.name: numpy(weight) for weight in layer.weights}


def relu(x):
    return np.maximum(x, 0)


def test_field_weighted_pairs_equal_the_double_loop():
    found, weights = drawn(later.FieldWeightedPairs(dtype="float64"), VECTORS)
    strengths = weights["strengths"][:, 0]
    for row, out in zip(VECTORS, found, strict=True):
        pairs = combinations(range(5), 2)
        wanted = sum(r * (row[i] @ row[j]) for r, (i, j) in zip(strengths, pairs, strict=True))
        np.testing.assert_allclose(out, [wanted], atol=1e-10)


def test_with_strengths_of_1_the_pairs_are_those_of_a_factorization_machine():
    found = numpy(later.FieldWeightedPairs(dtype="float64")(VECTORS))[:, 0]
    np.testing.assert_allclose(
        found, [sum(a @ b for a, b in combinations(v, 2)) for v in VECTORS], atol=1e-10
    )


def test_a_cross_layer_equals_its_equation():
    x0, x = RNG.normal(size=(2, 7, 6))
    found, weights = drawn(later.CrossLayer(dtype="float64"), x0, x)
    for row in range(7):
        wanted = [
            x0[row, i] * (sum(x[row, j] * weights["kernel"][j, i] for j in range(6)) + weights["bias"][i])
            + x[row, i]
            for i in range(6)
        ]
        np.testing.assert_allclose(found[row], wanted, atol=1e-10)


def test_cross_layers_make_a_polynomial_whose_degree_grows_by_one():
    x0 = RNG.normal(size=(1, 4))
    first, second = (later.CrossLayer(dtype="float64") for _ in range(2))
    drawn(first, x0, x0), drawn(second, x0, x0)

    def along_a_line(n):
        """Values of n layers at 0 · x0, 1 · x0, …, of which the differences of order n + 2 vanish."""
        found = []
        for t in range(6):
            x = t * x0
            for layer in (first, second)[:n]:
                x = layer(t * x0, x)
            found.append(numpy(x)[0])
        return np.array(found)

    for n in (1, 2):
        np.testing.assert_allclose(np.diff(along_a_line(n), n=n + 2, axis=0), 0, atol=1e-8)
        assert np.abs(np.diff(along_a_line(n), n=n + 1, axis=0)).max() > 0.01


def test_self_attention_equals_its_equation():
    layer = later.SelfAttention(heads=2, units=3, dtype="float64")
    found, weights = drawn(layer, VECTORS)
    for row, out, looks in zip(VECTORS, found, numpy(layer.attention(VECTORS)), strict=True):
        heads = []
        for head in range(2):
            columns = slice(3 * head, 3 * head + 3)
            query, key, value = (row @ weights[name][:, columns] for name in ("query", "key", "value"))
            mixed = []
            for m in range(5):
                odds = np.exp([query[m] @ key[j] for j in range(5)])
                np.testing.assert_allclose(looks[head, m], odds / odds.sum(), atol=1e-10)
                mixed.append(sum(a * v for a, v in zip(odds / odds.sum(), value, strict=True)))
            heads.append(mixed)
        np.testing.assert_allclose(
            out, relu(np.concatenate(heads, axis=1) + row @ weights["own"]), atol=1e-10
        )


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (later.FieldWeightedPairs("l2"), [VECTORS]),
        (later.CrossLayer("l2"), [VECTORS[:, 0], VECTORS[:, 1]]),
        (later.SelfAttention(3, 2, "l2"), [VECTORS]),
    ],
)
def test_a_layer_comes_back_from_its_config_and_charges_its_weights(layer, inputs):
    inputs = [x.astype("float32") for x in inputs]
    out = layer(*inputs)
    assert layer.compute_output_shape(*(x.shape for x in inputs)) == out.shape
    squares = sum(np.square(numpy(w)).sum() for w in layer.weights if w.name != "bias")
    assert sum(map(float, layer.losses)) == pytest.approx(0.01 * squares, rel=1e-4)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer), safe_mode=True)
    again(*inputs)
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy(again(*inputs)), numpy(out))


@pytest.mark.parametrize("task", models.TASKS)
@pytest.mark.parametrize("name", BUILDS)
def test_the_parts_of_a_later_model_add_up_to_its_score(name, task):
    training.set_seed(1)
    model = BUILDS[name](**OPTIONS, task=task, mean_rating=0.7)
    x, _ = features.df2xy(ROWS, FIELDS)
    parts = evaluation.parts(model, x)
    assert list(parts) == ["first_order", "second_order", "deep", "bias"]
    score, out = parts.sum(axis=1).to_numpy(), evaluation.predict(model, x)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-score)) if task == "click" else score, atol=1e-5)
    assert anatomy.task(model) == task
    assert parts.second_order.std() > 0
    alone = BUILDS[name](**OPTIONS | {"dnn_dim": ()}, task=task)
    assert list(evaluation.parts(alone, x)) == ["first_order", "second_order", "bias"]


def test_fwfm_starts_as_a_deepfm():
    x, _ = features.df2xy(ROWS, FIELDS)
    models_made = []
    for build in (later.fwfm(), lambda **options: models.deep_fm_model(**options)[-1]):
        training.set_seed(5)
        models_made.append(build(**OPTIONS, task="click", mean_rating=0.6))
    new, old = models_made
    for field in FIELDS:
        for mine, theirs in zip(anatomy.tables(new, field), anatomy.tables(old, field), strict=True):
            mine.set_weights(theirs.get_weights())
    for mine, theirs in zip(anatomy.network(new), anatomy.network(old), strict=True):
        mine.set_weights(theirs.get_weights())
    np.testing.assert_allclose(evaluation.predict(new, x), evaluation.predict(old, x), atol=1e-6)


@pytest.mark.parametrize("name", BUILDS)
def test_a_recipe_trains_a_later_model_and_a_file_keeps_it(name, tmp_path):
    small = {"model": {"task": "click", "k": 3, "dnn_dim": (6,)}, "training": {"epochs": 8, "batch_size": 64}}
    recipe = recipes.changed(recipes.WITHOUT_HISTORY, small)
    fitted = recipes.fit(recipe, DATA, ROWS, 1, BUILDS[name])
    p = fitted.predict(ROWS)
    assert clicks.normalised_entropy(ROWS.rating, p) < 0.97
    fitted.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    x = [field.encode(ROWS) for field in fitted.fields]
    np.testing.assert_allclose(evaluation.predict(again, x), p, atol=1e-6)


def test_a_number_below_one_is_refused():
    with pytest.raises(ValueError, match="n = 0"):
        later.dcn_v2(0)
    with pytest.raises(ValueError, match="heads = 0"):
        later.autoint(heads=0)
