"""Run every check, whatever the ones before it said, and end with one summary; exits 1 if any failed."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = ["-m", "pytest", "-n", "2"]
STAGES = {
    "lint": ["-m", "ruff", "check", "."],
    "layout": ["-m", "ruff", "format", "--check", "."],
    "unit tests": [*PYTEST, "tests", "-m", "not reruns and not browser"],
    "stored outputs": [
        *PYTEST,
        "notebooks",
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
        "--nbval-cell-timeout=600",
        "--dist=loadscope",  # a notebook stays on one worker, and its cells in order
    ],
    "reruns": [*PYTEST, "tests", "-m", "reruns"],
    "pages": ["-m", "deepfm_helpers.press", "stored"],
    "browser": [*PYTEST, "tests/browser", "--dist=worksteal"],  # the tests of one page stay together
}


def run(arguments: list[str]) -> tuple[bool, str]:
    """Run Python with ``arguments``, showing what it prints; return whether it passed, and its last line."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    last = ""
    for line in process.stdout:
        print(line, end="", flush=True)
        last = line.strip() or last
    return process.wait() == 0, last.strip("= ")


def main() -> int:
    """Run the stages named on the command line, or all of them."""
    names = sys.argv[1:] or list(STAGES)
    if unknown := set(names) - set(STAGES):
        sys.exit(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    rows, passed_all = [], True
    for name in names:
        print(f"\n==== {name}", flush=True)
        started = time.perf_counter()
        passed, last = run(STAGES[name])
        passed_all &= passed
        verdict = "passed" if passed else "FAILED"
        rows.append(f"{verdict}  {name:<15} {time.perf_counter() - started:6.1f} s  {_short(last)}")
    print("\n==== summary", *rows, "everything passed" if passed_all else "NOT everything passed", sep="\n")
    return 0 if passed_all else 1


def _short(line: str) -> str:
    """The closing line of a stage without its colours, cut to the width of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)[:80]


if __name__ == "__main__":
    sys.exit(main())
