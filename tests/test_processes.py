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

if __name__ == "__main__":
    sys.modules["tensorflow"] = None  # JAX does without it; with it, Keras would load it

from deepfm_helpers import batches, datasets, evaluation, features, models, processes, training
from deepfm_helpers._keras import keras
from deepfm_helpers.own import streams
from deepfm_helpers.processes import Share

BATCHES = {"even": 120, "odd": 119}  # of 1,200 rows
MEASURES = ["loss", "rmse", "val_loss", "val_rmse"]


class Killed(keras.callbacks.Callback):
    """Kills the process of one rank in the middle of an epoch."""

    def __init__(self, rank, epoch, at):
        super().__init__()
        self.rank, self.at, self.epoch, self.note = rank, epoch, None, at

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, 4) and processes.rank() == self.rank:
            self.note.write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)


def planted_frames():
    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_500, seed=3)
    fields = features.describe(data, fields=("uid", "mid"))
    return fields, *features.split_rows(datasets.join(data.ratings, data.movies, data.users), 0.2, seed=1)


def planted_rows():
    fields, kept, held = planted_frames()
    return fields, features.df2xy(kept, fields), features.df2xy(held, fields)


def untrained(fields):
    training.set_seed(5)
    return models.deep_fm_model(
        features=fields, k=4, dnn_dim=(8,), dnn_dr=0.3, mean_rating=3.5, table_l2={"uid": 1e-3}, l2=1e-3
    )[-1]


def fit(rows, model=None, **options):
    fields, train_xy, valid_xy = rows
    model = model or untrained(fields)
    options = {"batch_size": BATCHES["even"], "learning_rate": 5e-3, "averaging": 0.8, "seed": 7} | options
    return model, training.train(model, train_xy, valid_xy, **options).to_dict("list")


