"""Time ten films for each of the 6,040 users of MovieLens-1M, from a DeepFM with k = 16 and layers of 64 and 32.

The weights are random, because the time does not depend on them. The program times `TwoSides.top` (the median of the
rounds) and, once, model.predict on the pairs of 20 users, from which the time for all users follows. Run it with

    DEEPFM_DATA=folder python benchmarks/recommending.py [rounds]

where the folder holds ml-1m/. The exit status is 1 if the lists take more than 2 seconds.
"""

import sys
import time
from statistics import median

from deepfm_helpers import datasets, features, models, recommending, training


def main(rounds: int = 5) -> int:
    data = datasets.load("ml-1m")
    fields = features.describe(data)
    training.set_seed(1)
    *_, model = models.deep_fm_model(features=fields, k=16, dnn_dim=(64, 32), mean_rating=3.58)

    start = time.perf_counter()
    sides = recommending.TwoSides(model, data, fields)
    print(f"cutting the model in two, all users and films: {time.perf_counter() - start:.2f} s")

    users = sides.users.uid.to_numpy()
    sides.top(users[:100])
    wall, cpu = [], []
    for _ in range(rounds):
        start, cpu_start = time.perf_counter(), time.process_time()
        sides.top(users)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    times = ", ".join(f"{t:.2f}" for t in wall)
    print(f"top 10 for {len(users):,} users: median {median(wall):.2f} s of {times}")
    print(f"processor time: median {median(cpu):.2f} s over all threads")

    few = users[:20]
    pairs = data.movies[["mid"]].merge(data.users[data.users.uid.isin(few)][["uid"]], how="cross")
    x, _ = features.df2xy(datasets.join(pairs.assign(rating=0.0), data.movies, data.users), fields)
    model.predict(x, batch_size=16_384, verbose=0)
    start = time.perf_counter()
    model.predict(x, batch_size=16_384, verbose=0)
    seconds = (time.perf_counter() - start) * len(users) / len(few)
    print(f"model.predict on all pairs, extrapolated from {len(few)} users: {seconds:.0f} s")
    return 0 if median(wall) <= 2 else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
