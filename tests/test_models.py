"""The Keras models against the NumPy DeepFM of `reference.py`, and what else they promise."""

import inspect
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import reference

from deepfm_helpers import anatomy, datasets, evaluation, features, layers, models, training
from deepfm_helpers._keras import keras
from deepfm_helpers.features import POOLINGS, Feature

FIELDS = (
    Feature("hours", "numeric", "hours"),
    Feature("uid", "single", "uid", 5),
    Feature("mid", "single", "mid", 4),
    Feature("genre", "multi", "movie_genre", 6, slots=3),
)
# Six rows: an unknown user, a film without genres, one with a gap between its genres, repeated ids.
X = [
    np.array([[0.5], [-1.0], [2.0], [0.0], [1.5], [0.25]]),
    np.array([[1], [2], [5], [0], [2], [3]], np.int32),
    np.array([[4], [1], [1], [2], [3], [4]], np.int32),
    np.array([[1, 2, 0], [6, 0, 0], [0, 0, 0], [3, 4, 5], [2, 0, 1], [5, 1, 0]], np.int32),
]
Y = np.array([4.0, 1.0, 5.0, 3.0, 2.0, 4.0])

PUBLISHED = {
    name: value for name, value in models.AS_PUBLISHED["model"].items() if name not in ("k", "dnn_dim")
}
CASES = [
    *({"pooling": pooling, "head": head} for pooling in POOLINGS for head in ("sum", "dense")),
    {"numeric_bias": True},
    {"deep_activation": "relu"},
    {"deep_activation": "relu", "head": "dense", "numeric_bias": True},
    *({"l2": 0.3, "pooling": pooling} for pooling in POOLINGS),
    {"table_l2": {"mid": 0.25, "genre": 0.125, "hours": 0.5, "first_order": 0.375, "deep": 0.0625}},
    {"table_l2": {"mid": 0.25, "genre": 0.125}, "l2": 0.3, "pooling": "multi_hot"},
    {"parts": ("first_order",)},
    {"parts": ("first_order", "second_order")},
    {"parts": ("second_order", "deep"), "head": "dense"},
    {"parts": ("deep",), "l2": 0.1},
    {"pooling": "mean_with_padding", **PUBLISHED},
]


@pytest.fixture
def float64():
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")


def build(k=2, dnn_dim=(4, 3), **options):
    """A DeepFM on FIELDS with random weights of order 1, and its fields."""
    fields = [*FIELDS[:3], replace(FIELDS[3], pooling=options.pop("pooling", "mean"))]
    four = models.deep_fm_model(
        features=fields, k=k, dnn_dim=dnn_dim, dnn_dr=options.pop("dnn_dr", 0.0), **options
    )
    rng = np.random.default_rng(3)
    for layer in {id(layer): layer for model in four for layer in model.layers}.values():
        layer.set_weights([rng.normal(0, 0.6, w.shape) for w in layer.get_weights()])
    return fields, four


def all_weights(four) -> dict:
    """The weights of the four models, in one dict."""
    return {name: arrays for model in four for name, arrays in reference.weights_of(model).items()}


def answer(model, x=X) -> np.ndarray:
    return keras.ops.convert_to_numpy(model([keras.ops.convert_to_tensor(a) for a in x]))[:, 0]


