"""How models are trained: compile, batches, callbacks, fit, resuming a run that was killed (chapter 7)."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers._keras import keras

Arrays = tuple[Sequence[np.ndarray], np.ndarray]


def set_seed(seed: int, deterministic: bool = True) -> None:
    """Fixes Python's, NumPy's and Keras' random numbers, and TensorFlow's choice of kernels.

    The same seed on the same machine then gives the same weights; another processor may differ a little.

    Args:
        seed: any whole number from 0 on.
        deterministic: take only kernels that always compute in the same order. TensorFlow keeps to it for the rest of
            the process, and then compiles nothing with XLA: `jit_compile` needs False in every call.
    """
    keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@keras.saving.register_keras_serializable(package="deepfm_helpers")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam, with its update as one TensorFlow operation instead of a dozen; elsewhere it is Keras' own.

    The dozen read and write every table a dozen times; that is what large tables spend their step on.
    """

    def update_step(self, gradient, variable, learning_rate):
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        i = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, variable.dtype)
        used = (variable, self._momentums[i], self._velocities[i])
        handles = [(v.value if isinstance(v, keras.Variable) else v).handle for v in used]
        tf.raw_ops.ResourceApplyAdam(
            **dict(zip(("var", "m", "v"), handles, strict=True)),
            beta1_power=tf.pow(tf.cast(self.beta_1, step.dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, step.dtype), step),
            lr=tf.cast(learning_rate, step.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


def compile_model(
    model: keras.Model,
    learning_rate=1e-3,
    *,
    averaging: float = 0.0,
    steps_per_execution: int = 1,
    jit_compile: bool = False,
) -> keras.Model:
    """Compiles for squared error with Adam; `rmse` is measured in stars and leaves out any penalty.

    Args:
        model: maps inputs to a score (None, 1).
        learning_rate: a number or a Keras learning-rate schedule.
        averaging: momentum of a running mean of the weights, 0 for none; 1 / (1 - averaging) is about how many
            steps it looks back. Keras puts the means in place of the weights when `fit` ends.
        steps_per_execution: steps that run between two looks at the callbacks; moves no number.
        jit_compile: compile the step with XLA. That takes seconds once for each shape of a batch, and dropout is
            very slow with it on a processor; after that a step takes about half its time.

    Raises:
        ValueError: `jit_compile` after `set_seed` has asked for deterministic kernels.
    """
    model.compile(
        optimizer=FusedAdam(learning_rate, use_ema=averaging > 0, ema_momentum=averaging or 0.99),
        loss="mse",
        metrics=[keras.metrics.RootMeanSquaredError(name="rmse")],
        steps_per_execution=steps_per_execution,
        jit_compile=jit_compile,
    )
    if jit_compile and not model.jit_compile:
        raise ValueError(
            "jit_compile=True: Keras cannot use XLA here; if set_seed was called in this process, restart it and call "
            "set_seed(seed, deterministic=False)"
        )
    model.optimizer.build(model.trainable_variables)  # or else TensorFlow traces the first step twice
    return model


class Batches:
    """Training rows in batches, shuffled anew each epoch; the order of epoch e depends on (seed, e) alone.

    That is what lets a run that was killed go on exactly as if it had not been.
    """

    def __init__(self, x: Sequence[np.ndarray], y: np.ndarray, batch_size: int, seed: int):
        self.x, self.y, self.batch_size, self.seed = x, y, batch_size, seed
        self.epoch = 0

    def order(self) -> np.ndarray:
        """Places of the rows in the order of this epoch, (n,)."""
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.y))

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def dataset(self):
        """The batches (inputs, ratings) as a `tf.data.Dataset`; each pass over it goes in the order of its epoch.

        TensorFlow alone gathers them, ahead of the training step, from a copy of the columns in types as narrow as
        their values allow. The bytes of a row lie side by side, so that it is read in one place instead of one for
        each column. Autotuning is off: with it, a pass began with up to three seconds in which nothing was computed.
        """
        import tensorflow as tf

        packed = _packed((*self.x, self.y))
        places = [packed.dtype.fields[name] for name in packed.dtype.names]
        types = [column.dtype for column in (*self.x, self.y)]
        table = tf.convert_to_tensor(packed.view(np.uint8).reshape(len(packed), -1))

        def epoch(order):
            def batch(i):
                records = tf.gather(table, order[i * self.batch_size : (i + 1) * self.batch_size])
                *x, y = (
                    _unpacked(records, *place, dtype) for place, dtype in zip(places, types, strict=True)
                )
                return tuple(x), y

            return tf.data.Dataset.range(len(self)).map(batch)

        orders = tf.data.Dataset.from_generator(
            lambda: iter([self.order()]), output_signature=tf.TensorSpec((None,), tf.int64)
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        counted = orders.flat_map(epoch).apply(tf.data.experimental.assert_cardinality(len(self)))
        return counted.prefetch(2).with_options(options)


def _packed(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A record for each row, (n,), with a field of the narrowest type for each column."""
    fields = [(f"column {i}", _narrow(column), column.shape[1:]) for i, column in enumerate(columns)]
    records = np.empty(len(columns[0]), fields)
    for (name, *_), column in zip(fields, columns, strict=True):
        records[name] = column
    return records


def _unpacked(records, narrow: np.dtype, start: int, dtype: np.dtype):
    """A column out of the bytes (batch, bytes) of some records: its field begins at `start`."""
    import tensorflow as tf

    values = tf.reshape(records[:, start : start + narrow.itemsize], (-1, narrow.base.itemsize))
    return tf.cast(tf.reshape(tf.bitcast(values, narrow.base), (-1, *narrow.shape)), dtype)


def _narrow(column: np.ndarray) -> np.dtype:
    """The smallest signed type that holds these whole numbers; that of the column if they are not whole."""
    if column.dtype.kind != "i" or not column.size:
        return column.dtype
    low, high = column.min(), column.max()
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.dtype(next(fits, column.dtype))


def train(
    model: keras.Model,
    train_xy: Arrays,
    valid_xy: Arrays | None = None,
    *,
    epochs: int = 20,
    batch_size: int = 2048,
    learning_rate=1e-3,
    patience: int = 3,
    averaging: float = 0.0,
    seed: int = 0,
    steps_per_execution: int = 16,
    jit_compile: bool = False,
    folder: str | Path | None = None,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Fits a model and leaves it with the weights of its best epoch on the validation rows.

    Args:
        model: from `models`; it is compiled here.
        train_xy, valid_xy: (inputs, ratings) from `features.df2xy`. Without validation rows all epochs run
            and the last weights stay.
        epochs, batch_size: the usual.
        learning_rate, averaging, steps_per_execution, jit_compile: see `compile_model`. With averaging it is the
            running mean of the weights that is validated, and that the model is left with.
        patience: stop after this many epochs in a row without a lower validation RMSE.
        seed: fixes the order of the rows and what dropout drops, epoch by epoch.
        folder: keeps `history.csv` and the weights of the last and the best epoch there, and at the end
            `best.weights.h5`. Called again with the same arguments after a kill, training goes on after the
            last finished epoch, to the same numbers. Called again after a finished run, it starts afresh.
        tensorboard: also write TensorBoard logs to `folder/tensorboard`.
        callbacks: further Keras callbacks.

    Returns:
        One row per epoch, with epoch (from 1), loss (with penalties), rmse, val_loss, val_rmse, seconds.

    Raises:
        ValueError: no training or validation rows, `tensorboard` without a folder, or see `compile_model`.
    """
    x, y = train_xy
    if len(y) == 0 or (valid_xy is not None and len(valid_xy[1]) == 0):
        raise ValueError(f"{'valid_xy' if len(y) else 'train_xy'} holds no rows; check the split")
    if tensorboard and folder is None:
        raise ValueError("tensorboard=True needs a folder to write the logs to")
    compile_model(
        model,
        learning_rate,
        averaging=averaging,
        steps_per_execution=steps_per_execution,
        jit_compile=jit_compile,
    )
    batches = Batches(x, y, batch_size, seed)
    keeper = _Keeper(batches, patience if valid_xy is not None else None, folder)
    chain = [keeper, *([keras.callbacks.SwapEMAWeights()] if averaging else []), *callbacks]
    if tensorboard:
        chain.append(keras.callbacks.TensorBoard(Path(folder) / "tensorboard"))
    finished = keeper.resume(model)
    if not keeper.out_of_patience():
        model.fit(
            batches.dataset(),
            initial_epoch=finished,
            epochs=epochs,
            shuffle=False,  # Keras would deal the batches in an order that no seed of ours fixes
            validation_data=None if valid_xy is None else (tuple(valid_xy[0]), valid_xy[1]),
            validation_batch_size=16_384,
            callbacks=chain,
            verbose=0,
        )
    keeper.leave_best(model)
    return keeper.history()


class _Keeper(keras.callbacks.Callback):
    """Deals the rows of each epoch, keeps history and weights, stops when patience is out, and resumes.

    In the folder, `history.csv` is what counts: it is replaced in one step, after the weights of its last
    epoch are safe and before older ones go. So whenever the run is killed, the weights it needs are there.
    """

    def __init__(self, batches: Batches, patience: int | None, folder: str | Path | None):
        super().__init__()
        self.batches, self.patience, self.rows, self.best = batches, patience, [], []
        self.folder = Path(folder) if folder is not None else None

    def resume(self, model: keras.Model) -> int:
        """Takes up the killed run in the folder, if there is one; returns how many epochs it finished."""
        if self.folder is None or not (self.folder / "history.csv").exists():
            return 0
        with open(self.folder / "history.csv", newline="", encoding="utf-8") as file:
            rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]
        if not self._file(len(rows)).exists():  # that run came to its end
            return 0
        self.rows = [row | {"epoch": int(row["epoch"])} for row in rows]
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._file(len(rows)))
        return len(rows)

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch
        rng = np.random.default_rng([self.batches.seed, epoch])
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):  # dropout; weight files do not hold its state
                layer.seed_generator.state.assign([int(rng.integers(2**31)), 0])
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": time.perf_counter() - self.started})
        if self.folder:
            self._save()
        elif self._best_epoch() == len(self.rows):
            optimizer = self.model.optimizer  # with averaging it holds the running means
            kept = self.model.weights + (optimizer.variables if optimizer.use_ema else [])
            self.best = [(v, keras.ops.convert_to_numpy(v)) for v in kept]
        self.model.stop_training = self.model.stop_training or self.out_of_patience()

    def out_of_patience(self) -> bool:
        return self.patience is not None and len(self.rows) - self._best_epoch() >= self.patience

    def leave_best(self, model: keras.Model) -> None:
        """Gives the model the best weights; in the folder only they and the history stay."""
        if not self.rows:
            return
        if self.folder is None:
            for variable, value in self.best:
                variable.assign(value)
        else:
            model.load_weights(self._file(self._best_epoch()))
        model.optimizer.finalize_variable_values(model.trainable_variables)  # the running means, if asked for
        if self.folder is not None:
            self._write_weights(model, self.folder / "best.weights.h5")
            self._drop_all_but()

    def history(self) -> pd.DataFrame:
        columns = ["epoch", "loss", "rmse", "val_loss", "val_rmse", "seconds"]
        return pd.DataFrame(self.rows).reindex(
            columns=[c for c in columns if self.rows and c in self.rows[0]]
        )

    def _best_epoch(self) -> int:
        """The epoch (from 1) with the lowest validation RMSE; the last one without validation rows.

        Not the lowest `val_loss`: Keras adds the penalties of `table_l2` to it.
        """
        if not self.rows or self.patience is None:
            return len(self.rows)
        return 1 + int(np.argmin(np.nan_to_num([row["val_rmse"] for row in self.rows], nan=np.inf)))

    def _file(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}.weights.h5"

    def _save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        last = self._file(len(self.rows))
        self._write_weights(self.model, last)
        part = self.folder / "history.csv.part"
        self.history().to_csv(part, index=False)
        os.replace(part, self.folder / "history.csv")
        self._drop_all_but(self._file(self._best_epoch()), last)

    def _write_weights(self, model: keras.Model, path: Path) -> None:
        part = self.folder / "part.weights.h5"
        model.save_weights(part)
        os.replace(part, path)

    def _drop_all_but(self, *kept: Path) -> None:
        for file in self.folder.glob("epoch-*.weights.h5"):
            if file not in kept:
                file.unlink()
