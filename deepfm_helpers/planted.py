"""Ratings drawn from a known factorization machine, with which the result of a training can be compared."""

import math
from dataclasses import dataclass
from itertools import combinations
from numbers import Integral

import numpy as np
import pandas as pd

from deepfm_helpers.catalogue import AGES, DATASETS, GENRES, OCCUPATIONS
from deepfm_helpers.schema import MovieLens, Provenance, fingerprint

FIELDS = ("uid", "mid", "genre", "gender", "age", "occupation")
MAX_GENRES = 6

# How often each value occurs in ml-1m.
GENRE_COUNTS = (503, 283, 105, 251, 1200, 211, 127, 1603, 68, 44, 343, 114, 106, 471, 276, 492, 143, 68)
GENRES_PER_FILM = (2025, 1322, 421, 100, 14, 1)
GENDER_COUNTS = (1709, 4331)
AGE_COUNTS = (222, 1103, 2096, 1193, 550, 496, 380)
OCCUPATION_COUNTS = (
    711, 528, 267, 173, 759, 112, 236, 679, 17, 92, 195, 129, 388, 142, 302, 144, 241, 502, 70, 72, 281,
)  # fmt: skip

# Relative sizes of a field's weights and factors: user and film matter more than age or occupation.
FIRST_ORDER_SCALE = {"uid": 0.8, "mid": 1.0, "genre": 0.2, "gender": 0.1, "age": 0.2, "occupation": 0.1}
FACTOR_SCALE = {"uid": 1.0, "mid": 1.0, "genre": 0.7, "gender": 0.4, "age": 0.4, "occupation": 0.3}

# Of the noise-free score over the ratings, in stars: its mean, and the standard deviation of its two parts.
MEAN, FIRST_ORDER_SD, SECOND_ORDER_SD = 3.6, 0.65, 0.5

ROWS_PER_CHUNK = 500_000  # while drawing; another number draws other ratings
ROWS_PER_BLOCK = 100_000  # while scoring


