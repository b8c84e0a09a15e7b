"""This book's training on rows in memory and on rows that it reads from a file meanwhile: the task streams.

The rows are drawn part by part. Their users, films and ratings come from a factorization machine, as those of
`datasets.planted`, but a row is cheaper to draw, and its other ids are looked up from those of the user and the film.

The road by way of a file begins with tables as somebody might have them: Parquet files of rows, users and films. The
rows are checked, split and counted (`own.large`) and encoded (`own.streams`) before a model trains on them.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from benchmarks.systems import protocol
from deepfm_helpers import models, training
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature
from deepfm_helpers.own import large, streams

ROWS_PER_PART = 1_000_000
WARM = 32
"""Steps after a wait that are not timed."""

SLOTS, GENRES = 6, 18
TRAITS = {"gender": 2, "age": 7, "occupation": 21}
TOML = """
task = "rating"
repeats = true

[rows]
files = ["rows.parquet"]
stream = true
user = "uid"
item = "mid"
target = "stars"
range = [1, 5]

[rows.columns]
uid = {kind = "single", whole = true}
mid = {kind = "single", whole = true}
stars = "numeric"

[users]
files = ["users.parquet"]
key = "uid"

[users.columns]
uid = {kind = "single", whole = true}
gender = {kind = "single", whole = true}
age = {kind = "single", whole = true}
occupation = {kind = "single", whole = true}

[items]
files = ["films.parquet"]
key = "mid"

[items.columns]
mid = {kind = "single", whole = true}
genre = {kind = "multi", separator = "|"}

[split]
validation = 0.001
test = 0.001
"""


@dataclass(frozen=True)
class Described(Feature):
    """A field whose ids are looked up by the id of the user or film: ids (users + 1, slots), or of films."""

    ids: np.ndarray = field(default=None, repr=False, compare=False)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        return self.ids[frame[self.column].to_numpy()]


class Planted:
    """Rows that are drawn part by part, the same ones for the same sizes and seed.

    Args:
        n_ratings, n_users, n_movies: sizes.
        seed: seed of all draws.
    """

    def __init__(self, n_ratings: int, n_users: int, n_movies: int, seed: int):
        self.n, self.seed = n_ratings, seed
        rng = np.random.default_rng(seed)
        self.sizes = {"uid": n_users, "mid": n_movies}
        self.weights = {key: rng.normal(0, 0.45, n + 1).astype("f4") for key, n in self.sizes.items()}
        self.vectors = {key: rng.normal(0, 0.5, (n + 1, 4)).astype("f4") for key, n in self.sizes.items()}
        popularity = rng.lognormal(0, 1.3, n_movies)
        self.shares = (popularity / popularity.sum()).cumsum()
        genres = np.tile(np.arange(1, GENRES + 1, dtype="int32"), (n_movies + 1, 1))
        genres = rng.permuted(genres, axis=1)[:, :SLOTS].copy()
        genres *= np.arange(SLOTS) <= rng.integers(0, 4, n_movies + 1)[:, None]
        traits = {name: rng.integers(1, n + 1, (n_users + 1, 1), dtype="int32") for name, n in TRAITS.items()}
        self.fields = (
            Feature("uid", "single", "uid", n_users),
            Feature("mid", "single", "mid", n_movies),
            *(Described(name, "single", "uid", n, ids=traits[name]) for name, n in TRAITS.items()),
            Described("genre", "multi", "mid", GENRES, slots=SLOTS, ids=genres),
        )

    def parts(self) -> Iterator[pd.DataFrame]:
        """Yield frames with uid, mid and rating, of at most `ROWS_PER_PART` rows."""
        for part, start in enumerate(range(0, self.n, ROWS_PER_PART)):
            rng = np.random.default_rng([self.seed, part])
            size = min(ROWS_PER_PART, self.n - start)
            uid = rng.integers(1, self.sizes["uid"] + 1, size, dtype="int32")
            mid = 1 + np.searchsorted(self.shares, rng.random(size), "right").astype("int32")
            mid = np.minimum(mid, self.sizes["mid"])  # the shares may add up to a little less than 1
            score = 3.6 + self.weights["uid"][uid] + self.weights["mid"][mid]
            score += np.einsum("nk,nk->n", self.vectors["uid"][uid], self.vectors["mid"][mid])
            stars = np.rint(score + rng.normal(0, 0.8, size)).clip(1, 5).astype("f4")
            yield pd.DataFrame({"uid": uid, "mid": mid, "rating": stars})

    def write(self, folder: Path) -> None:
        """Write the tables and their description as a folder of `own.large`."""
        (folder / "dataset.toml").write_text(TOML, encoding="utf-8")
        uid, mid = (np.arange(1, self.sizes[key] + 1) for key in ("uid", "mid"))
        *traits, genre = self.fields[2:]
        users = pd.DataFrame({"uid": uid} | {field.name: field.ids[1:, 0] for field in traits})
        users.to_parquet(folder / "users.parquet")
        texts = ["|".join(map(str, ids[ids > 0])) for ids in genre.ids[1:]]
        pd.DataFrame({"mid": mid, "genre": texts}).to_parquet(folder / "films.parquet")
        schema = pa.schema([("uid", pa.int32()), ("mid", pa.int32()), ("stars", pa.float32())])
        with parquet.ParquetWriter(folder / "rows.parquet", schema) as writer:
            for part in self.parts():
                writer.write_table(pa.Table.from_pandas(part.rename(columns={"rating": "stars"}), schema))

    def arrays(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Return all rows in memory, as `training.train` takes them: inputs and ratings."""
        x = [np.empty((self.n, f.slots), "int32") for f in self.fields]
        y, stop = np.empty(self.n, "f4"), 0
        for frame in self.parts():
            start, stop = stop, stop + len(frame)
            for column, described in zip(x, self.fields, strict=True):
                column[start:stop] = described.encode(frame)
            y[start:stop] = frame["rating"]
        return x, y


