"""Run every check, even if earlier ones failed, and end with one summary; exit with 1 if any failed.

``python tests/run_all.py "unit tests" browser`` runs some of them; with ``--other-numerics`` they run as on another
processor. The stages "other numerics" and "reruns" take a third that the commit decides, unless ``WHOLE=1`` is set;
"mutants" takes what can be tried in four minutes.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import other_numerics
import shares

ROOT = Path(__file__).resolve().parents[1]
PYTEST = ["-m", "pytest", "-n", "2"]
STORED = [
    *PYTEST,
    "notebooks",
    *("-p", "tests.stored_outputs"),
    "--nbval",
    "--nbval-current-env",
    "--nbval-sanitize-with=tests/nbval_sanitize.cfg",
    "--nbval-cell-timeout=600",
    "--dist=loadscope",  # a notebook stays on one worker, and its cells in order
]
STAGES = {
    "lint": ["-m", "ruff", "check", "."],
    "layout": ["-m", "ruff", "format", "--check", "."],
    "unit tests": [*PYTEST, "tests", "-m", "not reruns and not browser and not records"],
    "stored outputs": STORED,
    "other numerics": STORED,
    "reruns": [*PYTEST, "tests", "-m", "reruns"],
    "mutants": ["tests/mutants.py", "--share", "4"],
    "records": ["-m", "deepfm_helpers.sweeps.recording", "--stale"],
    "measurements": ["-m", "benchmarks.run", "--stale"],
    "one record again": ["-m", "pytest", "tests/test_spot_check.py", "-m", "records"],
    "pages": ["-m", "deepfm_helpers.press", "stored"],
    "browser": [*PYTEST, "tests/browser", "--dist=worksteal"],  # the tests of one page stay together
}


def run(arguments: list[str], variables: dict[str, str]) -> tuple[bool, str]:
    """Run Python with ``arguments``, with ``variables`` in its environment, showing what it prints.

    Returns:
        Whether it passed, and its last line.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"} | variables,
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


def run_stage(name: str, variables: dict[str, str]) -> tuple[str, str]:
    """Run a stage with ``variables``, which have to act on every number; return a verdict and its last line."""
    if variables:
        print(*(f"{variable}={value}" for variable, value in variables.items()), sep="\n", flush=True)
        try:
            other_numerics.require_effect(variables)
        except RuntimeError as error:
            print(error, flush=True)
            return "left out" if isinstance(error, NotImplementedError) else "FAILED", str(error)
    arguments = STAGES[name]
    if name == "other numerics":
        chapters = shares.share(sorted(f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")))
        arguments = [part for given in arguments for part in (chapters if given == "notebooks" else [given])]
    passed, last = run(arguments, variables)
    return "passed" if passed else "FAILED", last


def main() -> int:
    """Run the stages named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="stage", help=", ".join(STAGES))
    parser.add_argument("--other-numerics", action="store_true", help="run them as on another processor")
    options = parser.parse_args()
    names = options.names or list(STAGES)
    if unknown := set(names) - set(STAGES):
        sys.exit(f"no stage {', '.join(unknown)}; there are {', '.join(STAGES)}")
    rows, passed_all = [], True
    for name in names:
        print(f"\n==== {name}", flush=True)
        started = time.perf_counter()
        elsewhere = options.other_numerics or name == "other numerics"
        verdict, last = run_stage(name, other_numerics.environment() if elsewhere else {})
        passed_all &= verdict != "FAILED"
        rows.append(f"{verdict:<8}  {name:<15} {time.perf_counter() - started:6.1f} s  {_short(last)}")
    print("\n==== summary", *rows, "everything passed" if passed_all else "NOT everything passed", sep="\n")
    return 0 if passed_all else 1


def _short(line: str) -> str:
    """The closing line of a stage without its colours, cut to the width of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", line)[:80]


if __name__ == "__main__":
    sys.exit(main())
