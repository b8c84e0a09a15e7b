"""Trains models: compiles and fits them, stops early, keeps the best weights (chapter 7)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy, checkpoints, processes
from deepfm_helpers._keras import keras, native_stderr_discarded
from deepfm_helpers.arrays import check_finite
from deepfm_helpers.batches import Batches, Stream
from deepfm_helpers.optimizers import FusedAdam

Arrays = tuple[Sequence[np.ndarray], np.ndarray]
VALIDATED_AT_ONCE = 16_384  # rows


def set_seed(seed: int, deterministic: bool = True) -> None:
    """Seeds the random numbers of Python, NumPy and Keras, and makes TensorFlow's kernels deterministic.

    The same seed on the same machine then gives the same weights; on another processor they may differ a little.

    Args:
        seed: a whole number from 0 on.
        deterministic: use only kernels that always compute in the same order. This setting of TensorFlow lasts as long
            as the process and rules out XLA: `jit_compile` then has to be False or None in every call.
    """
    with native_stderr_discarded():  # Keras loads TensorFlow here, on any backend
        keras.utils.set_random_seed(seed)
    if deterministic and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


@keras.saving.register_keras_serializable(package="deepfm_helpers")
class LogLoss(keras.metrics.BinaryCrossentropy):
    """Keras' mean log-loss of probabilities (n, 1), in nats, which also takes targets (n,), as Keras' losses do."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(keras.ops.reshape(y_true, keras.ops.shape(y_pred)), y_pred, sample_weight)


def compile_model(
    model: keras.Model,
    learning_rate=1e-3,
    *,
    averaging: float = 0.0,
    steps_per_execution: int | None = None,
    jit_compile: bool | None = None,
) -> keras.Model:
    """Compiles a model with Adam, for what it predicts; the metric does not include penalties.

    For ratings the loss is the squared error and the metric `rmse`, in stars; for clicks they are the log-loss and
    `log_loss`, in nats.

    Args:
        model: a model from inputs to stars or a probability, (None, 1).
        learning_rate: a number or a Keras learning-rate schedule.
        averaging: momentum of a running mean of the weights, 0 for none; the mean covers about the last
            1 / (1 - averaging) steps. Keras puts the means in place of the weights when `fit` ends.
        steps_per_execution: number of steps between two calls of the callbacks; it does not change the result. None
            means 1, the only choice on JAX.
        jit_compile: whether to compile the step with XLA. None means yes on JAX, where there is no other choice, and no
            elsewhere. TensorFlow compiles for seconds at each new shape of a batch; then a step takes about half the
            time. With dropout, TensorFlow's XLA is very slow on a CPU.

    Returns:
        The model.

    Raises:
        ValueError: `jit_compile` is True although `set_seed` has asked for deterministic kernels; on JAX, `jit_compile`
            is False or there are several steps per execution; or a layer computes in half precision.
        RuntimeError: see `processes.share`.
    """
    weighted = processes.share(model).devices > 1  # see `Batches`
    task = anatomy.task(model)
    loss, metric = {
        "rating": (keras.losses.MeanSquaredError, keras.metrics.RootMeanSquaredError),
        "click": (keras.losses.BinaryCrossentropy, LogLoss),
    }[task]
    if keras.backend.backend() == "jax":
        if jit_compile is False or steps_per_execution not in (None, 1):
            raise ValueError(
                f"jit_compile={jit_compile}, steps_per_execution={steps_per_execution}: on JAX every step is compiled "
                "and runs by itself; leave both arguments out"
            )
        jit_compile = True
    for layer in model.layers:
        if layer.compute_dtype in ("float16", "bfloat16"):
            raise ValueError(
                f"layer {layer.name} computes in {layer.compute_dtype}, too coarse for this training: "
                "call keras.config.set_dtype_policy('float32') before the model is built"
            )
    model.compile(
        optimizer=FusedAdam(learning_rate, use_ema=averaging > 0, ema_momentum=averaging or 0.99),
        loss=loss(reduction="mean_with_sample_weight" if weighted else "sum_over_batch_size"),
        **{"weighted_metrics" if weighted else "metrics": [metric(name=checkpoints.METRICS[task])]},
        steps_per_execution=1 if steps_per_execution is None else steps_per_execution,
        jit_compile=bool(jit_compile),
    )
    if jit_compile and not model.jit_compile:
        raise ValueError(
            "jit_compile=True: Keras cannot use XLA here; if set_seed was called in this process, restart it and call "
            "set_seed(seed, deterministic=False)"
        )
    model.optimizer.build(model.trainable_variables)  # otherwise TensorFlow traces the first step twice
    return model


