"""This book's model with histories, called as a reader would call it, for its pace: the task reach.

The program `book` measures the six fields, which can be read without the training rows.
"""

import time

from benchmarks import splits
from benchmarks.systems import book, protocol
from deepfm_helpers import builders, recipes


def reach(request: dict) -> None:
    """Measure the seconds from rows in memory until the test RMSE after an epoch is at most `target`.

    The model is the full one of chapter 11 without the day, with the steps of `book.SOON`. The time to encode the test
    rows, which are looked at after each epoch, does not count.
    """
    data, rows, test = splits.load(request["data"], request["how"], request["split"])
    watch = book.Until(request["target"], [], test.rating.to_numpy())

    def build(*, features, **options):
        looked = time.perf_counter()
        watch.x = [field.encode(test) for field in features]
        watch.looking += time.perf_counter() - looked
        return builders.without("day")(features=features, **options)

    made = recipes.changed(recipes.FULL, {"training": {**book.SOON["training"], "callbacks": [watch]}})
    watch.started = time.perf_counter()
    recipes.fit(made, data, rows, request["seed"], build)
    protocol.turn(seconds=protocol.reached(watch.seconds, request["target"]))


if __name__ == "__main__":
    protocol.serve(reach=reach)