@pytest.mark.parametrize("few", [0, 100], ids=["look-ups", "one-hot rows"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_keras_and_the_numpy_reference_agree(case, few, float64, monkeypatch):
    monkeypatch.setattr(models, "FEW_VALUES", few)
    options = {"dnn_dr": 0.0, **{name: value for name, value in case.items() if name != "dnn_dr"}}
    fields, four = build(**options)
    weights = all_weights(four)
    activation = case.get("deep_activation")
    use = [models.PARTS.index(part) for part in models.PARTS if part in case.get("parts", models.PARTS)]

    expected = reference.parts(fields, X, weights, activation)
    for column, model in enumerate(four[:3]):
        np.testing.assert_allclose(answer(model), expected[:, column], rtol=1e-12, atol=1e-12)
    score = reference.scores(fields, X, weights, activation, use)
    np.testing.assert_allclose(answer(four[3]), score, rtol=1e-12, atol=1e-12)

    model = four[3]
    before = reference.weights_of(model)
    absent = {name: [0 * a for a in arrays] for name, arrays in weights.items() if name not in before}

    def loss(w):  # weights that the score does without are neither used nor penalised
        penalties = case.get("l2", 0.0), case.get("table_l2")
        return reference.loss(fields, X, Y, {**absent, **w}, activation, use, *penalties)

    slopes = reference.gradients(loss, reference.weights_of(model))
    # One step of plain gradient descent with rate 1 moves every weight by minus its gradient, on any backend.
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse", run_eagerly=True)
    measured = model.train_on_batch(tuple(X), Y)
    assert float(np.ravel(measured)[0]) == pytest.approx(loss(before), rel=1e-10)
    for name, arrays in reference.weights_of(model).items():
        for after, start, slope in zip(arrays, before[name], slopes[name], strict=True):
            np.testing.assert_allclose(start - after, slope, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("many", [5, 6], ids=["row by row", "the whole table at once"])
def test_a_known_field_enters_through_a_trained_matrix_and_stays_as_it_is(many, float64, monkeypatch):
    monkeypatch.setattr(layers, "MANY_IDS", many)
    table = np.random.default_rng(5).normal(size=(6, 3))
    fields = [*FIELDS[1:3], Feature("rated", "known", "uid", 5, table=table)]
    before = agree(fields, [X[1], X[2], X[1]], {"rated": 0.2, "first_order": 0.1})
    np.testing.assert_array_equal(before["known_embed_2d_rated"][1], table)


@pytest.mark.parametrize("penalties", [{"genre": 0.2, "first_order": 0.1}, {"first_order": 0.1}, {}])
@pytest.mark.parametrize("few", [0, 100], ids=["look-ups", "one-hot rows"])
def test_a_wide_field_has_weights_and_no_vectors(penalties, few, float64, monkeypatch):
    monkeypatch.setattr(models, "FEW_VALUES", few)
    before = agree([*FIELDS[1:3], replace(FIELDS[3], wide=True)], X[1:], penalties)
    assert "cat_embed_1d_genre" in before
    assert "cat_embed_2d_genre" not in before


def agree(fields, x, penalties) -> dict:
    """Score and one step of gradient descent are those of the reference; returns the weights before the step."""
    model = models.deep_fm_model(features=fields, k=2, dnn_dim=(3,), dnn_dr=0.0, table_l2=penalties)[3]
    rng = np.random.default_rng(3)
    for weight in model.trainable_weights:
        weight.assign(rng.normal(0, 0.6, weight.shape))
    before = reference.weights_of(model)
    np.testing.assert_allclose(answer(model, x), reference.scores(fields, x, before), rtol=1e-12)
    slopes = reference.gradients(
        lambda w: reference.loss(fields, x, Y, w, table_l2=penalties),
        {name: before[name] for name in before},
    )
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse", run_eagerly=True)
    model.train_on_batch(tuple(x), Y)
    for name, arrays in reference.weights_of(model).items():
        for after, start, slope in zip(arrays, before[name], slopes[name], strict=True):
            fixed = name.startswith("known_embed_") and after is arrays[1]
            moved = 0 * slope if fixed else slope
            np.testing.assert_allclose(start - after, moved, rtol=1e-5, atol=1e-7, err_msg=name)
    return before


def test_a_penalty_for_a_table_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="no field flim"):
        build(table_l2={"flim": 1.0})


def test_the_reference_notices_a_wrong_weight(float64):
    fields, four = build()
    weights = all_weights(four)
    weights["cat_embed_2d_mid"][0][4] += 1e-6
    assert np.abs(reference.scores(fields, X, weights) - answer(four[3])).max() > 1e-9


def test_float32_models_stay_close_to_float64():
    fields, four = build(pooling="multi_hot")
    assert answer(four[3]).dtype == np.float32
    np.testing.assert_allclose(
        answer(four[3]), reference.scores(fields, X, all_weights(four)), rtol=1e-5, atol=1e-5
    )


def test_dropout_acts_in_training_only():
    for on_embeddings in (False, True):
        _, four = build(dnn_dr=0.5, dropout_on_embeddings=on_embeddings)
        _, plain = build()
        np.testing.assert_array_equal(answer(four[3]), answer(plain[3]))
        x = [keras.ops.convert_to_tensor(a) for a in X]
        noisy = [keras.ops.convert_to_numpy(four[3](x, training=True)) for _ in range(2)]
        assert np.abs(noisy[0] - noisy[1]).max() > 1e-3


def test_dropout_layers_stand_where_the_argument_says():
    def order(on_embeddings):
        names = {"Flatten", "Dropout"}
        layers_in_order = build(dnn_dr=0.5, dropout_on_embeddings=on_embeddings)[1][2].layers
        return [
            layer.name if layer.name.startswith("deep_") else type(layer).__name__
            for layer in layers_in_order
            if type(layer).__name__ in names or layer.name.startswith("deep_")
        ]

    assert order(True) == ["Flatten", "Dropout", "deep_1", "Dropout", "deep_2", "deep_output"]
    assert order(False) == ["Flatten", "deep_1", "Dropout", "deep_2", "Dropout", "deep_output"]


def test_the_four_models_share_inputs_and_weights():
    _, (first, second, deep, whole) = build()
    assert [i.name for i in first.inputs] == [i.name for i in whole.inputs] == [f.input_name for f in FIELDS]
    for model in (first, second, deep):
        for layer in model.layers:
            assert layer is whole.get_layer(layer.name)
    before = answer(first), answer(second), answer(deep)
    training.compile_model(whole, 0.1).train_on_batch(tuple(X), Y)
    for old, model in zip(before, (first, second, deep), strict=True):
        assert np.abs(answer(model) - old).max() > 1e-4
    assert second.get_layer("concat_embed_2d") is deep.get_layer("concat_embed_2d")


def test_the_posts_positional_calls_work():
    inputs = models.define_input_layers()
    assert [i.name for i in inputs] == ["input_user_fea3", "input_uid", "input_mid", "input_genre"]
    assert [i.shape for i in inputs] == [(None, 1), (None, 1), (None, 1), (None, 3)]
    assert models.fm_1d(inputs, 10, 10, 10).shape == (None, 1)
    y_fm_2d, embed_2d = models.fm_2d(inputs, 10, 10, 10, 5)
    assert y_fm_2d.shape == (None, 1)
    assert embed_2d.shape == (None, 4, 5)
    assert models.deep_part(embed_2d, [16, 16], 0.5).shape == (None, 1)
    four = models.deep_fm_model(10, 10, 10, 5, [16, 16], 0.5)
    assert [model.output_shape for model in four] == [(None, 1)] * 4


def test_numpy_integers_are_accepted_as_sizes():
    sizes = np.array([10, 10, 10], np.int64)
    four = models.deep_fm_model(*sizes, np.int64(4), np.array([8, 8]), np.float32(0.5))
    assert four[3].output_shape == (None, 1)
    assert four[3].get_layer("cat_embed_2d_uid").get_weights()[0].shape == (11, 4)


def test_parameter_counts_follow_from_the_sizes():
    k, n_uid, n_mid, n_genre = 5, 10, 20, 7
    *_, published = models.deep_fm_model(
        n_uid, n_mid, n_genre, k, (16, 8), 0.5, head="dense", numeric_bias=True
    )
    tables = n_uid + 1 + n_mid + 1 + n_genre + 1
    network = (4 * k + 1) * 16 + (16 + 1) * 8 + (8 + 1)
    assert published.count_params() == tables * (1 + k) + 2 + 2 * k + network + 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"k": 4}, "give either features"),
        ({"n_uid": 3, "n_mid": 3}, "n_uid, n_mid and n_genre"),
        ({"features": FIELDS, "head": "mean"}, "head = 'mean'"),
        ({"features": FIELDS, "parts": ("first_order", "wide")}, "parts = "),
        ({"features": FIELDS, "parts": ()}, "parts = "),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        models.deep_fm_model(**call)


