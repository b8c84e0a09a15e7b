"""This book's models, called as a reader would call them, for the seconds to an error: the task reach."""

import time

import numpy as np

from benchmarks import splits
from benchmarks.systems import protocol
from deepfm_helpers import builders, evaluation, recipes
from deepfm_helpers._keras import keras

SOON = {"schedule": "cosine", "averaging": 0.97}
SIX_FIELDS = {
    "model": {"k": 32, "dnn_dim": (16,)},
    "training": {"epochs": 5, "learning_rate": 0.035, **SOON},
}
FULL = {
    "model": {"k": 16, "dnn_dim": (16,)},
    "training": {"epochs": 3, "learning_rate": 0.02, **SOON},
}
MODELS = {
    "six fields": (recipes.changed(recipes.WITHOUT_HISTORY, SIX_FIELDS), builders.deep_fm),
    "full, no day": (recipes.changed(recipes.FULL, FULL), builders.without("day")),
}
"""Recipes and what builds their models: few passes of large steps that fall to 0, and a small network.

They were chosen on validation rows (`splits.load`, "valid", seed 1), among about sixty for the first and twenty for the
second, for the seconds until an RMSE of 0.844 there. By the same measure myFM's rank of 10 is the quickest of 6, 8, 10
and 14.
"""


def reach(request: dict) -> None:
    """Measure the seconds from rows in memory until the test RMSE after an epoch is at most `target`.

    `model` is one of `MODELS`. The time to encode the test rows, which are looked at after each epoch, does not count.
    """
    data, rows, test = splits.load(request["data"], request["how"], request["split"])
    watch = Until(request["target"], test.rating.to_numpy())

    def build(*, features, **options):
        looked = time.perf_counter()
        watch.x = [field.encode(test) for field in features]
        watch.looking += time.perf_counter() - looked
        return model(features=features, **options)

    recipe, model = MODELS[request["model"]]
    made = recipes.changed(recipe, {"training": {"callbacks": [watch]}})
    watch.started = time.perf_counter()
    recipes.fit(made, data, rows, request["seed"], build)
    protocol.turn(seconds=protocol.reached(watch.seconds, request["target"]))


class Until(keras.callbacks.Callback):
    """Notes when the RMSE on some rows is first at most a target; the time to compute the RMSE does not count."""

    def __init__(self, target: float, y: np.ndarray):
        super().__init__()
        self.target, self.y, self.seconds, self.looking = target, y, None, 0.0
        self.x: list[np.ndarray] = []

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


if __name__ == "__main__":
    protocol.serve(reach=reach)
