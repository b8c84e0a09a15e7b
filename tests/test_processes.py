"""Training in several processes on JAX: equal shares, the numbers of one process, one writer, and what is refused.

As a program the file is one of the processes: ``python tests/test_processes.py part rank size port folder``.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_training import fit, planted_rows, small_model

from deepfm_helpers import batches, evaluation, models, processes, training
from deepfm_helpers._keras import keras
from deepfm_helpers.processes import Share

RUNS = {
    "dropout and penalties": {"epochs": 3},
    "averaging": {"epochs": 3, "averaging": 0.8},
    "odd": {"epochs": 3, "averaging": 0.8, "batch_size": 127},
}


class Killed(keras.callbacks.Callback):
    """Kills the process of one rank in the middle of the third epoch."""

    def __init__(self, rank):
        super().__init__()
        self.rank = rank

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 4) and processes.rank() == self.rank:
            (Path(os.environ["AT"]) / "killed").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)


def refusal(call):
    try:
        call()
    except (OSError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def work(part, rank, size, port, folder):
    """What a process does; it leaves what it found in `folder`/part-size-rank.json."""
    os.environ["AT"] = str(folder)
    if size > 1:
        processes.start(f"127.0.0.1:{port}", size, rank, timeout=20)
    found, rows = {}, planted_rows()
    fields, (x, y), valid_xy = rows
    own = folder / f"{part}-{size}-{rank}"  # a folder that the others do not name

    def note(name, result):
        model, history = result
        score = evaluation.rmse(valid_xy[1], evaluation.predict(model, valid_xy[0]))
        found[name] = {"history": history.to_dict("list"), "score": score}

    def keep():
        own.with_suffix(".json").write_text(json.dumps(found))

    if part == "runs":
        odd = fields, ([a[:-1] for a in x], y[:-1]), ([a[:-1] for a in valid_xy[0]], valid_xy[1][:-1])
        for name, options in RUNS.items():
            options = options | ({"folder": own, "tensorboard": True} if name == "averaging" else {})
            note(name, fit(odd if name == "odd" else rows, **options))
        found["devices"] = len(keras.distribution.list_devices())
        untrained = small_model(fields)
        found["another seed"] = refusal(lambda: fit(rows, untrained, seed=7 + rank))
        found["no folder"] = refusal(lambda: fit(rows, untrained, folder=own if rank else None))
        (folder / "a file").touch()
        found["not a folder"] = refusal(lambda: fit(rows, untrained, folder=folder / "a file"))
        found["not compiled"] = refusal(lambda: fit(rows, untrained, jit_compile=False))
        found["many steps"] = refusal(lambda: fit(rows, untrained, steps_per_execution=4))
        found["started again"] = refusal(lambda: processes.start("127.0.0.1:1", 2, 0))
        keep()
        if size > 1:
            try:
                fit(rows, folder=folder / "run", averaging=0.8, epochs=4, callbacks=[Killed(1)])
            finally:
                (folder / "told").write_text(str(time.time()))
    else:
        note("resumed", fit(rows, folder=folder / f"run of {size}", averaging=0.8, epochs=4))
        keep()
        if size > 1:
            fit(rows, callbacks=[Killed(0)])


def started(part, size, folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    return [
        subprocess.Popen(
            [sys.executable, __file__, part, str(rank), str(size), str(port), str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(size)
    ]


def ended(running):
    """Exit status and output of each process."""
    try:
        texts = [process.communicate(timeout=300)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, text) for process, text in zip(running, texts, strict=True)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which one process and two processes have done their runs, and the ends of the processes."""
    folder = tmp_path_factory.mktemp("processes")
    alone, two = started("runs", 1, folder), started("runs", 2, folder)
    ends = {"alone": ended(alone), "two": ended(two)}
    for size in (1, 2):
        shutil.copytree(folder / "run", folder / f"run of {size}")
    alone, two = started("resumed", 1, folder), started("resumed", 2, folder)
    return folder, ends | {"resumed alone": ended(alone), "resumed by two": ended(two)}


