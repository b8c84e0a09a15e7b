"""Read MovieLens-1M: into this book's verified, checked, joined frames, and with the three reads of the post.

The post's reads do less (no hashes, no checks, no join), so the ratio is a lower bound.
"""

import time
from pathlib import Path

import pandas as pd

from benchmarks.systems import protocol

COLUMNS = {
    "ratings.dat": ["uid", "mid", "rating", "timestamp"],
    "movies.dat": ["mid", "movie_name", "movie_genre"],
    "users.dat": ["uid", "user_fea1", "user_fea2", "user_fea3", "user_fea4"],
}


def book(request: dict) -> None:
    from deepfm_helpers import datasets

    def read():
        data = datasets.load("ml-1m")
        datasets.join(data.ratings, data.movies, data.users)

    _time(read)


def post(request: dict) -> None:
    folder = Path(request["folder"])

    def read():
        for file, names in COLUMNS.items():
            pd.read_csv(folder / file, sep="::", engine="python", names=names, encoding="latin-1")

    _time(read)


def _time(read) -> None:
    more = True
    while more:
        started = time.perf_counter()
        read()
        more = protocol.turn(seconds=time.perf_counter() - started, peak_mib=protocol.peak_mib())


if __name__ == "__main__":
    protocol.serve(book=book, post=post)
