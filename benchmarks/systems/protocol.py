"""The protocol between the driver and a system: one JSON line in, one JSON line out, in turn.

The first line is the request; its "task" names one of the system's functions, which gets the request. Each
call of `turn(**figures)` answers with one line and waits for the next, so that only one of the systems of a task
computes at a time. `turn` returns False when the driver has enough. Whatever else a library prints goes to the error
stream.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

_answers = None


def serve(**tasks: Callable[[dict], None]) -> None:
    """Read the request and run its task, a function of the request."""
    global _answers
    _answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.loads(sys.stdin.readline())
    tasks[request["task"]](request)


def turn(**figures) -> bool:
    """Hand figures to the driver and wait for the next turn; return False if the driver wants no further turn."""
    print(json.dumps(figures), file=_answers, flush=True)
    return bool(sys.stdin.readline())


def keras_tasks(keras, fit: Callable, inputs: Callable) -> dict[str, Callable[[dict], None]]:
    """Return the tasks training and rmse of a system that fits a Keras model to the driver's columns.

    Args:
        keras: the module keras, of whichever version.
        fit: function of columns, request and further callbacks that returns the fitted model.
        inputs: function of columns and "train" or "test" that returns what the model takes.
    """

    def training(request: dict) -> None:
        fit(table(request["table"]), request, epoch_turns(keras, request["rows"]))

    def test_rmse(request: dict) -> None:
        rows = table(request["table"])
        started = time.perf_counter()
        model = fit(rows, request)
        predicted = model.predict(inputs(rows, "test"), batch_size=16_384, verbose=0)
        turn(
            seconds=time.perf_counter() - started,
            rmse=rmse(rows, predicted),
            parameters=sum(int(np.prod(weight.shape)) for weight in model.trainable_weights),
        )

    return {"training": training, "rmse": test_rmse}


def table(path: str) -> dict[str, np.ndarray]:
    """Read the columns that the driver stored."""
    with np.load(path) as columns:
        return dict(columns)


def sizes(rows: dict) -> dict[str, int]:
    """Return the largest id of each field in a table."""
    return {name.removeprefix("size_"): int(rows[name]) for name in rows if name.startswith("size_")}


def owners(rows: dict) -> dict[str, str]:
    """Return the owner of each described field of a table, by name: user, film or rating."""
    return {name.removeprefix("owner_"): str(rows[name]) for name in rows if name.startswith("owner_")}


def rmse(rows: dict, predicted: np.ndarray) -> float:
    """Compute the test RMSE in stars, of predictions clipped to 1 … 5 like the book's."""
    predicted = np.clip(np.ravel(predicted).astype("float64"), 1.0, 5.0)
    return float(np.sqrt(np.mean((predicted - rows["test_rating"]) ** 2)))


def reached(seconds: float | None, target: float) -> float:
    """Return the seconds after which the target was reached.

    Raises:
        ValueError: the seconds are None: the target was not reached.
    """
    if seconds is None:
        raise ValueError(f"the RMSE never came down to {target}; name a higher --target")
    return seconds


def peak_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would start from the peak of the process that started this one
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 2**10
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def epoch_turns(keras, rows: int):
    """Return a callback that takes a turn every second epoch and answers with the training rows per second.

    The epoch after a turn is not timed: TensorFlow's pipelines begin it the more slowly, the longer they have waited.

    `rows_per_second` counts the whole epoch, with shuffling, validation and the callbacks before this one;
    `training_rows_per_second` leaves out what comes after the last training step; `rows_per_cpu_second` divides by the
    processor time of all threads, which other programs hardly disturb.
    """

    class EpochTurns(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.waited = True
            self.start()

        def start(self):
            self.started, self.computed = time.perf_counter(), time.process_time()

        def on_train_batch_end(self, batch, logs=None):
            self.trained = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.waited = not self.waited
            if not self.waited:
                self.start()
                return
            seconds, computed = time.perf_counter() - self.started, time.process_time() - self.computed
            more = turn(
                seconds=seconds,
                rows_per_second=rows / seconds,
                training_rows_per_second=rows / (self.trained - self.started),
                rows_per_cpu_second=rows / computed,
            )
            self.model.stop_training |= not more
            self.start()

    return EpochTurns()
