"""Sweeps: what is asked for, what a run leaves in its folder, and how Dask's workers make the runs or fail."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml
from distributed import Client

from deepfm_helpers import files
from deepfm_helpers.sweeps import cli, engine, plans, runs
from deepfm_helpers.sweeps.plans import Plan, PlanError
from deepfm_helpers.sweeps.runs import Setting

PARAMETERS = """\
seed: int = 1  # the seed
k: int = 4  # length of the vectors
learning_rate: float = 0.01  # size of a step
n: int = 1  # what happens in this run"""

BODY = """\
import os, signal, time
import psutil
from deepfm_helpers.records import record
with open("diary", "a") as diary:
    diary.write(f"{seed} {k} {n}\\n")
if n == 2:
    raise RuntimeError("two is too much")
if n == 3:
    os.kill(os.getpid(), signal.SIGKILL)
if n == 4:
    psutil.Process().parent().kill()
if n > 4:
    time.sleep(n / 10)
record(rmse=k + seed / 100 + learning_rate, threads=os.environ["OMP_NUM_THREADS"], n_twice=2 * n)"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """A small notebook in the working directory, which has its own; returns the path."""
    monkeypatch.chdir(tmp_path)
    return write_notebook(tmp_path / "tiny.ipynb", BODY)


def write_notebook(path: Path, *code: str) -> Path:
    cell = nbformat.v4.new_code_cell
    cells = [nbformat.v4.new_markdown_cell("# Tiny"), cell(PARAMETERS, metadata={"tags": ["parameters"]})]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells += map(cell, code)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def diary(notebook: Path) -> list[str]:
    """What runs of the notebook began, one entry each: seed, k and n."""
    path = notebook.with_name("diary")
    return sorted(path.read_text().splitlines()) if path.is_file() else []


def points(plan: Plan, *names: str) -> list[tuple]:
    return [tuple(run.parameters[name] for name in names) for run in plan.runs]


# -- what is asked for


def test_a_grid_its_seeds_and_single_points_make_runs_with_all_parameters(notebook):
    plan = Plan.of(
        {
            "notebook": "tiny.ipynb",
            "fixed": {"n": 7},
            "grid": {"k": [4, 16], "learning_rate": [0.1, 1]},
            "seeds": "1-2, 5",
            "points": [{"k": 64}, {"k": 4, "learning_rate": 0.1}],
        }
    )
    assert len(plan.runs) == (2 * 2 + 1) * 3  # the last point is one of the grid
    assert points(plan, "k", "learning_rate", "seed")[:4] == [
        (4, 0.1, 1),
        (4, 0.1, 2),
        (4, 0.1, 5),
        (4, 1, 1),
    ]
    assert (64, 0.01, 5) in points(plan, "k", "learning_rate", "seed")
    assert {tuple(run.parameters) for run in plan.runs} == {("seed", "k", "learning_rate", "n")}
    assert {run.parameters["n"] for run in plan.runs} == {7}
    assert len(set(plan.labels().values())) == len(plan.runs)
    assert "n=7" not in " ".join(plan.labels().values())


def test_a_notebook_alone_is_one_run_with_its_defaults(notebook):
    (run,) = Plan.of({"notebook": "tiny.ipynb"}).runs
    assert run.parameters == {"seed": 1, "k": 4, "learning_rate": 0.01, "n": 1}
    assert run.notebook == notebook
    assert run.fingerprint is None


def test_a_sample_is_drawn_within_its_ranges_and_from_its_seed(notebook):
    def drawn(seed):
        ranges = {"k": [4, 64, "log"], "learning_rate": [0.001, 0.1, "log"], "n": [5, 6]}
        sample = {"number": 40, "seed": seed, "ranges": ranges}
        return points(Plan.of({"notebook": "tiny.ipynb", "sample": sample}), "k", "learning_rate", "n")

    found = drawn(1)
    assert found == drawn(1) != drawn(2)
    assert len(found) == 40
    assert all(isinstance(k, int) and 4 <= k <= 64 and 0.001 <= rate <= 0.1 for k, rate, _ in found)
    assert {n for _, _, n in found} == {5, 6}
    assert 10 <= sum(rate < 0.01 for _, rate, _ in found) <= 30  # half of them on a scale of logarithms


def test_a_name_stands_for_all_that_can_move_a_number(notebook, monkeypatch):
    def name(**parameters):
        return Plan.of({"notebook": "tiny.ipynb", "fixed": parameters}).runs[0].name

    first = name()
    assert first == name(k=4) == name(seed=1, learning_rate=0.01)
    assert name(k=5) != first
    write_notebook(notebook, BODY + "  # a comment", "print('a picture')")
    assert name() == first  # nothing that is recorded comes from there
    write_notebook(notebook, "rate = 3", BODY)
    assert name() != first
    write_notebook(notebook, BODY)
    monkeypatch.setattr(plans, "versions", lambda: {"tensorflow": "0"})
    assert name() != first


def test_what_is_set_takes_the_place_of_what_the_file_says(notebook):
    Path("s.yml").write_text("notebook: tiny.ipynb\nfixed: {n: 7}\ngrid: {k: [4, 8]}\nseeds: 1-3\n")
    plan = Plan.read("s.yml", {"k": [16], "n": [8, 9], "seed": [5]})
    assert points(plan, "seed", "k", "n") == [(5, 16, 8), (5, 16, 9)]


def test_a_file_may_hold_several_sweeps(notebook):
    Path("s.yml").write_text(
        "notebook: tiny.ipynb\nseeds: 1-2\n---\nnotebook: tiny.ipynb\ngrid: {k: [8, 9]}\n"
    )
    assert points(Plan.read("s.yml"), "seed", "k") == [(1, 4), (2, 4), (1, 8), (1, 9)]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("grid: {k: []}", r"grid: k has no values"),
        ("grid: {}", r"grid is empty"),
        ("grid: {k: 4}", r"grid: k is 4; it needs a list"),
        ("grid: {k: [4], k: [5]}", r"line 2: k is given twice"),
        ("fixed: {k: 4}\ngrid: {k: [5]}", r"k stands in fixed and in grid"),
        ("fixed: {seed: 4}\nseeds: 1-3", r"seed stands in fixed, and there are seeds"),
        ("fixed: {no: 1}", r"line 2: the key False is no name .YAML reads"),
        ("fixed: {kk: 3}", r"has no parameter kk; it has seed, k, learning_rate, n"),
        ("fixed: {learning_rate: 1e-3}", r"parameter learning_rate = '1e-3'.*write 1\.0e-3 in YAML"),
        ("points: [{k: 1000}]", r"parameter k = 1000: must be a whole number from 1 to 256"),
        ("points: {k: 1000}", r"points: give a list"),
        ("seeds: one", r"seeds: 'one' is neither a list nor"),
        ("seeds: []", r"holds no seed"),
        ("seeds: [1, 2, 1]", r"seeds: 1 is given twice"),
        ("seeds: 1-2000000", r"more than a million"),
        ("seeds: 1-20000", r"20,000 runs are more than 10,000; to run them, raise the limit"),
        ("sample: {number: 3}", r"sample: ranges is missing"),
        ("sample: {number: x, ranges: {k: [1, 2]}}", r"sample: number is 'x'"),
        ("sample: {number: 3, ranges: {k: [9, 2]}}", r"sample: k is \[9, 2\]; it needs"),
        ("sample: {number: 3, ranges: {k: [0, 2, log]}}", r"above 0 on the scale log"),
        ("repeat: 3", r"unknown key repeat; a sweep has notebook, fixed, grid, seeds, points, sample"),
        ("grid: {k: [4,", r"not readable as YAML: .*line"),
        ("- 3", r"not readable as YAML"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line_before_anything_runs(notebook, lines, says):
    Path("s.yml").write_text(f"notebook: tiny.ipynb\n{lines}\n")
    with pytest.raises(PlanError, match=says) as caught:
        Plan.read("s.yml")
    assert str(caught.value).startswith("s.yml: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("just words", "is 'just words'"),
        ("k: 3", "unknown key k"),
        ("seeds: 1-2", "key notebook"),
    ],
)
def test_a_file_that_is_no_sweep_is_refused(notebook, text, says):
    Path("s.yml").write_text(text)
    with pytest.raises(PlanError, match=says):
        Plan.read("s.yml")


def test_a_million_combinations_are_counted_and_not_made(notebook):
    grid = {name: list(range(100)) for name in ("k", "n", "learning_rate")}
    started = time.perf_counter()
    with pytest.raises(PlanError, match="1,000,000 runs"):
        Plan.of({"notebook": "tiny.ipynb", "grid": grid})
    assert time.perf_counter() - started < 5  # a million checked runs would take minutes
    assert len(Plan.of({"notebook": "tiny.ipynb", "seeds": "1-11"}, limit=11).runs) == 11


# -- one run


def make(notebook: Path, setting: Setting | None = None, **parameters) -> tuple[runs.Result, Path]:
    """Make one run in this process; return how it ended, and its folder."""
    (run,) = Plan.of({"notebook": notebook.name, "fixed": parameters}).runs
    return runs.execute(run, "out", setting or Setting()), runs.folder_of("out", run.name)


def test_a_run_leaves_its_notebook_and_a_whole_description_and_is_made_once(notebook):
    result, place = make(notebook, Setting(threads=2), k=8, seed=3)
    assert result.error is None
    assert sorted(path.name for path in place.iterdir()) == ["executed.ipynb", "run.json"]
    told = json.loads((place / "run.json").read_text())
    assert told["parameters"] == {"seed": 3, "k": 8, "learning_rate": 0.01, "n": 1}
    assert told["metrics"] == {"rmse": pytest.approx(8.04), "threads": "2", "n_twice": 2}
    assert told["name"] == place.name == f"tiny-{place.name[-16:]}"
    assert told["threads"] == 2
    assert told["kernel"] == "cold"
    assert 0 < told["processor_seconds"] < 60
    assert told["processor"]
    assert told["versions"]["keras"]
    assert make(notebook, k=8, seed=3)[0].seconds == 0
    assert diary(notebook) == ["3 8 1"]


@pytest.mark.parametrize(("n", "says"), [(2, r"tiny\.ipynb, cell \[3\]"), (3, "died")])
def test_a_failed_run_leaves_its_error_and_no_description(notebook, n, says):
    result, place = make(notebook, n=n)
    assert not result.fatal
    assert says.replace("\\", "") in result.error
    assert (place / "error.txt").read_text().strip() == result.error.strip()
    assert not (place / "run.json").exists()
    assert not (place / "attempts").exists()


def test_a_full_disk_is_told_and_would_stop_the_others(notebook, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs, "write_whole", full)
    result, _ = make(notebook)
    assert result.fatal
    assert "No space left" in result.error


def test_a_description_that_is_torn_does_not_count_as_finished(notebook):
    _, place = make(notebook)
    text = (place / "run.json").read_text()
    for torn in (text[: len(text) // 2], "[]", "3", ""):
        (place / "run.json").write_text(torn)
        with pytest.warns(UserWarning, match="is left out, because it cannot be read"):
            assert not runs.is_finished(place)
    with pytest.warns(UserWarning, match="cannot be read"):
        make(notebook)
    assert diary(notebook) == ["1 4 1", "1 4 1"]
    assert runs.is_finished(place)


def test_a_run_that_is_being_made_is_waited_for(notebook):
    (run,) = Plan.of({"notebook": "tiny.ipynb", "fixed": {"n": 20}}).runs
    code = (
        "import sys; from deepfm_helpers.sweeps import plans, runs;"
        "(run,) = plans.Plan.of({'notebook': 'tiny.ipynb', 'fixed': {'n': 20}}).runs;"
        "sys.exit(runs.execute(run, 'out', runs.Setting()).error)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as other:
        while not (runs.folder_of("out", run.name) / "attempts").exists():
            assert other.poll() is None
            time.sleep(0.05)
        assert runs.execute(run, "out", Setting()).error is None
    assert other.returncode == 0
    assert diary(notebook) == ["1 4 20"]


# -- many runs on workers of this machine


def test_a_failure_stops_no_other_run_and_only_what_is_asked_for_is_made_again(notebook):
    lines = []
    sweep = {"notebook": "tiny.ipynb", "grid": {"n": [1, 2, 3, 4]}, "seeds": "1-2"}
    before = dict(os.environ)
    outcome = engine.run(Plan.of(sweep), "out", say=lines.append)
    assert dict(os.environ) == before  # Dask has given it back
    names = {run.name: (run.parameters["seed"], run.parameters["n"]) for run in Plan.of(sweep).runs}
    assert sorted(names[name] for name in outcome.finished) == [(1, 1), (2, 1)]
    errors = {names[name]: error for name, error in outcome.failed.items()}
    assert sorted(errors) == [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)]
    assert "cell [3]" in errors[1, 2]
    assert errors[1, 2].endswith("RuntimeError: two is too much")
    assert "died" in errors[1, 3]
    assert errors[1, 4].startswith("2 workers died during this run: process ")
    assert diary(notebook).count("1 4 4") == 2  # stopped after the second
    assert set(runs.status("out").values()) == {"finished", "failed"}
    assert runs.failed("out").keys() == outcome.failed.keys()
    assert len([line for line in lines if "FAILED" in line]) == 6
    assert "two is too much" in " ".join(lines)
    assert all("\n" not in line for line in lines)

    before = diary(notebook)
    again = engine.run(Plan.of(sweep), "out", say=lines.append)
    assert (len(again.before), again.finished, len(again.failed)) == (2, [], 6)
    assert diary(notebook) == before

    larger = Plan.of({"notebook": "tiny.ipynb", "grid": {"n": [1, 2], "k": [4, 8]}, "seeds": "1-2"})
    more = engine.run(larger, "out", retry_failed=True, say=lines.append)
    assert len(more.before) == 2
    new = [line for line in diary(notebook) if diary(notebook).count(line) > before.count(line)]
    assert sorted(new) == ["1 4 2", "1 4 2", "1 8 1", "1 8 2", "2 4 2", "2 4 2", "2 8 1", "2 8 2"]
    assert len(runs.finished("out")) == 4  # of this sweep
    asked = yaml.safe_load(Path("out/sweep.yml").read_text())
    assert [run["name"] for run in asked["runs"]] == [run.name for run in larger.runs]


def test_a_run_is_not_blamed_for_workers_that_others_have_killed(notebook):
    sweep = {"notebook": "tiny.ipynb", "fixed": {"n": 4}, "seeds": "1-5"}
    outcome = engine.run(Plan.of(sweep), "out", say=lambda line: None)
    assert [error.partition(": ")[0] for error in outcome.failed.values()] == [
        "2 workers died during this run"
    ] * 5
    assert diary(notebook) == sorted([f"{seed} 4 4" for seed in range(1, 6)] * 2)


def test_the_first_failure_ends_a_sweep_if_it_should(notebook):
    plan = Plan.of({"notebook": "tiny.ipynb", "fixed": {"n": 2}, "seeds": "1-9"})
    with pytest.raises(engine.SweepStopped, match="two is too much"):
        engine.run(plan, "out", stop_on_failure=True, say=lambda _: None)
    assert len(diary(notebook)) < 9


def test_two_clients_do_not_make_one_sweep(notebook):
    with files.only_one("out"), pytest.raises(files.InUse, match=f"in use by process {os.getpid()}"):
        engine.run(Plan.of({"notebook": "tiny.ipynb"}), "out", say=lambda _: None)


def test_a_folder_that_cannot_be_is_refused_before_anything_starts(notebook):
    with pytest.raises(OSError, match="tiny.ipynb"):
        engine.run(Plan.of({"notebook": "tiny.ipynb"}), notebook / "out", say=lambda _: None)
    assert diary(notebook) == []


# -- many runs on a cluster that is already there


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A Dask scheduler and workers as programs of their own."""

    def __init__(self, folder: Path, workers: int, *options: str):
        self.folder = folder
        told = folder / f"{uuid.uuid4().hex}.json"
        self.scheduler = self._program("dask_scheduler", "--port", "0", "--scheduler-file", str(told))
        with Client(scheduler_file=str(told), timeout=60) as client:  # waits until the file is there
            self.address = client.scheduler.address
        self.workers = [
            self._program("dask_worker", self.address, *(options or ("--nthreads", "1")))
            for _ in range(workers)
        ]
        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(workers, timeout=60)

    def _program(self, module: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments, "--host", "127.0.0.1"]
        return subprocess.Popen(
            [*command, "--no-dashboard"],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self) -> None:
        for program in [*self.workers, self.scheduler]:
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()


