"""This book's models and baselines, called as a reader would call them, for their errors: the task rmse.

`MODELS` holds what the task can name: functions of the dataset, the training rows and seeds that yield, for each
seed, a `recipes.Fitted` or something else with a `predict` and `parameters`. A new model of the book needs one more
entry.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from benchmarks import splits
from benchmarks.changes import CHANGES
from benchmarks.systems import protocol
from deepfm_helpers import builders, datasets, evaluation, models, recipes
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


@keras.saving.register_keras_serializable(package="benchmarks")
class ExpectedStars(keras.layers.Layer):
    """The expected stars of an ordered logit (McCullagh 1980): 1 + the sum of σ(1.6 · score − threshold).

    The four thresholds are trained. They begin where a score of 0 means 3.5 stars and where, near 0, one unit of the
    score is worth about one star, so that the penalties of a recipe keep their meaning.
    """

    def build(self, shape):
        start = keras.ops.convert_to_tensor([-2.6, -1.5, -0.2, 1.3])
        self.thresholds = self.add_weight(shape=(4,), initializer=lambda *_, **__: start, name="thresholds")

    def call(self, score):
        return 1.0 + keras.ops.sum(keras.ops.sigmoid(1.6 * score - self.thresholds), -1, keepdims=True)


def expected_stars(build: Callable) -> Callable:
    """Return a function that builds a model with the head `ExpectedStars`."""

    def ordered(mean_rating, **options) -> keras.Model:
        model = build(mean_rating=0.0, **options)
        return keras.Model(model.inputs, ExpectedStars()(model.output))

    return ordered


FULL, SIDE = recipes.FULL, recipes.WITHOUT_HISTORY
# For a mean of many models: each fits its rows more closely, and the errors are less alike.
WEAKER = recipes.changed(FULL, {"penalty": {"times": 0.7}})
NO_STRETCHES = {name: FULL[name] for name in FULL if name != "stretches"}
YEAR = recipes.changed(SIDE, CHANGES["release year"])
MORE = recipes.changed(FULL, CHANGES["release year"], CHANGES["five lengths of stretches"])
LONGER = {"training": {"epochs": 14}}
NO_DAY = builders.without("day")
IN_BRANCHES = builders.without("day", build=builders.branched(2))
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
    "full, no day": recipe(FULL, NO_DAY),
    "full, no rated or raters": recipe(FULL, builders.without("rated", "raters")),
    "full, no day or stretches": recipe(NO_STRETCHES, NO_DAY),
    "full, no time": recipe(NO_STRETCHES, builders.without("day", "since_first")),
    "full, no history or time, release year": recipe(YEAR),
    "full, no day, expected stars": recipe(FULL, expected_stars(NO_DAY)),
    "full, no day, release year, five lengths": recipe(MORE, NO_DAY),
    "full, no day, two branches": recipe(FULL, IN_BRANCHES),
    "full, no day, 14 epochs": recipe(recipes.changed(FULL, LONGER), NO_DAY),
    "full, no history or time, in branches": recipe(recipes.changed(SIDE, LONGER), builders.branched(2)),
    "full, in branches": recipe(recipes.changed(MORE, LONGER), IN_BRANCHES),
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
