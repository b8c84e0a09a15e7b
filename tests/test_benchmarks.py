"""The pure parts of benchmarks/: rows, their file, ratios, the printed table and the command line."""

import importlib
import json
import sys
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import click_settings, click_splits, confirming, origin, results, run  # noqa: E402
from deepfm_helpers._keras import keras  # noqa: E402

MACHINE = {"cores": 2}


@pytest.fixture(autouse=True)
def known_data(monkeypatch):
    """The datasets are at hand, and need not be read."""
    monkeypatch.setattr(origin.plans, "fingerprint", lambda name: name * 2)
    monkeypatch.setattr(origin.plans, "fingerprint_at_hand", lambda name: name * 2)


def row(**changes) -> dict:
    return results.row("training", "book", "ml-1m", "rows_per_second", [1.0, 9.0, 2.0], 4, MACHINE) | changes


def test_repeats_become_their_median_and_spread():
    one = row()
    assert list(one) == list(results.FIELDS)
    assert (one["value"], one["n"], one["seconds"]) == (2.0, 3, 4.0)
    assert one["spread"] == pytest.approx(19**0.5)


def test_a_single_measurement_has_no_spread():
    assert results.row("training", "post", "ml-1m", "seconds", [7], 1, MACHINE)["spread"] == 0.0


def test_ratios_are_taken_round_by_round():
    one = results.ratio_row("training", "book", "post", "ml-1m", "speed", [2, 40, 9], [1, 10, 3], MACHINE)
    assert (one["system"], one["metric"], one["value"]) == ("book / post", "speed_ratio", 3.0)


def test_ratios_need_the_same_rounds():
    with pytest.raises(ValueError, match="zip"):
        results.ratio_row("training", "book", "post", "ml-1m", "speed", [2, 4], [1], MACHINE)


@pytest.mark.parametrize(
    "changes",
    [
        {"value": float("nan")},
        {"value": 3},
        {"spread": -1.0},
        {"seconds": float("inf")},
        {"n": 0},
        {"n": True},
        {"system": ""},
        {"machine": "here"},
        {"digest": ""},
        {"date": 20261126},
        {"host": "here"},
    ],
)
def test_a_malformed_row_is_refused(changes):
    with pytest.raises(ValueError, match="value|spread|seconds|n|system|machine|digest|date|fields"):
        results.checked(row(**changes))


def test_a_row_without_a_field_is_refused():
    with pytest.raises(ValueError, match="fields"):
        results.checked({name: value for name, value in row().items() if name != "n"})


def test_a_row_says_of_which_day_data_and_code_it_is():
    one = row()
    assert one["date"] == date.today().isoformat()
    assert one["fingerprint"] == "ml-1mml-1m"
    assert one["digest"] == origin.digest("training", "book")
    drawn = results.row("scale", "book", "planted, 4 million", "seconds", [1.0], 1.0, MACHINE)
    assert drawn["fingerprint"] is None


def test_every_stored_system_and_every_compared_one_has_its_program():
    stored = [(one["task"], system) for one in results.read() for system in one["system"].split(" / ")]
    compared = [("rmse", answer) for name in run.COMPARED for answer in run.answers_of(name)]
    compared += [("clicks", name) for name in click_settings.ALL]
    for task, system in {*compared, *(what for what in stored if what[0] != "rmse")}:
        path, *_ = origin.program(task, system)
        assert (origin.FOLDER / f"{path}.py").is_file()
    assert origin.program("rmse", "DeepFM full, mean of 5") == ("systems/book_rmse", True, "full")
    assert origin.program("rmse", "myFM full, rank 32, 512 iterations") == ("systems/myfm", False, None)
    assert origin.program("reading", "post") == ("systems/readers", False, None)
    assert origin.program("clicks", "FuxiCTR") == ("systems/fuxictr", False, None)
    for task, system in (
        ("rmse", "DeepFM of last year"),
        ("clicks", "DeepFM of last year"),
        ("speed", "book"),
        ("training", "pen and paper"),
    ):
        with pytest.raises(LookupError):
            origin.program(task, system)


def test_a_row_of_the_book_hangs_on_all_that_it_reaches_others_on_their_own_files(monkeypatch):
    asked = {}

    def reached(*_, **how):
        path = "benchmarks/systems/protocol.py"
        return {path: asked["protocol"], "deepfm_helpers/models.py": asked["models"]}

    def digest_with(task, system, **changes):
        asked.update({"protocol": "a", "models": "b"} | changes)
        origin._digest.cache_clear()
        return origin.digest(task, system)

    monkeypatch.setattr(origin.digests, "reached", reached)
    book, ratio, post = ("training", "book"), ("training", "book, XLA / post"), ("training", "post")
    for what in (book, ratio, ("reading", "book"), ("pages", "book")):
        assert digest_with(*what) != digest_with(*what, models="c")
    for what in (post, ("training", "deepctr"), ("rmse", "myFM full, rank 10"), ("reading", "post")):
        assert digest_with(*what) == digest_with(*what, models="c")
        assert digest_with(*what) != digest_with(*what, protocol="c")
    before = digest_with(*post), digest_with(*ratio), digest_with(*book)
    monkeypatch.setattr(origin, "versions", lambda: dict.fromkeys(("tensorflow", "keras", "numpy"), "0"))
    after = digest_with(*post), digest_with(*ratio), digest_with(*book)
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    origin._digest.cache_clear()


def test_a_row_of_clicks_hangs_on_its_settings_and_on_the_packages_of_its_own_environment(
    monkeypatch, tmp_path
):
    def digests():
        origin._digest.cache_clear()
        systems = ("DeepCTR", "FuxiCTR", "LightGBM")
        found = {system: origin.digest("clicks", system) for system in systems}
        return found | {"rated": origin.digest("rmse", "DeepCTR")}

    def moved():
        now = digests()
        return {system for system in now if now[system] != before[system]}

    before = digests()
    module, asked = click_settings.ALL["LightGBM"]
    with monkeypatch.context() as patched:
        patched.setitem(click_settings.ALL, "LightGBM", (module, asked | {"smoothing": 7}))
        assert moved() == {"LightGBM"}
    for environment in set(origin.PEERS.values()):
        (tmp_path / f"{environment}-requirements.txt").write_text(
            origin.pinned(environment).read_text("utf-8")
        )
    pinned = origin.pinned
    monkeypatch.setattr(origin, "pinned", lambda name: tmp_path / pinned(name).name)
    assert moved() == set()
    origin.pinned("fuxictr").write_text("fuxictr==9")
    assert moved() == {"FuxiCTR"}
    origin.pinned("peers").write_text("deepctr==9")
    assert moved() == {"FuxiCTR", "DeepCTR", "rated"}
    origin._digest.cache_clear()


def test_the_systems_of_clicks_hang_on_the_splits():
    for module in {module for module, _ in click_settings.ALL.values()}:
        source = (origin.FOLDER / "systems" / f"{module}.py").read_text("utf-8")
        assert "benchmarks/click_splits.py" in origin.digests.reached(origin.HERE, source)


PROGRAM = """
import math

TWICE, ONCE = 2, 1
FAR = {"far": 3}


def times(n):
    return lambda x: n * x


MODELS = {"one": times(ONCE), "two": times(TWICE), "half": math.sqrt, **{name: times(3) for name in FAR}}


def rmse(request):
    return MODELS[request](1)


if __name__ == "__main__":
    rmse("one")
"""