@pytest.fixture
def cluster(tmp_path):
    """Return a function that starts a cluster; all of them end with the test."""
    started = []

    def start(workers: int = 2, *options: str) -> Cluster:
        (tmp_path / "elsewhere").mkdir(exist_ok=True)
        started.append(Cluster(tmp_path / "elsewhere", workers, *options))
        return started[-1]

    yield start
    for one in started:
        one.end()


def test_a_sweep_on_a_cluster_goes_on_after_its_client_was_killed_and_runs_nothing_twice(notebook, cluster):
    address = cluster().address
    Path("s.yml").write_text("notebook: tiny.ipynb\nfixed: {n: 20}\nseeds: 1-6\n")
    command = [sys.executable, "-m", "deepfm_helpers.sweeps.cli", "sweep", "s.yml", "--scheduler", address]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as client:
        while len(diary(notebook)) < 3:  # one run has finished, others are in flight
            assert client.poll() is None
            time.sleep(0.05)
        client.kill()
    lines = []
    outcome = engine.run(Plan.read("s.yml"), "sweeps/s", scheduler=address, say=lines.append)
    assert outcome.failed == {}
    assert len(outcome.before + outcome.finished) == 6
    assert diary(notebook) == [f"{seed} 4 20" for seed in range(1, 7)]
    assert lines[1].startswith(f"2 workers at {address}")


