"""Test the tests: apply each sabotage of the list to a copy of the project, and show which check notices it.

``python tests/mutants.py`` tries all of them and writes the table of the book's appendix; names try some, and write
their rows. ``--share MINUTES`` tries, in an order that another commit changes, as many as the minutes allow, and writes
nothing. It exits with 1 unless all that were tried are caught: the check passes on a clean copy, and on the sabotaged
copy one of its tests fails. A test that cannot begin, or that is skipped, proves nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import run_all
from sabotages import SABOTAGES, Sabotage

ROOT = Path(__file__).resolve().parents[1]
PAGE = Path("book", "mutants.md")
LIMIT = 900
"""A check is stopped after this many seconds."""

PRELOADED = [
    "tensorflow", "keras", "pandas", "scipy.stats", "scipy.sparse", "pytest",
    "IPython", "jupyter_client", "nbclient", "nbformat", "requests", "yaml",
]  # fmt: skip
"""What the process imports from which the checks are forked; nothing of the project."""

ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # of Arrow, which pandas imports if it is installed
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
"""Variables with which that process has one thread, as one that is forked should, and is quiet."""

HEAD = """\
# Tests of the tests

Would the tests notice a mistake? Each row below is a mistake made on purpose: a small sabotage of the code, of a
notebook, of a page's script or of a record. `make mutants` applies the sabotages one at a time, each to a copy of the
project, and runs the check that could notice it. A sabotage counts as caught if the check passes without it and one of
the check's tests fails with it. The list is `tests/sabotages.py`. A file is named from the folder `deepfm_helpers` if
it lies there.

Runs write this page: the row of a sabotage is that of the last run that tried it.
"""


class Outcome(NamedTuple):
    """What a check said: how many of its tests passed, the names of those that failed, and what else went wrong."""

    passed: int
    failed: list[str]
    wrong: list[str]


class Verdict(NamedTuple):
    """Whether a sabotage was caught: by which test, None if by none; and why not."""

    sabotage: Sabotage
    by: str | None
    why_not: str


def problems(sabotages: Sequence[Sabotage], root: Path) -> list[str]:
    """List what is wrong with a list of sabotages of the project at ``root``, one sentence each."""
    found, names = [], [sabotage.name for sabotage in sabotages]
    found += [f"{name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]
    for name, file, old, new, _ in sabotages:
        if not (root / file).is_file():
            found.append(f"{name!r}: there is no file {file}")
        elif (count := (text := read(root / file)).count(old)) != 1:
            found.append(f"{name!r}: its old text occurs {count} times in {file}, and has to occur once")
        elif file.endswith(".py"):
            try:
                compile(text.replace(old, new), file, "exec")
            except SyntaxError as error:
                found.append(f"{name!r}: with its new text, {file} is no Python: {error}")
    return found


def read(path: Path) -> str:
    """Read a text as it is, whatever its line ends."""
    return path.read_bytes().decode("utf-8")


def apply(sabotage: Sabotage, folder: Path) -> None:
    """Apply a sabotage to a copy of the project."""
    path = folder / sabotage.file
    path.write_bytes(read(path).replace(sabotage.old, sabotage.new).encode("utf-8"))


def copy(root: Path, folder: Path) -> None:
    """Copy to a new folder what git knows of the project at ``root``, and what it does not ignore, as it stands."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():  # not one that was removed
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, folder / name)


def run(check: str, folder: Path) -> Outcome:
    """Run a check on the copy of the project in ``folder``."""
    kind, _, notebook = check.rpartition(" ")
    if kind == "record":
        return _stale(notebook, folder)
    options = [check]
    if kind == "stored outputs":
        stored = [option for option in run_all.STORED[2:] if option not in ("-n", "2", "notebooks")]
        options = [f"notebooks/{notebook}.ipynb", *stored]
    return _pytest([*options, "--maxfail=1"], folder)