@pytest.mark.parametrize(
    ("old", "new", "moved"),
    [
        ('"half": math.sqrt', '"half": math.sqrt, "third": math.exp', set()),
        ("math.sqrt", "math.exp", {"half"}),
        ("FAR = ", "NEAR = 5\nFAR = ", set()),
        ("times(TWICE)", "times(2)", {"two"}),
        ("TWICE, ONCE = 2, 1", "TWICE, ONCE = 3, 1", {"one", "two"}),  # one statement
        ("return lambda x: n * x", "return lambda x: x * n", {"one", "two", "half", "far"}),
        ("times(3)", "times(4)", {"one", "two", "half", "far"}),
        ("MODELS[request](1)", "MODELS[request](2)", {"one", "two", "half", "far"}),
        ('rmse("one")', 'rmse("two")', {"one", "two", "half", "far"}),
        ("import math\n", "import math, cmath as c\n", {"one", "two", "half", "far"}),
    ],
)
def test_a_model_hangs_on_what_it_needs_of_its_program_and_no_further_model(old, new, moved):
    changed = PROGRAM.replace(old, new)
    assert changed != PROGRAM
    models = {"one", "two", "half", "far"}
    assert {m for m in models if origin.needed(changed, m) != origin.needed(PROGRAM, m)} == moved


def test_the_book_reaches_its_models_and_the_splits():
    found = origin.digests.reached(origin.HERE, (origin.FOLDER / "systems/book.py").read_text())
    assert {"deepfm_helpers/models.py", "benchmarks/splits.py", "benchmarks/systems/protocol.py"} <= set(
        found
    )


def test_no_row_depends_on_the_rows_that_are_stored_beside_it():
    for path in [*origin.FOLDER.glob("*.py"), *(origin.FOLDER / "systems").glob("*.py")]:
        found = origin.digests.reached(origin.HERE, path.read_text("utf-8"))
        assert "benchmarks/results.json" not in found, path.name
    reads = origin.digests.reached(origin.HERE, "measurements('rmse')")
    assert "benchmarks/results.json" in reads


def test_stale_rows_are_listed_by_task_and_system_with_the_reasons(tmp_path, capsys, monkeypatch):
    file = tmp_path / "results.json"
    old = {name: value for name, value in row(system="post").items() if name not in results.MAY_LACK}
    file.write_text(json.dumps([old]))
    assert results.read(file) == [row(system="post") | results.MAY_LACK]
    rows = [
        *results.read(file),
        row(),
        row(system="deepctr", digest="d" * 16),
        row(system="deepctr", digest="d" * 16, fingerprint="other"),
        row(task="rmse", system="DeepFM of last year"),
    ]
    assert origin.stale(rows) == {
        ("rmse", "DeepFM of last year"): ["nothing measures it today"],
        ("training", "deepctr"): ["measured with other code or packages", "measured on other data"],
        ("training", "post"): ["no digest of its code"],
    }
    assert run.print_stale(rows) == 1
    assert "training   post: no digest of its code\n" in capsys.readouterr().out
    assert run.print_stale([row()]) == 0
    monkeypatch.setattr(results, "read", lambda: [row()])
    assert run.main(["--stale"]) == 0


def test_a_new_measurement_replaces_only_its_own(tmp_path):
    file = tmp_path / "results.json"
    results.store([row(metric="old"), row(system="post"), row(data="ml-100k"), row(task="rmse")], file)
    results.store([row(value=5.0)], file)
    stored = results.read(file)
    assert len(stored) == 4
    assert [one["value"] for one in stored if one == row(value=5.0)] == [5.0]
    assert "old" not in [one["metric"] for one in stored]
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_bad_row_leaves_the_file_as_it_was(tmp_path):
    file = tmp_path / "results.json"
    results.store([row()], file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match="value"):
        results.store([row(value=float("nan"))], file)
    assert file.read_bytes() == before


def test_the_stored_results_are_well_formed_and_name_no_computer():
    rows = results.read()
    text = json.dumps(rows)
    assert "/home/" not in text
    assert "/root/" not in text
    what = [(one["task"], one["system"], one["data"], one["metric"]) for one in rows]
    assert len(what) == len(set(what))


def test_the_machine_is_described_without_its_name():
    import platform

    machine = results.machine()
    assert {"processor", "cores", "memory_gib", "python", "tensorflow"} <= set(machine)
    assert not platform.node() or platform.node() not in json.dumps(machine).split('"')


def test_the_table_puts_ratios_last_and_lines_up():
    ratio = results.ratio_row("training", "book", "post", "ml-1m", "speed", [6], [2], MACHINE)
    lines = results.table([ratio, row(value=123_456.0)]).splitlines()
    assert "123,456" in lines[1]
    assert "book / post" in lines[2]
    assert len({len(line) for line in lines}) == 1


def test_the_command_line_knows_its_tasks(capsys):
    assert run.parse([]).tasks == list(run.TASKS)
    assert run.parse(["scale", "--sizes", "1", "4"]).sizes == [1, 4]
    with pytest.raises(SystemExit):
        run.parse(["speed"])
    assert "no task speed; there are reading" in capsys.readouterr().err


def test_the_command_line_knows_the_systems_of_a_task_and_its_splits(capsys):
    def refused(*arguments) -> str:
        with pytest.raises(SystemExit):
            run.parse(list(arguments))
        return capsys.readouterr().err

    tried = next(iter(click_settings.TRIED))
    assert run.parse(["clicks"]).systems == list(click_settings.CHOSEN)
    assert run.parse(["clicks", "--splits", "valid"]).systems == list(click_settings.TRIED)
    assert run.parse(["clicks", "--splits", "valid", "--systems", tried]).systems == [tried]
    assert run.parse(["rmse", "--splits", "past", "--systems", "DeepCTR"]).systems == ["DeepCTR"]
    # What is only tried never sees the test rows.
    assert f"no system {tried} in these tasks and splits; there are" in refused("clicks", "--systems", tried)
    assert "no system LightGBM in these tasks" in refused("rmse", "--systems", "LightGBM")
    assert "no system FM in these tasks" in refused("clicks", "--systems", "FM", "DeepCTR")
    assert "clicks: no split time; there are random, valid" in refused("clicks", "--splits", "time")


def test_every_compared_system_has_its_file_and_every_peer_its_packages():
    folder = Path(run.__file__).parent / "systems"
    modules = {module for module, _ in (*run.COMPARED.values(), *click_settings.ALL.values())}
    assert modules | set(origin.PEERS) <= {file.stem for file in folder.glob("*.py")}
    for environment in origin.PEERS.values():
        assert "==" in origin.pinned(environment).read_text("utf-8")


def test_each_environment_is_made_once_for_what_is_pinned(monkeypatch, tmp_path):
    made = []
    monkeypatch.setattr(run, "BUILD", tmp_path / "build")
    monkeypatch.setattr(run.venv, "create", lambda folder, **_: folder.mkdir(parents=True, exist_ok=True))
    monkeypatch.setattr(run.subprocess, "run", lambda command, check: made.append(command[-1].name))
    monkeypatch.setattr(run.origin, "pinned", lambda name: tmp_path / f"{name}.txt")
    for environment in origin.PEERS.values():
        monkeypatch.delenv(f"BENCH_{environment.upper()}", raising=False)
        (tmp_path / f"{environment}.txt").write_text("1")
    assert run._python("book") == sys.executable
    pythons = {module: run._python(module) for module in ("deepctr", "deepctr_clicks", "fuxictr", "fuxictr")}
    assert made == ["peers.txt", "fuxictr.txt"]
    assert pythons["deepctr"] == pythons["deepctr_clicks"] != pythons["fuxictr"]
    (tmp_path / "fuxictr.txt").write_text("2")
    monkeypatch.setenv("BENCH_PEERS", str(tmp_path / "mine"))
    assert str(tmp_path / "mine") in run._python("myfm")
    run._python("fuxictr")
    assert made == ["peers.txt", "fuxictr.txt", "fuxictr.txt"]


