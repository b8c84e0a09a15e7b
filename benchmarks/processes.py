"""Train the DeepFM without history on MovieLens-1M in one process and in two, and compare numbers and seconds.

    DEEPFM_DATA=folder python -m benchmarks.processes [--epochs 3]

The systems train the same recipe with the same seed, one after the other. The rows of the task "processes" in
`results.json` hold loss, rmse and val_rmse of every epoch; the seconds of a whole training and of an epoch after the
first, in which the step is compiled; and the largest difference between two trainings over all epochs. Two processes
change the rounding alone: with numbers of 64 bits almost no difference is left, and another number of cores makes as
much of a difference.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import time
from importlib import metadata
from statistics import median
from typing import NamedTuple

from benchmarks import results

MEASURES = ("loss", "rmse", "val_rmse")


class System(NamedTuple):
    """How a training runs: the backend of Keras, processes, bits of a number, and cores (None: all)."""

    backend: str
    processes: int = 1
    bits: int = 32
    cores: int | None = None


ONE, TWO = "JAX, one process", "JAX, two processes"
ONE_CORE, ONE_64, TWO_64 = f"{ONE}, one core", f"{ONE}, 64 bits", f"{TWO}, 64 bits"
SYSTEMS = {
    "TensorFlow, one process": System("tensorflow"),
    ONE: System("jax"),
    TWO: System("jax", processes=2),
    ONE_CORE: System("jax", cores=1),
    ONE_64: System("jax", bits=64),
    TWO_64: System("jax", processes=2, bits=64),
}
PAIRS = [(TWO, ONE), (ONE_CORE, ONE), (TWO_64, ONE_64)]


def train(rank: int, size: int, address: str, bits: int, data: str, epochs: int) -> None:
    """Train in one process of a system, and print its history and seconds as JSON."""
    from deepfm_helpers import datasets, features, processes, recipes
    from deepfm_helpers._keras import keras

    if bits == 64:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
    if size > 1:
        processes.start(address, size, rank)
    loaded = datasets.load(data)
    rows, _ = features.split_rows(datasets.join(loaded.ratings, loaded.movies, loaded.users), 0.1, seed=1)
    recipe = recipes.changed(
        recipes.WITHOUT_HISTORY,
        {"selection": "best epoch", "split": {"by": "random"}, "training": {"epochs": epochs}},
    )
    started = time.perf_counter()
    fitted = recipes.fit(recipe, loaded, rows, seed=1)
    answer = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time()}
    print(json.dumps(answer | {"history": fitted.history.to_dict("list")}))


def measure(system: System, data: str, epochs: int) -> dict:
    """Return the answer of a system's first process, with the `processor_seconds` of all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    pinned = ["taskset", "--cpu-list", ",".join(map(str, range(system.cores)))] if system.cores else []
    environment = {"KERAS_BACKEND": system.backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if system.bits == 64:
        environment["JAX_ENABLE_X64"] = "1"
    running = [
        subprocess.Popen(
            [*pinned, sys.executable, "-m", "benchmarks.processes", "--data", data, "--epochs", str(epochs),
             "--process", *map(str, (rank, system.processes, address, system.bits))],
            env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(system.processes)
    ]  # fmt: skip
    ended = [process.communicate() for process in running]
    if any(process.returncode for process in running):
        raise RuntimeError("\n".join(err for _, err in ended))
    answers = [json.loads(out.splitlines()[-1]) for out, _ in ended]
    first = answers[0]
    for other in answers[1:]:
        if any(other["history"][name] != first["history"][name] for name in MEASURES):
            raise RuntimeError(f"the processes disagree: {answers}")
    return first | {"processor_seconds": sum(answer["processor_seconds"] for answer in answers)}


def rows_of(name: str, answer: dict, data: str, machine: dict) -> list[dict]:
    """Make one row for each figure of a system."""
    history, seconds = answer["history"], answer["seconds"]
    figures = {f"{m}, epoch {e}": [v] for m in MEASURES for e, v in enumerate(history[m], 1)}
    figures |= {"seconds": [seconds], "processor_seconds": [answer["processor_seconds"]]}
    figures["seconds_per_epoch"] = history["seconds"][1:] or history["seconds"]
    return [results.row("processes", name, data, m, v, seconds, machine) for m, v in figures.items()]


def difference(answers: dict[str, dict], one: str, other: str, data: str, machine: dict) -> list[dict]:
    """Make one row for each measure: the largest difference between two trainings."""
    rows = []
    for name in MEASURES:
        both = zip(answers[one]["history"][name], answers[other]["history"][name], strict=True)
        largest = max(abs(a - b) for a, b in both)
        system, metric = f"{one} / {other}", f"largest difference of {name}"
        rows.append(results.row("processes", system, data, metric, [largest], 0.0, machine))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.processes", description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="ml-1m", choices=("ml-1m", "ml-100k"))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--process", nargs=4, help=argparse.SUPPRESS)  # this is one of a system
    options = parser.parse_args()
    if options.process:
        rank, size, address, bits = options.process
        return train(int(rank), int(size), address, int(bits), options.data, options.epochs)
    machine = results.machine() | {"jax": metadata.version("jax")}
    answers, rows = {}, []
    for name, system in SYSTEMS.items():
        answers[name] = measure(system, options.data, options.epochs)
        per_epoch = median(answers[name]["history"]["seconds"][1:] or [float("nan")])
        print(f"{name}: {answers[name]['seconds']:.1f} s, {per_epoch:.2f} s an epoch", flush=True)
        rows += rows_of(name, answers[name], options.data, machine)
    for one, other in PAIRS:
        rows += difference(answers, one, other, options.data, machine)
    results.store(rows)
    print(results.table(rows))


if __name__ == "__main__":
    main()
