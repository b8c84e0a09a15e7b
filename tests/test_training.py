"""Training: the same numbers from the same seed, early stopping, and going on after a kill."""

import subprocess
import sys
import textwrap
from pathlib import Path

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


class StopAt(keras.callbacks.Callback):
    """Raises KeyboardInterrupt in the middle of an epoch, or at its end."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, self.batch):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at and self.batch is None:
            raise KeyboardInterrupt


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


def test_an_interrupted_run_goes_on_with_its_running_mean(rows, tmp_path):
    options = {"averaging": 0.8, "epochs": 3}
    whole, history = fit(rows, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path, callbacks=[StopAt(1, 2)], **options)
    resumed, after = fit(rows, small_model(rows[0], seed=99), folder=tmp_path, **options)
    pd.testing.assert_frame_equal(numbers(history), numbers(after), check_exact=True)
    assert same_weights(whole, resumed)


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


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (2, None)])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(rows, whole, tmp_path, epoch, batch):
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path, callbacks=[StopAt(epoch, batch)])
    finished = epoch + (batch is None)
    resumed, after = fit(rows, small_model(rows[0], seed=99 if finished else 5), folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_a_killed_process_goes_on_as_if_nothing_had_happened(rows, whole, tmp_path):
    script = """
        import os, sys
        from deepfm_helpers._keras import keras
        from test_training import fit, planted_rows

        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.epoch = epoch
            def on_train_batch_end(self, batch, logs=None):
                if (self.epoch, batch) == (3, 4):
                    os._exit(9)

        fit(planted_rows(), folder=sys.argv[1], callbacks=[Kill()])
    """
    folder = tmp_path / "run"
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert killed.returncode == 9, killed.stderr
    assert len(pd.read_csv(folder / "history.csv")) == 3
    resumed, after = fit(rows, folder=folder)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_a_kill_while_the_weights_are_written_costs_one_epoch_only(rows, whole, tmp_path, monkeypatch):
    save = keras.Model.save_weights

    def half_saved(model, path, **options):
        save(model, path, **options)
        if model.optimizer.iterations > 25:  # in the third epoch of ten batches each
            path.write_bytes(path.read_bytes()[:100])
            raise KeyboardInterrupt

    monkeypatch.setattr(keras.Model, "save_weights", half_saved)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path)
    monkeypatch.undo()
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2
    _, after = fit(rows, folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)


def test_a_run_killed_after_its_last_patience_does_not_train_on(rows, tmp_path, monkeypatch):
    fast = {"epochs": 40, "learning_rate": 0.05, "patience": 2, "folder": tmp_path}

    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Keeper, "leave_best", kill)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, small_model(rows[0], dnn_dr=0.0), **fast)
    monkeypatch.undo()
    before = pd.read_csv(tmp_path / "history.csv")
    model, history = fit(rows, small_model(rows[0], dnn_dr=0.0), **fast)
    assert len(history) == len(before)
    x, y = rows[2]
    assert evaluation.rmse(y, evaluation.predict(model, x)) == pytest.approx(history.val_rmse.min(), rel=1e-5)


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