def test_only_one_system_computes_at_a_time(monkeypatch):
    calls = []

    class Fake:
        def __init__(self, name, module, request):
            self.name = name

        def __enter__(self):
            return self

        def __exit__(self, *_):
            calls.append(f"end {self.name}")

        def turn(self):
            calls.append(self.name)
            return {"seconds": len(calls)}

    monkeypatch.setattr(run, "System", Fake)
    answers = run.in_turn({"a": ("book", {}), "b": ("post", {})}, rounds=2)
    assert calls == ["a", "b", "a", "b", "end b", "end a"]
    assert answers == {"a": [{"seconds": 1}, {"seconds": 3}], "b": [{"seconds": 2}, {"seconds": 4}]}


def test_the_systems_taken_apart_are_known_to_the_book_and_are_no_default():
    from benchmarks.systems import book_rmse

    asked = {request["model"] for module, request in run.COMPARED.values() if module == "book_rmse"}
    assert asked == set(book_rmse.MODELS)
    default = run.parse(["rmse"]).systems
    assert "DeepFM full" in default
    assert {name for name in run.COMPARED if not name.startswith("DeepFM full, ")} <= set(default)
    assert not {f"DeepFM full, {what}" for what in run.CHANGES} & set(default)


def test_a_mean_of_members_has_no_more_than_are_asked_for():
    assert run.answers_of("DeepFM full", 2) == ["DeepFM full", "DeepFM full, mean of 2"]
    assert run.answers_of("DeepFM full", 9) == run.answers_of("DeepFM full")
    assert run.answers_of("constant", 3) == ["constant"]


def test_every_measurement_of_rmse_is_kept_by_split(monkeypatch, tmp_path):
    class Fake:
        def __init__(self, name, module, request, core=None):
            self.seed, self.answers = request["seed"], 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def turn(self):
            self.answers += 1
            return {"seconds": 2.0 * self.answers, "rmse": self.seed / self.answers, "parameters": 7}

    monkeypatch.setattr(run, "System", Fake)
    monkeypatch.setattr(run, "_table", lambda *_: ("file", 1))
    monkeypatch.setattr(results, "FILE", tmp_path / "results.json")
    monkeypatch.setattr(results.store, "__defaults__", (tmp_path / "results.json",))
    options = run.parse(["rmse", "--seeds", "1", "2", "--systems", "FM", "DeepFM full", "--cores", "0", "1"])
    rows = [row for row in run.rmse(options) if row["metric"] == "rmse"]
    assert {(row["system"], row["data"]): (row["value"], row["seconds"]) for row in rows} == {
        (system, f"ml-1m, random {seed}"): (seed / members, 2.0 * members)
        for seed in (1, 2)
        for system, members in [
            ("FM", 1),
            ("DeepFM full", 1),
            *((f"DeepFM full, mean of {members}", members) for members in (2, 3, 4, 5)),
        ]
    }
    stored = results.read(tmp_path / "results.json")
    assert len(stored) == 24


def test_every_measurement_of_clicks_is_kept_by_split(started, monkeypatch, tmp_path):
    written = []
    monkeypatch.setattr(click_splits, "write", lambda file, *what: written.append(what) or file.name)
    monkeypatch.setattr(run, "_python", lambda module: "python")
    turn = {"seconds": 2.0, "auc": 0.75, "log_loss": 0.5, "parameters": 7}
    monkeypatch.setattr(run.System, "turn", lambda self: turn)
    asked = ["clicks", "--data", "ml-100k", "--seeds", "1", "2", "--cores", "0", "--systems"]
    rows = run.clicks(run.parse([*asked, "LightGBM", "FuxiCTR"]))
    assert {(row["system"], row["data"], row["metric"], row["value"], row["seconds"]) for row in rows} == {
        (system, f"ml-100k, random {seed}", metric, turn[metric], 2.0)
        for system in ("LightGBM", "FuxiCTR")
        for seed in (1, 2)
        for metric in ("auc", "log_loss", "parameters")
    }
    stored = results.read(tmp_path / "results.json")
    assert len(stored) == len(rows)
    assert {one["task"] for one in stored} == {"clicks"}
    assert written == [("ml-100k", "random", 1), ("ml-100k", "random", 2)]
    name, core, request = started[-1]
    assert (name, core) == ("clicks LightGBM random 2", "0")
    chosen = click_settings.CHOSEN["LightGBM"][1]
    assert request == run.ARCHITECTURE | chosen | {
        "task": "clicks", "data": "ml-100k", "table": "ml-100k-clicks-random-2.npz", "how": "random",
        "split": 2, "seed": 2,
    }  # fmt: skip


def tried_of(system: str) -> dict:
    """The tried settings of a system of clicks; of "…, one network" those without branches."""
    name, _, one_network = system.partition(", ")
    of_name = {tried: asked for tried, asked in click_settings.TRIED.items() if tried.split(",")[0] == name}
    if not one_network:
        return of_name
    return {tried: (module, asked) for tried, (module, asked) in of_name.items() if asked["branches"] == 1}


def test_enough_settings_of_a_system_are_tried_and_one_of_them_is_chosen():
    of_all = [tried for system in click_settings.CHOSEN for tried in tried_of(system)]
    assert set(of_all) == set(click_settings.TRIED)
    for system, settings in click_settings.CHOSEN.items():
        assert len(tried_of(system)) >= (6 if "one network" in system else 8)
        assert settings in tried_of(system).values()


def test_the_chosen_settings_have_the_lowest_log_loss_of_those_tried():
    found = {
        row["system"]: row["value"]
        for row in results.read()
        if (row["task"], row["data"], row["metric"]) == ("clicks", "ml-1m, valid 1", "log_loss")
    }
    assert set(found) == set(click_settings.TRIED)
    for system, settings in click_settings.CHOSEN.items():
        assert click_settings.TRIED[min(tried_of(system), key=found.get)] == settings