def test_as_published_holds_arguments_of_the_functions_they_are_for():
    functions = {
        "describe": features.describe,
        "model": models.deep_fm_model,
        "split": features.split_rows,
        "training": training.train,
    }
    assert set(models.AS_PUBLISHED) == set(functions)
    for name, function in functions.items():
        assert set(models.AS_PUBLISHED[name]) <= set(inspect.signature(function).parameters), name


def test_as_published_runs_from_frames_to_a_history():
    data = datasets.load("planted", n_users=40, n_movies=30, n_ratings=400, seed=2)
    joined = datasets.join(data.ratings, data.movies, data.users)
    fields = features.describe(data, **models.AS_PUBLISHED["describe"])
    assert [(f.name, f.kind, f.slots) for f in fields][0] == ("user_fea3", "numeric", 1)
    assert fields[-1].size <= 14
    assert fields[-1].slots == 3
    kept, held = features.split_rows(joined, **models.AS_PUBLISHED["split"])
    assert held.index.tolist() == list(range(360, 400))
    *_, model = models.deep_fm_model(features=fields, **models.AS_PUBLISHED["model"])
    history = training.train(
        model,
        features.df2xy(kept, fields),
        features.df2xy(held, fields),
        **{**models.AS_PUBLISHED["training"], "epochs": 2},
    )
    assert len(history) == 2


