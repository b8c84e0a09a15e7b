"""This book's models and training, called as a reader would call them.

`MODELS` holds what the task rmse can name: functions of the dataset and the training rows that return a
function from rows to scores. A new model of the book needs one more entry.
"""

import time
from collections.abc import Callable

import pandas as pd

from benchmarks.systems import protocol
from deepfm_helpers import datasets, evaluation, features, models, training
from deepfm_helpers._keras import keras

Scores = Callable[[pd.DataFrame], object]


def deepfm(data: datasets.MovieLens, rows: pd.DataFrame, request: dict, *more) -> Scores:
    """The sound DeepFM of chapter 6 on all six fields."""
    fields = features.describe(data)
    train, valid = features.split_rows(rows, 0.1, seed=request["seed"])
    model = models.deep_fm_model(
        features=fields,
        k=request["k"],
        dnn_dim=request["dnn_dim"],
        dnn_dr=request["dropout"],
        mean_rating=float(train.rating.mean()),
    )[-1]
    return _trained(model, fields, train, valid, request, *more)


def as_published(data: datasets.MovieLens, rows: pd.DataFrame, request: dict, *more) -> Scores:
    """The post's model by this book's code, `models.AS_PUBLISHED`."""
    published = models.AS_PUBLISHED
    fields = features.describe(data, **published["describe"])
    train, valid = features.split_rows(rows, **published["split"])
    model = models.deep_fm_model(features=fields, **published["model"])[-1]
    return _trained(model, fields, train, valid, request, *more)


MODELS = {"deepfm": deepfm, "as_published": as_published}


def _trained(model, fields, train, valid, request: dict, *more) -> Scores:
    training.train(
        model,
        features.df2xy(train, fields),
        features.df2xy(valid, fields),
        epochs=request["epochs"],
        batch_size=request["batch_size"],
        patience=request["patience"],
        seed=request["seed"],
        callbacks=more,
    )
    return lambda frame: evaluation.predict(model, features.df2xy(frame, fields)[0])


def _split(request: dict):
    training.set_seed(request["seed"])
    data = datasets.load(request["data"])
    joined = datasets.join(data.ratings, data.movies, data.users)
    return data, *features.split_rows(joined, 0.1, seed=request["split"])


def train(request: dict) -> None:
    data, rows, _ = _split(request)
    MODELS[request["model"]](data, rows, request, protocol.epoch_turns(keras, request["rows"]))


def rmse(request: dict) -> None:
    data, rows, test = _split(request)
    started = time.perf_counter()
    predicted = MODELS[request["model"]](data, rows, request)(test)
    seconds = time.perf_counter() - started
    protocol.turn(seconds=seconds, rmse=evaluation.rmse(test.rating, predicted))


def scale(request: dict) -> None:
    """Part of an epoch on planted ratings: the time to shuffle all rows once, and the pace of some steps.

    `rows_per_second` is that of a whole epoch, shuffling and all steps, at that pace.
    """
    training.set_seed(request["seed"])
    started = time.perf_counter()
    data = datasets.planted(**request["planted"], seed=request["seed"])
    drawn = time.perf_counter()
    fields = features.describe(data)
    x, y = features.df2xy(datasets.join(data.ratings, data.movies, data.users), fields)
    encoded = time.perf_counter()
    model = models.deep_fm_model(
        features=fields, k=request["k"], dnn_dim=request["dnn_dim"], mean_rating=float(y.mean())
    )[-1]
    pace = _Pace(request["steps"])
    training.train(model, (x, y), epochs=1, batch_size=request["batch_size"], callbacks=[pace])
    batches = training.Batches(x, y, request["batch_size"], request["seed"])
    before = time.perf_counter()
    batches.start_epoch(1)
    shuffling = time.perf_counter() - before
    seconds, cpu_seconds = (shuffling + len(batches) * step for step in pace.of_a_step())
    protocol.turn(
        rows_per_second=len(y) / seconds,
        rows_per_cpu_second=len(y) / cpu_seconds,
        peak_mib=protocol.peak_mib(),
        seconds_to_draw=drawn - started,
        seconds_to_encode=encoded - drawn,
        seconds=time.perf_counter() - started,
    )


class _Pace(keras.callbacks.Callback):
    """Stops an epoch after some steps; the first ones, in which TensorFlow compiles, are not timed."""

    untimed = 32

    def __init__(self, steps: int):
        super().__init__()
        self.steps, self.times = steps, {}

    def on_train_batch_end(self, batch, logs=None):
        self.times[batch + 1] = time.perf_counter(), time.process_time()
        self.model.stop_training = batch + 1 >= self.untimed + self.steps

    def of_a_step(self) -> list[float]:
        """Seconds and processor seconds that one step takes."""
        timed = [step for step in self.times if step >= self.untimed]
        first, last = min(timed), max(timed)
        return [(b - a) / (last - first) for a, b in zip(self.times[first], self.times[last], strict=True)]


if __name__ == "__main__":
    protocol.serve(training=train, rmse=rmse, scale=scale)
