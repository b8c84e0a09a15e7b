"""This book's models and training, called as a reader would call them.

`MODELS` holds what the task rmse can name: functions of the dataset, the training rows and seeds that yield, for each
seed, a `recipes.Fitted` or something else with a `predict` and `parameters`. A new model of the book needs one more
entry.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import compress
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks import splits
from benchmarks.systems import protocol
from deepfm_helpers import batches, datasets, evaluation, features, models, recipes, training
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Cross


class Untrained(NamedTuple):
    """A model that needs no training."""

    predict: Callable[[pd.DataFrame], object]
    parameters: int


def constant(data: datasets.MovieLens, rows: pd.DataFrame, seeds: Iterable[int]) -> Iterator[Untrained]:
    """Yield for each seed the mean of the training rows, as a model."""
    for _ in seeds:
        yield Untrained(lambda frame: np.full(len(frame), rows.rating.mean()), 1)


def offsets(data: datasets.MovieLens, rows: pd.DataFrame, seeds: Iterable[int]) -> Iterator[Untrained]:
    """Yield for each seed the sum of mean, film offset and user offset, as a model."""
    parameters = 1 + rows.uid.nunique() + rows.mid.nunique()
    for _ in seeds:
        yield Untrained(lambda frame: np.clip(evaluation.bias_predictions(rows, frame), 1, 5), parameters)


def recipe(made: dict, build: Callable | None = None) -> Callable:
    """Return a model of `MODELS` that follows a recipe of `deepfm_helpers.recipes`."""
    return lambda data, rows, seeds: recipes.members(made, data, rows, seeds, build)


def wide_deep(features, **options) -> keras.Model:
    """Build Wide & Deep; crosses go to the wide side alone."""
    crosses = [field for field in features if isinstance(field, Cross)]
    return models.wide_deep_model([f for f in features if f not in crosses], crosses, **options)


def without(*names: str) -> Callable:
    """Return a function that builds a DeepFM with inputs for all fields, of which it does not read those named."""

    def build(features, table_l2, **options) -> keras.Model:
        read = [field.name not in names for field in features]
        inputs = models.define_input_layers(features)
        penalties = {name: factor for name, factor in table_l2.items() if name not in names}
        fields = list(compress(features, read))
        model = models.deep_fm_model(features=fields, table_l2=penalties, **options)[-1]
        return keras.Model(inputs, model(list(compress(inputs, read))))

    return build


FULL, SIDE = recipes.FULL, recipes.WITHOUT_HISTORY
# Larger steps and a shorter mean of the weights reach a given error sooner, but do not end lower.
SOON = recipes.changed(SIDE, {"training": {"learning_rate": 0.015, "averaging": 0.99}})
# For a mean of many models: each fits its rows more closely, and the errors are less alike.
WEAKER = recipes.changed(FULL, {"penalty": {"times": 0.7}})
ALIKE = FULL | {"penalty": {"fields": 20.0, "first_order": 20.0, "deep": 1e-4}}
NO_STRETCHES = {name: FULL[name] for name in FULL if name != "stretches"}
PAIRS_ONLY = {name: value for name, value in FULL["model"].items() if not name.startswith("dnn")}
MODELS = {
    "constant": constant,
    "offsets": offsets,
    "mf": recipe(SIDE | {"describe": {"fields": ("uid", "mid")}, "model": PAIRS_ONLY}, models.fm_model),
    "fm": recipe(SIDE | {"model": PAIRS_ONLY}, models.fm_model),
    "fm_full": recipe(FULL | {"model": PAIRS_ONLY}, models.fm_model),
    "wide_deep": recipe(SIDE | {"crosses": [("gender", "genre"), ("age", "genre")]}, wide_deep),
    "as_published": recipe(models.AS_PUBLISHED),
    "repaired": recipe(recipes.REPAIRED),
    "full": recipe(FULL),
    "full, weaker penalties": recipe(WEAKER),
    "full, no history or time": recipe(SIDE),
    "full, no stretches": recipe(NO_STRETCHES),
    "full, no day": recipe(FULL, without("day")),
    "full, no rated or raters": recipe(FULL, without("rated", "raters")),
    "full, no day or stretches": recipe(NO_STRETCHES, without("day")),
    "full, no time": recipe(NO_STRETCHES, without("day", "since_first")),
    "full, 64 components": recipe(recipes.changed(FULL, {"history": {"components": 64}})),
    "full, k = 40": recipe(recipes.changed(FULL, {"model": {"k": 40}})),
    "full, dropout 0.2": recipe(recipes.changed(FULL, {"model": {"dnn_dr": 0.2}})),
    "full, no averaging": recipe(recipes.changed(FULL, {"training": {"averaging": 0.0}})),
    "full, falling rate instead of averaging": recipe(
        recipes.changed(FULL, {"training": {"averaging": 0.0, "schedule": "cosine", "learning_rate": 6e-3}})
    ),
    "full, one penalty for all tables": recipe(ALIKE),
}


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


def rmse(request: dict) -> None:
    """Answer once for each of `members` models of different seeds, with the mean of all so far.

    With `which`, only these members are trained, and each answer names the file with the scores of one of them.
    """
    data, rows, test = splits.load(request["data"], request["how"], request["split"])
    y, total = test.rating.to_numpy(), 0.0
    started = time.perf_counter()
    which = request.get("which", range(request.get("members", 1)))
    seeds = [request["seed"] + 1000 * member for member in which]
    for n, (member, made) in enumerate(
        zip(which, MODELS[request["model"]](data, rows, seeds), strict=True), 1
    ):
        scores = made.predict(test)
        total = total + scores
        answer = {
            "seconds": time.perf_counter() - started,
            "rmse": evaluation.rmse(y, total / n),
            "parameters": made.parameters,
        }
        if "which" in request:
            answer["scores"] = f"{request['scores']}-{member}.npy"
            np.save(answer["scores"], scores)
        protocol.turn(**answer)


def reach(request: dict) -> None:
    """Measure the seconds from rows in memory until the test RMSE after an epoch is at most `target`.

    The model is the DeepFM without history and time, whose fields do not depend on the training rows.
    """
    data, rows, test = splits.load(request["data"], request["how"], request["split"])
    fields = splits.fields(data)
    watch = _Until(request["target"], [field.encode(test) for field in fields], test.rating.to_numpy())
    made = recipes.changed(SOON, {"training": {"callbacks": [watch]}})
    watch.started = time.perf_counter()
    recipes.fit(made, data, rows, request["seed"])
    protocol.turn(seconds=protocol.reached(watch.seconds, request["target"]))


class _Until(keras.callbacks.Callback):
    """Notes when the RMSE on some rows is first at most a target; the time to compute the RMSE does not count."""

    def __init__(self, target: float, x: list, y: np.ndarray):
        super().__init__()
        self.target, self.x, self.y, self.seconds, self.looking = target, x, y, None, 0.0

    def on_epoch_end(self, epoch, logs=None):
        looked = time.perf_counter()
        swap = keras.callbacks.SwapEMAWeights()
        swap.set_model(self.model)
        swap.on_test_begin()  # swaps the running means in; a swap at the start of `predict` is never undone
        scores = self.model.predict(self.x, batch_size=16_384, verbose=0)
        swap.on_test_end()
        self.error = evaluation.rmse(self.y, np.clip(scores.ravel(), 1, 5))
        if self.seconds is None and self.error <= self.target:
            self.seconds = looked - self.started - self.looking
        self.looking += time.perf_counter() - looked


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
    protocol.serve(training=train, rmse=rmse, reach=reach, scale=scale)
