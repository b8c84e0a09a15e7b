"""Time the exact top 10 beside the top 10 of a few candidates, and count how many of the best films these hold.

    python -m benchmarks.candidates                      # 100,000 planted items
    python -m benchmarks.candidates --data ml-1m         # MovieLens-1M

A DeepFM is trained with the recipe of `recipes.WITHOUT_HISTORY`, for fewer epochs, since the lists need a network that
has learned something, and not the best one. Exact lists and lists from ever more candidates take turns; a turn makes
lists for `BATCH` users at once, and for `SINGLE` users one by one. The rows of the task "candidates" in `results.json`
hold the seconds of a batch and of one list, and the recall of the exact top 10, which does not depend on the machine.
"""

import argparse
import time
from statistics import median

import numpy as np

from benchmarks import results
from deepfm_helpers import candidates, datasets, recipes, recommending

N, BATCH, SINGLE = 10, 256, 20
EXACT, MOST = "exact", (20, 50, 100, 200, 500, 1000, 2000)
PLANTED = {"n_users": 10_000, "n_movies": 100_000, "n_ratings": 1_000_000}


def trained(name: str, sizes: dict, epochs: int, seed: int):
    """Train a model on all rows of a dataset; return it and its two sides."""
    data = datasets.load(name, **sizes)
    rows = datasets.join(data.ratings, data.movies, data.users)
    recipe = recipes.changed(recipes.WITHOUT_HISTORY, {"training": {"epochs": epochs}})
    fitted = recipes.fit(recipe, data, rows, seed)
    return fitted.model, recommending.TwoSides(fitted.model, data, fitted.fields, rows)


def measure(model, sides, rounds: int, seed: int) -> dict[str, dict[str, list[float]]]:
    """Return for each way to make lists its figures: metric -> one number a round."""
    users = np.random.default_rng(seed).permutation(sides.users.uid.to_numpy())[:BATCH]
    index = candidates.Index(model, sides)
    ways = {EXACT: lambda uids: sides.top(uids, N)}
    for m in MOST:
        ways[f"{m} candidates"] = lambda uids, m=m: index.top(uids, N, m)
    exact = ways[EXACT](users)
    figures = {way: {"seconds_batch": [], "seconds_one": [], "recall": []} for way in ways}
    for _ in range(rounds):
        for way, top in ways.items():
            started = time.perf_counter()
            lists = top(users)
            batched = time.perf_counter()
            for uid in users[:SINGLE]:
                top([uid])
            ended = time.perf_counter()
            figures[way]["seconds_batch"].append(batched - started)
            figures[way]["seconds_one"].append((ended - batched) / SINGLE)
            figures[way]["recall"].append(candidates.recall(lists, exact))
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="planted", help="planted (default), ml-1m or ml-100k")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the rows (default 8)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way (default 5)")
    o = parser.parse_args(arguments)
    sizes = PLANTED if o.data == "planted" else {}
    model, sides = trained(o.data, sizes, o.epochs, seed=1)
    data = f"{o.data}, {len(sides.films):,} items"
    rows = [
        results.row(
            "candidates", way, data, metric, values, median(of_way["seconds_batch"]), results.machine()
        )
        for way, of_way in measure(model, sides, o.rounds, seed=1).items()
        for metric, values in of_way.items()
    ]
    results.store(rows)
    print(results.table(rows))


if __name__ == "__main__":
    main()