def test_a_run_whose_worker_is_killed_is_made_on_another(notebook, cluster):
    there = cluster()
    plan = Plan.of({"notebook": "tiny.ipynb", "fixed": {"n": 30}, "seeds": "1-2"})
    killed = []

    def kill_one(line: str) -> None:
        if line.startswith("2 workers") and not killed:
            time.sleep(2)
            killed.append(there.workers[0].pid)
            os.killpg(there.workers[0].pid, signal.SIGKILL)

    outcome = engine.run(plan, "out", scheduler=there.address, say=kill_one)
    assert killed
    assert len(outcome.finished) == 2


def test_a_scheduler_that_goes_away_ends_the_sweep_and_keeps_what_is_finished(notebook, cluster, monkeypatch):
    monkeypatch.setattr(engine, "PATIENCE", 10)
    there = cluster(1)

    def kill(line: str) -> None:
        if line.startswith("[1/"):
            there.scheduler.kill()

    plan = Plan.of({"notebook": "tiny.ipynb", "seeds": "1-9"})
    with pytest.raises(engine.SweepStopped, match="the scheduler is gone; the same command goes on"):
        engine.run(plan, "out", scheduler=there.address, say=kill)
    assert 1 <= len(runs.finished("out")) < 9


def test_a_worker_that_is_not_alike_is_refused_before_the_first_run(notebook, cluster, monkeypatch):
    there = cluster(1)
    plan = Plan.of({"notebook": "tiny.ipynb"})
    (run,) = plan.runs

    def refused(plan: Plan, says: str) -> None:
        with pytest.raises(engine.SweepStopped, match=rf"worker tcp://[\d.:]+ {says}"):
            engine.run(plan, "out", scheduler=there.address, say=lambda _: None)

    refused(replace(plan, runs=(replace(run, digest="0" * 16),)), "has other code for tiny")
    other = replace(run, fingerprint="0" * 64, parameters=run.parameters | {"dataset": "planted-small"})
    refused(replace(plan, runs=(other,)), "has other data under the name planted-small")
    refused(replace(plan, runs=(replace(run, notebook=Path("/no/such.ipynb")),)), "has no /no/such.ipynb")
    monkeypatch.setattr(engine, "versions", lambda: {"keras": "0.1"})
    refused(plan, r"has keras [\d.]+, not 0\.1")
    assert diary(notebook) == []