def _stale(notebook: str, folder: Path) -> Outcome:
    """Ask whether the record of a notebook is stale."""
    command = [sys.executable, "-m", "deepfm_helpers.sweeps.recording", "--stale", notebook]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | _variables(folder), capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return Outcome(1, [], [])
    stale = [line for line in done.stdout.splitlines() if line.startswith(f"{notebook}: ")]
    return Outcome(0, stale, [] if stale else done.stderr.splitlines()[-1:])


def _variables(folder: Path) -> dict[str, str]:
    """The environment of a check: the code of the copy, and the reader's data wherever it was named from."""
    found = {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in ("DEEPFM_DATA", "DEEPFM_CACHE"):
        if place := os.environ.get(name):
            found[name] = str((ROOT / os.path.expanduser(place)).resolve())
    return found


def _pytest(options: list[str], folder: Path) -> Outcome:
    """Run pytest on a copy, in a process of its own."""
    report, said = folder / ".report.xml", folder / ".said.txt"
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(PRELOADED)
    arguments = [*options, "-p", "no:cacheprovider", "-q", f"--junitxml={report}"]
    process = context.Process(target=_in_the_copy, args=(arguments, folder, said, _variables(folder)))
    process.start()
    process.join(LIMIT)
    if process.is_alive():
        _end(process)
        return Outcome(0, [], [f"it took more than {LIMIT} seconds"])
    found = outcome(report) if report.is_file() else Outcome(0, [], [])
    return found if any(found) else Outcome(0, [], _why_none(said.read_text("utf-8", errors="replace")))


def _why_none(said: str) -> list[str]:
    """Return the line in which pytest says why no test has run."""
    lines = said.strip().splitlines()
    return [line for line in lines if line.startswith("ERROR")][-1:] or lines[-1:]


def _end(process) -> None:
    """End a process of ours, and what it has started."""
    with suppress(AttributeError, ProcessLookupError):  # Windows has no groups; or there is none any more
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def _in_the_copy(arguments: list[str], folder: Path, said: Path, variables: dict[str, str]) -> None:
    """Be a process that has only ever known the copy, and run pytest."""
    if hasattr(os, "setsid"):
        os.setsid()
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ |= variables
    os.chdir(folder)
    sys.path[:] = [str(folder), *(p for p in sys.path if Path(p).resolve() not in (ROOT, ROOT / "tests"))]
    forget_the_project()
    import pytest

    sys.exit(pytest.main(arguments))


def forget_the_project() -> None:
    """Unload every module of the project, so that the next import takes that of the copy."""
    own = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    own |= {path.stem for path in ROOT.glob("tests/*.py")}
    for name in [name for name in sys.modules if name.split(".")[0] in own]:
        del sys.modules[name]


def outcome(report: Path) -> Outcome:
    """Read what the tests did from the report of pytest, in the format of JUnit."""
    passed, failed, wrong = 0, [], []
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}: {case.get('name')}"
        kinds = {child.tag for child in case}
        if "failure" in kinds:
            failed.append(name)
        elif kinds & {"error", "skipped"}:
            wrong.append(f"{name} ({', '.join(sorted(kinds & {'error', 'skipped'}))})")
        else:
            passed += 1
    return Outcome(passed, failed, wrong)


def judge(sabotage: Sabotage, clean: Outcome, sabotaged: Outcome) -> Verdict:
    """Judge by what the check said without the sabotage and with it."""
    if clean.failed or clean.wrong or not clean.passed:
        said = "; ".join([*clean.failed, *clean.wrong]) or "no test"
        return Verdict(sabotage, None, f"its check does not pass on the clean copy: {said}")
    if not sabotaged.failed:
        said = "; ".join(sabotaged.wrong) or f"{sabotaged.passed} tests pass"
        return Verdict(sabotage, None, f"no test fails: {said}")
    return Verdict(sabotage, sabotaged.failed[0], "")


def of_one_check(
    check: str, sabotages: Iterable[Sabotage], root: Path, until: float = float("inf")
) -> Iterator[Verdict]:
    """Try the sabotages of a check one after the other; begin none after ``until``, a time of the monotonic clock."""
    clean = None
    for sabotage in sabotages:
        if time.monotonic() > until:
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            if clean is None:
                copy(root, without := Path(scratch, "clean"))
                clean = run(check, without)
            copy(root, folder := Path(scratch, "sabotaged"))
            apply(sabotage, folder)
            sabotaged = run(check, folder)
        yield judge(sabotage, clean, sabotaged)