def test_auc_and_log_loss_are_those_of_their_definitions():
    from benchmarks.systems import click_protocol

    rng = np.random.default_rng(1)
    clicks, p = rng.integers(2, size=60), rng.integers(1, 9, size=60) / 10
    pairs = p[clicks == 1][:, None] - p[clicks == 0]
    found = click_protocol.scores(clicks.astype("int8"), p.astype("float32"))
    assert found["auc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert (pairs == 0).any()
    assert found["log_loss"] == pytest.approx(-np.log(np.where(clicks, p, 1 - p)).mean())
    sure = click_protocol.scores(np.array([1, 0]), np.array([0.0, 1.0]))
    assert sure["auc"] == 0.0
    assert sure["log_loss"] == pytest.approx(-np.log(1e-7))


def test_every_answer_of_a_system_has_its_name():
    assert run.answers_of("FM") == ["FM"]
    assert run.answers_of("myFM full, rank 32") == [
        "myFM full, rank 32",
        "myFM full, rank 32, 512 iterations",
    ]
    assert run.answers_of("DeepFM full")[::4] == ["DeepFM full", "DeepFM full, mean of 5"]
    named = [answer for name in run.COMPARED for answer in run.answers_of(name)]
    assert len(named) == len(set(named))


def test_the_scores_of_all_systems_are_cut():
    from benchmarks.systems import protocol

    rows = {"test_rating": np.array([1, 5, 3])}
    assert protocol.rmse(rows, np.array([[-7.0], [9.0], [3.0]], "float32")) == 0.0
    assert protocol.rmse(rows, np.array([1.0, 2.0, 3.0])) == pytest.approx(3**0.5)


@pytest.fixture
def started(monkeypatch, tmp_path):
    """A driver whose systems answer at once: what was started, with which cores and request."""
    started = []

    class Fake:
        def __init__(self, name, module, request, cores=""):
            started.append((name, cores, request))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def turn(self):
            return {"seconds": float(len(started)), "rmse": 1.0}

    monkeypatch.setattr(run, "System", Fake)
    monkeypatch.setattr(run, "_table", lambda *_: ("file", 1))
    monkeypatch.setattr(results.store, "__defaults__", (tmp_path / "results.json",))
    return started


def test_rows_of_an_earlier_commit_stand_if_todays_code_predicts_the_same(monkeypatch, tmp_path, capsys):
    file = tmp_path / "results.json"

    def stored(system, split, digest):
        return results.row("rmse", system, f"ml-1m, {split}", "rmse", [1.0], 1.0, MACHINE) | {
            "digest": digest
        }

    results.store(
        [
            *(stored("FM", f"random {seed}", "of then") for seed in (1, 2)),
            stored("DeepFM full", "time 3", "of then"),
            stored("DeepFM full, mean of 5", "random 1", "of then"),
            stored("Wide & Deep", "random 1", "of then"),
            stored("Wide & Deep", "random 2", "of another commit"),
            stored("matrix factorization", "random 1", "of then"),
            stored("DeepCTR", "random 1", "of then"),
            results.row("rmse", "DeepFM repaired", "ml-1m, random 1", "rmse", [7.0], 1.0, MACHINE),
        ],
        file,
    )

    @contextmanager
    def checked_out(commit):
        assert commit == "an earlier commit"
        yield "then"

    def ask(folder, program, *arguments, core=""):
        if program == confirming.DIGESTS:
            assert folder == "then"
            return dict.fromkeys(arguments, "of then")
        compared.add(arguments[0])
        return str(folder) if arguments[0] == "mf" else "the same"

    compared = set()
    monkeypatch.setattr(confirming, "checked_out", checked_out)
    monkeypatch.setattr(confirming, "ask", ask)
    monkeypatch.setattr(results, "read", lambda _=file, read=results.read: read(file))
    monkeypatch.setattr(results.renew, "__defaults__", (file,))
    assert run.main(["--confirm", "an earlier commit"]) == 1
    assert compared == {"fm", "full", "mf"}
    said = capsys.readouterr().out
    assert "measure anew: Wide & Deep (its rows are not of an earlier commit)\n" in said
    assert "measure anew: matrix factorization (its code predicts something else)\n" in said
    old = {(one["system"], one["data"]) for one in results.read() if one["digest"].startswith("of ")}
    assert old == {
        ("Wide & Deep", "ml-1m, random 1"),
        ("Wide & Deep", "ml-1m, random 2"),
        ("matrix factorization", "ml-1m, random 1"),
        ("DeepCTR", "ml-1m, random 1"),
    }


def test_a_program_runs_with_the_code_of_a_folder_and_says_how_it_failed(tmp_path):
    (tmp_path / "told.py").write_text("x = [1, 'two']")
    assert confirming.ask(tmp_path, "import json, told; print(json.dumps(told.x))") == [1, "two"]
    with pytest.raises(RuntimeError, match="an argument: .*KeyError: 'an argument'"):
        confirming.ask(tmp_path, "import sys; {}[sys.argv[1]]", "an argument")


def test_members_that_are_spread_over_the_cores_come_last(started, monkeypatch):
    wide, spread = "DeepFM full, no day, all cores", []

    def side_by_side(name, module, request, cores):
        spread.append((name, request["members"], cores, len(started)))
        return [{"seconds": 1.0, "rmse": 1.0}] * request["members"]

    monkeypatch.setattr(run, "_side_by_side", side_by_side)
    rows = run.rmse(run.parse(["rmse", "--seeds", "1", "2", "--systems", wide, "FM", "--cores", "0", "1"]))
    assert {name for name, *_ in started} == {"FM random 1", "FM random 2"}
    assert spread == [(f"{wide} random {seed}", 8, [0, 1], 2) for seed in (1, 2)]
    assert {row["system"] for row in rows} == {"FM", wide, *(f"{wide}, mean of {n}" for n in range(2, 9))}


def test_a_mean_takes_as_long_as_the_last_of_its_members(monkeypatch, tmp_path):
    y = np.array([1.0, 2.0, 3.0])
    np.savez(tmp_path / "table.npz", test_rating=y)
    off = {0: 1.0, 1: -1.0, 2: 3.0}  # by how much the scores of a member are too high

    class Fake:
        def __init__(self, name, module, request, cores):
            self.left, self.files, self.core = list(request["which"]), request["scores"], int(cores)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            assert self.left == []

        def turn(self):
            member = self.left.pop(0)
            np.save(f"{self.files}-{member}.npy", y + off[member])
            return {
                "seconds": 10.0 * (1 + member) - self.core, "rmse": 9.0, "parameters": 7,
                "scores": f"{self.files}-{member}.npy",
            }  # fmt: skip

    monkeypatch.setattr(run, "System", Fake)
    monkeypatch.setattr(run, "BUILD", tmp_path)
    request = {"members": 3, "table": str(tmp_path / "table.npz")}
    means = run._side_by_side("A mean", "book", request, [4, 15])
    assert [mean["rmse"] for mean in means] == pytest.approx([1.0, 0.0, 1.0])
    assert [mean["seconds"] for mean in means] == [6.0, 6.0, 26.0]


def test_reach_compares_split_by_split(started):
    rows = run.reach(run.parse(["reach", "--seeds", "4", "5", "--target", "0.9"]))
    asked = [(asked["split"], asked["seed"], asked["target"]) for *_, asked in started]
    assert asked == [(seed, seed, 0.9) for seed in (4, 5) for _ in run.REACHED]
    assert {cores for _, cores, _ in started} == {""}
    six, full = [row for row in rows if row["metric"] == "seconds_ratio"]
    assert six["system"] == "DeepFM, six fields / myFM, ids and side, rank 10"
    assert full["system"] == "DeepFM full, no day / myFM full, rank 10"
    assert (six["n"], six["value"]) == (2, pytest.approx((1 / 2 + 5 / 6) / 2))
    assert (full["n"], full["value"]) == (2, pytest.approx((3 / 4 + 7 / 8) / 2))


def test_the_full_model_is_looked_at_after_each_epoch_and_the_first_that_is_near_enough_counts(monkeypatch):
    from benchmarks.systems import book_reach
    from deepfm_helpers import datasets, features, recipes

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_500, seed=3)
    rows, test = features.split_rows(datasets.join(data.ratings, data.movies, data.users), 0.2, seed=1)
    monkeypatch.setattr(book_reach.splits, "load", lambda *_: (data, rows, test))
    recipe, build = book_reach.MODELS["full, no day"]
    small = recipes.changed(recipe, {"history": {"components": 5}, "training": {"epochs": 10}})
    monkeypatch.setitem(book_reach.MODELS, "full, no day", (small, build))
    answers, errors = [], []
    monkeypatch.setattr(book_reach.protocol, "turn", lambda **answer: answers.append(answer))

    class Watch(book_reach.Until):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            errors.append((self.error, self.seconds))

    monkeypatch.setattr(book_reach, "Until", Watch)
    request = {
        "data": "planted", "how": "random", "split": 1, "seed": 1, "target": 0.92, "model": "full, no day"
    }  # fmt: skip
    book_reach.reach(request)
    first = [error <= 0.92 for error, _ in errors].index(True)
    assert first > 0
    assert [seconds for _, seconds in errors[:first]] == [None] * first
    assert answers == [{"seconds": errors[first][1]}]