def test_a_cluster_without_workers_or_with_wide_ones_is_refused(notebook, cluster, monkeypatch):
    plan = Plan.of({"notebook": "tiny.ipynb"})
    wide = cluster(1, "--nthreads", "2").address
    with pytest.raises(engine.SweepStopped, match="has several threads.*--nthreads 1"):
        engine.run(plan, "out", scheduler=wide, say=lambda _: None)
    monkeypatch.setattr(engine, "PATIENCE", 3)
    empty = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(engine.SweepStopped, match=f"no scheduler answers at {empty}"):
        engine.run(plan, "out", scheduler=empty, say=lambda _: None)
    assert diary(notebook) == []


# -- the command


def test_the_command_runs_a_notebook_and_prints_what_it_recorded(notebook, capsys):
    assert (
        cli.main(["run", "tiny.ipynb", "kept.ipynb", "-p", "k", "8", "--parameter", "learning_rate", "1e-3"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "rmse = 8.011\n" in printed
    assert "threads = 1\n" in printed
    assert Path("kept.ipynb").is_file()
    assert cli.main(["run", "tiny.ipynb", "--list"]) == 0
    assert "k: int (default 4)  length of the vectors\n" in capsys.readouterr().out


def test_a_reader_who_has_seen_enough_is_no_error(notebook):
    unread, written = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "deepfm_helpers.sweeps.cli", "run", "tiny.ipynb", "--list"]
    ended = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, text=True, check=False)
    os.close(written)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "tiny.ipynb", "-p", "learning_rate", "-1e-3"], "parameter learning_rate = -0.001: must be"),
        (["run", "tiny.ipynb", "-p", "k", "1", "-p", "k", "2"], "-p k is given twice"),
        (["run", "tiny.ipynb", "-p", "k"], "-p needs a name and a value"),
        (["run", "none.ipynb"], "none.ipynb"),
        (["run", "tiny.ipynb", "-p", "n", "2"], "tiny.ipynb, cell [3]: RuntimeError: two is too much"),
        (["sweep", "none.yml"], "none.yml: cannot be read: No such file"),
        (["sweep", "s.yml", "--set", "k"], "--set k: write name=value"),
        (["sweep", "s.yml", "--set", "k=1", "--set", "k=2"], "--set k is given twice"),
        (["sweep", "s.yml", "-p", "k", "1"], "-p belongs to deepfm run"),
        (["sweep", "s.yml", "--limit", "1"], "2 runs are more than 1"),
        (["status", "nowhere"], "nowhere is not the folder of a sweep"),
        (["collect", "nowhere"], "nowhere is not the folder of a sweep"),
        (["compare", "nowhere"], "--metric and --by are needed"),
    ],
)
def test_an_error_is_one_line_and_a_status(notebook, capsys, arguments, says):
    Path("s.yml").write_text("notebook: tiny.ipynb\nseeds: 1-2\n")
    assert cli.main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert says in line