def train(
    model: keras.Model,
    train_xy: Arrays | Stream,
    valid_xy: Arrays | Stream | None = None,
    *,
    epochs: int = 20,
    batch_size: int = 2048,
    learning_rate=1e-3,
    patience: int = 3,
    averaging: float = 0.0,
    seed: int = 0,
    steps_per_execution: int | None = None,
    jit_compile: bool | None = None,
    folder: str | Path | None = None,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Fits a model and leaves it with the weights of its best epoch on the validation rows.

    With a `folder`, a run survives the end of its process. If the process was killed, the same call goes on after the
    last finished epoch and gives the same numbers as a run that nothing interrupted; `epochs` may be larger in it, and
    `steps_per_execution`, `tensorboard` and `callbacks` may differ. After a run that came to its end, the same call
    starts afresh. `train` refuses a folder that holds another run.

    On JAX several processes can train together, see `processes.start`: each calls `train` with the same arguments.
    `batch_size` counts the rows of all of them. The result is that of one process but for rounding, and a run that was
    killed may go on in another number of processes. Only the first process writes; callbacks run in all. The `loss` of
    an epoch, a mean over batches, gives a batch that does not divide equally the weight of a slightly larger one.

    Args:
        model: a model of `models`; `train` compiles it.
        train_xy, valid_xy: (inputs, ratings) from `features.df2xy`, or a `batches.Stream` of rows that do not fit in
            memory. Without validation rows all epochs run and the last weights stay.
        epochs: largest number of passes over the training rows.
        batch_size: rows in a batch.
        learning_rate, averaging, steps_per_execution, jit_compile: see `compile_model`. With averaging, the running
            means of the weights are validated and kept. For `steps_per_execution`, None means 16 here, and 1 on JAX.
        patience: number of epochs in a row without a lower validation error after which training stops.
        seed: fixes, epoch by epoch, the order of the rows and what dropout drops.
        folder: where `history.csv` and the weights are kept, see `checkpoints`; in the end the weights are in
            `best.weights.h5`.
        tensorboard: whether to write TensorBoard logs to `folder/tensorboard` too.
        callbacks: further Keras callbacks.

    Returns:
        One row per epoch with epoch (from 1), loss (with penalties), rmse (stars) or, for clicks, log_loss (nats),
        val_loss, val_rmse or val_log_loss, and seconds.

    Raises:
        ValueError: there are no rows, the arrays do not fit together, or a number in them is not finite; the folder
            holds another run or a damaged one; `tensorboard` needs a folder; processes that train together were asked
            for different runs; or see `compile_model`.
        FloatingPointError: a loss is not finite at the end of an epoch. The epochs before it stay in the folder.
        RuntimeError: another process trains in the folder; one of the processes that train together has failed; or
            see `processes.share`.
        OSError: the folder cannot be written.
    """
    data = _named(model, "train_xy", train_xy)
    if valid_xy is not None:
        data |= _named(model, "valid_xy", valid_xy)
    if tensorboard and folder is None:
        raise ValueError("tensorboard=True needs a folder to write the logs to")
    if steps_per_execution is None and keras.backend.backend() != "jax":
        steps_per_execution = 16
    compile_model(
        model,
        learning_rate,
        averaging=averaging,
        steps_per_execution=steps_per_execution,
        jit_compile=jit_compile,
    )
    decisive = {
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "patience": patience,
        "averaging": averaging,
        "seed": seed,
        "jit_compile": model.jit_compile,
    }
    share = processes.share(model)
    several = share.size > 1
    run = checkpoints.describe_run(model, decisive, data) if folder is not None or several else None
    if several:
        checkpoints.check_alike(run | {"epochs": epochs, "in a folder": folder is not None})
    with (
        processes.together(),
        checkpoints.TrainingFolder(folder, run) if folder is not None else nullcontext() as kept,
    ):
        rows = kept.resume(model) if kept else []
        if len(rows) > epochs:
            raise ValueError(
                f"{folder} holds {len(rows)} finished epochs of this run, more than epochs={epochs}: "
                "ask for at least as many, or choose another folder"
            )
        batches = _batches(train_xy, batch_size, seed, share)
        if isinstance(valid_xy, Stream) or (valid_xy is not None and share.devices > 1):
            valid_xy = _batches(valid_xy, VALIDATED_AT_ONCE, None, share).dataset()
        elif valid_xy is not None:
            valid_xy = tuple(valid_xy[0]), valid_xy[1]
        keeper = _Keeper(batches, patience if valid_xy is not None else None, rows, kept)
        chain = [keeper, *([keras.callbacks.SwapEMAWeights()] if averaging else []), *callbacks]
        if tensorboard and share.rank == 0:
            chain.append(keras.callbacks.TensorBoard(Path(folder) / "tensorboard"))
        if not keeper.out_of_patience():
            model.fit(
                batches.dataset(),
                initial_epoch=len(rows),
                epochs=epochs,
                shuffle=False,  # Keras would deal the batches in an order that no seed of ours fixes
                validation_data=valid_xy,
                validation_batch_size=VALIDATED_AT_ONCE,
                callbacks=chain,
                verbose=0,
            )
        keeper.leave_best(model)
    return checkpoints.history(rows)


def _batches(xy: Arrays | Stream, batch_size: int, seed: int | None, share: processes.Share):
    """Deals rows in batches, those in memory or those of a stream."""
    if isinstance(xy, Stream):
        return xy.batches(batch_size, seed, share)
    return Batches(*xy, batch_size, seed, share)


def _named(model: keras.Model, name: str, xy: Arrays | Stream) -> dict[str, np.ndarray | str]:
    """Returns the arrays of some rows, or a stream's digests, under names; refuses arrays that cannot be trained on."""
    if isinstance(xy, Stream):
        return {f"{name}, {what}": digest for what, digest in xy.digests().items()}
    x, y = xy
    if len(y) == 0:
        raise ValueError(f"{name} holds no rows; check the split")
    tensors = getattr(model, "inputs", None) or ()  # a model of another class may not know its inputs yet
    inputs = [tensor.name for tensor in tensors] or [f"input {i}" for i in range(len(x))]
    if len(x) != len(inputs):
        raise ValueError(
            f"{name} holds {len(x)} inputs, but the model has {len(inputs)}: {', '.join(inputs)}"
        )
    named = {f"{name}, {i}": np.asarray(a) for i, a in zip(inputs, x, strict=True)}
    named |= {f"{name}, ratings": np.asarray(y)}
    if np.shape(y)[1:] not in [(), (1,)]:
        raise ValueError(
            f"{name}: ratings have shape {np.shape(y)}; expected one number for each row, (n,) or (n, 1)"
        )
    for what, array in named.items():
        if len(array) != len(y):
            raise ValueError(f"{what} has {len(array)} rows, but there are {len(y)} ratings")
        check_finite(array, what)
    if anatomy.task(model) == "click" and not np.isin(y, (0, 1)).all():
        raise ValueError(f"{name}, ratings: the model predicts clicks, so every one has to be 0 or 1")
    return named


class _Keeper(keras.callbacks.Callback):
    """Deals the rows of each epoch, keeps history and weights, and stops when patience runs out.

    Args:
        batches: the batches, which are told the number of each epoch.
        patience: see `train`; None: never stop.
        rows: one dict for each finished epoch; this callback appends to it.
        kept: the folder of the run; None: the best weights are kept in memory.
    """

    def __init__(
        self,
        batches: Batches,
        patience: int | None,
        rows: list[Mapping[str, float]],
        kept: checkpoints.TrainingFolder | None,
    ):
        super().__init__()
        self.batches, self.patience, self.rows, self.kept, self.best = batches, patience, rows, kept, []

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.epoch = epoch
        rng = np.random.default_rng([self.batches.seed, epoch])
        for layer in self.model.layers:
            if hasattr(layer, "seed_generator"):  # dropout; weight files do not hold its state
                layer.seed_generator.state.assign([int(rng.integers(2**31)), 0])
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            if not np.isfinite(value):
                rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
                raise FloatingPointError(
                    f"epoch {epoch + 1}: {name} is {value}. The training has diverged, most likely because the "
                    f"learning_rate ({rate:g}) is too high; build the model anew and train it with a lower one"
                )
        self.rows.append({"epoch": epoch + 1, **logs, "seconds": time.perf_counter() - self.started})
        if self.kept:
            self.kept.save(self.model, self.rows)
        elif checkpoints.best_epoch(self.rows) == len(self.rows):
            optimizer = self.model.optimizer  # with averaging it holds the running means
            variables = self.model.weights + (optimizer.variables if optimizer.use_ema else [])
            self.best = [(v, keras.ops.convert_to_numpy(v)) for v in variables]
        self.model.stop_training = self.model.stop_training or self.out_of_patience()

    def out_of_patience(self) -> bool:
        return (
            self.patience is not None and len(self.rows) - checkpoints.best_epoch(self.rows) >= self.patience
        )

    def leave_best(self, model: keras.Model) -> None:
        """Gives the model the best weights; removes from the folder all but these weights and the history."""
        if not self.rows:
            return
        if self.kept:
            self.kept.load(model, checkpoints.best_epoch(self.rows))
        for variable, value in self.best:
            variable.assign(value)
        model.optimizer.finalize_variable_values(model.trainable_variables)  # the running means, if asked for
        if self.kept:
            self.kept.finish(model)
