"""Training: the same numbers from the same seed, early stopping, and errors instead of numbers that mean nothing."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import batches, datasets, evaluation, features, models, optimizers, training
from deepfm_helpers._keras import keras

EPOCHS = 5


def planted_rows():
    """Fields, training rows and validation rows of a small planted dataset."""
    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_500, seed=3)
    fields = features.describe(data, fields=("uid", "mid", "genre"))
    kept, held = features.split_rows(datasets.join(data.ratings, data.movies, data.users), 0.2, seed=1)
    return fields, features.df2xy(kept, fields), features.df2xy(held, fields)


@pytest.fixture(scope="module")
def rows():
    return planted_rows()


def small_model(fields, seed=5, **options):
    training.set_seed(seed)
    options = {"k": 4, "dnn_dim": (8, 8), "dnn_dr": 0.3, "mean_rating": 3.5, "l2": 1e-3} | options
    return models.deep_fm_model(features=fields, **options)[-1]


def fit(rows, model=None, **options):
    fields, train_xy, valid_xy = rows
    model = model or small_model(fields)
    options = {
        "epochs": EPOCHS,
        "batch_size": 128,
        "learning_rate": 5e-3,
        "patience": EPOCHS,
        "seed": 7,
        "steps_per_execution": 1,
    } | options
    return model, training.train(model, train_xy, options.pop("valid_xy", valid_xy), **options)


@pytest.fixture(scope="module")
def whole(rows):
    """A run that nothing interrupted: its model and its history."""
    return fit(rows)


def numbers(history):
    return history.drop(columns="seconds")


def same_weights(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_the_history_has_one_row_per_epoch_and_the_promised_columns(whole):
    _, history = whole
    assert list(history.columns) == ["epoch", "loss", "rmse", "val_loss", "val_rmse", "seconds"]
    assert history.epoch.tolist() == [1, 2, 3, 4, 5]
    assert (
        history.loss.iloc[0] > history.rmse.iloc[0] ** 2
    )  # the loss holds the L2 penalty, the rmse does not
    assert history.val_loss.to_numpy() == pytest.approx(history.val_rmse.to_numpy() ** 2, rel=1e-5)


def test_another_seed_gives_other_numbers(rows, whole):
    _, other = fit(rows, epochs=2, seed=8)
    assert (other.loss != whole[1].loss[:2]).all()


def test_every_epoch_sees_every_row_once_in_an_order_of_its_own():
    dealt = batches.Batches([np.arange(10)], np.arange(10.0), 4, seed=1)
    assert len(dealt) == 3
    orders = []
    for epoch in (0, 1, 0):
        dealt.epoch = epoch
        passed = [(x, y) for (x,), y in dealt.dataset().as_numpy_iterator()]
        assert [len(y) for _, y in passed] == [4, 4, 2]
        assert all((x == y).all() for x, y in passed)
        orders.append(np.concatenate([y for _, y in passed]).tolist())
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    assert orders[0] == orders[2] != orders[1]
    other = batches.Batches([np.arange(10)], np.arange(10.0), 4, seed=2)
    assert other.order().tolist() not in orders


def test_batches_keep_the_types_and_values_of_their_columns():
    y = np.arange(6, dtype="float32")
    columns = [np.array([0, 5, 127, 128, -3, 40_000]) * scale for scale in (0, 1, 10**6)]
    columns += [columns[1].astype("int32")[:, None], y / 3]
    dealt = batches.Batches(columns, y, 4, seed=1)
    for x, rows in dealt.dataset().as_numpy_iterator():
        for column, batch in zip(columns, x, strict=True):
            assert batch.dtype == column.dtype
            assert (batch == column[rows.astype(int)]).all()


@pytest.mark.parametrize("in_a_folder", [False, True])
def test_early_stopping_restores_the_best_epoch(rows, tmp_path, in_a_folder):
    fast = {"epochs": 40, "learning_rate": 0.05, "patience": 2}
    model = small_model(rows[0], dnn_dr=0.0, l2=0.0)
    _, history = fit(rows, model, folder=tmp_path if in_a_folder else None, **fast)
    best = int(history.val_loss.argmin()) + 1
    assert len(history) == best + 2 < 40
    x, y = rows[2]
    assert evaluation.rmse(y, evaluation.predict(model, x)) == pytest.approx(history.val_rmse.min(), rel=1e-5)
    assert sorted(p.name for p in tmp_path.iterdir()) == (
        ["best.weights.h5", "history.csv", "run.json"] if in_a_folder else []
    )


def test_it_stops_where_the_early_stopping_of_keras_stops(rows):
    theirs = keras.callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True)
    model, history = fit(
        rows, small_model(rows[0], dnn_dr=0.0), epochs=40, learning_rate=0.05, callbacks=[theirs]
    )
    mine, same = fit(rows, small_model(rows[0], dnn_dr=0.0), epochs=40, learning_rate=0.05, patience=2)
    pd.testing.assert_frame_equal(numbers(history), numbers(same), check_exact=True)
    assert same_weights(model, mine)


def test_running_several_steps_at_a_time_does_not_change_the_result(rows, whole):
    model, history = fit(rows, steps_per_execution=4)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(history), check_exact=True)
    assert same_weights(whole[0], model)


def test_fused_adam_takes_the_steps_of_adam(rows):
    fields, (x, y), _ = rows
    weights = []
    for optimizer in (optimizers.FusedAdam, keras.optimizers.Adam):
        model = small_model(fields, dnn_dr=0.0)
        model.compile(optimizer=optimizer(1e-2), loss="mse")
        for _ in range(5):
            model.train_on_batch(tuple(x), y)
        weights.append(model.get_weights())
    for fused, plain in zip(*weights, strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-3, atol=2e-5)
    assert any(
        np.abs(a - b).max() > 1e-3 for a, b in zip(weights[0], small_model(fields).get_weights(), strict=True)
    )


@pytest.mark.parametrize("in_a_folder", [False, True])
def test_averaging_leaves_the_running_mean_of_the_weights(rows, tmp_path, in_a_folder):
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([np.array(w) for w in self.model.trainable_weights])

    model = small_model(rows[0])
    _, history = fit(
        rows, model, averaging=0.8, epochs=3, callbacks=[Watch()], folder=tmp_path if in_a_folder else None
    )
    mean = seen[0]
    for weights in seen[1:]:
        mean = [0.8 * m + 0.2 * w for m, w in zip(mean, weights, strict=True)]
    for expected, weight in zip(mean, model.trainable_weights, strict=True):
        np.testing.assert_allclose(np.array(weight), expected, rtol=1e-4, atol=1e-6)
    x, y = rows[2]
    assert evaluation.rmse(y, evaluation.predict(model, x)) == pytest.approx(
        history.val_rmse.iloc[-1], rel=1e-5
    )


def test_the_best_epoch_is_that_of_the_error_without_penalties(rows):
    fields, train_xy, valid_xy = rows
    model = small_model(
        fields, l2=0.0, embedding_spread=0.001, table_l2={"uid": 0.3, "mid": 0.3, "deep": 0.3}
    )
    history = training.train(model, train_xy, valid_xy, epochs=4, batch_size=128, patience=9, seed=1)
    assert (history.val_loss > history.val_rmse**2 * 1.001).all()
    x, y = valid_xy
    assert evaluation.rmse(y, evaluation.predict(model, x)) == pytest.approx(history.val_rmse.min(), rel=1e-5)


def test_without_validation_rows_all_epochs_run(rows, tmp_path):
    model, history = fit(rows, valid_xy=None, epochs=3, patience=1, folder=tmp_path)
    assert list(history.columns) == ["epoch", "loss", "rmse", "seconds"]
    assert len(history) == 3
    again = small_model(rows[0])
    again.load_weights(tmp_path / "best.weights.h5")
    assert same_weights(model, again)


def test_the_same_seed_gives_the_same_numbers_in_a_folder_or_not_and_afresh_after_the_end(
    rows, whole, tmp_path
):
    for _ in range(2):
        model, history = fit(rows, folder=tmp_path)
        pd.testing.assert_frame_equal(numbers(whole[1]), numbers(history), check_exact=True)
        assert same_weights(whole[0], model)


def test_tensorboard_writes_its_events_next_to_the_history(rows, tmp_path):
    fit(rows, folder=tmp_path, epochs=1, tensorboard=True)
    assert {p.parent.name for p in (tmp_path / "tensorboard").rglob("events.*")} == {"train", "validation"}


def test_a_saved_model_reloads_in_safe_mode_and_says_the_same(rows, tmp_path):
    model, _ = fit(rows, epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert np.array_equal(evaluation.predict(model, rows[2][0]), evaluation.predict(again, rows[2][0]))


@pytest.mark.parametrize("which", ["train", "valid"])
def test_a_split_without_rows_is_refused(rows, which):
    fields, train_xy, valid_xy = rows
    empty = ([a[:0] for a in train_xy[0]], train_xy[1][:0])
    chosen = (empty, valid_xy) if which == "train" else (train_xy, empty)
    with pytest.raises(ValueError, match=f"{which}_xy holds no rows"):
        training.train(small_model(fields), *chosen)


def test_tensorboard_without_a_folder_is_refused(rows):
    with pytest.raises(ValueError, match="needs a folder"):
        fit(rows, tensorboard=True)


def test_xla_is_refused_once_kernels_are_deterministic(rows):
    with pytest.raises(ValueError, match="deterministic=False"):
        fit(rows, jit_compile=True)


def test_xla_computes_the_same(tmp_path):
    """In a process of its own: deterministic kernels cannot be taken back."""
    script = """
        import sys
        from deepfm_helpers import datasets, features, models, training

        data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_500, seed=3)
        fields = features.describe(data)
        train, valid = features.split_rows(datasets.join(data.ratings, data.movies, data.users), 0.2, seed=1)
        for jit_compile in (False, True):
            training.set_seed(5, deterministic=False)
            model = models.deep_fm_model(features=fields, k=4, dnn_dim=(8, 8), dnn_dr=0.0, mean_rating=3.5)[-1]
            history = training.train(
                model, features.df2xy(train, fields), features.df2xy(valid, fields), epochs=3, batch_size=128,
                learning_rate=5e-3, averaging=0.9, seed=7, jit_compile=jit_compile,
            )
            assert model.jit_compile == jit_compile
            history.to_csv(f"{sys.argv[1]}/{jit_compile}.csv")
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    plain, compiled = (pd.read_csv(tmp_path / f"{name}.csv") for name in (False, True))
    assert compiled.val_rmse.to_numpy() == pytest.approx(plain.val_rmse.to_numpy(), rel=1e-4)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("which", ["train_xy", "valid_xy"])