def shuffled(checks: Sequence[str], commit: str) -> list[str]:
    """Return the checks in an order that the hash of a commit decides."""
    return random.Random(commit).sample(checks, len(checks))


def rows_of(page: str) -> dict[str, str]:
    """Return the rows of the page of the appendix, by the name of the sabotage."""
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows[1:]}


def table(verdicts: Iterable[Verdict], page: str = "") -> str:
    """Return the page of the appendix; rows of sabotages that were not tried stay as the page has them."""
    caught = {
        v.sabotage.name: f"| {v.sabotage.name} | `{v.sabotage.file.removeprefix('deepfm_helpers/')}` | {_in_words(v)} |"
        for v in verdicts
    }
    known = rows_of(page) | caught
    rows = [known[sabotage.name] for sabotage in SABOTAGES if sabotage.name in known]
    head = [":::{table}", "", "| Sabotage | File | Caught by |", "|---|---|---|"]
    return "\n".join([HEAD, f"**{len(rows)} of {len(rows)} caught**", "", *head, *rows, ":::", ""])


def _in_words(verdict: Verdict) -> str:
    """The test that caught it, its name as a sentence; what is no test as it stands."""
    file, _, test = verdict.by.partition(": test_")
    if not test:
        return f"`` {verdict.by.replace('|', ' ')} ``"
    return f"{test.partition('[')[0].replace('_', ' ')} (`{file}`)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 only if every sabotage that was tried is caught."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="name", help="names of sabotages, in quotes; all by default"
    )
    parser.add_argument("--share", type=float, metavar="MINUTES", help="try as many as the minutes allow")
    parser.add_argument("--jobs", type=int, default=2, help="copies that are tried at a time (default 2)")
    o = parser.parse_args(arguments)
    if wrong := problems(SABOTAGES, ROOT):
        sys.exit("\n  ".join(["the list of sabotages is wrong:", *wrong]))
    if unknown := set(o.names) - {sabotage.name for sabotage in SABOTAGES}:
        sys.exit(f"no sabotage is called {', '.join(map(repr, sorted(unknown)))}")
    chosen = [sabotage for sabotage in SABOTAGES if not o.names or sabotage.name in o.names]
    os.environ |= ONE_THREAD
    verdicts = {}
    for verdict in _tried(chosen, o.jobs, o.share):
        verdicts[verdict.sabotage.name] = verdict
        print(f"{'caught' if verdict.by else 'NOT CAUGHT':<10}  {verdict.sabotage.name}", flush=True)
        print(f"{'':<12}{verdict.by or verdict.why_not}", flush=True)
    caught = sum(verdict.by is not None for verdict in verdicts.values())
    if o.share is None and len(verdicts) == caught:
        page = ROOT / PAGE
        page.write_text(table(verdicts.values(), page.read_text("utf-8")), encoding="utf-8", newline="\n")
    left = len(chosen) - len(verdicts)
    print(f"{caught} of {len(verdicts)} caught" + (f"; {left} were not tried" if left else ""))
    return 0 if verdicts and caught == len(verdicts) else 1


def _tried(chosen: Sequence[Sabotage], jobs: int, share: float | None) -> Iterator[Verdict]:
    """Try sabotages, those of one check together, on several copies at a time."""
    checks = list(dict.fromkeys(sabotage.check for sabotage in chosen))
    until = float("inf")
    if share is not None:
        until = time.monotonic() + 60 * share
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True)
        checks = shuffled(checks, commit.stdout.strip())

    def work(check: str) -> list[Verdict]:
        return list(of_one_check(check, [s for s in chosen if s.check == check], ROOT, until))

    pool = ThreadPoolExecutor(jobs)
    try:
        for done in as_completed([pool.submit(work, check) for check in checks]):
            yield from done.result()
    finally:
        pool.shutdown(cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