def test_looking_at_the_error_disturbs_no_training():
    from benchmarks.systems import book_reach
    from deepfm_helpers import datasets, evaluation, features, recipes

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_500, seed=3)
    rows = datasets.join(data.ratings, data.movies, data.users)
    fields = features.describe(data)
    x, y = [field.encode(rows) for field in fields], rows.rating.to_numpy()
    recipe = recipes.changed(
        book_reach.MODELS["six fields"][0], {"training": {"epochs": 4, "averaging": 0.9}}
    )
    undisturbed = recipes.fit(recipe, data, rows, 1).predict(rows)
    errors = []

    class Watch(book_reach.Until):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            errors.append(self.error)

    watch = Watch(0.0, y)
    watch.x, watch.started = x, 0.0
    watched = recipes.changed(recipe, {"training": {"callbacks": [watch]}})
    scores = recipes.fit(watched, data, rows, 1).predict(rows)
    np.testing.assert_allclose(scores, undisturbed, atol=1e-4)  # Keras swaps with sums, which round
    assert errors[-1] == pytest.approx(evaluation.rmse(y, undisturbed), rel=1e-6)
    assert watch.seconds is None
    with pytest.raises(ValueError, match="never came down to 0.0"):
        book_reach.protocol.reached(watch.seconds, watch.target)


def test_every_second_epoch_is_timed(monkeypatch):
    from benchmarks.systems import protocol

    given = []
    monkeypatch.setattr(protocol, "turn", lambda **figures: given.append(figures) or len(given) < 2)
    callback = protocol.epoch_turns(keras, rows=10)
    callback.set_model(SimpleNamespace(stop_training=False))
    callback.on_train_begin()
    done = []
    for epoch in range(4):
        callback.on_train_batch_end(0)
        callback.on_epoch_end(epoch)
        done.append((len(given), callback.model.stop_training))
    assert done == [(0, False), (1, False), (1, False), (2, True)]
    assert set(given[0]) == {
        "seconds", "rows_per_second", "training_rows_per_second", "rows_per_cpu_second"
    }  # fmt: skip


