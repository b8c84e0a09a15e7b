"""The folder of a training: exact resume, refusal of another run, damage, locks, and a disk that fills."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_training import fit, numbers, planted_rows, same_weights, small_model

from deepfm_helpers import checkpoints, evaluation, training
from deepfm_helpers._keras import keras


@pytest.fixture(scope="module")
def rows():
    return planted_rows()


@pytest.fixture(scope="module")
def whole(rows):
    """A run that nothing interrupted: its model and its history."""
    return fit(rows)


@pytest.fixture(scope="module")
def killed(rows, tmp_path_factory):
    """A folder in which a run was killed after its second epoch."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=folder, callbacks=[StopAt(1)])
    return folder


@pytest.fixture
def copy(killed, tmp_path):
    return Path(shutil.copytree(killed, tmp_path / "copy"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class StopAt(keras.callbacks.Callback):
    """Raises KeyboardInterrupt in the middle of an epoch, or at its end."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at, self.batch = epoch, batch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.at, self.batch):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.at and self.batch is None:
            raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_with_its_running_mean(rows, tmp_path):
    options = {"averaging": 0.8, "epochs": 3}
    whole, history = fit(rows, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path, callbacks=[StopAt(1, 2)], **options)
    resumed, after = fit(rows, small_model(rows[0], seed=99), folder=tmp_path, **options)
    pd.testing.assert_frame_equal(numbers(history), numbers(after), check_exact=True)
    assert same_weights(whole, resumed)


@pytest.mark.parametrize(("epoch", "batch"), [(0, 2), (2, None)])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(rows, whole, tmp_path, epoch, batch):
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path, callbacks=[StopAt(epoch, batch)])
    finished = epoch + (batch is None)
    resumed, after = fit(rows, small_model(rows[0], seed=99 if finished else 5), folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_a_killed_process_goes_on_as_if_nothing_had_happened(rows, whole, tmp_path):
    script = """
        import os, sys
        from deepfm_helpers._keras import keras
        from test_training import fit, planted_rows

        class Kill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.epoch = epoch
            def on_train_batch_end(self, batch, logs=None):
                if (self.epoch, batch) == (3, 4):
                    os._exit(9)

        fit(planted_rows(), folder=sys.argv[1], callbacks=[Kill()])
    """
    folder = tmp_path / "run"
    command = [sys.executable, "-c", textwrap.dedent(script), str(folder)]
    killed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert killed.returncode == 9, killed.stderr
    assert len(pd.read_csv(folder / "history.csv")) == 3
    resumed, after = fit(rows, folder=folder)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_a_kill_while_the_weights_are_written_costs_one_epoch_only(rows, whole, tmp_path, monkeypatch):
    write = checkpoints.write_whole

    def half_written(path, content):
        if path.name != "epoch-0003.weights.h5":
            return write(path, content)
        path.with_name(f".part-1-{path.name}").write_bytes(content[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_whole", half_written)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path)
    monkeypatch.undo()
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2
    _, after = fit(rows, folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert sorted(contents(tmp_path)) == ["best.weights.h5", "history.csv", "run.json"]


def test_a_run_killed_after_its_last_patience_does_not_train_on(rows, tmp_path, monkeypatch):
    fast = {"epochs": 40, "learning_rate": 0.05, "patience": 2, "folder": tmp_path}

    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Keeper, "leave_best", kill)
    with pytest.raises(KeyboardInterrupt):
        fit(rows, small_model(rows[0], dnn_dr=0.0), **fast)
    monkeypatch.undo()
    before = pd.read_csv(tmp_path / "history.csv")
    model, history = fit(rows, small_model(rows[0], dnn_dr=0.0), **fast)
    assert len(history) == len(before)
    x, y = rows[2]
    assert evaluation.rmse(y, evaluation.predict(model, x)) == pytest.approx(history.val_rmse.min(), rel=1e-5)


def test_more_epochs_may_be_asked_for_when_a_run_goes_on(rows, whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(rows, folder=tmp_path, epochs=3, callbacks=[StopAt(1)])
    resumed, after = fit(rows, small_model(rows[0], seed=99), folder=tmp_path)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_fewer_epochs_than_are_finished_are_refused(rows, copy):
    with pytest.raises(ValueError, match="holds 2 finished epochs of this run, more than epochs=1"):
        fit(rows, folder=copy, epochs=1)


def decay(rate):
    return keras.optimizers.schedules.CosineDecay(rate, 100)


def changed_rows(rows, which, what):
    """The rows with one number of the training or validation data replaced by another."""
    both = [([np.array(a) for a in x], np.array(y)) for x, y in rows[1:]]
    x, y = both[which]
    array = y if what == "ratings" else x[what]
    array[5] = np.where(array[5] == 1, 2, 1)
    return rows[0], *both


@pytest.mark.parametrize(
    ("asked", "difference"),
    [
        ({"learning_rate": 0.05}, "learning_rate: 0.005 → 0.05"),
        ({"learning_rate": decay(0.005)}, "learning_rate: 0.005 → {"),
        ({"seed": 8}, "seed: 7 → 8"),
        ({"batch_size": 64}, "batch_size: 128 → 64"),
        ({"patience": 2}, "patience: 5 → 2"),
        ({"averaging": 0.5}, "averaging: 0.0 → 0.5"),
        ({"valid_xy": None}, "valid_xy, ratings: float32 (300,) "),
    ],
)
def test_a_run_with_other_arguments_is_refused(rows, killed, asked, difference):
    before = contents(killed)
    with pytest.raises(ValueError, match="holds another run") as refusal:
        fit(rows, folder=killed, **asked)
    assert str(killed) in str(refusal.value)
    assert difference in str(refusal.value)
    assert "choose another folder, or delete this one" in str(refusal.value)
    assert contents(killed) == before


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"k": 8}, "layer cat_embed_2d_uid, output_dim: 4 → 8"),
        ({"l2": 1e-4}, "layer l2_1d_uid, l2: 0.001 → 0.0001"),
        ({"dnn_dr": 0.2}, "layer dropout, rate: 0.3 → 0.2"),
        ({"dnn_dim": (8, 9)}, "layer deep 2, units: 8 → 9"),
        ({"mean_rating": 3.0}, "layer deepfm_output, start: 3.5 → 3.0"),
        ({"parts": ("first_order", "deep")}, "layer sum_of_parts, inputs: "),
    ],
)
def test_a_run_with_another_model_is_refused(rows, killed, options, difference):
    with pytest.raises(ValueError, match="holds another run") as refusal:
        fit(rows, small_model(rows[0], **options), folder=killed)
    assert difference in str(refusal.value)


@pytest.mark.parametrize("what", [0, 1, 2, "ratings"])
@pytest.mark.parametrize(("which", "name"), enumerate(["train_xy", "valid_xy"]))
def test_a_run_on_other_data_is_refused(rows, killed, which, name, what):
    with pytest.raises(ValueError, match="holds another run") as refusal:
        fit(changed_rows(rows, which, what), folder=killed)
    what = what if what == "ratings" else f"input_{rows[0][what].name}"
    assert f"{name}, {what}: " in str(refusal.value)
    assert str(refusal.value).count(" → ") == 1


def test_a_schedule_is_compared_by_its_numbers(rows):
    model = small_model(rows[0])
    one, same, other = (
        checkpoints.describe_run(model, {"learning_rate": decay(rate)}, {}) for rate in (0.1, 0.1, 0.2)
    )
    assert one == same
    assert list(checkpoints._differences(one, other)) == [
        "learning_rate, config, initial_learning_rate: 0.1 → 0.2"
    ]


def test_a_schedule_that_cannot_say_what_it_is_is_refused(rows, tmp_path):
    class Mine(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.001

    with pytest.raises(ValueError, match="learning_rate = .*Mine.* needs a get_config"):
        fit(rows, learning_rate=Mine(), folder=tmp_path)


def test_a_fixed_table_belongs_to_the_run(rows):
    class Known(keras.layers.Layer):
        def build(self, shape):
            self.table = self.add_weight(name="table", shape=(3,), initializer="zeros", trainable=False)

        def call(self, x):
            return x * self.table

    described = []
    for value in (0.0, 0.0, 1.0):
        model = keras.Sequential([keras.Input((3,)), Known(), keras.layers.Dense(1)])
        model.layers[0].table.assign([value] * 3)
        described.append(checkpoints.describe_run(model, {}, {}))
    assert described[0] == described[1] != described[2]


def test_a_run_that_came_to_its_end_is_not_overwritten_by_another(rows, copy):
    (copy / "best.weights.h5").write_bytes(b"good weights")
    before = contents(copy)
    with pytest.raises(ValueError, match="seed: 7 → 8"):
        fit(rows, folder=copy, seed=8)
    assert contents(copy) == before


@pytest.mark.parametrize("text", [None, "", "[1]", "{}", "\x00\xff"])
def test_a_history_of_nobody_knows_which_run_is_refused(rows, copy, text):
    (copy / "run.json").unlink()
    if text is not None:
        (copy / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"history.csv without a readable run.json"):
        fit(rows, folder=copy)


class Run:
    """A run of a small model whose weights after epoch e are all e: what the folder keeps, without the training."""

    def __init__(self, folder):
        self.model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        training.compile_model(self.model)
        self.folder = checkpoints.TrainingFolder(folder, checkpoints.describe_run(self.model, {}, {}))

    def keep(self, *val_rmses):
        with self.folder:
            rows = self.folder.resume(self.model)
            for val_rmse in val_rmses:
                epoch = len(rows) + 1
                self.model.set_weights([np.full(w.shape, epoch) for w in self.model.get_weights()])
                row = dict.fromkeys(["loss", "rmse", "val_loss", "seconds"], 1.0)
                rows.append({"epoch": epoch, "val_rmse": val_rmse, **row})
                self.folder.save(self.model, rows)

    def resumed(self):
        """The epochs after which it goes on, by the history and by the weights."""
        with self.folder:
            rows = self.folder.resume(self.model)
        return len(rows), int(self.model.get_weights()[0].max())


@pytest.fixture
def kept(tmp_path):
    Run(tmp_path).keep(0.9, 0.8, 0.85, 0.84, 0.7)
    return tmp_path


def test_the_folder_keeps_what_the_last_two_epochs_need(kept):
    weights = sorted(name for name in contents(kept) if name.endswith(".h5"))
    assert weights == [f"epoch-000{epoch}.weights.h5" for epoch in (2, 4, 5)]
    assert Run(kept).resumed() == (5, 5)
    Run(kept).keep(0.75, 0.76)
    assert sorted(n for n in contents(kept) if n.endswith(".h5")) == [
        f"epoch-000{epoch}.weights.h5" for epoch in (5, 6, 7)
    ]


DAMAGES = {
    "gone": lambda content: None,
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
    "other numbers": lambda content: content[:-300] + bytes(100) + content[-200:],
    "no such file": lambda content: b"garbage" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_after_damage_to_the_last_weights_a_run_goes_on_after_the_epoch_before(kept, damage):
    file = kept / "epoch-0005.weights.h5"
    content = DAMAGES[damage](file.read_bytes())
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.warns(UserWarning, match=r"missing: epoch-0005.weights.h5. Training goes on after epoch 4"):
        assert Run(kept).resumed() == (4, 4)


@pytest.mark.parametrize("cut", [-1, -8, -12])
def test_after_damage_to_the_last_row_a_run_goes_on_after_the_epoch_before(kept, cut):
    file = kept / "history.csv"
    file.write_text(file.read_text().rstrip()[:cut].rstrip(".,0123456789") + ",oops\n")
    with pytest.warns(UserWarning, match=r"history.csv, line 6. Training goes on after epoch 4"):
        assert Run(kept).resumed() == (4, 4)


def test_after_damage_to_an_earlier_row_a_run_goes_on_after_the_best_epoch_before_it(kept):
    file = kept / "history.csv"
    file.write_text(file.read_text().replace("\n3,1.0", "\n3,"))
    with pytest.warns(UserWarning, match=r"history.csv, line 4. Training goes on after epoch 2"):
        assert Run(kept).resumed() == (2, 2)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: text.replace("\n2,1.0", "\n2,"), 3),
        (lambda text: text.replace("\n2,1.0", "\n2,nan"), 3),
        (lambda text: text.replace("\n2,", "\n4,"), 3),
        (lambda text: text.replace("val_rmse", "val"), 1),
        (lambda text: text[:20], 1),
        (lambda text: text.splitlines()[0], 2),
        (lambda text: "", 1),
        (lambda text: "\x00\x01garbage", 1),
    ],
)
def test_damage_that_leaves_no_epoch_whole_is_an_error_that_destroys_nothing(kept, change, line):
    file = kept / "history.csv"
    file.write_text(change(file.read_text()))
    before = contents(kept)
    with pytest.raises(
        ValueError, match=rf"history.csv, line {line}.*delete the folder to train from the start"
    ) as e:
        Run(kept).resumed()
    assert str(kept) in str(e.value)
    assert contents(kept) == before


def test_a_run_with_damaged_weights_comes_to_the_same_numbers(rows, whole, copy):
    file = copy / "epoch-0002.weights.h5"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.warns(UserWarning, match=r"epoch-0002.weights.h5. Training goes on after epoch 1"):
        resumed, after = fit(rows, small_model(rows[0], seed=99), folder=copy)
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(after), check_exact=True)
    assert same_weights(whole[0], resumed)


def test_a_folder_in_use_says_by_whom_and_a_killed_process_leaves_it_free(tmp_path):
    script = """
        import sys, time
        from deepfm_helpers import checkpoints

        with checkpoints.TrainingFolder(sys.argv[1], {}):
            print("in", flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "in\n"
            with pytest.raises(RuntimeError, match=rf"{tmp_path} is in use by process {other.pid} on "):
                Run(tmp_path).keep(0.9)
        finally:
            other.kill()
    assert sorted(contents(tmp_path)) == ["lock"]
    Run(tmp_path).keep(0.9)
    assert sorted(contents(tmp_path)) == ["epoch-0001.weights.h5", "history.csv", "run.json"]


def test_two_trainings_of_one_process_do_not_share_a_folder(tmp_path):
    one, other = Run(tmp_path), Run(tmp_path)
    with one.folder, pytest.raises(RuntimeError, match=f"in use by process {os.getpid()} "):
        other.keep(0.9)
    other.keep(0.9)


@pytest.fixture(params=["a full disk", "a limit on the size of files"])
def disk(request, tmp_path):
    """A folder and what fills it: a disk of 2 MB where one can be mounted, else a limit on the size of files."""
    mounted = (
        request.param == "a full disk"
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)],
            capture_output=True,
            check=False,
        ).returncode
    )
    yield tmp_path, "disk" if mounted else "limit"
    if mounted:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_disk_that_fills_and_has_room_again_costs_one_epoch(rows, whole, disk):
    """In a process of its own, which must survive it."""
    script = """
        import resource, sys
        from pathlib import Path
        from deepfm_helpers._keras import keras
        from test_training import fit, planted_rows

        folder, how = Path(sys.argv[1]), sys.argv[2]
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]

        class Fill(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2 and how == "limit":
                    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
                elif epoch == 2:
                    try:
                        with open(folder / "filler", "wb", buffering=0) as file:
                            while True:
                                file.write(bytes(1_000))
                    except OSError:
                        pass

        rows = planted_rows()
        for _ in range(2):
            try:
                fit(rows, folder=folder / "run", callbacks=[Fill()])
            except OSError as error:
                print(error)
        print(sorted(path.name for path in (folder / "run").iterdir()))
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        (folder / "filler").unlink(missing_ok=True)
        fit(rows, folder=folder / "run")
    """
    folder, how = disk
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder), how],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    *errors, names = done.stdout.splitlines()
    assert len(errors) == 2
    assert all("epoch 3 could not be saved" in e and "make room" in e for e in errors)
    assert names == str(["epoch-0001.weights.h5", "epoch-0002.weights.h5", "history.csv", "run.json"])
    assert sorted(contents(folder / "run")) == ["best.weights.h5", "history.csv", "run.json"]
    found = pd.read_csv(folder / "run" / "history.csv", float_precision="round_trip")
    pd.testing.assert_frame_equal(numbers(whole[1]), numbers(found), check_exact=True)
