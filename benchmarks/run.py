"""Time the book beside the post's code and other libraries; see README.md in this folder.

python -m benchmarks.run [reading] [training] [scale] [reach] [rmse] [clicks] [pages] [streams] [options]
"""

import argparse
import json
import os
import queue
import re
import subprocess
import sys
import threading
import venv
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from benchmarks import click_settings, click_splits, confirming, origin, results, splits
from benchmarks.changes import CHANGES

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "_build" / "bench"
MOST_IN_MEMORY = 32  # million rows in the task streams
ARCHITECTURE = {"k": 16, "dnn_dim": [64, 32], "dropout": 0.2, "batch_size": 2048, "patience": 3}

# What the task rmse can compare: the module in systems/, and what it is asked on top of `ARCHITECTURE`.
COMPARED = {
    "constant": ("book_rmse", {"model": "constant"}),
    "user and film offsets": ("book_rmse", {"model": "offsets"}),
    "matrix factorization": ("book_rmse", {"model": "mf"}),
    "FM": ("book_rmse", {"model": "fm"}),
    "Wide & Deep": ("book_rmse", {"model": "wide_deep"}),
    "DeepFM as published": ("book_rmse", {"model": "as_published"}),
    "DeepFM repaired": ("book_rmse", {"model": "repaired"}),
    "FM full": ("book_rmse", {"model": "fm_full"}),
    "DeepFM full, no history or time": ("book_rmse", {"model": "full, no history or time"}),
    "DeepFM full, no stretches": ("book_rmse", {"model": "full, no stretches", "members": 2}),
    "DeepFM full, no day": ("book_rmse", {"model": "full, no day", "members": 5}),
    "DeepFM full, no day, all cores": (
        "book_rmse",
        {"model": "full, no day", "members": 8, "all_cores": True},
    ),
    "DeepFM full, no rated or raters": ("book_rmse", {"model": "full, no rated or raters"}),
    "DeepFM full, no day or stretches": ("book_rmse", {"model": "full, no day or stretches"}),
    "DeepFM full, no time": ("book_rmse", {"model": "full, no time"}),
    "DeepFM full": ("book_rmse", {"model": "full", "members": 5}),
    "DeepFM full, weaker penalties": ("book_rmse", {"model": "full, weaker penalties", "members": 5}),
    "DeepFM full, in branches": ("book_rmse", {"model": "full, in branches", "members": 4}),
    "DeepFM full, in branches, all cores": (
        "book_rmse",
        {"model": "full, in branches", "members": 4, "all_cores": True},
    ),
    **{
        f"DeepFM {name}": ("book_rmse", {"model": name, "members": 2})
        for name in (
            "full, no history or time, release year",
            "full, no history or time, in branches",
            "full, no day, expected stars",
            "full, no day, release year, five lengths",
            "full, no day, two branches",
            "full, no day, 14 epochs",
        )
    },
    **{f"DeepFM full, {what}": ("book_rmse", {"model": f"full, {what}", "members": 2}) for what in CHANGES},
    "the post's code": ("post", {"k": 20, "dnn_dim": [64, 64], "epochs": 30}),
    "DeepCTR": ("deepctr", {"epochs": 30}),
    "myFM, ids and side, rank 10": ("myfm", {"variant": "side", "rank": 10, "iterations": [100]}),
    "myFM full, rank 10": ("myfm", {"variant": "full", "rank": 10, "iterations": [100]}),
    "myFM full, rank 32": ("myfm", {"variant": "full", "rank": 32, "iterations": [300, 512]}),
}


REACHED = {
    "DeepFM, six fields": ("book_reach", {"model": "six fields"}),
    "myFM, ids and side, rank 10": COMPARED["myFM, ids and side, rank 10"],
    "DeepFM full, no day": ("book_reach", {"model": "full, no day"}),
    "myFM full, rank 10": COMPARED["myFM full, rank 10"],
}
"""What the task reach compares, in pairs."""


def answers_of(name: str, most: int | None = None) -> list[str]:
    """Return the names of the answers of a system of `COMPARED`: one for each mean of members, or number of draws."""
    asked = COMPARED[name][1]
    members = asked.get("members", 1)
    means = [f"mean of {n}" for n in range(2, min(members, most or members) + 1)]
    longer = [f"{draws} iterations" for draws in asked.get("iterations", [])[1:]]
    return [name, *(f"{name}, {what}" for what in means + longer)]