def test_fm_on_uid_and_mid_is_matrix_factorization_with_biases(float64):
    fields = FIELDS[1:3]
    model = models.fm_model(fields, 3, mean_rating=3.5, embedding_spread=0.7)
    w = reference.weights_of(model)
    user, film = X[1][:, 0], X[2][:, 0]
    expected = (
        3.5
        + w["cat_embed_1d_uid"][0][user, 0]
        + w["cat_embed_1d_mid"][0][film, 0]
        + np.array(
            [
                w["cat_embed_2d_uid"][0][u] @ w["cat_embed_2d_mid"][0][m]
                for u, m in zip(user, film, strict=True)
            ]
        )
    )
    np.testing.assert_allclose(answer(model, X[1:3]), expected, rtol=1e-12)


def test_fm_without_factors_is_a_linear_model(float64):
    model = models.fm_model(FIELDS, k=0, mean_rating=2.0, embedding_spread=0.7)
    w = reference.weights_of(model)
    expected = [2.0 + reference.first_order(FIELDS, row, w) for row in zip(*X, strict=True)]
    np.testing.assert_allclose(answer(model), expected, rtol=1e-12)


def test_wide_and_deep_adds_a_linear_model_and_a_network(float64):
    fields = FIELDS[1:]
    crossed = features.cross(fields[0], fields[2])
    model = models.wide_deep_model(
        fields, [crossed], k=3, dnn_dim=(4,), dnn_dr=0.0, mean_rating=3.0, embedding_spread=0.7
    )
    pairs = np.where(X[3] > 0, (X[1] - 1) * 6 + X[3], 0) * (X[1] > 0)
    x = [*X[1:], pairs.astype(np.int32)]
    w = reference.weights_of(model)
    expected = [
        3.0 + reference.first_order([*fields, crossed], row, w) + reference.deep(fields, row[:3], w, None)
        for row in zip(*x, strict=True)
    ]
    np.testing.assert_allclose(answer(model, x), expected, rtol=1e-12)
    assert model.get_layer("cat_embed_1d_uid_x_genre").get_weights()[0].shape == (5 * 6 + 1, 1)


def test_every_table_starts_with_numbers_of_its_own():
    fields = [Feature("uid", "single", "uid", 9), Feature("mid", "single", "mid", 5), FIELDS[0]]
    model = models.fm_model(fields, 3)
    users, films, slope = (model.get_layer(name).get_weights()[0] for name in (
        "cat_embed_2d_uid", "cat_embed_2d_mid", "num_dense_2d_hours"
    ))  # fmt: skip
    assert np.abs(users[:6] - films).max() > 1e-3
    assert np.abs(users[0] - slope[0]).max() > 1e-4
    assert 0.001 < users.std() < 0.03


def test_the_score_starts_at_the_mean_rating():
    *_, model = models.deep_fm_model(features=FIELDS, mean_rating=3.6)
    assert np.abs(answer(model) - 3.6).max() < 0.1


