"""The book's DeepFM for clicks, as a reader would fit it: the recipes of chapter 11 with another task and penalty.

It sees the training rows alone: how long to train is part of the setting, so that no validation row is needed.
"""

import time

from benchmarks import click_splits
from benchmarks.systems import click_protocol, protocol
from deepfm_helpers import builders, recipes

RECIPES = {
    "no history or time": (recipes.WITHOUT_HISTORY, builders.deep_fm, builders.branched(2)),
    "full, no day": (
        recipes.FULL, builders.without("day"), builders.without("day", build=builders.branched(2)),
    ),
}  # fmt: skip
"""Which fields -> the recipe for ratings, and what builds one network or two branches."""


def measure(request: dict) -> None:
    """Answer with seconds, AUC, log-loss and the number of parameters, as the other systems of the task do."""
    data, *parts = click_splits.load(request["data"], request["split"])
    train, valid, test = (rows.assign(rating=rows.click.astype("float32")) for rows in parts)
    held = {"valid": valid, "test": test}[click_splits.SCORED[request["how"]]]
    recipe, *builds = RECIPES[request["fields"]]
    recipe = recipes.changed(
        recipe,
        {
            "model": {"task": "click", "k": request["k"]},
            "penalty": {"times": request["penalty"]},
            "training": {"epochs": request["epochs"]},
        },
    )
    started = time.perf_counter()
    fitted = recipes.fit(recipe, data, train, request["seed"], builds[request["branches"] - 1])
    probabilities = fitted.predict(held)
    seconds = time.perf_counter() - started
    scores = click_protocol.scores(held["rating"], probabilities)
    protocol.turn(seconds=seconds, parameters=fitted.parameters, **scores)


if __name__ == "__main__":
    protocol.serve(clicks=measure)