def found(done, part, size, rank):
    return json.loads((done[0] / f"{part}-{size}-{rank}.json").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_compute_what_one_computes(done, name):
    one, *two = (found(done, "runs", size, rank)[name] for size, rank in [(1, 0), (2, 0), (2, 1)])
    assert found(done, "runs", 2, 0)["devices"] == 2
    for each in two:
        assert each["score"] == pytest.approx(one["score"], abs=1e-5)
        for column in ("loss", "rmse", "val_loss", "val_rmse"):
            filled = 2e-3 if name == "odd" and column.endswith("loss") else 1e-5
            assert each["history"][column] == pytest.approx(one["history"][column], abs=filled)
    assert two[0]["history"]["val_rmse"] == two[1]["history"]["val_rmse"]
    assert two[0]["score"] == pytest.approx(min(two[0]["history"]["val_rmse"]), abs=1e-5)


def test_only_the_first_process_writes(done):
    folder, _ = done
    assert {p.name for p in (folder / "runs-2-0").iterdir()} == {
        "best.weights.h5", "history.csv", "run.json", "tensorboard",
    }  # fmt: skip
    assert not (folder / "runs-2-1").exists()
    assert pd.read_csv(folder / "runs-2-0" / "history.csv").val_rmse.tolist() == pytest.approx(
        found(done, "runs", 2, 1)["averaging"]["history"]["val_rmse"]
    )


def test_processes_with_other_arguments_are_refused(done):
    first, second = (found(done, "runs", 2, rank) for rank in (0, 1))
    for each in (first, second):
        assert each["another seed"].startswith("ValueError: the processes that train together were not asked")
    assert "seed: 7 → 8" in second["another seed"]
    assert "seed: 7" not in first["another seed"]
    assert "in a folder: false → true" in second["no folder"]


def test_what_fails_in_the_first_process_is_told_in_the_others(done):
    first, second = (found(done, "runs", 2, rank)["not a folder"] for rank in (0, 1))
    assert first.startswith("FileExistsError")
    assert second.startswith("RuntimeError: the first process failed: FileExistsError")


def test_jax_compiles_every_step_by_itself_or_refuses(done):
    for name in ("not compiled", "many steps"):
        assert "on JAX every step is compiled" in found(done, "runs", 1, 0)[name]


def test_the_start_of_a_process_that_has_computed_already_is_refused(done):
    assert "before" in found(done, "runs", 1, 0)["started again"]


def test_a_killed_process_is_reported_by_the_other(done):
    folder, ends = done
    (status, text), (killed, _) = ends["two"]
    assert (status, killed) == (1, -signal.SIGKILL)
    assert "RuntimeError: process 0 of 2: another process of this training has ended" in text
    took = float((folder / "told").read_text()) - float((folder / "killed").read_text())
    assert took < 60  # less than any of JAX's own limits


def test_a_killed_first_process_ends_the_other(done):
    (killed, _), (status, text) = done[1]["resumed by two"]
    assert killed == -signal.SIGKILL
    assert status not in (0, None)
    assert "another task died" in text or "another process of this training has ended" in text


@pytest.mark.parametrize("size", [1, 2])
def test_the_folder_of_a_killed_run_goes_on_in_one_process_or_two(done, size):
    whole = found(done, "runs", 1, 0)["averaging"]["history"]
    after = found(done, "resumed", size, size - 1)["resumed"]["history"]
    for column in ("loss", "rmse", "val_loss", "val_rmse"):
        assert after[column][:3] == pytest.approx(whole[column], abs=1e-5)
    assert after["epoch"] == [1, 2, 3, 4]


def test_shares_are_disjoint_and_make_up_the_epoch():
    y = np.arange(1, 24.0)
    whole = batches.Batches([y.astype(int)], y, 10, seed=1)
    parts = [batches._Gathered(batches.Batches(whole.x, y, 10, 1, Share(rank, 2, 4))) for rank in (0, 1)]
    seen = []
    for i, start in enumerate(range(0, 23, 10)):
        dealt = [part[i] for part in parts]
        assert len({len(stars) for _, stars, _ in dealt}) == 1
        x, stars, weights = (
            np.concatenate(column) for column in zip(*((x[0], *rest) for x, *rest in dealt), strict=True)
        )
        batch = whole.order()[start : start + 10]
        assert len(stars) % 4 == 0
        assert (x == stars).all()
        assert (stars[weights == 1] == y[batch]).all()
        assert (stars[weights == 0] == 0).all()
        seen += stars[weights == 1].tolist()
    assert sorted(seen) == y.tolist()


def test_numpy_gathers_the_bytes_that_tensorflow_gathers():
    rng = np.random.default_rng(0)
    y = rng.random(50, "float32")
    x = [rng.integers(0, high, (50, 2), dtype) for high, dtype in [(9, "int32"), (40_000, "int64")]]
    dealt = batches.Batches(x, y, 16, seed=3)
    gathered = batches._Gathered(dealt)
    for dealt.epoch in (0, 1):
        for i, (columns, stars) in enumerate(dealt.dataset().as_numpy_iterator()):
            for ours, theirs in zip((*gathered[i][0], gathered[i][1]), (*columns, stars), strict=True):
                assert ours.dtype == theirs.dtype
                assert ours.tobytes() == theirs.tobytes()


def test_workers_of_tensorflow_are_refused(monkeypatch):
    cluster = {"cluster": {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    fields, train_xy, valid_xy = planted_rows()
    with pytest.raises(RuntimeError, match="told of 2 workers.*KERAS_BACKEND=jax.*processes.start"):
        training.train(models.fm_model(fields, 2), train_xy, valid_xy)


def test_a_start_without_jax_or_with_a_wrong_rank_is_refused(monkeypatch):
    with pytest.raises(
        RuntimeError, match="needs the JAX backend, and this is tensorflow: set KERAS_BACKEND"
    ):
        processes.start("127.0.0.1:1", 2, 0)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="rank = 2 of size = 2"):
        processes.start("127.0.0.1:1", 2, 2)


if __name__ == "__main__":
    part, rank, size, port, folder = sys.argv[1:]
    work(part, int(rank), int(size), int(port), Path(folder))