class System:
    """A module of systems/ that runs as a process, in the environment that it needs."""

    def __init__(self, name: str, module: str, request: dict, cores: str = ""):
        self.name, self.request = name, request
        pinned = ["taskset", "--cpu-list", cores] if cores else []
        self.log = BUILD / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.log"
        python = _python(module)
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [*pinned, python, "-m", f"benchmarks.systems.{module}"],
                cwd=ROOT,
                env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
            )

    def turn(self) -> dict:
        """Let the system compute until its next answer."""
        self.process.stdin.write(json.dumps(self.request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            end = "\n".join(self.log.read_text("utf-8").splitlines()[-15:])
            raise RuntimeError(f"{self.name} gave no answer to {self.request}; its log ends with\n{end}")
        return json.loads(answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()


def in_turn(systems: dict[str, tuple[str, dict]], rounds: int) -> dict[str, list[dict]]:
    """Return every system's answers in `rounds` rounds, in each of which it has one turn."""
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(System(name, module, request))
            for name, (module, request) in systems.items()
        }
        answers = [{name: system.turn() for name, system in running.items()} for _ in range(rounds)]
    return {name: [answer[name] for answer in answers] for name in systems}


def rows_of(task: str, data: str, answers: dict[str, list[dict]], machine: dict) -> list[dict]:
    """Make one row for each system and figure."""
    rows = []
    for system, given in answers.items():
        seconds = median(answer["seconds"] for answer in given)
        figures = [metric for metric in given[0] if metric != "seconds"] or ["seconds"]
        rows += [
            results.row(task, system, data, metric, [a[metric] for a in given], seconds, machine)
            for metric in figures
        ]
    return rows


def ratios(task, data, metric, answers, pairs, machine) -> list[dict]:
    """Make one row for each pair of systems: the metric of the first divided by that of the second."""
    figures = {system: [answer[metric] for answer in given] for system, given in answers.items()}
    return [results.ratio_row(task, a, b, data, metric, figures[a], figures[b], machine) for a, b in pairs]


def reading(options) -> list[dict]:
    """Measure the seconds to read MovieLens-1M, and the peak memory."""
    from deepfm_helpers import datasets

    folder = str(datasets.locate("ml-1m")[0])
    systems = {name: ("readers", {"task": name, "folder": folder}) for name in ("post", "book")}
    answers = in_turn(systems, options.rounds)
    machine = results.machine()
    rows = []
    for system, given in answers.items():
        seconds = [answer["seconds"] for answer in given]
        rows.append(results.row("reading", system, "ml-1m", "seconds", seconds, median(seconds), machine))
        peak = [given[0]["peak_mib"]]  # of one reading
        rows.append(results.row("reading", system, "ml-1m", "peak_mib", peak, median(seconds), machine))
    return rows + ratios("reading", "ml-1m", "seconds", answers, [("post", "book")], machine)


def training(options) -> list[dict]:
    """Measure the rows per second of `fit` on 81 % of the ratings, with 9 % to validate, in turns of two epochs.

    DeepCTR and the book use no dropout here: the book's recipes do not either, and XLA draws random numbers slowly.
    """
    table, rows = _table(options.data, "random", 1)
    request = {
        **ARCHITECTURE, "task": "training", "data": options.data, "table": table, "how": "random",
        "split": 1, "seed": 1, "rows": rows, "epochs": 1000, "patience": 1000, "dropout": 0.0,
    }  # fmt: skip
    large = {"batch_size": options.batch}
    systems = {
        "post": ("post", request),
        "deepctr": ("deepctr", request),
        "book": ("book", request),
        "book, XLA": ("book", request | {"jit_compile": True}),
        f"book, batches of {options.batch}": ("book", request | large),
        f"book, XLA, batches of {options.batch}": ("book", request | large | {"jit_compile": True}),
    }
    answers = in_turn(systems, options.rounds)
    machine = results.machine()
    pairs = [(book, peer) for book in systems if book.startswith("book") for peer in ("post", "deepctr")]
    stored = rows_of("training", options.data, answers, machine)
    for metric in ("rows_per_second", "training_rows_per_second", "rows_per_cpu_second"):
        stored += ratios("training", options.data, metric, answers, pairs, machine)
    return stored


def scale(options) -> list[dict]:
    """Measure pace and peak memory of the book's training on ever more planted ratings, in turns of `--steps` steps.

    The ratios compare each size with the first one, turn by turn.
    """
    sizes = {}
    for millions in options.sizes or [1, 4, 16, 32]:
        sizes[f"planted, {millions:g} million"] = ARCHITECTURE | {
            "task": "scale", "planted": _planted(millions), "steps": options.steps, "seed": 1,
            "batch_size": options.batch_size,
        }  # fmt: skip
    answers = in_turn({name: ("book", request) for name, request in sizes.items()}, options.rounds)
    machine, system = results.machine(), f"book, batches of {options.batch_size}"
    rows = [row for name in sizes for row in rows_of("scale", name, {system: answers[name]}, machine)]
    first, *larger = sizes
    data, pairs = f"planted, batches of {options.batch_size}", [(name, first) for name in larger]
    for metric in ("rows_per_second", "rows_per_cpu_second"):
        rows += ratios("scale", data, metric, answers, pairs, machine)
    return rows


def streams(options) -> list[dict]:
    """Measure pace and peak memory of training on rows that are read from a file, beside rows in memory, in turns.

    For the file, also the seconds to check, count and encode a table that does not fit in memory.
    More than `MOST_IN_MEMORY` million rows are trained on from the file alone, in one turn.
    """
    machine, rows = results.machine(), []
    read, held = "rows from a file", "rows in memory"
    for millions in options.sizes or [1, 10, 100]:
        request = ARCHITECTURE | {
            "task": "streams", "planted": _planted(millions), "seed": 1, "batch_size": options.batch_size,
            "epochs": max(1, round(4 / millions)),  # a turn takes at least some seconds
        }  # fmt: skip
        systems = {read: ("book_streams", request | {"folder": str(BUILD)})}
        both = millions <= MOST_IN_MEMORY
        if both:
            systems[held] = ("book_streams", request)
        answers = in_turn(systems, options.rounds if both else 1)
        data = f"planted, {millions:g} million, batches of {options.batch_size}"
        rows += rows_of("streams", data, answers, machine)
        for metric in ("rows_per_second", "rows_per_cpu_second", "peak_mib") if both else ():
            rows += ratios("streams", data, metric, answers, [(read, held)], machine)
    return rows


def _planted(millions: float) -> dict[str, int]:
    """As in the published MovieLens data: about 160 ratings a user, and films that grow more slowly."""
    n = round(millions * 1_000_000)
    return {"n_ratings": n, "n_users": n // 160, "n_movies": round(4_000 * millions**0.5)}


def rmse(options) -> list[dict]:
    """Measure the test RMSE on held-out rows, and the seconds from rows in memory to predictions.

    As many systems as there are `--cores` run at a time, on a core each; then, one at a time, those whose members are
    spread over all cores.
    """
    machine = results.machine()

    def measure(job: tuple[str, int, str], core: str) -> list[dict]:
        how, seed, name = job
        module, asked = COMPARED[name]
        named = answers_of(name, options.members)
        asked = asked | ({"members": len(named)} if "members" in asked else {})
        table, rows = tables[how, seed]
        request = {
            **ARCHITECTURE, "task": "rmse", "data": options.data, "table": table, "how": how, "split": seed,
            "seed": seed, "rows": rows, **asked,
        }  # fmt: skip
        if asked.get("all_cores"):
            answers = _side_by_side(f"{name} {how} {seed}", module, request, options.cores)
        else:
            with System(f"{name} {how} {seed}", module, request, core) as system:
                answers = [system.turn() for _ in named]
        data = f"{options.data}, {how} {seed}"
        measured = []
        for system, answer in zip(named, answers, strict=True):
            for metric in answer.keys() - {"seconds"}:
                measured.append(
                    results.row("rmse", system, data, metric, [answer[metric]], answer["seconds"], machine)
                )
            print(f"{data}: {system}: RMSE {answer['rmse']:.4f}, {answer['seconds']:.0f} s", flush=True)
        with storing:
            results.store(measured)
        return measured

    storing = threading.Lock()
    # Tables and environments are made beforehand, once, since nothing else may compute while a system is timed.
    tables = {(how, s): _table(options.data, how, s) for how in options.splits for s in options.seeds}
    names = [name for name in options.systems if name in COMPARED]
    jobs = [(how, seed, name) for how in options.splits for seed in options.seeds for name in names]
    for name in names:
        _python(COMPARED[name][0])
    wide = [job for job in jobs if COMPARED[job[2]][1].get("all_cores")]
    measured = _on_a_core_each(measure, [job for job in jobs if job not in wide], options.cores)
    measured += [measure(job, "") for job in wide]
    return [row for rows in measured for row in rows]


def clicks(options) -> list[dict]:
    """Measure AUC and log-loss of clicks on held-out rows, and the seconds from rows in memory to probabilities.

    As many systems as there are `--cores` run at a time, on a core each.
    """
    machine, storing = results.machine(), threading.Lock()

    def measure(job: tuple[str, int, str], core: str) -> list[dict]:
        how, seed, name = job
        module, asked = click_settings.ALL[name]
        request = {
            **ARCHITECTURE, "task": "clicks", "data": options.data, "table": tables[how, seed], "how": how,
            "split": seed, "seed": seed, **asked,
        }  # fmt: skip
        with System(f"clicks {name} {how} {seed}", module, request, core) as system:
            answer = system.turn()
        rows = rows_of("clicks", f"{options.data}, {how} {seed}", {name: [answer]}, machine)
        print(
            f"{options.data}, {how} {seed}: {name}: AUC {answer['auc']:.4f}, log-loss {answer['log_loss']:.4f}, "
            f"{answer['seconds']:.0f} s",
            flush=True,
        )
        with storing:
            results.store(rows)
        return rows

    jobs = [
        (how, seed, name)
        for how in options.splits
        for seed in options.seeds
        for name in click_settings.BY_SPLIT[how]
        if name in options.systems
    ]
    # As in `rmse`, nothing is made while a system is timed.
    tables = {
        (how, s): click_splits.write(BUILD / f"{options.data}-clicks-{how}-{s}.npz", options.data, how, s)
        for how in options.splits
        for s in options.seeds
    }
    for *_, name in jobs:
        _python(click_settings.ALL[name][0])
    return [row for rows in _on_a_core_each(measure, jobs, options.cores) for row in rows]


def reach(options) -> list[dict]:
    """Measure the seconds of training until the test RMSE is at most `--target`, one system at a time, on all cores."""
    answers = {name: [] for name in REACHED}
    for seed in options.seeds:
        table, _ = _table(options.data, "random", seed)
        for name, (module, asked) in REACHED.items():
            request = {
                "task": "reach", "data": options.data, "table": table, "how": "random", "split": seed,
                "seed": seed, "target": options.target, **asked,
            }  # fmt: skip
            with System(f"reach {name} {seed}", module, request) as system:
                answers[name].append(system.turn())
    data, machine = f"{options.data}, RMSE {options.target:g}", results.machine()
    pairs = list(zip(list(REACHED)[::2], list(REACHED)[1::2], strict=True))
    return rows_of("reach", data, answers, machine) + ratios(
        "reach", data, "seconds", answers, pairs, machine
    )


def pages(options) -> list[dict]:
    """Measure the seconds until each page can be read in Chromium."""
    from benchmarks import pages

    return pages.measure(options.rounds)


def _on_a_core_each(measure, jobs: list, cores: list[int]) -> list:
    """Return `measure(job, core)` for each job, with as many jobs at a time as there are cores."""
    free = queue.SimpleQueue()
    for core in cores:
        free.put(core)

    def on_a_core(job):
        core = free.get()
        try:
            return measure(job, str(core))
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(cores)) as pool:
        return list(pool.map(on_a_core, jobs))


def _side_by_side(name: str, module: str, request: dict, cores: list[int]) -> list[dict]:
    """Return the answers for the means of the first 1, 2, … members, which are trained side by side, on a core each."""
    import numpy as np

    def train(i: int) -> dict[int, dict]:
        mine = list(range(i, request["members"], len(cores)))
        files = BUILD / f"scores-{re.sub('[^a-z0-9]+', '-', name.lower())}"
        with System(
            f"{name} {i}", module, request | {"which": mine, "scores": str(files)}, str(cores[i])
        ) as system:
            return {member: system.turn() for member in mine}

    with ThreadPoolExecutor(len(cores)) as pool:
        answers = {m: a for of_one in pool.map(train, range(len(cores))) for m, a in of_one.items()}
    with np.load(request["table"]) as columns:
        y = columns["test_rating"]
    total, means, seconds = 0.0, [], 0.0
    for member in range(request["members"]):
        total = total + np.load(answers[member]["scores"])
        seconds = max(seconds, answers[member]["seconds"])
        error = float(np.sqrt(np.mean((total / (member + 1) - y) ** 2)))
        means.append({"seconds": seconds, "rmse": error, "parameters": answers[member]["parameters"]})
    return means


TASKS = {
    "reading": reading,
    "training": training,
    "scale": scale,
    "reach": reach,
    "rmse": rmse,
    "clicks": clicks,
    "pages": pages,
    "streams": streams,
}


def measured(task: str, hows: list[str]) -> Collection[str]:
    """Return the systems that `--systems` can name for a task with some ways to split."""
    if task == "clicks":
        return [name for how in hows for name in click_settings.BY_SPLIT[how]]
    return COMPARED if task == "rmse" else ()


def _table(name: str, how: str, seed: int) -> tuple[str, int]:
    """File with the columns of a split, as ids, for the systems that know no frames.

    Return the file, and the number of training rows when a tenth of them is kept for validation.
    """
    import numpy as np

    from deepfm_helpers import features, models

    file = BUILD / f"{name}-{how}-{seed}.npz"
    data, *parts = splits.load(name, how, seed)
    fields = splits.fields(data)
    published = features.describe(data, **models.AS_PUBLISHED["describe"])
    columns = {f"size_{f.name}": f.size for f in fields} | {"size_post_genre": published[-1].size}
    columns |= {f"owner_{f.name}": f.owner for f in fields}
    for part, frame in zip(("train", "test"), parts, strict=True):
        columns |= {f"{part}_{f.name}": f.encode(frame) for f in fields}
        columns[f"{part}_occupation_code"] = frame["occupation"].to_numpy()
        columns[f"{part}_post_genre"] = published[-1].encode(frame)
        columns[f"{part}_rating"] = frame["rating"].to_numpy()
        columns[f"{part}_timestamp"] = frame["timestamp"].to_numpy()
    part = file.with_name(file.stem + ".part.npz")
    np.savez(part, **columns)
    os.replace(part, file)
    n = len(columns["train_rating"])
    return str(file), n - round(0.1 * n)


def _python(module: str) -> str:
    """Return the Python that a module of systems/ runs with.

    For another library it is that of an environment in the folder that BENCH_PEERS, BENCH_FUXICTR or BENCH_LIGHTGBM
    names, or in one below _build, made if needed.
    """
    environment = origin.PEERS.get(module)
    if environment is None:
        return sys.executable
    given = os.environ.get(f"BENCH_{environment.upper()}")
    folder = Path(given or BUILD / environment)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if given:
        return str(python)
    ready, wanted = folder / "ready", origin.pinned(environment)
    if not ready.exists() or ready.read_text("utf-8") != wanted.read_text("utf-8"):
        print(f"making the environment of {wanted.name}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", wanted], check=True)
        ready.write_text(wanted.read_text("utf-8"), "utf-8")
    return str(python)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("tasks", nargs="*", metavar="task", help=f"{', '.join(TASKS)}; default: all")
    parser.add_argument(
        "--data", default="ml-1m", choices=("ml-1m", "ml-100k"), help="for training, rmse and clicks"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="rounds of reading, training, scale, pages and streams"
    )
    parser.add_argument("--batch", type=int, default=8192, help="the larger batch of training")
    parser.add_argument(
        "--sizes", type=float, nargs="+",
        help="million rows; by default 1 4 16 32 for scale, 1 10 100 for streams",
    )  # fmt: skip
    parser.add_argument("--steps", type=int, default=100, help="scale: steps in a turn")
    parser.add_argument("--batch-size", type=int, default=65_536, help="scale, streams: rows in a batch")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="rmse, clicks, reach: seeds"
    )
    parser.add_argument("--target", type=float, default=0.84, help="reach: the RMSE to be reached")
    parser.add_argument(
        "--splits", nargs="+", default=["random"], choices=splits.HOW,
        help=f"rmse: ways to split; clicks: {' or '.join(click_splits.SCORED)}",
    )  # fmt: skip
    parser.add_argument("--members", type=int, help="rmse: trainings of a mean at most; default: all")
    parser.add_argument(
        "--cores",
        type=int,
        nargs="+",
        default=list(range(min(2, os.cpu_count() or 1))),
        help="rmse, clicks: as many systems at a time, each on a core of its own",
    )
    parser.add_argument(
        "--systems",
        nargs="+",
        metavar="system",
        help="clicks; rmse: by default all but the changes to the full model, which are for --splits valid",
    )
    parser.add_argument(
        "--stale", action="store_true", help="measure nothing: list the rows that are out of date"
    )
    parser.add_argument(
        "--confirm",
        metavar="COMMIT",
        help="rmse: keep the rows of each stale system that predicts the same as with the code of this commit",
    )
    options = parser.parse_args(arguments)
    options.tasks = options.tasks or list(TASKS)
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"no task {', '.join(sorted(unknown))}; there are {', '.join(TASKS)}")
    if "clicks" in options.tasks and (unknown := set(options.splits) - set(click_splits.SCORED)):
        parser.error(
            f"clicks: no split {', '.join(sorted(unknown))}; there are {', '.join(click_splits.SCORED)}"
        )
    known = {name: None for task in options.tasks for name in measured(task, options.splits)}
    if unknown := [name for name in options.systems or () if name not in known]:
        parser.error(
            f"no system {'; '.join(unknown)} in these tasks and splits; there are {'; '.join(known)}"
        )
    options.systems = options.systems or [
        name for name in known if options.confirm or name.removeprefix("DeepFM full, ") not in CHANGES
    ]
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the tasks named, or all; store and print what each has measured. Return 1 only for stale rows."""
    options = parse(arguments)
    if options.stale:
        return print_stale(results.read())
    BUILD.mkdir(parents=True, exist_ok=True)
    for task, names in (("rmse", COMPARED), ("clicks", click_settings.ALL)):
        for name in names:  # whatever is edited while this measures, the rows are of the code of now
            origin.digest(task, name)
    if options.confirm:
        return confirm(options)
    for task in options.tasks:
        print(f"\n==== {task}", flush=True)
        rows = TASKS[task](options)
        results.store(rows)
        print(results.table(rows), flush=True)
    return 0


def confirm(options) -> int:
    """Compare each stale system of `rmse` with what the code of `--confirm` predicts; keep its rows if it is the same.

    Returns:
        1 if a system predicts something else, or its rows are not of that commit; they have to be measured.
    """
    rows = [one for one in results.read() if one["task"] == "rmse"]
    stale = {system for _, system in origin.stale(rows)}
    books = [name for name in options.systems if name in COMPARED and COMPARED[name][0] == "book_rmse"]
    due = {name: answers_of(name) for name in books if stale & set(answers_of(name))}
    stored = {}
    for one in rows:
        stored.setdefault(one["system"], set()).add(one["digest"])
    with confirming.checked_out(options.confirm) as then:
        of_then = confirming.ask(then, confirming.DIGESTS, *due)
        models = {name: COMPARED[name][1]["model"] for name in due if stored[name] == {of_then[name]}}
        same = confirming.alike(then, list(dict.fromkeys(models.values())), _on_a_core_each, options.cores)
    anew = [name for name in due if name not in models or not same[models[name]]]
    results.renew(
        "rmse", [answer for name in due if name not in anew for answer in due[name] if answer in stored]
    )
    for name in anew:
        why = (
            "its code predicts something else" if name in models else f"its rows are not of {options.confirm}"
        )
        print(f"measure anew: {name} ({why})")
    return 1 if anew else 0


def print_stale(rows: list[dict]) -> int:
    """Print, by task, the systems whose rows are stale, with the reasons; return 1 if there are any."""
    found = origin.stale(rows)
    for (task, system), reasons in found.items():
        print(f"{task:<10} {system}: {'; '.join(reasons)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
