"""This book's training, called as a reader would call it, for its pace: the tasks training and scale."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks import splits
from benchmarks.systems import protocol
from deepfm_helpers import batches, datasets, features, models, training
from deepfm_helpers._keras import keras


def train(request: dict) -> None:
    """Train on six fields, with the architecture of the request, in turns of `protocol.epoch_turns`."""
    jit_compile = request.get("jit_compile", False)
    training.set_seed(request["seed"], deterministic=not jit_compile)
    data, rows, _ = splits.load(request["data"], request["how"], request["split"])
    fields = splits.fields(data)
    train, valid = features.split_rows(rows, 0.1, seed=request["seed"])
    model = models.deep_fm_model(
        features=fields,
        k=request["k"],
        dnn_dim=request["dnn_dim"],
        dnn_dr=request["dropout"],
        mean_rating=float(train.rating.mean()),
    )[-1]
    training.train(
        model,
        features.df2xy(train, fields),
        features.df2xy(valid, fields),
        epochs=request["epochs"],
        batch_size=request["batch_size"],
        patience=request["patience"],
        seed=request["seed"],
        jit_compile=jit_compile,
        callbacks=[protocol.epoch_turns(keras, request["rows"])],
    )


def scale(request: dict) -> None:
    """Train on planted ratings, in turns of some steps.

    `rows_per_second` is that of a whole epoch at the pace of a turn: one shuffle of all rows, and all steps.
    """
    training.set_seed(request["seed"])
    started = time.perf_counter()
    data = datasets.planted(**request["planted"], seed=request["seed"])
    drawn = time.perf_counter()
    fields = splits.fields(data)
    x, y = features.df2xy(datasets.join(data.ratings, data.movies, data.users), fields)
    encoded = time.perf_counter()
    dealt = batches.Batches(x, y, request["batch_size"], request["seed"])
    dealt.order()
    steps, shuffling = len(dealt), time.perf_counter() - encoded
    model = models.deep_fm_model(
        features=fields, k=request["k"], dnn_dim=request["dnn_dim"], mean_rating=float(y.mean())
    )[-1]

    def answer(step: float, cpu_step: float) -> bool:
        return protocol.turn(
            rows_per_second=len(y) / (shuffling + steps * step),
            rows_per_cpu_second=len(y) / (shuffling + steps * cpu_step),
            peak_mib=protocol.peak_mib(),
            seconds_to_draw=drawn - started,
            seconds_to_encode=encoded - drawn,
            seconds=request["steps"] * step,
        )

    pace = _Pace(request["steps"], answer)
    training.train(
        model, (x, y), epochs=10_000, batch_size=request["batch_size"], callbacks=[pace],
        steps_per_execution=min(16, max(1, steps // 4)),  # a pace needs two looks in an epoch
    )  # fmt: skip


class _Pace(keras.callbacks.Callback):
    """Passes on the mean wall and processor seconds of a step over `steps` steps, turn by turn, until it is stopped.

    The time between two epochs does not count, nor does the beginning of an epoch or of a turn. The first 32 steps, in
    which TensorFlow compiles, are not timed.
    """

    def __init__(self, steps: int, answer: Callable[[float, float], bool]):
        super().__init__()
        self.steps, self.answer, self.begun = steps, answer, 0
        self._afresh()

    def _afresh(self) -> None:
        self.timed, self.spent, self.before = 0, np.zeros(2), None

    def on_epoch_begin(self, epoch, logs=None):
        self.before = None

    def on_train_batch_end(self, batch, logs=None):
        now = batch, np.array([time.perf_counter(), time.process_time()])
        if self.before is not None:
            self.timed += now[0] - self.before[0]
            self.spent += now[1] - self.before[1]
        self.before = now
        if self.timed < (self.steps if self.begun else 32):
            return
        if self.begun:
            self.model.stop_training |= not self.answer(*(self.spent / self.timed))
        self.begun += 1
        self._afresh()


if __name__ == "__main__":
    protocol.serve(training=train, scale=scale)