@pytest.mark.parametrize("what", ["input_user_fea3", "ratings"])
def test_a_number_that_is_not_finite_is_refused_before_training(what, which, value):
    fields = features.post_features(5, 5, 3)
    n = 20
    good = (
        [np.zeros((n, 1), "float32"), *(np.ones((n, f.slots), "int32") for f in fields[1:])],
        np.ones(n, "float32"),
    )
    bad = ([np.array(a) for a in good[0]], np.array(good[1]))
    (bad[1] if what == "ratings" else bad[0][0])[17] = value
    rows = {"train_xy": good, "valid_xy": good} | {which: bad}
    with pytest.raises(ValueError, match=rf"{which}, {what}: row 17 .* is {value}"):
        training.train(models.fm_model(fields, 2), **rows, epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda x, y: (x[:2], y),
            "train_xy holds 2 inputs, but the model has 3: input_uid, input_mid, input_genre",
        ),
        (
            lambda x, y: ([x[0][1:], *x[1:]], y),
            "train_xy, input_uid has 1199 rows, but there are 1200 ratings",
        ),
        (lambda x, y: (x, np.stack([y, y], axis=1)), r"train_xy: ratings have shape \(1200, 2\)"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(rows, change, message):
    fields, train_xy, _ = rows
    with pytest.raises(ValueError, match=message):
        training.train(small_model(fields), change(*train_xy))


def test_a_training_that_diverges_stops_at_the_first_epoch_that_shows_it(rows, tmp_path):
    with pytest.raises(FloatingPointError, match=r"epoch \d: .*loss is (nan|inf).* learning_rate \(1e\+06\)"):
        fit(rows, learning_rate=1e6, folder=tmp_path)
    assert not (tmp_path / "best.weights.h5").exists()
    if (tmp_path / "history.csv").exists():
        assert np.isfinite(pd.read_csv(tmp_path / "history.csv")).all(axis=None)


@pytest.mark.parametrize("name", ["loss", "rmse", "val_loss", "val_rmse"])
def test_no_measure_that_is_not_finite_enters_the_history(rows, name):
    model, finished = training.compile_model(small_model(rows[0])), []
    keeper = training._Keeper(batches.Batches(*rows[1], 128, 0), 3, finished, None)
    keeper.set_model(model)
    keeper.on_epoch_begin(1)
    good = dict.fromkeys(["loss", "rmse", "val_loss", "val_rmse"], 1.0)
    with pytest.raises(FloatingPointError, match=f"epoch 2: {name} is nan"):
        keeper.on_epoch_end(1, good | {name: float("nan")})
    assert finished == keeper.best == []


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision_is_refused(rows, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = small_model(rows[0])
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match=r"layer \w+ computes in b?float16.*set_dtype_policy\('float32'\)"):
        training.compile_model(model)


def in_a_process(script, *arguments, **environment):
    """What a script that uses the package prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        env={name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def keras_home(folder, **settings):
    (folder / "keras.json").write_text(json.dumps(settings))
    return {"KERAS_HOME": str(folder)}


SCORES = """
    import numpy as np
    from deepfm_helpers import evaluation, features, models

    fields = features.post_features(5, 5, 3)
    model = models.deep_fm_model(features=fields, k=3, dnn_dim=(4,))[-1]
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    x = [np.ones((4, 1), "float32"), *(rng.integers(0, 4, (4, f.slots)).astype("int32") for f in fields[1:])]
    print(model.weights[0].dtype, *evaluation.predict(model, x))
"""


def test_the_settings_file_of_keras_changes_no_score(tmp_path):
    other = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-3}
    plain = in_a_process(SCORES, **keras_home(tmp_path)).split()
    asked = in_a_process(SCORES, **keras_home(tmp_path, **other)).split()
    assert asked == plain
    assert asked[0] == "float32"


def test_training_is_the_same_whatever_float_type_the_settings_file_names(rows, whole, tmp_path):
    script = """
        import sys
        sys.path.insert(0, "tests")
        from test_training import fit, planted_rows
        print(*fit(planted_rows(), epochs=2)[1].val_rmse.map(repr))
    """
    printed = in_a_process(script, **keras_home(tmp_path, floatx="float16"))
    assert [float(number) for number in printed.split()] == whole[1].val_rmse[:2].tolist()


def test_a_backend_that_is_not_installed_is_named_with_the_file_that_asks_for_it(tmp_path):
    script = """
        import sys
        sys.modules["jax"] = None
        try:
            from deepfm_helpers import models
        except ImportError as error:
            print(error)
    """
    assert str(tmp_path / "keras.json") in in_a_process(script, **keras_home(tmp_path, backend="jax"))


@pytest.mark.parametrize(("asked", "set_to"), [({}, "3"), ({"TF_CPP_MIN_LOG_LEVEL": "1"}, "1")])
def test_the_log_of_tensorflow_is_quiet_unless_the_reader_asks_for_it(asked, set_to, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    script = "import os, deepfm_helpers; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert in_a_process(script, **asked).strip() == set_to


# -- clicks


def clicks_of(rows):
    """The rows with targets 0 and 1: above 3 stars or not."""
    fields, *parts = rows
    return fields, *((x, (y > 3).astype("float32")) for x, y in parts)


def log_loss(y, p):
    return -np.mean(np.where(y > 0, np.log(p), np.log1p(-p)))


@pytest.mark.parametrize("deep", ["(n,)", "(n, 1)"])
def test_clicks_are_trained_by_their_log_loss_and_the_best_epoch_stays(rows, deep):
    fields, train_xy, valid_xy = clicks_of(rows)
    if deep == "(n, 1)":
        train_xy, valid_xy = ((x, y[:, None]) for x, y in (train_xy, valid_xy))
    model = small_model(fields, task="click", mean_rating=float(train_xy[1].mean()))
    model, history = fit((fields, train_xy, valid_xy), model, learning_rate=0.05, epochs=8, patience=8)
    assert list(history) == ["epoch", "loss", "log_loss", "val_loss", "val_log_loss", "seconds"]
    best = history.val_log_loss.min()
    assert history.val_log_loss.iloc[-1] > best
    y, p = valid_xy[1].ravel(), evaluation.predict(model, valid_xy[0]).astype("f8")
    assert log_loss(y, p) == pytest.approx(best, rel=1e-5)
    assert best < log_loss(y, np.full(len(y), train_xy[1].mean())) - 0.01


def test_the_derivative_of_the_log_loss_by_the_score_is_p_minus_y_however_sure_the_model_is():
    import tensorflow as tf

    x = keras.Input((1,), name="input_score")
    model = keras.Model(x, models.predicted(keras.layers.Identity()(x), "click"))
    training.compile_model(model)
    score, y = tf.Variable([[-40.0], [40.0], [0.0], [3.0]]), tf.constant([[1.0], [0.0], [1.0], [1.0]])

    @tf.function
    def derivative():
        with tf.GradientTape() as tape:
            loss = model.loss(y, model(score))
        return tape.gradient(loss, score)

    p = 1 / (1 + np.exp(-score.numpy().astype("f8")))
    np.testing.assert_allclose(derivative(), (p - y.numpy()) / 4, atol=1e-7)


def test_a_click_is_0_or_1(rows):
    fields, train_xy, valid_xy = rows
    model = small_model(fields, task="click", mean_rating=0.5)
    with pytest.raises(
        ValueError, match="train_xy, ratings: the model predicts clicks, so every one has to be 0 or 1"
    ):
        fit(rows, model)


class Streamed:
    """Rows of memory under the interface of a stream, which notes what it was asked for."""

    def __init__(self, x, y):
        self.xy, self.asked = (x, y), []

    def digests(self):
        return {"rows": f"{float(self.xy[1].sum())}"}

    def batches(self, batch_size, seed, share):
        self.asked.append((batch_size, seed))
        return batches.Batches(*self.xy, batch_size, seed, share)


def test_a_stream_of_the_same_rows_trains_the_same_model(rows, whole, tmp_path):
    fields, train_xy, valid_xy = rows
    streams = Streamed(*train_xy), Streamed(*valid_xy)
    model, history = fit((fields, *streams), folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(history), numbers(whole[1]))
    for ours, theirs in zip(model.get_weights(), whole[0].get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert streams[0].asked == [(128, 7)]
    assert streams[1].asked == [(training.VALIDATED_AT_ONCE, None)]
    assert set(json.loads((tmp_path / "run.json").read_text("utf-8"))["data"]) == {
        "train_xy, rows",
        "valid_xy, rows",
    }
