"""The tests of the tests: the list fits the project, and nothing but a failing test counts."""

import re
import subprocess
import sys
from pathlib import Path

import mutants
import pytest
from sabotages import SABOTAGES, Sabotage

RIGHT = Sabotage("One is two", "one.py", "ONE = 1", "ONE = 2", "test_one.py::test_it")
TESTS = """
import os
import one
import pytest

def test_it():
    assert one.ONE == 1
    assert os.path.dirname(one.__file__) == os.getcwd()
    assert not os.path.exists("left.log")

def test_something_else():
    assert True

@pytest.fixture
def made():
    assert one.ONE == 1

def test_with_a_fixture(made):
    assert True

def test_left_out():
    pytest.skip("not here")

def test_that_always_fails():
    assert False
"""


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A small project under git, with a constant and tests of it."""
    monkeypatch.setattr(mutants, "PRELOADED", ["pytest"])
    root = tmp_path / "project"
    root.mkdir()
    (root / "one.py").write_text("ONE = 1\n")
    (root / "test_one.py").write_text(TESTS)
    (root / ".gitignore").write_text("*.log\n")
    (root / "left.log").write_text("")
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    return root


def tried(root: Path, *sabotages: Sabotage, **how) -> list[mutants.Verdict]:
    return list(mutants.of_one_check(sabotages[0].check, sabotages, root, **how))


def test_the_list_fits_the_project():
    assert len(SABOTAGES) >= 40
    assert mutants.problems(SABOTAGES, mutants.ROOT) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"old": "ONE = 3"}, "'One is two': its old text occurs 0 times in one.py, and has to occur once"),
        ({"old": " "}, "'One is two': its old text occurs 2 times in one.py"),
        ({"file": "two.py"}, "'One is two': there is no file two.py"),
        ({"new": "ONE = ("}, "'One is two': with its new text, one.py is no Python: "),
    ],
)
def test_a_sabotage_that_does_not_fit_is_told(root, changes, says):
    (problem,) = mutants.problems([RIGHT._replace(**changes)], root)
    assert problem.startswith(says)


def test_a_name_that_is_there_twice_is_told(root):
    assert mutants.problems([RIGHT, RIGHT], root) == ["'One is two' is there twice"]
    assert mutants.problems([RIGHT], root) == []


def test_a_sabotage_is_caught_in_a_copy_and_the_project_stays_as_it_is(root):
    (caught,) = tried(root, RIGHT)
    assert (caught.by, caught.why_not) == ("test_one: test_it", "")
    assert (root / "one.py").read_text() == "ONE = 1\n"


@pytest.mark.parametrize(
    ("changes", "why_not"),
    [
        ({"new": "ONE = 1  # one"}, "no test fails: 1 tests pass"),
        ({"check": "test_one.py::test_something_else"}, "no test fails: 1 tests pass"),
        (
            {"check": "test_one.py::test_with_a_fixture"},
            "no test fails: test_one: test_with_a_fixture (error)",
        ),
        ({"new": "raise ValueError"}, "no test fails: .*error"),
        (
            {"check": "test_one.py::test_left_out"},
            r"its check does not pass on the clean copy: test_one: test_left_out \(skipped\)",
        ),
        (
            {"check": "test_one.py::test_that_always_fails"},
            "its check does not pass on the clean copy: test_one: test_that_always_fails",
        ),
        ({"check": "test_one.py::test_none"}, "its check does not pass on the clean copy: .*not found"),
    ],
)
def test_what_shows_nothing_does_not_count_as_caught(root, changes, why_not):
    (verdict,) = tried(root, RIGHT._replace(**changes))
    assert verdict.by is None
    assert re.match(why_not.replace("(error)", r"\(error\)"), verdict.why_not), verdict.why_not


def test_a_check_that_never_ends_is_stopped(root, monkeypatch):
    monkeypatch.setattr(mutants, "LIMIT", 3)
    (root / "test_one.py").write_text("import time\n\ndef test_it():\n    time.sleep(60)\n")
    (verdict,) = tried(root, RIGHT)
    assert verdict.why_not.endswith("it took more than 3 seconds")


def test_the_process_of_a_check_knows_no_module_of_the_project():
    code = "import mutants, sys; from deepfm_helpers.press import checkout; mutants.forget_the_project(); "
    code += "print(*sorted(name for name, m in sys.modules.items() if hasattr(m, '__file__')))"
    tests = mutants.ROOT / "tests"
    done = subprocess.run([sys.executable, "-c", code], cwd=tests, capture_output=True, text=True, check=True)
    left = {name.split(".")[0] for name in done.stdout.split()}
    assert "xml" in left
    assert not left & {"deepfm_helpers", "benchmarks", "mutants", "run_all", "shares", "sabotages"}


def test_no_sabotage_begins_when_the_time_is_over(root):
    assert tried(root, RIGHT, until=0.0) == []


def test_another_commit_begins_with_other_checks():
    checks = [sabotage.check for sabotage in SABOTAGES]
    orders = [mutants.shuffled(checks, commit) for commit in ("1f", "1f", "2e")]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == sorted(checks)


def test_the_page_has_a_row_for_each_sabotage():
    page = (mutants.ROOT / mutants.PAGE).read_text(encoding="utf-8")
    assert list(mutants.rows_of(page)) == [sabotage.name for sabotage in SABOTAGES]
    assert f"**{len(SABOTAGES)} of {len(SABOTAGES)} caught**" in page


def test_a_run_of_some_sabotages_writes_their_rows_and_leaves_the_others():
    first, second, *_ = SABOTAGES
    page = mutants.table(
        [mutants.Verdict(first, "test_a: test_b", ""), mutants.Verdict(second, "test_c: test_d", "")]
    )
    again = mutants.table([mutants.Verdict(second, "test_e: test_f", "")], page)
    assert list(mutants.rows_of(again)) == [first.name, second.name]
    assert mutants.rows_of(again)[first.name] == mutants.rows_of(page)[first.name]
    assert "| f (`test_e`) |" in mutants.rows_of(again)[second.name]
    assert "**2 of 2 caught**" in again
    gone = again.replace(first.name, "A sabotage that is no longer in the list")
    assert list(mutants.rows_of(mutants.table([], gone))) == [second.name]