@dataclass(frozen=True, eq=False, repr=False)
class Truth:
    """The factorization machine that drew the ratings.

    Attributes:
        w0: the constant, in stars.
        w: field -> first-order weights, shape (values + 1,); row 0 is padding and holds 0.
        V: field -> factors, shape (values + 1, k); row 0 is padding and holds zeros.
        rows: field -> {value: row} for genre, gender, age and occupation; a uid or mid is its own row.
        noise: standard deviation, in stars, of the noise added to the score before rounding.
    """

    w0: float
    w: dict[str, np.ndarray]
    V: dict[str, np.ndarray]
    rows: dict[str, dict]
    noise: float

    def __repr__(self) -> str:
        return f"Truth(w0={self.w0:.3f}, k={self.V['uid'].shape[1]}, noise={self.noise})"

    def score(self, ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> np.ndarray:
        """Return the noise-free score of each row before rounding, in stars, float64 (n,).

        Args:
            ratings: rows with uid and mid.
            movies, users: the frames that describe their films and users.

        Raises:
            KeyError: a uid is not in `users`, or a mid not in `movies`.
        """
        return self.w0 + self.first_order(ratings, movies, users) + self.second_order(ratings, movies, users)

    def first_order(self, ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> np.ndarray:
        """Return the sum of the weights of each row's features, without the constant; see `score`."""
        return np.concatenate(
            [sum(w for w, _ in features) for features in self._features(ratings, movies, users)]
        )

    def second_order(self, ratings: pd.DataFrame, movies: pd.DataFrame, users: pd.DataFrame) -> np.ndarray:
        """Return the sum of the dot products of all pairs of each row's features, pair by pair; see `score`."""
        return np.concatenate(
            [
                sum(np.einsum("nk,nk->n", a, b) for (_, a), (_, b) in combinations(features, 2))
                for features in self._features(ratings, movies, users)
            ]
        )

    def _features(self, ratings, movies, users):
        """Yield, for each block of rows, the (weights, factors) of every feature; absent genres have zeros."""
        movies, users = movies.set_index("mid"), users.set_index("uid")
        genres = np.array([self._genres(text) for text in movies["movie_genre"]], "int64")
        place = pd.Series(np.arange(len(movies)), movies.index)
        for start in range(0, max(len(ratings), 1), ROWS_PER_BLOCK):
            block = ratings[start : start + ROWS_PER_BLOCK]
            uid, mid = block["uid"].to_numpy(), block["mid"].to_numpy()
            user = users.loc[uid]
            rows = [("uid", uid), ("mid", mid)]
            rows += [(field, user[field].map(self.rows[field]).to_numpy()) for field in FIELDS[3:]]
            rows += [("genre", slot) for slot in genres[place.loc[mid]].T]
            yield [(self.w[field][row], self.V[field][row]) for field, row in rows]

    def _genres(self, text: str) -> list[int]:
        rows = [self.rows["genre"][genre] for genre in text.split("|")]
        return rows + [0] * (MAX_GENRES - len(rows))


def planted(
    n_users: int = 600,
    n_movies: int = 400,
    n_ratings: int = 20_000,
    k: int = 4,
    seed: int = 0,
    *,
    noise: float = 0.8,
) -> MovieLens:
    """Draw a dataset from a known factorization machine over user, film, genres, gender, age and occupation.

    A rating is the score plus normal noise, rounded and clipped to 1 … 5. The numbers of ratings per user and per film
    have long tails. Rows are sorted by user, and by time within a user. Beside the frames themselves, memory holds one
    chunk of users at a time.

    Args:
        n_users, n_movies, n_ratings: sizes; a user rates a film at most once.
        k: length of the factors.
        seed: the same seed and sizes give the same frames.
        noise: standard deviation of the noise, in stars.

    Returns:
        A `MovieLens` whose `truth` is the machine that drew the ratings.

    Raises:
        ValueError: a size or `k` is not a whole number from 1 on, the noise is negative or infinite, or there are more
            ratings than pairs of user and film.
    """
    for name, value in {"n_users": n_users, "n_movies": n_movies, "n_ratings": n_ratings, "k": k}.items():
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} = {value}: must be a whole number, 1 or more")
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise = {noise}: must be a number of stars, 0 or more")
    if n_ratings > n_users * n_movies:
        raise ValueError(
            f"n_ratings = {n_ratings:,} is more than the {n_users * n_movies:,} pairs of "
            f"{n_users:,} users and {n_movies:,} films: ask for fewer ratings, or more users or films"
        )
    rng = np.random.default_rng(seed)
    movies, film_rows = _draw_movies(rng, n_movies)
    users, user_rows = _draw_users(rng, n_users)
    popularity = rng.lognormal(0.0, 1.3, n_movies)
    popularity /= popularity.sum()
    activity = _long_tail(rng, n_users, n_ratings, n_movies)

    w, V = _draw_weights(rng, k, {"uid": n_users, "mid": n_movies})
    sample = (
        rng.choice(n_users, 20_000, p=activity / n_ratings),
        rng.choice(n_movies, 20_000, p=popularity),
    )
    first, second = _parts(_side(w, V, user_rows), _side(w, V, film_rows), *sample)
    first_scale, second_scale = _scale(first, FIRST_ORDER_SD), _scale(second, SECOND_ORDER_SD)
    w = {field: first_scale * values for field, values in w.items()}
    V = {field: math.sqrt(second_scale) * values for field, values in V.items()}
    w0 = MEAN - float(np.mean(first_scale * first + second_scale * second))
    truth = Truth(w0, w, V, ROWS, noise)

    sides = _side(w, V, user_rows), _side(w, V, film_rows)
    ratings = _draw_ratings(rng, activity, popularity, w0, sides, noise)
    provenance = Provenance("drawn from a seed", {}, fingerprint(ratings, movies, users))
    record = DATASETS["planted"]
    return MovieLens(record.name, ratings, movies, users, record.codebook, record.range, provenance, truth)


ROWS = {
    "genre": {genre: row for row, genre in enumerate(GENRES, 1)},
    "gender": {"F": 1, "M": 2},
    "age": {age: row for row, age in enumerate(AGES, 1)},
    "occupation": {code: code + 1 for code in range(len(OCCUPATIONS))},
}


def _shares(counts: tuple[int, ...]) -> np.ndarray:
    return np.array(counts) / sum(counts)


def _draw_movies(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Draw films with one to six distinct genres; return also each film's rows in mid and genre, (n, slots)."""
    n_genres = 1 + rng.choice(MAX_GENRES, n, p=_shares(GENRES_PER_FILM))
    # The order in which independent exponential clocks ring is a weighted draw without replacement.
    arrivals = rng.exponential(size=(n, len(GENRES))) / np.array(GENRE_COUNTS)
    order = arrivals.argsort(axis=1)[:, :MAX_GENRES] + 1
    slots = np.where(np.arange(MAX_GENRES) < n_genres[:, None], order, 0)
    names = np.array(["", *GENRES])
    texts = ["|".join(names[row[row > 0]]) for row in np.sort(slots, axis=1)]
    years = 2000 - rng.geometric(0.08, n).clip(1, 80)
    mid = np.arange(1, n + 1, dtype="int32")
    titles = [f"Planted Film {m} ({year})" for m, year in zip(mid, years, strict=True)]
    movies = pd.DataFrame({"mid": mid, "movie_name": titles, "movie_genre": texts})
    return movies, {"mid": mid[:, None], "genre": slots}


def _draw_users(rng: np.random.Generator, n: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Draw users with traits in the proportions of ml-1m; return also their rows in the user fields, (n, 1)."""
    rows = {
        "uid": np.arange(1, n + 1, dtype="int32"),
        "gender": 1 + rng.choice(2, n, p=_shares(GENDER_COUNTS)),
        "age": 1 + rng.choice(len(AGES), n, p=_shares(AGE_COUNTS)),
        "occupation": 1 + rng.choice(len(OCCUPATIONS), n, p=_shares(OCCUPATION_COUNTS)),
    }
    users = pd.DataFrame(
        {
            "uid": rows["uid"],
            "gender": np.array(list(ROWS["gender"]))[rows["gender"] - 1],
            "age": np.array(list(AGES), "int32")[rows["age"] - 1],
            "occupation": (rows["occupation"] - 1).astype("int32"),
            "zip": [f"{code:05d}" for code in rng.integers(501, 99_951, n)],
        }
    )
    return users, {field: values[:, None] for field, values in rows.items()}


def _long_tail(rng: np.random.Generator, n: int, total: int, most: int) -> np.ndarray:
    """Split `total` ratings among n users: five each if there are so many, the rest log-normally."""
    most = max(int(0.6 * most), math.ceil(total / n))
    counts = np.full(n, min(5, total // n))
    weights = rng.lognormal(0.0, 1.1, n)
    while left := total - int(counts.sum()):
        open_weights = np.where(counts < most, weights, 0.0)
        counts = np.minimum(counts + rng.multinomial(left, open_weights / open_weights.sum()), most)
    return counts


def _draw_weights(rng: np.random.Generator, k: int, sizes: dict[str, int]) -> tuple[dict, dict]:
    """Draw normal weights and factors for every value of every field, with a row of zeros in front."""
    w, V = {}, {}
    for field in FIELDS:
        n = sizes.get(field) or len(ROWS[field])
        w[field] = np.concatenate([[0.0], rng.normal(0.0, FIRST_ORDER_SCALE[field], n)])
        V[field] = np.vstack([np.zeros(k), rng.normal(0.0, FACTOR_SCALE[field], (n, k))])
    return w, V


def _side(w: dict, V: dict, rows: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum up users (or films): weights (n,), pairs among their own features (n,), summed factors (n, k)."""
    weights = sum(w[field][index].sum(axis=1) for field, index in rows.items())
    factors = sum(V[field][index].sum(axis=1) for field, index in rows.items())
    squares = sum((V[field][index] ** 2).sum(axis=(1, 2)) for field, index in rows.items())
    return weights, 0.5 * ((factors**2).sum(axis=1) - squares), factors


def _parts(user: tuple, film: tuple, u: np.ndarray, m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first-order and the second-order score of the users at positions u with the films at m."""
    across = np.einsum("nk,nk->n", user[2][u], film[2][m])
    return user[0][u] + film[0][m], user[1][u] + film[1][m] + across


def _scale(values: np.ndarray, sd: float) -> float:
    return sd / float(values.std() or 1.0)


def _draw_ratings(rng, activity, popularity, w0, sides, noise) -> pd.DataFrame:
    """Draw films, ratings and times, a chunk of users at a time, into arrays of the final size."""
    n = int(activity.sum())
    columns = {
        "uid": np.repeat(np.arange(1, len(activity) + 1, dtype="int32"), activity),
        "mid": np.empty(n, "int32"),
        "rating": np.empty(n, "float32"),
        "timestamp": np.empty(n, "int64"),
    }
    edges = np.flatnonzero(np.diff(np.cumsum(activity) // ROWS_PER_CHUNK)) + 1
    stop = 0
    for counts in np.split(activity, edges):
        start, stop = stop, stop + int(counts.sum())
        films = np.concatenate(
            [rng.choice(len(popularity), size, replace=False, p=popularity) for size in counts]
        )
        score = w0 + sum(_parts(*sides, columns["uid"][start:stop] - 1, films))
        stars = np.rint(score + rng.normal(0.0, noise, len(score)))
        columns["mid"][start:stop] = films + 1
        columns["rating"][start:stop] = stars.clip(1, 5)
        columns["timestamp"][start:stop] = _draw_times(rng, counts)
    return pd.DataFrame(columns, copy=False)


def _draw_times(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Draw seconds since 1970 that rise within a user: a first visit in 2000 to 2002, then sessions and breaks."""
    n = int(counts.sum())
    gaps = rng.integers(1, 60, n) + np.where(rng.random(n) < 0.01, rng.integers(3600, 30 * 86_400, n), 0)
    elapsed = np.cumsum(gaps)
    begin = np.cumsum(counts) - counts
    visits = rng.integers(956_700_000, 1_040_000_000, len(counts))
    return elapsed + np.repeat(visits - np.where(counts > 0, elapsed[np.minimum(begin, n - 1)], 0), counts)
