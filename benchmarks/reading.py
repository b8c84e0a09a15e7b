"""Reading MovieLens-1M: this project's verified, checked, joined frames against the three reads of the post.

Both are timed in turn in one process and the median counts; peak memory is measured in a process of its own.
The post's side does less (no hashes, no checks, no join), so the printed ratio is a lower bound. Run with

    DEEPFM_DATA=folder python benchmarks/reading.py [rounds]

where the folder holds ml-1m/. The exit status is 1 when the ratio is below 5.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pandas as pd

from deepfm_helpers import datasets

POST = {
    "ratings.dat": ["uid", "mid", "rating", "timestamp"],
    "movies.dat": ["mid", "movie_name", "movie_genre"],
    "users.dat": ["uid", "user_fea1", "user_fea2", "user_fea3", "user_fea4"],
}


def ours(root: Path) -> None:
    data = datasets.load("ml-1m", folder=root)
    datasets.join(data.ratings, data.movies, data.users)


def post(root: Path) -> None:
    for file, names in POST.items():
        pd.read_csv(root / "ml-1m" / file, sep="::", engine="python", names=names, encoding="latin-1")


READERS = {"ours": ours, "post": post}


def peak_megabytes(reader: str) -> float | None:
    """Peak resident memory of a fresh process that reads once; None where the system does not tell."""
    try:
        import resource  # noqa: F401
    except ImportError:
        return None
    code = f"import reading as r; r.READERS[{reader!r}](r.root()); "
    code += "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return int(run.stdout) / (2**20 if sys.platform == "darwin" else 2**10)


def root() -> Path:
    if not os.environ.get("DEEPFM_DATA"):
        sys.exit("set DEEPFM_DATA to the folder that holds ml-1m/")
    return Path(os.environ["DEEPFM_DATA"])


def main(rounds: int = 3) -> int:
    peaks = {name: peak_megabytes(name) for name in READERS}  # first: a process starts from its parent's peak
    seconds = {name: [] for name in READERS}
    for _ in range(rounds):
        for name, reader in READERS.items():
            start = time.perf_counter()
            reader(root())
            seconds[name].append(time.perf_counter() - start)
    for name, times in seconds.items():
        memory = "" if peaks[name] is None else f", peak {peaks[name]:,.0f} MB"
        print(f"{name}: median {median(times):.2f} s of {', '.join(f'{t:.2f}' for t in times)}{memory}")
    ratio = median(seconds["post"]) / median(seconds["ours"])
    print(f"ratio: {ratio:.1f} times faster than the post's reader")
    return 0 if ratio >= 5 else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:2])))