def test_the_command_sweeps_shows_compares_and_draws(notebook, capsys):
    Path("s.yml").write_text("notebook: tiny.ipynb\ngrid: {k: [4, 8]}\nseeds: 1-2\n")
    sweep = ["sweep", "s.yml", "--set", "k=4,8", "--set", "learning_rate=0.1"]
    assert cli.main([*sweep, "--dry-run"]) == 0
    assert "4 runs in sweeps" in capsys.readouterr().out
    assert not Path("sweeps").exists()
    assert cli.main(sweep) == 0
    assert "4 finished, 0 failed" in capsys.readouterr().out
    assert cli.main(["status", "sweeps/s"]) == 0
    assert "4 finished" in capsys.readouterr().out
    assert cli.main(["collect", "sweeps/s"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 5
    assert cli.main(["collect", "sweeps/s", "--to", "runs.csv"]) == 0
    assert Path("runs.csv").read_text().splitlines() == table
    assert cli.main(["compare", "sweeps/s", "--metric", "rmse", "--by", "k"]) == 0
    assert "baseline" not in capsys.readouterr().out
    assert cli.main(["compare", "sweeps/s", "--metric", "rmse", "--by", "k", "--baseline", "4"]) == 0
    assert "higher" in capsys.readouterr().out
    assert cli.main(["compare", "sweeps/s", "--runs", *runs.asked("sweeps/s")[:2]]) == 0
    assert "seed" in capsys.readouterr().out
    assert cli.main(["plot", "sweeps/s", "--metric", "rmse", "--by", "k", "--to", "rmse.svg"]) == 0
    assert "<svg" in Path("rmse.svg").read_text()
    assert cli.main(["plot", "sweeps/s", "--metric", "rmse", "--by", "k", "--to", "rmse.doc"]) == 1
    assert "cannot draw a file of this kind" in capsys.readouterr().err
