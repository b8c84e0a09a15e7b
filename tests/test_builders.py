"""Models that recipes can build in the place of a plain DeepFM."""

import numpy as np
import pytest

from deepfm_helpers import (
    anatomy,
    builders,
    datasets,
    evaluation,
    features,
    history,
    models,
    recipes,
    training,
)
from deepfm_helpers._keras import keras

DATA = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
ROWS = datasets.join(DATA.ratings, DATA.movies, DATA.users)
RECIPE = recipes.changed(recipes.FULL, {"training": {"epochs": 2}, "history": {"components": 8}})


def fields_of(rows=ROWS):
    return (*features.describe(DATA), *history.describe(DATA, rows, 8), *history.stretches(rows))


def built(n, **options):
    training.set_seed(1)
    fields = fields_of()
    options = {"k": 3, "dnn_dim": (6,), "dnn_dr": 0.0, "mean_rating": 3.5, "embedding_spread": 0.3} | options
    return fields, builders.branched(n)(features=fields, **options)


def of_branches(model, x):
    """The prediction of each branch alone, (n, rows)."""
    (mean,) = [layer for layer in model.layers if isinstance(layer, builders.MeanOfBranches)]
    return np.stack(keras.Model(model.inputs, mean.input)(x))[..., 0]


def test_a_model_without_a_field_does_not_look_at_it():
    blind = recipes.fit(RECIPE, DATA, ROWS, 1, builders.without("day"))
    seeing = recipes.fit(RECIPE, DATA, ROWS, 1)
    names = [field.name for field in blind.fields]
    x = [field.encode(ROWS) for field in blind.fields]
    moved = [a if name != "day" else np.ones_like(a) for name, a in zip(names, x, strict=True)]
    score = [evaluation.predict(made.model, ids) for made in (blind, seeing) for ids in (x, moved)]
    assert np.array_equal(score[0], score[1])
    assert not np.array_equal(score[2], score[3])
    assert seeing.parameters > blind.parameters + blind.fields[names.index("day")].size


def test_a_field_to_leave_out_has_to_exist():
    with pytest.raises(ValueError, match="there is no field dya to leave out"):
        builders.without("dya")(features=fields_of())


def test_one_branch_is_a_deepfm():
    fields, branch = built(1)
    training.set_seed(2)
    plain = builders.deep_fm(features=fields, k=3, dnn_dim=(6,), dnn_dr=0.0, mean_rating=3.5)
    weights = {w.path.rsplit("/", 2)[-2:][0] + w.name: w for w in branch.weights}
    for w in plain.weights:
        w.assign(weights[w.path.rsplit("/", 2)[-2:][0] + w.name])
    x = [field.encode(ROWS) for field in fields]
    np.testing.assert_allclose(evaluation.predict(branch, x), evaluation.predict(plain, x), atol=1e-5)


def test_the_score_is_the_mean_of_the_branches_and_the_loss_the_mean_of_their_losses():
    fields, model = built(3)
    x, y = [field.encode(ROWS) for field in fields], ROWS.rating.to_numpy()
    branches = 3.5 + of_branches(model, x)
    score = np.array(model(x))[:, 0]
    np.testing.assert_allclose(score, branches.mean(axis=0), atol=1e-5)
    assert np.ptp(branches, axis=0).min() > 0
    (disagreement,) = model.losses
    loss = np.mean((score - y) ** 2) + float(disagreement)
    assert loss == pytest.approx(np.mean((branches - y) ** 2), rel=1e-5)


def test_a_branch_learns_as_if_it_were_alone():
    import tensorflow as tf

    fields, model = built(2, table_l2={"uid": 0.3, "first_order": 0.1, "deep": 0.2})
    x, y = [field.encode(ROWS) for field in fields], ROWS.rating.to_numpy()[:, None].astype("float32")
    branch = model.get_layer("branch_2")
    with tf.GradientTape(persistent=True) as tape:
        together = tf.reduce_mean((model(x) - y) ** 2) + sum(model.losses)
        first_order = model.get_layer(anatomy.PART_LAYERS["first_order"]).output
        read = [t for t, f in zip(model.inputs, fields, strict=True) if not f.wide]
        alone = keras.Model(model.inputs, first_order + branch(read) + 3.5)
        by_itself = tf.reduce_mean((alone(x) - y) ** 2) + 2 * sum(branch.losses)
    weights = [w.value for w in branch.trainable_weights]
    for both, one in zip(tape.gradient(together, weights), tape.gradient(by_itself, weights), strict=True):
        np.testing.assert_allclose(2 * tf.convert_to_tensor(both), tf.convert_to_tensor(one), atol=1e-5)


def test_a_branched_model_trains_is_saved_and_says_the_same(tmp_path):
    fitted = recipes.fit(RECIPE, DATA, ROWS, 1, builders.without("day", build=builders.branched(2)))
    again = recipes.fit(RECIPE, DATA, ROWS, 1, builders.without("day", build=builders.branched(2)))
    plain = recipes.fit(RECIPE, DATA, ROWS, 1, builders.without("day"))
    assert np.array_equal(fitted.predict(ROWS), again.predict(ROWS))
    assert plain.parameters < fitted.parameters < 2 * plain.parameters
    fitted.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x = [field.encode(ROWS) for field in fitted.fields]
    assert np.array_equal(evaluation.predict(loaded, x), evaluation.predict(fitted.model, x))


def test_a_model_has_a_branch():
    with pytest.raises(ValueError, match="n = 0: a model has at least one branch"):
        builders.branched(0)


def test_the_plain_builder_is_the_deepfm_of_a_recipe():
    fields = fields_of()
    assert builders.deep_fm(features=fields, k=2).count_params() == (
        models.deep_fm_model(features=fields, k=2)[-1].count_params()
    )


def test_each_branch_of_a_model_of_clicks_learns_from_its_own_log_loss():
    fields, model = built(3, task="click", mean_rating=0.7)
    x, y = [field.encode(ROWS) for field in fields], (ROWS.rating.to_numpy() > 3).astype("f8")
    scores = of_branches(model, x).astype("f8")
    assert scores.mean() == pytest.approx(np.log(0.7 / 0.3), abs=0.5)
    p = np.array(model(x), "f8")[:, 0]
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-scores.mean(axis=0))), rtol=1e-4)

    def log_loss(score):
        return np.mean(np.log1p(np.exp(score)) - y * score)

    (disagreement,) = model.losses
    assert float(disagreement) > 1e-4
    loss = log_loss(scores.mean(axis=0)) + float(disagreement)
    assert loss == pytest.approx(np.mean([log_loss(score) for score in scores]), rel=1e-5)
    assert (
        anatomy.task(model)
        == anatomy.task(
            builders.without("day", build=builders.branched(2))(
                features=fields, task="click", mean_rating=0.7
            )
        )
        == "click"
    )