def test_saved_models_reload_in_a_fresh_process_in_safe_mode(tmp_path):
    crossed = features.cross(FIELDS[1], FIELDS[3])
    saved = {
        "deepfm": build(pooling="multi_hot", l2=0.1, dnn_dr=0.2)[1][3],
        "published": build(pooling="mean_with_padding", **PUBLISHED)[1][3],
        "fm": models.fm_model(FIELDS, 3, mean_rating=3.0),
        "wide_deep": models.wide_deep_model(FIELDS, [crossed], 3, (4,)),
    }
    x = dict.fromkeys(saved, X) | {"wide_deep": [*X, crossed_ids()]}
    for name, model in saved.items():
        model.save(tmp_path / f"{name}.keras")
        np.savez(tmp_path / f"{name}.npz", answer(model, x[name]), *x[name])
    program = (
        "import sys, numpy as np; from pathlib import Path\n"
        "import deepfm_helpers.layers, keras\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.keras')):\n"
        "    model = keras.models.load_model(path, safe_mode=True)\n"
        "    expected, *x = np.load(path.with_suffix('.npz')).values()\n"
        "    got = np.asarray(model([keras.ops.convert_to_tensor(a) for a in x]))[:, 0]\n"
        "    np.testing.assert_array_equal(got, expected)\n"
        "    print(path.stem, 'equal')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [
        "deepfm",
        "equal",
        "fm",
        "equal",
        "published",
        "equal",
        "wide_deep",
        "equal",
    ]


def crossed_ids() -> np.ndarray:
    return (np.where(X[3] > 0, (X[1] - 1) * 6 + X[3], 0) * (X[1] > 0)).astype(np.int32)


def test_layers_and_models_call_no_backend_directly():
    for module in (layers, models):
        source = Path(module.__file__).read_text(encoding="utf-8")
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", source)
        assert not re.search(r"\btf\b|tensorflow|\bjax\b|\btorch\b|\bLambda\b", code), module.__name__


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_prediction_does_not_depend_on_its_neighbours_in_the_batch(pooling):
    _, four = build(pooling=pooling)
    together = answer(four[3])
    alone = [answer(four[3], [a[i : i + 1] for a in X])[0] for i in range(len(Y))]
    np.testing.assert_allclose(alone, together, rtol=1e-6)


def test_the_parts_of_a_reloaded_model_add_up(tmp_path):
    _, four = build(head="dense", deep_activation="relu")
    four[3].save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        evaluation.parts(reloaded, X).sum(axis=1), answer(four[3]), rtol=1e-5, atol=1e-5
    )


# -- clicks


BUILDS = {
    "deep_fm_model": lambda **options: models.deep_fm_model(features=FIELDS, k=3, dnn_dim=(4,), **options)[
        -1
    ],
    "fm_model": lambda **options: models.fm_model(FIELDS, 3, **options),
    "wide_deep_model": lambda **options: models.wide_deep_model(FIELDS, (), 3, (4,), **options),
}


@pytest.mark.parametrize("build", BUILDS.values(), ids=BUILDS)
def test_a_model_of_clicks_is_one_sigmoid_of_the_same_sum_of_parts(build):
    training.set_seed(3)
    stars = build(mean_rating=np.log(0.8 / 0.2), embedding_spread=0.5)
    clicks = build(task="click", mean_rating=0.8, embedding_spread=0.5)
    clicks.set_weights(stars.get_weights())
    assert len(clicks.layers) == len(stars.layers) + 1
    assert (anatomy.task(stars), anatomy.task(clicks)) == ("rating", "click")
    score = evaluation.predict(stars, X).astype("f8")
    np.testing.assert_allclose(evaluation.predict(clicks, X), 1 / (1 + np.exp(-score)), rtol=1e-5)
    assert np.ptp(score) > 0.1
    assert anatomy.head(clicks).constant == pytest.approx(np.log(4), rel=1e-6)


def test_a_model_of_clicks_starts_at_the_share_of_ones():
    for start, expected in ((None, 0.5), (0.7, 0.7)):
        model = models.fm_model(FIELDS, 0, task="click", mean_rating=start, embedding_spread=0.0)
        np.testing.assert_allclose(evaluation.predict(model, X), expected, rtol=1e-6)


@pytest.mark.parametrize("share", [0, 1, 3.5, -0.1])
def test_a_share_of_ones_lies_between_0_and_1(share):
    with pytest.raises(ValueError, match=f"mean_rating = {share}: .* share of ones"):
        models.fm_model(FIELDS, task="click", mean_rating=share)


def test_an_unknown_task_is_refused():
    with pytest.raises(ValueError, match="task = 'clicks': choose 'rating' or 'click'"):
        models.deep_fm_model(features=FIELDS, task="clicks")
