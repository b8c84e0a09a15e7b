"""How the models are trained: compile, batches, callbacks, fit, and picking up a run that was killed (chapter 7)."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers._keras import keras

Arrays = tuple[Sequence[np.ndarray], np.ndarray]


def set_seed(seed: int) -> None:
    """Fixes Python's, NumPy's and Keras' random numbers, and TensorFlow's choice of kernels.

    The same seed on the same machine then gives the same weights; another processor may differ in the last digits.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def compile_model(model: keras.Model, learning_rate=1e-3) -> keras.Model:
    """Compiles for squared error with Adam; `rmse` is measured in stars and leaves out any penalty.

    Args:
        model: maps inputs to a score (None, 1).
        learning_rate: a number or a Keras learning-rate schedule.
    """
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
    )
    return model


class Batches(keras.utils.PyDataset):
    """Training rows in batches, shuffled anew each epoch; the order of epoch e depends on (seed, e) alone.

    That is what lets a run that was killed go on exactly as if it had not been.
    """

    def __init__(self, x: Sequence[np.ndarray], y: np.ndarray, batch_size: int, seed: int):
        super().__init__()
        self.x, self.y, self.batch_size, self.seed = x, y, batch_size, seed
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.y))

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def __getitem__(self, i: int):
        rows = self.order[i * self.batch_size : (i + 1) * self.batch_size]
        return tuple(a[rows] for a in self.x), self.y[rows]


def train(
    model: keras.Model,
    train_xy: Arrays,
    valid_xy: Arrays | None = None,
    *,
    epochs: int = 20,
    batch_size: int = 2048,
    learning_rate=1e-3,
    patience: int = 3,
    seed: int = 0,
    folder: str | Path | None = None,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Fits a model and leaves it with the weights of its best epoch on the validation rows.

    Args:
        model: from `models`; it is compiled here.
        train_xy, valid_xy: (inputs, ratings) from `features.df2xy`. Without validation rows all epochs run.
        epochs, batch_size, learning_rate: the usual; see `compile_model`.
        patience: stop after this many epochs without a lower validation loss.
        seed: fixes the order of the rows.
        folder: keeps `history.csv`, `best.weights.h5` and a backup of the last epoch there. Called again with the
            same arguments after a kill, training resumes after that epoch. A finished run starts afresh.
        tensorboard: also write TensorBoard logs to `folder/tensorboard`.
        callbacks: further Keras callbacks.

    Returns:
        One row per epoch: epoch (from 1), loss (with penalties), rmse, val_loss, val_rmse, seconds.

    Raises:
        ValueError: no training rows, or `tensorboard` without a folder.
    """
    x, y = train_xy
    if len(y) == 0:
        raise ValueError("train_xy holds no rows; check the split")
    if tensorboard and folder is None:
        raise ValueError("tensorboard=True needs a folder to write the logs to")
    compile_model(model, learning_rate)
    batches = Batches(x, y, batch_size, seed)
    folder = Path(folder) if folder is not None else None
    recorder = _Recorder(batches, folder)
    chain = [recorder, *callbacks]
    if valid_xy is not None:
        chain.append(_EarlyStopping(recorder, patience, restore_best_weights=folder is None))
        if folder:
            past = [row["val_loss"] for row in recorder.rows]
            best = keras.callbacks.ModelCheckpoint(
                folder / "best.weights.h5",
                monitor="val_loss",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=min(past, default=None),
            )
            chain.append(best)
    if tensorboard:
        chain.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
    if folder:
        chain.append(keras.callbacks.BackupAndRestore(folder / "backup", double_checkpoint=True))
    model.fit(
        batches,
        epochs=epochs,
        validation_data=None if valid_xy is None else (tuple(valid_xy[0]), valid_xy[1]),
        validation_batch_size=16_384,
        callbacks=chain,
        verbose=0,
    )
    if folder and valid_xy is not None:
        model.load_weights(folder / "best.weights.h5")
    return recorder.history()


class _Recorder(keras.callbacks.Callback):
    """Deals the rows of each epoch and keeps the history, on disk too when there is a folder."""

    def __init__(self, batches: Batches, folder: Path | None):
        super().__init__()
        self.batches = batches
        self.file = folder / "history.csv" if folder else None
        resumes = folder is not None and (folder / "backup").exists() and self.file.exists()
        self.rows = pd.read_csv(self.file).to_dict("records") if resumes else []

    def on_epoch_begin(self, epoch, logs=None):
        self.rows = self.rows[
            :epoch
        ]  # a row written just before a kill belongs to an epoch that is run again
        self.batches.start_epoch(epoch)
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": time.perf_counter() - self.started})
        if self.file:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            unfinished = self.file.with_suffix(".part")
            self.history().to_csv(unfinished, index=False)
            os.replace(unfinished, self.file)

    def history(self) -> pd.DataFrame:
        columns = ["epoch", "loss", "rmse", "val_loss", "val_rmse", "seconds"]
        return pd.DataFrame(self.rows).reindex(
            columns=[c for c in columns if self.rows and c in self.rows[0]]
        )


class _EarlyStopping(keras.callbacks.EarlyStopping):
    """Early stopping that, after a kill, first looks at the epochs which the killed run had finished."""

    def __init__(self, recorder: _Recorder, patience: int, restore_best_weights: bool):
        super().__init__(monitor="val_loss", patience=patience, restore_best_weights=restore_best_weights)
        self.recorder = recorder
        self.replayed = False

    def on_epoch_begin(self, epoch, logs=None):
        if not self.replayed:
            self.replayed = True
            for row in self.recorder.rows:
                super().on_epoch_end(int(row["epoch"]) - 1, row)