def train(request: dict) -> None:
    """Train on planted rows, in turns of whole epochs; with a `folder` they are written and read there."""
    training.set_seed(request["seed"])
    planted = Planted(**request["planted"], seed=request["seed"])
    if not request.get("folder"):
        started = time.perf_counter()
        rows = planted.arrays()
        _train(request, rows, planted.n, planted.fields, {"seconds_to_make": time.perf_counter() - started})
        return
    with TemporaryDirectory(dir=request["folder"]) as folder:
        folder, took = Path(folder), {}

        def timed(what: str, act: Callable):
            started = time.perf_counter()
            made = act()
            took[f"seconds_to_{what}"] = time.perf_counter() - started
            return made

        planted.write(folder)
        own = timed("check", lambda: large.read(folder))
        fields = timed("count", own.fields)
        file = folder / "train.parquet"
        rows = timed("encode", lambda: streams.write(own.frames("train"), fields, file))
        sizes = {"table_mib": folder / "rows.parquet", "file_mib": file}
        sizes = {name: path.stat().st_size / 2**20 for name, path in sizes.items()}
        _train(request, rows, len(rows), fields, took | sizes)


def _train(request: dict, rows, n_rows: int, fields, more: dict[str, float]) -> None:
    """Train on rows, and answer after each turn, with more figures than those of the turn."""

    def answer(seconds: float, cpu_seconds: float) -> bool:
        n = n_rows * request["epochs"]
        return protocol.turn(
            rows_per_second=n / seconds,
            rows_per_cpu_second=n / cpu_seconds,
            peak_mib=protocol.peak_mib(),
            seconds=seconds,
            **more,
        )

    model = models.deep_fm_model(
        features=fields, k=request["k"], dnn_dim=request["dnn_dim"], mean_rating=3.6
    )[-1]
    batch_size = request["batch_size"]
    turns = Turns(-(-n_rows // batch_size), request["epochs"], answer)
    training.train(model, rows, epochs=100_000, batch_size=batch_size, callbacks=[turns])


class Turns(keras.callbacks.Callback):
    """Times as many steps as whole epochs have, turn by turn, until it is stopped.

    A turn begins with at least `WARM` steps that are not timed, and may end within an epoch. The time between two
    epochs, in which rows are shuffled and the reading begins, counts.

    Args:
        steps: steps of an epoch.
        epochs: number of epochs to time in a turn.
        answer: gets the seconds of a turn and its processor seconds; returns whether another turn is wanted.
    """

    def __init__(self, steps: int, epochs: int, answer: Callable[[float, float], bool]):
        super().__init__()
        self.steps, self.epochs, self.answer = steps, epochs, answer
        self.awaited, self.begun = WARM, None

    def on_epoch_begin(self, epoch, logs=None):
        self.before = epoch * self.steps

    def on_train_batch_end(self, batch, logs=None):
        done = self.before + batch + 1
        if done < self.awaited:
            return
        now = np.array([time.perf_counter(), time.process_time()])
        if self.begun is None:
            self.begun, self.awaited = now, done + self.epochs * self.steps
            return
        self.model.stop_training |= not self.answer(*(now - self.begun).tolist())
        self.begun, self.awaited = None, done + WARM


if __name__ == "__main__":
    protocol.serve(streams=train)