def refusal(call):
    try:
        call()
    except (OSError, RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def work(part, rank, size, port, folder):
    """What a process does; it leaves what it found in `folder`/part-size-rank.json."""
    if size > 1:
        processes.start(f"127.0.0.1:{port}", size, rank, timeout=20)
    found, rows = {}, planted_rows()
    fields, _, (x, y) = rows
    own = folder / f"{part}-{size}-{rank}"  # a folder that the others do not name

    def keep():
        own.with_suffix(".json").write_text(json.dumps(found))

    if part == "streamed":
        held = streams.Parquet(folder / "held.parquet")
        for name, batch_size in BATCHES.items():
            xy = streams.Parquet(folder / "rows.parquet", window=3)
            model, found[name] = fit((fields, xy, held), epochs=3, batch_size=batch_size)
            np.savez(folder / f"{name}-{size}-{rank}.npz", *model.get_weights())
        keep()
        return

    if part == "resumed":
        run, epochs = folder / f"run of {size}", 5
        killed = [Killed(0, 5, folder / "first killed")] if size > 1 else []
        found["resumed"] = fit(rows, folder=run, epochs=epochs, callbacks=killed)[1]
        keep()
        return

    for name, batch_size in BATCHES.items():
        model, found[name] = fit(
            rows, epochs=3, batch_size=batch_size, folder=own if name == "even" else None
        )
    found["score"] = evaluation.rmse(y, evaluation.predict(model, x))
    found["devices"] = len(keras.distribution.list_devices())
    model = untrained(fields)
    (folder / "a file").touch()
    asked = {
        "another seed": {"seed": 7 + rank},
        "no folder": {"folder": own if rank else None},
        "not a folder": {"folder": folder / "a file"},
        "not compiled": {"jit_compile": False},
        "many steps": {"steps_per_execution": 4},
    }
    for name, options in asked.items():
        found[name] = refusal(lambda options=options: fit(rows, model, **options))
    found["started again"] = refusal(lambda: processes.start("127.0.0.1:1", 2, 0))
    keep()
    if size > 1:
        killed = Killed(1, 3, folder / "killed")
        found["lost"] = refusal(lambda: fit(rows, folder=folder / "run", epochs=4, callbacks=[killed]))
        found["after"] = time.time() - float((folder / "killed").read_text())
        keep()
        raise SystemExit("alone")


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


@pytest.mark.parametrize("name", BATCHES)
def test_two_processes_compute_what_one_computes(done, name):
    one, *two = (found(done, "runs", size, rank) for size, rank in [(1, 0), (2, 0), (2, 1)])
    assert (one["devices"], two[0]["devices"]) == (1, 2)
    for each in two:
        for measure in MEASURES:
            filled = 2e-3 if name == "odd" and measure.endswith("loss") else 1e-5
            assert each[name][measure] == pytest.approx(one[name][measure], abs=filled)
    assert two[0][name]["val_rmse"] == two[1][name]["val_rmse"]


def test_the_trained_model_predicts_in_each_process(done):
    for size, rank in [(1, 0), (2, 0), (2, 1)]:
        each = found(done, "runs", size, rank)
        assert each["score"] == pytest.approx(min(each["odd"]["val_rmse"]), abs=1e-5)


def test_only_the_first_process_writes(done):
    folder, _ = done
    written = {path.name for path in (folder / "runs-2-0").iterdir()}
    assert written == {"best.weights.h5", "history.csv", "run.json"}
    assert not (folder / "runs-2-1").exists()
    kept = pd.read_csv(folder / "runs-2-0" / "history.csv")
    assert kept.val_rmse.tolist() == pytest.approx(found(done, "runs", 2, 1)["even"]["val_rmse"])


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


@pytest.mark.parametrize("name", ["not compiled", "many steps"])
def test_jax_compiles_every_step_by_itself_or_refuses(done, name):
    assert "on JAX every step is compiled" in found(done, "runs", 1, 0)[name]


def test_the_start_of_a_process_that_has_computed_already_is_refused(done):
    assert found(done, "runs", 1, 0)["started again"].startswith("RuntimeError: ")


def test_a_killed_process_is_reported_by_the_other(done):
    (status, _), (killed, _) = done[1]["two"]
    assert (status, killed) == (1, -signal.SIGKILL)
    told = found(done, "runs", 2, 0)
    assert told["lost"].startswith("RuntimeError: process 0 of 2: another process of this training has ended")
    assert told["after"] < 60  # less than any limit of JAX: nothing has waited for one


def test_a_killed_first_process_ends_the_other(done):
    (killed, _), (status, text) = done[1]["resumed by two"]
    assert killed == -signal.SIGKILL
    assert status != 0
    assert "another task died" in text or "another process of this training has ended" in text


@pytest.mark.parametrize("size", [1, 2])
def test_the_folder_of_a_killed_run_goes_on_in_one_process_or_two(done, size):
    folder, _ = done
    whole = found(done, "runs", 1, 0)["even"]
    after = pd.read_csv(folder / f"run of {size}" / "history.csv")
    assert len(after) == 5 if size == 1 else 4  # the two processes have lost their first one in epoch 5
    assert pd.read_csv(folder / "run" / "history.csv").epoch.tolist() == [1, 2]
    for measure in MEASURES:
        assert after[measure][:3].tolist() == pytest.approx(whole[measure], abs=1e-5)


def test_the_ways_on_agree_with_each_other(done):
    folder, _ = done
    one, two = (pd.read_csv(folder / f"run of {size}" / "history.csv") for size in (1, 2))
    assert two[MEASURES].to_numpy() == pytest.approx(one[MEASURES][:4].to_numpy(), abs=1e-5)


@pytest.fixture(scope="module")
def streamed(tmp_path_factory):
    """A folder in which one process and two processes have trained on the same Parquet files."""
    folder = tmp_path_factory.mktemp("streamed")
    fields, kept, held = planted_frames()
    streams.write([kept], fields, folder / "rows.parquet", rows_per_group=150)
    streams.write([held], fields, folder / "held.parquet", rows_per_group=150)
    for size in (1, 2):
        for status, text in ended(started("streamed", size, folder)):
            assert status == 0, text
    return folder


@pytest.mark.parametrize("name", BATCHES)
def test_two_processes_train_on_one_file_as_one_process_does(streamed, name):
    one, *two = (
        json.loads((streamed / f"streamed-{size}-{rank}.json").read_text())[name]
        for size, rank in [(1, 0), (2, 0), (2, 1)]
    )
    weights = [np.load(streamed / f"{name}-{size}-{rank}.npz") for size, rank in [(1, 0), (2, 0), (2, 1)]]
    for each in two:
        for measure in MEASURES:
            filled = 2e-3 if name == "odd" and measure.endswith("loss") else 1e-5
            assert each[measure] == pytest.approx(one[measure], abs=filled)
    for key in weights[0].files:
        for each in weights[1:]:
            np.testing.assert_allclose(each[key], weights[0][key], atol=1e-5)
    assert one["rmse"][-1] < one["rmse"][0] - 0.01  # they have learned


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
