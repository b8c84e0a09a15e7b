"""This book's models and baselines, called as a reader would call them, for their errors: the task rmse.

`MODELS` holds what the task can name: functions of the dataset, the training rows and seeds that yield, for each
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
from benchmarks.changes import CHANGES
from benchmarks.systems import protocol
from deepfm_helpers import datasets, evaluation, models, recipes
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


class TailAverage(keras.callbacks.Callback):
    """Leaves the model with the mean of its weights, as it meets them after the first `skipped` epochs.

    The running mean of `training.train` still holds a part of the first weights; this mean holds none.
    """

    def __init__(self, skipped: int):
        super().__init__()
        self.skipped = skipped

    def on_train_begin(self, logs=None):
        self.met, self.total = 0, None

    def on_epoch_begin(self, epoch, logs=None):
        self.counts = epoch >= self.skipped

    def on_train_batch_end(self, batch, logs=None):
        if self.counts:
            weights = [
                keras.ops.convert_to_numpy(w).astype("float64") for w in self.model.trainable_variables
            ]
            self.total = [a + b for a, b in zip(self.total, weights, strict=True)] if self.met else weights
            self.met += 1

    def on_train_end(self, logs=None):
        for weight, total in zip(self.model.trainable_variables, self.total, strict=True):
            weight.assign(total / self.met)


def tail_average(made: dict, epochs: int) -> Callable:
    """Return a model that follows a recipe, with the mean of all weights after four epochs as its own."""
    training = {"epochs": epochs, "averaging": 0.0, "callbacks": [TailAverage(4)]}
    return recipe(recipes.changed(made, {"training": training}))


FULL, SIDE = recipes.FULL, recipes.WITHOUT_HISTORY
# For a mean of many models: each fits its rows more closely, and the errors are less alike.
WEAKER = recipes.changed(FULL, {"penalty": {"times": 0.7}})
NO_STRETCHES = {name: FULL[name] for name in FULL if name != "stretches"}
YEAR = recipes.changed(SIDE, CHANGES["release year"])
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
    "full, tail average": tail_average(FULL, 10),
    "full, 20 epochs, tail average": tail_average(FULL, 20),
    "full, no history or time, release year": recipe(YEAR),
    "full, no history or time, release year, tail average": tail_average(YEAR, 10),
    "full, no history or time, release year, 20 epochs, tail average": tail_average(YEAR, 20),
    **{f"full, {what}": recipe(recipes.changed(FULL, change)) for what, change in CHANGES.items()},
}


def rmse(request: dict) -> None:
    """Answers once for each of `members` models of different seeds, with the mean of all so far.

    With `which`, only these of the members are trained, and each answer names the file with the scores of one.
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


if __name__ == "__main__":
    protocol.serve(rmse=rmse)