def test_a_pace_counts_steps_of_one_epoch_and_starts_afresh_each_turn(monkeypatch):
    from benchmarks.systems import book

    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(book.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(book.time, "process_time", lambda: 2 * clock.now)
    answers = []

    def answer(step, cpu_step):
        answers.append((step, cpu_step))
        clock.now += 1_000  # the others' turns
        return len(answers) < 2

    pace = book._Pace(steps=40, answer=answer)
    pace.set_model(SimpleNamespace(stop_training=False))
    while not pace.model.stop_training:
        clock.now += 100  # between two epochs
        pace.on_epoch_begin(0)
        for batch in (15, 31, 47, 60):
            clock.now += 3.0 * (16 if batch < 60 else 13)
            pace.on_train_batch_end(batch)
    assert answers == [(3.0, 6.0)] * 2


def test_larger_sizes_are_compared_with_the_first_turn_by_turn(monkeypatch):
    def in_turn(systems, rounds):
        assert [request["planted"]["n_ratings"] for _, request in systems.values()] == [1_000_000, 4_000_000]
        return {
            name: [{"seconds": 1.0, "rows_per_second": pace, "rows_per_cpu_second": 1.0, "peak_mib": 8.0}]
            * rounds
            for name, pace in zip(systems, (100.0, 90.0), strict=True)
        }

    monkeypatch.setattr(run, "in_turn", in_turn)
    rows = run.scale(run.parse(["scale", "--sizes", "1", "4", "--rounds", "3"]))
    found = {(row["data"], row["metric"]): row["value"] for row in rows}
    assert found["planted, 4 million", "rows_per_second"] == 90.0
    assert found["planted, batches of 65536", "rows_per_second_ratio"] == 0.9
    assert {row["n"] for row in rows} == {3}


def test_streams_compare_the_file_with_memory_turn_by_turn_where_both_fit(monkeypatch):
    asked = []

    def in_turn(systems, rounds):
        asked.append((systems, rounds))
        figures = {"rows_per_second": 80.0, "rows_per_cpu_second": 4.0, "peak_mib": 2.0, "seconds": 1.0}
        held = {name: value * 1.25 for name, value in figures.items()}
        return {
            name: [figures if request.get("folder") else held] * rounds
            for name, (_, request) in systems.items()
        }

    monkeypatch.setattr(run, "in_turn", in_turn)
    rows = run.streams(run.parse(["streams", "--sizes", "10", "100", "--rounds", "3"]))
    found = {(row["system"], row["data"], row["metric"]): row for row in rows}
    data = "planted, {} million, batches of 65536"
    ratio = found["rows from a file / rows in memory", data.format(10), "rows_per_second_ratio"]
    assert (ratio["value"], ratio["n"]) == (0.8, 3)
    assert found["rows from a file", data.format(100), "peak_mib"]["n"] == 1
    assert ("rows in memory", data.format(100), "peak_mib") not in found
    assert [(list(systems), rounds) for systems, rounds in asked] == [
        (["rows from a file", "rows in memory"], 3),
        (["rows from a file"], 1),
    ]
    assert origin.program("streams", "rows from a file")[:2] == ("systems/book_streams", True)


def test_a_turn_of_streams_has_as_many_steps_as_whole_epochs_and_counts_the_time_between_them(monkeypatch):
    from benchmarks.systems import book_streams

    clock, answers = SimpleNamespace(now=0.0), []
    monkeypatch.setattr(book_streams.time, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(book_streams.time, "process_time", lambda: 2 * clock.now)

    def answer(seconds, cpu_seconds):
        answers.append((seconds, cpu_seconds))
        clock.now += 1_000  # the others' turns
        return len(answers) < 2

    turns = book_streams.Turns(steps=60, epochs=2, answer=answer)
    turns.set_model(SimpleNamespace(stop_training=False))
    epoch = 0
    while not turns.model.stop_training:
        clock.now += 100  # between two epochs
        turns.on_epoch_begin(epoch)
        for batch in (15, 31, 47, 59):
            clock.now += 16.0 if batch < 59 else 12.0
            turns.on_train_batch_end(batch)
        epoch += 1
    assert answers == [(2 * 160.0, 4 * 160.0)] * 2  # two epochs of 60 steps, and twice the time between


def test_planted_rows_are_the_same_in_memory_and_in_the_file(tmp_path, monkeypatch):
    pytest.importorskip("pyarrow", reason="pyarrow is an extra; the checks install it")
    from benchmarks.systems import book_streams

    monkeypatch.setattr(book_streams, "ROWS_PER_PART", 700)
    planted = book_streams.Planted(n_ratings=2_000, n_users=40, n_movies=90, seed=1)
    assert [len(part) for part in planted.parts()] == [700, 700, 600]
    x, y = planted.arrays()
    rows = book_streams.streams.write(planted.parts(), planted.fields, tmp_path / "rows.parquet")
    ((of_file, ratings),) = rows.batches(2_000, None).dataset()
    for ours, theirs in zip((*x, y), (*of_file, ratings), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for field, ids in zip(planted.fields, x, strict=True):
        assert ids.min() >= (field.name != "genre")
        assert ids.max() <= field.size
    assert set(np.unique(y)) <= {1, 2, 3, 4, 5}
    assert len(np.unique(y)) > 2
    women = {uid: set(x[2][x[0] == uid]) for uid in range(1, 41)}
    assert {len(found) for found in women.values()} == {1}  # a user keeps her traits


def test_planted_tables_hold_the_rows_that_memory_holds(tmp_path, monkeypatch):
    from benchmarks.systems import book_streams

    monkeypatch.setattr(book_streams, "ROWS_PER_PART", 700)
    planted = book_streams.Planted(n_ratings=2_000, n_users=40, n_movies=90, seed=1)
    planted.write(tmp_path)
    own = book_streams.large.read(tmp_path)
    assert own.sizes == {"train": 1_996, "validation": 2, "test": 2}
    rows, drawn = (pd.concat(parts) for parts in (own.frames(*own.sizes), planted.parts()))
    for name in ("uid", "mid", "rating"):
        assert rows[name].tolist() == drawn[name].tolist()
    fields = {field.name: field for field in own.fields()}
    assert list(fields) == [field.name for field in planted.fields]
    for planted_field in planted.fields[2:]:
        ours = fields[planted_field.name]
        known = np.array([0, *map(int, ours.vocabulary)])
        np.testing.assert_array_equal(known[ours.encode(rows)], planted_field.encode(rows)[:, : ours.slots])


@pytest.mark.parametrize("from_file", [True, False])
def test_the_system_of_streams_answers_until_it_is_told_to_stop_and_leaves_no_file(
    tmp_path, monkeypatch, from_file
):
    pytest.importorskip("pyarrow", reason="pyarrow is an extra; the checks install it")
    from benchmarks.systems import book_streams

    answers = []

    def turn(**figures):
        answers.append((figures, any(tmp_path.iterdir())))
        return len(answers) < 2

    monkeypatch.setattr(book_streams.protocol, "turn", turn)
    book_streams.train({
        "planted": {"n_ratings": 5_000, "n_users": 40, "n_movies": 90}, "seed": 1, "k": 2, "dnn_dim": [4],
        "batch_size": 256, "epochs": 2, "folder": str(tmp_path) if from_file else None,
    })  # fmt: skip
    assert len(answers) == 2
    for figures, there in answers:
        n = 4_990 if from_file else 5_000  # less the validation and the test rows
        assert figures["rows_per_second"] == pytest.approx(2 * n / figures["seconds"])
        assert figures["peak_mib"] > 50
        assert ({"table_mib", "file_mib", "seconds_to_check"} <= set(figures)) == there == from_file
    assert list(tmp_path.iterdir()) == []


def test_each_page_is_opened_once_a_round(monkeypatch, tmp_path):
    from contextlib import nullcontext
    from urllib.request import urlopen

    from benchmarks import pages
    from deepfm_helpers.press.checkout import Checkout

    asked = []

    def visit(browser, address):
        asked.append((browser, urlopen(address).read().decode()))
        return 2.0 * len(asked), 1.0 * len(asked)

    for name in ("index", "a", "b"):
        (tmp_path / f"{name}.html").write_text(name)
    monkeypatch.setattr(pages, "HTML", tmp_path)
    monkeypatch.setattr(pages, "visit", visit)
    monkeypatch.setattr(pages.printing, "chromium", lambda: nullcontext("Chromium"))
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: a\nchapters:\n- file: b\n")
    monkeypatch.setattr(pages, "HERE", Checkout(tmp_path))
    rows = run.pages(run.parse(["pages", "--rounds", "3"]))
    assert asked == [("Chromium", "a"), ("Chromium", "b")] * 3
    assert [(row["data"], row["metric"], row["value"], row["n"], row["seconds"]) for row in rows] == [
        ("a", "seconds", 6.0, 3, 6.0),
        ("a", "cpu_seconds", 3.0, 3, 6.0),
        ("b", "seconds", 8.0, 3, 8.0),
        ("b", "cpu_seconds", 4.0, 3, 8.0),
    ]


def test_splits_hold_out_what_they_say(tmp_path, monkeypatch):
    from benchmarks import splits
    from deepfm_helpers import datasets

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    monkeypatch.setattr(datasets, "load", lambda name: data)
    _, train, test = splits.load("ml-100k", "random", 1)
    _, inner, valid = splits.load("ml-100k", "valid", 1)
    assert len(test) == 100
    assert len(valid) == 90
    assert set(inner.index) | set(valid.index) == set(train.index)
    _, past, future = splits.load("ml-100k", "time", 1)
    assert past.timestamp.max() <= future.timestamp.min()
    held = data.ratings.iloc[5:25][["uid", "mid", "rating", "timestamp"]]
    monkeypatch.setattr(datasets, "locate", lambda name: (tmp_path, ""))
    with pytest.raises(FileNotFoundError, match=r"u1\.test"):
        splits.load("ml-100k", "u1", 1)
    held.to_csv(tmp_path / "u1.test", sep="\t", header=False, index=False)
    _, train, test = splits.load("ml-100k", "u1", 1)
    assert test.index.tolist() == list(range(5, 25))
    assert len(train) == 980
    with pytest.raises(ValueError, match="choose random or time"):
        splits.load("ml-1m", "u1", 1)


def test_clicks_are_parted_eight_to_one_to_one_and_leave_out_the_threes(monkeypatch):
    from deepfm_helpers import datasets

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    monkeypatch.setattr(datasets, "load", lambda name: data)
    _, *parts = click_splits.load("ml-100k", 1)
    n = (data.ratings.rating != 3).sum()
    assert [len(part) for part in parts] == [n - round(n / 10) - round((n - round(n / 10)) / 9)] + [
        round((n - round(n / 10)) / 9), round(n / 10)
    ]  # fmt: skip
    index = np.concatenate([part.index for part in parts])
    assert sorted(index) == data.ratings.index[data.ratings.rating != 3].tolist()
    for part in parts:
        assert part.click.tolist() == [int(rating >= 4) for rating in part.rating]
        assert set(part.rating) == {1, 2, 4, 5}
    again, other = click_splits.load("ml-100k", 1), click_splits.load("ml-100k", 2)
    assert [part.index.tolist() for part in again[1:]] == [part.index.tolist() for part in parts]
    assert set(other[3].index) != set(parts[2].index)


def test_the_table_of_clicks_holds_what_a_system_may_see(clicked, tmp_path):
    from benchmarks.systems import protocol

    _, parts, fields = clicked
    for how, seen in (("random", ("train", "valid", "test")), ("valid", ("train", "valid"))):
        rows = protocol.table(click_splits.write(tmp_path / "clicks.npz", "ml-100k", how, 1))
        assert {name.split("_")[0] for name in rows} - {"size", "owner"} == set(seen)
        for part in seen:
            assert rows[f"{part}_click"].tolist() == parts[part].click.tolist()
            for field in fields:
                assert (rows[f"{part}_{field.name}"] == field.encode(parts[part])).all()
        assert protocol.sizes(rows) == {field.name: field.size for field in fields}
    with pytest.raises(ValueError, match="no split time of clicks: choose random or valid"):
        click_splits.write(tmp_path / "other.npz", "ml-100k", "time", 1)
    assert [path.name for path in tmp_path.iterdir()] == ["clicks.npz"]


def test_a_system_of_clicks_is_asked_for_the_part_that_is_scored(clicked, tmp_path, monkeypatch):
    from benchmarks.systems import click_protocol, protocol

    answers, tasks = [], {}
    monkeypatch.setattr(protocol, "serve", lambda **given: tasks.update(given))
    monkeypatch.setattr(protocol, "turn", lambda **figures: answers.append(figures))
    parts = []

    def fit(rows, request):
        rate = rows["train_click"].mean()
        return lambda part: parts.append(part) or np.full((len(rows[f"{part}_click"]), 1), rate), 1

    click_protocol.serve(fit)
    for how in click_splits.SCORED:
        table = click_splits.write(tmp_path / f"{how}.npz", "ml-100k", how, 1)
        tasks["clicks"]({"task": "clicks", "table": table, "how": how})
    assert parts == ["test", "valid"]
    for answer in answers:
        assert set(answer) == {"seconds", "auc", "log_loss", "parameters"}
        assert answer["auc"] == 0.5
        assert answer["seconds"] >= 0
    assert answers[0]["log_loss"] != answers[1]["log_loss"]


@pytest.fixture
def clicked(monkeypatch):
    """A small dataset, the rows of its parts as clicks, and its fields."""
    from deepfm_helpers import datasets

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    monkeypatch.setattr(datasets, "load", lambda name: data)
    _, *parts = click_splits.load("ml-100k", 1)
    fields = run.splits.fields(data)
    assert [f.name for f in fields] == ["uid", "mid", "gender", "age", "occupation", "genre"]
    return data, dict(zip(("train", "valid", "test"), parts, strict=True)), fields


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The columns that the driver stores for the peers, with fields of every kind but those of the training rows."""
    from benchmarks.systems import protocol
    from deepfm_helpers import datasets, features

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    monkeypatch.setattr(datasets, "load", lambda name: data)
    monkeypatch.setattr(run, "BUILD", tmp_path)
    monkeypatch.setattr(run.splits, "fields", lambda data: features.describe(data, features.FIELDS))
    return (
        data,
        features.describe(data, features.FIELDS),
        protocol.table(run._table("ml-100k", "random", 1)[0]),
    )


def stand_in(monkeypatch, **modules):
    """Modules of libraries that only the peers' environment has."""
    for name, attributes in modules.items():
        monkeypatch.setitem(sys.modules, name.replace("__", "."), SimpleNamespace(**attributes))


def test_deepctr_takes_whatever_fields_are_described(table, monkeypatch):
    data, fields, rows = table
    given = {}

    class Model:
        def __init__(self, columns, *_, **__):
            given["columns"] = columns

        def compile(self, *_, **__):
            pass

        def fit(self, x, *_, **__):
            given["x"] = x

    stand_in(
        monkeypatch,
        tf_keras=SimpleNamespace(
            utils=SimpleNamespace(set_random_seed=int),
            callbacks=SimpleNamespace(EarlyStopping=dict),
            Model=object,
        ).__dict__,
        deepctr={},
        deepctr__utils={},
        deepctr__feature_column={
            "DenseFeat": lambda name: ("dense", name),
            "SparseFeat": lambda name, rows, embedding_dim: ("one", name, rows),
            "VarLenSparseFeat": lambda column, maxlen, combiner: ("many", *column[1:], maxlen),
        },
        deepctr__models={"DeepFM": Model},
    )
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.delitem(sys.modules, "benchmarks.systems.deepctr", raising=False)
    deepctr = importlib.import_module("benchmarks.systems.deepctr")
    request = dict.fromkeys(("seed", "k", "dnn_dim", "dropout", "epochs", "batch_size", "patience"), 1)
    deepctr.fit(rows, request)
    expected = {
        "numeric": lambda f: ("dense", f.name),
        "single": lambda f: ("one", f.name, f.size + 1),
        "multi": lambda f: ("many", f.name, f.size + 1, f.slots),
    }
    assert given["columns"] == [expected[f.kind](f) for f in fields]
    assert list(given["x"]) == [f.name for f in fields]
    assert "year" in given["x"]
    monkeypatch.delitem(sys.modules, "benchmarks.systems.deepctr")


@pytest.fixture
def columns(clicked, tmp_path):
    from benchmarks.systems import protocol

    return protocol.table(click_splits.write(tmp_path / "clicks.npz", "ml-100k", "random", 1))


def peer(monkeypatch, module: str):
    """Import a module of systems/ anew, with the stand-ins for its libraries, and forget it after the test."""
    monkeypatch.delitem(sys.modules, f"benchmarks.systems.{module}", raising=False)
    found = importlib.import_module(f"benchmarks.systems.{module}")
    monkeypatch.setitem(sys.modules, f"benchmarks.systems.{module}", found)
    return found


def test_deepctr_stops_by_the_log_loss_of_the_validation_rows(clicked, columns, monkeypatch):
    *_, fields = clicked
    given = {}

    class Model:
        trainable_weights = ()

        def __init__(self, columns, *_, **how):
            given.update(columns=columns, how=how)

        def compile(self, optimizer, loss, metrics):
            given.update(rate=optimizer, loss=loss)

        def fit(self, x, y, **how):
            given.update(x=x, y=y, fit=how)

        def predict(self, x, **_):
            return x["uid"] / 1000

    stand_in(
        monkeypatch,
        benchmarks__systems__deepctr={
            "DeepFM": Model,
            "SparseFeat": lambda name, rows, embedding_dim: ("one", name, rows, embedding_dim),
            "VarLenSparseFeat": lambda column, maxlen, combiner: ("many", *column[1:], maxlen, combiner),
            "keras": SimpleNamespace(
                utils=SimpleNamespace(set_random_seed=int),
                optimizers=SimpleNamespace(Adam=float),
                callbacks=SimpleNamespace(EarlyStopping=lambda watched, **how: (watched, how)),
            ),
        },
    )
    deepctr = peer(monkeypatch, "deepctr_clicks")
    request = run.ARCHITECTURE | {"seed": 1, "l2": 0.5, "dropout": 0.1, "learning_rate": 0.2, "epochs": 9}
    predict, parameters = deepctr.fit(columns, request)
    expected = {
        "single": lambda f: ("one", f.name, f.size + 1, 16),
        "multi": lambda f: ("many", f.name, f.size + 1, 16, f.slots, "mean"),
    }
    assert given["columns"] == [expected[f.kind](f) for f in fields]
    how = {name: given["how"][name] for name in ("l2_reg_linear", "l2_reg_embedding", "dnn_dropout", "task")}
    assert list(how.values()) == [0.5, 0.5, 0.1, "binary"]
    assert (given["rate"], given["loss"]) == (0.2, "binary_crossentropy")
    assert (given["y"] == columns["train_click"]).all()
    assert (given["fit"]["validation_data"][1] == columns["valid_click"]).all()
    (watched, stopping), *_ = given["fit"]["callbacks"]
    assert (watched, stopping["mode"]) == ("val_binary_crossentropy", "min")
    assert (stopping["patience"], stopping["restore_best_weights"]) == (3, True)
    assert (predict("test") == columns["test_uid"] / 1000).all()
    assert parameters == 0


def test_fuxictr_gets_every_row_of_a_part_once_in_a_pass_and_knows_the_empty_slots(
    clicked, columns, monkeypatch
):
    class Order(np.ndarray):
        def split(self, size):
            return [self[i : i + size] for i in range(0, len(self), size)]

    class Map:
        def __init__(self, *_):
            self.features = {}

        def get_num_fields(self):
            return len(self.features)

        def set_column_index(self):
            pass

    rng = np.random.default_rng(1)
    stand_in(
        monkeypatch,
        torch={
            "from_numpy": np.asarray,
            "randperm": lambda n: rng.permutation(n).view(Order),
            "arange": lambda n: np.arange(n).view(Order),
        },
        fuxictr={},
        fuxictr__features={"FeatureMap": Map},
        fuxictr__pytorch={},
        fuxictr__pytorch__layers=dict.fromkeys(("FactorizationMachine", "FeatureEmbedding", "MLP_Block")),
        fuxictr__pytorch__models={"BaseModel": object},
        fuxictr__pytorch__torch_utils={"seed_everything": int},
    )
    fuxictr = peer(monkeypatch, "fuxictr")
    *_, fields = clicked
    described = fuxictr.described(columns, "folder", 16)
    assert described.num_fields == len(fields)
    for f in fields:
        about = described.features[f.name]
        assert about["vocab_size"] == f.size + 1
        assert about["type"] == {"single": "categorical", "multi": "sequence"}[f.kind]
        assert about.get("padding_idx") == (0 if f.kind == "multi" else None)
    in_order, shuffled = (fuxictr.Batches(columns, "train", 100, shuffle) for shuffle in (False, True))
    n = len(columns["train_click"])
    for batches in (in_order, shuffled):
        assert len(list(batches)) == len(batches) == -(-n // 100)
        assert sorted(np.concatenate([batch["uid"] for batch in batches])) == sorted(
            columns["train_uid"].ravel()
        )
    whole = {
        name: np.concatenate([batch[name] for batch in in_order]) for name in (*described.features, "click")
    }
    assert (whole["genre"] == columns["train_genre"]).all()
    assert (whole["mid"] == columns["train_mid"].ravel()).all()
    assert (whole["click"] == columns["train_click"]).all()
    one, two = ([batch["mid"].tolist() for batch in shuffled] for _ in range(2))
    assert one != two


def by_hand(values, clicks, keys, mean, smoothing):
    """The mean over the values of a row of the smoothed rate of the rows that have the value."""
    found = []
    for row in keys:
        of_values = [
            (clicks[mine].sum() + smoothing * mean) / (mine.sum() + smoothing)
            for value in row[row > 0]
            for mine in [(values == value).any(axis=1)]
        ]
        found.append(np.mean(of_values))
    return found


def test_the_rates_of_lightgbm_are_smoothed_means_and_never_see_the_rows_own_click(columns, monkeypatch):
    stand_in(monkeypatch, lightgbm={})
    lightgbm = peer(monkeypatch, "lightgbm")
    clicks = columns["train_click"].astype("float64")
    values, held = lightgbm.grouped(columns, "train"), lightgbm.grouped(columns, "test")
    total = lightgbm.tallies(values, clicks)
    assert len(values) == 6 + 7
    found = lightgbm.rates(held, total, 20.0)
    assert found.shape == (len(columns["test_click"]), 26)
    mean = clicks.mean()
    for i, (ours, theirs) in enumerate(zip(values, held, strict=True)):
        expected = by_hand(ours, clicks, theirs, mean, 20.0)
        np.testing.assert_allclose(found[:, 2 * i], expected, rtol=1e-9)
    pair = values[6]  # user and genre, as the fields stand
    known = pair > 0
    assert len(np.unique(pair[known])) == len(
        np.unique(np.column_stack([np.broadcast_to(columns["train_uid"], known.shape)[known],
                                   columns["train_genre"][known]]), axis=0)
    )  # fmt: skip

    inputs = lightgbm.out_of_fold(values, clicks, total, 20.0, seed=1)
    row = 17
    other = clicks.copy()
    other[row] = 1 - other[row]
    changed = lightgbm.out_of_fold(values, other, lightgbm.tallies(values, other), 20.0, seed=1)
    np.testing.assert_allclose(changed[row], inputs[row], rtol=1e-12)
    same_user = (columns["train_uid"] == columns["train_uid"][row]).ravel()
    assert (changed[same_user, 0] != inputs[same_user, 0]).any()
    unseen = [np.zeros((1, 1), int), *(np.full((1, 1), 10**6) for _ in values[1:])]
    np.testing.assert_allclose(lightgbm.rates(unseen, total, 20.0)[0], [mean, 0.0] * 13)


def test_myfm_takes_whatever_fields_of_users_and_films_are_described(table, monkeypatch):
    data, fields, rows = table
    stand_in(monkeypatch, myfm={}, myfm__utils={}, myfm__utils__callbacks={"RegressionCallback": object})
    monkeypatch.delitem(sys.modules, "benchmarks.systems.myfm", raising=False)
    myfm = importlib.import_module("benchmarks.systems.myfm")
    for owner, about in zip(("user", "film"), myfm.descriptions(rows, full=False), strict=True):
        mine = [f for f in fields if f.owner == owner]
        key = {"user": "uid", "film": "mid"}[owner]
        mine.sort(key=lambda f: f.name != key)  # the id comes first
        assert [matrix.shape[1] for matrix in about] == [f.size + 1 if f.size else 1 for f in mine]
        frame = data.users if owner == "user" else data.movies
        frame = frame[frame[key].isin(np.r_[rows[f"train_{key}"], rows[f"test_{key}"]].ravel())]
        for f, matrix in zip(mine, about, strict=True):
            found = matrix.toarray()[frame[key]]
            for row, values in zip(found, f.encode(frame), strict=True):
                if f.kind == "numeric":
                    assert row.tolist() == values.tolist()
                else:
                    assert row.nonzero()[0].tolist() == sorted(values[values > 0])
    monkeypatch.delitem(sys.modules, "benchmarks.systems.myfm")


def test_the_changes_to_the_full_model_change_what_they_say():
    from benchmarks.changes import CHANGES
    from benchmarks.systems import book_rmse
    from deepfm_helpers import datasets, features, history, recipes

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    rows = data.ratings
    fields = (*features.describe(data), *history.describe(data, rows, 4), *history.stretches(rows))
    usual, weaker, one = (
        recipes._factors(made["penalty"], fields, 1)
        for made in (
            book_rmse.FULL,
            book_rmse.WEAKER,
            recipes.changed(book_rmse.FULL, CHANGES["one penalty for all tables"]),
        )
    )
    assert weaker == {name: value if name == "deep" else 0.7 * value for name, value in usual.items()}
    assert one == dict.fromkeys(usual, 20.0) | {"deep": 1e-4}


def test_every_change_to_the_full_model_changes_its_recipe_and_names_fields_that_it_has():
    from benchmarks.changes import CHANGES
    from deepfm_helpers import datasets, features, history, recipes

    data = datasets.load("planted", n_users=80, n_movies=60, n_ratings=1_000, seed=3)
    for what, change in CHANGES.items():
        recipe = recipes.changed(recipes.FULL, change)
        assert recipe != recipes.FULL, what
        fields = features.describe(data, **recipe["describe"]) + history.describe(data, data.ratings, 8)
        fields += history.stretches(data.ratings, **recipe["stretches"])
        assert all(factor >= 0 for factor in recipes._factors(recipe["penalty"], fields, 1).values()), what


def test_the_ordered_head_gives_expected_stars():
    from benchmarks.systems import book_rmse
    from deepfm_helpers import builders, datasets, recipes

    data = datasets.load("planted", n_users=60, n_movies=50, n_ratings=1_000, seed=3)
    rows = datasets.join(data.ratings, data.movies, data.users)
    recipe = recipes.changed(recipes.WITHOUT_HISTORY, {"training": {"epochs": 3}})
    made = recipes.fit(recipe, data, rows, 1, book_rmse.expected_stars(builders.deep_fm))
    x = [field.encode(rows) for field in made.fields]
    stars = book_rmse.evaluation.predict(made.model, x)
    assert (stars > 1).all()
    assert (stars < 5).all()
    assert np.ptp(stars) > 0.1
    head = made.model.layers[-1]
    scores = np.array([[-50.0], [0.0], [50.0]], "float32")
    at_start = [1.0, 1 + (1 / (1 + np.exp([-2.6, -1.5, -0.2, 1.3]))).sum(), 5.0]
    head.thresholds.assign([-2.6, -1.5, -0.2, 1.3])
    np.testing.assert_allclose(np.array(head(scores))[:, 0], at_start, atol=1e-5)
    assert abs(at_start[1] - 3.5) < 0.02
