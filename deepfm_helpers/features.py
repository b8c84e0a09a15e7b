"""From frames to model inputs: each field is described once, and its ids, sizes and arrays follow from that.

Id 0 always means "padding or unknown"; values are numbered from 1. Derived in chapters 2 and 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

KINDS = ("numeric", "single", "multi", "known")
OWNERS = ("user", "film", "rating")
POOLINGS = ("mean", "sum", "multi_hot", "mean_with_padding")


@dataclass(frozen=True)
class Feature:
    """One field of the model: where its values come from and how they become numbers.

    Attributes:
        name: short name; the Keras input is called ``input_<name>``.
        kind: "numeric" (one float), "single" (one id), "multi" (up to `slots` ids) or "known" (one id whose row
            of numbers is given, see `table`).
        column: column of the joined ratings frame that holds the values.
        size: largest id; an embedding table has `size + 1` rows. 0 for a numeric field.
        vocabulary: the values of ids 1, 2, …; None where the column holds the ids themselves.
        slots: how many ids one row may carry (1 unless multi).
        truncating: "post" keeps the first `slots` values of a longer list, "pre" the last ones.
        pooling: how the vectors of a multi-valued field are combined, see `layers.PoolValues`.
        table: of a known field: what is known of each id, float32 (size + 1, d). The model does not change it; it
            learns the matrix (d, k) that turns a row into a vector.
        wide: the field enters the first order alone: its values have a weight each, and no vector.
        owner: whose field it is. A "user" or "film" field is the same in all rows of that user or film; the values
            of a "rating" field belong to the single row.
    """

    name: str
    kind: str
    column: str
    size: int = 0
    vocabulary: tuple | None = None
    slots: int = 1
    truncating: str = "post"
    pooling: str = "mean"
    table: np.ndarray | None = field(default=None, repr=False, compare=False)
    wide: bool = False
    owner: str = "rating"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"feature {self.name}: kind {self.kind!r} is not one of {', '.join(KINDS)}")
        if (self.kind == "known") != (self.table is not None) or (
            self.table is not None and len(self.table) != self.size + 1
        ):
            raise ValueError(
                f"feature {self.name}: a known field, and no other, has a table of size + 1 = {self.size + 1} rows"
            )
        if self.owner not in OWNERS:
            raise ValueError(f"feature {self.name}: owner {self.owner!r} is not one of {', '.join(OWNERS)}")
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"feature {self.name}: pooling {self.pooling!r} is not one of {', '.join(POOLINGS)}"
            )

    @property
    def input_name(self) -> str:
        """Name of the Keras input."""
        return f"input_{self.name}"

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Returns the model input for every row of `frame`.

        Shapes: numeric float32 (n, 1); single and known int32 (n, 1); multi int32 (n, slots).

        Raises:
            KeyError: the frame lacks the column.
            ValueError: an id lies outside 0 … size.
        """
        if self.column not in frame:
            raise KeyError(
                f"feature {self.name}: no column {self.column!r}; the frame has {', '.join(frame.columns)}"
            )
        column = frame[self.column]
        if self.kind == "numeric":
            return column.to_numpy(np.float32)[:, None]
        if self.vocabulary is None:
            ids = np.stack(column.to_list()) if self.kind == "multi" else column.to_numpy()
            if self.size and len(ids) and not 0 <= ids.min() <= ids.max() <= self.size:
                raise ValueError(
                    f"feature {self.name}: ids {ids.min()} to {ids.max()} do not fit 0 … {self.size}"
                )
            return ids.astype(np.int32).reshape(len(frame), self.slots)
        codes, values = pd.factorize(column)
        return self._ids_of(values)[codes]

    def _ids_of(self, values: Iterable) -> np.ndarray:
        """Ids of distinct values, (len(values), slots); a value outside the vocabulary gets 0."""
        index = {value: i for i, value in enumerate(self.vocabulary, start=1)}
        if self.kind == "multi":
            return _pad(
                [[index[g] for g in _genres(t) if g in index] for t in values], self.slots, self.truncating
            )
        return np.array([index.get(value, 0) for value in values], np.int32)[:, None]


@dataclass(frozen=True)
class Cross(Feature):
    """A crossed feature: one id for every combination of two fields (Cheng et al. 2016, section 3.1)."""

    parts: tuple[Feature, Feature] = ()

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        left, right = (part.encode(frame) for part in self.parts)
        pairs = (left[:, :, None] - 1) * self.parts[1].size + right[:, None, :]
        known = (left[:, :, None] > 0) & (right[:, None, :] > 0)
        return np.where(known, pairs, 0).reshape(len(frame), self.slots).astype(np.int32)


def cross(left: Feature, right: Feature) -> Cross:
    """Describes the cross of two categorical fields, e.g. gender × genre (chapter 6).

    Raises:
        ValueError: one of the fields is numeric.
    """
    if "numeric" in (left.kind, right.kind):
        raise ValueError(f"cross of {left.name} and {right.name}: a numeric field has no ids to combine")
    slots = left.slots * right.slots
    return Cross(
        name=f"{left.name}_x_{right.name}",
        kind="multi" if slots > 1 else "single",
        column=left.column,
        size=left.size * right.size,
        slots=slots,
        pooling="sum",
        owner=left.owner if left.owner == right.owner else "rating",
        parts=(left, right),
    )


def _genres(text: str) -> list[str]:
    return [genre for genre in text.lower().split("|") if genre]


def _pad(sequences: Sequence[Sequence[int]], slots: int, truncating: str) -> np.ndarray:
    """Sequences as rows of `slots` ids, zeros at the end."""
    if truncating not in ("pre", "post"):
        raise ValueError(f"truncating {truncating!r} is not 'pre' or 'post'")
    ids = np.zeros((len(sequences), slots), np.int32)
    for row, sequence in zip(ids, sequences, strict=True):
        kept = sequence[-slots:] if truncating == "pre" else sequence[:slots]
        row[: len(kept)] = kept
    return ids


def genre_index(text: Iterable[str], n_genre: int | None = None) -> dict[str, int]:
    """Numbers the lower-cased genres by how many films carry them, most frequent first, from 1.

    Ties keep the order of first appearance, as the `Tokenizer` of older Keras versions did. With `n_genre`
    only ids below `n_genre` are kept, so `n_genre=15` keeps 14 genres (the same meaning as its `num_words`).
    """
    counts = Counter(genre for films in text for genre in _genres(films))
    ranked = [genre for genre, _ in counts.most_common()]
    return {genre: i for i, genre in enumerate(ranked if n_genre is None else ranked[: n_genre - 1], start=1)}


def text2seq(
    text: Sequence[str], n_genre: int | None = None, maxlen: int | None = None, truncating: str = "post"
) -> np.ndarray:
    """Encodes `A|B|C` genre strings as padded id sequences (chapter 2).

    Args:
        text: one string per film.
        n_genre: ids from `n_genre` on are dropped; None keeps all. The post: 15.
        maxlen: number of slots; None takes the longest list. The post: 3.
        truncating: which end of a longer list is cut, "post" or "pre". The post: "pre".

    Returns:
        int32 array (n, maxlen), zeros at the end of each row.
    """
    text = list(text)
    index = genre_index(text, n_genre)
    sequences = [[index[genre] for genre in _genres(films) if genre in index] for films in text]
    return _pad(sequences, maxlen or max(map(len, sequences), default=1), truncating)


def post_features(n_uid: int, n_mid: int, n_genre: int) -> tuple[Feature, ...]:
    """The four inputs of the post, in its order, for a frame whose `movie_genre` holds id lists."""
    return (
        Feature("user_fea3", "numeric", "occupation", owner="user"),
        Feature("uid", "single", "uid", int(n_uid), owner="user"),
        Feature("mid", "single", "mid", int(n_mid), owner="film"),
        Feature(
            "genre",
            "multi",
            "movie_genre",
            int(n_genre),
            slots=3,
            truncating="pre",
            pooling="mean_with_padding",
            owner="film",
        ),
    )


def describe(
    data,
    fields: Sequence[str] = ("uid", "mid", "gender", "age", "occupation", "genre"),
    *,
    n_genre: int | None = None,
    slots: int | None = None,
    truncating: str = "post",
    pooling: str = "mean",
) -> tuple[Feature, ...]:
    """Describes the fields of a dataset: vocabularies and sizes are read off its movies and users.

    Args:
        data: a `datasets.MovieLens`.
        fields: names out of uid, mid, genre, gender, age, occupation, and user_fea3 (the occupation code
            taken as a number, as the post does).
        n_genre: how many genres keep an id, the most frequent first; None keeps all. The post: 14.
        slots: how many genres a film may carry; None takes the longest list. The post: 3.
        truncating: which end of a longer list is cut. The post: "pre".
        pooling: how genre vectors are combined: "mean", "sum", "multi_hot" or "mean_with_padding" (the post).

    Raises:
        ValueError: an unknown field name.
    """
    genres = tuple(genre_index(data.movies.movie_genre, None if n_genre is None else n_genre + 1))

    def categorical(column: str) -> Feature:
        values = tuple(sorted(data.users[column].unique().tolist()))
        return Feature(column, "single", column, len(values), values, owner="user")

    known = {
        "user_fea3": lambda: Feature("user_fea3", "numeric", "occupation", owner="user"),
        "uid": lambda: Feature("uid", "single", "uid", int(data.users.uid.max()), owner="user"),
        "mid": lambda: Feature("mid", "single", "mid", int(data.movies.mid.max()), owner="film"),
        "gender": lambda: categorical("gender"),
        "age": lambda: categorical("age"),
        "occupation": lambda: categorical("occupation"),
        "genre": lambda: Feature(
            "genre", "multi", "movie_genre", len(genres), genres, 1, truncating, pooling, owner="film"
        ),
    }
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise ValueError(f"unknown field {', '.join(unknown)}; choose from {', '.join(known)}")
    features = [known[name]() for name in fields]
    longest = max((len(_genres(text)) for text in data.movies.movie_genre), default=1)
    return tuple(replace(f, slots=slots or longest) if f.kind == "multi" else f for f in features)


def df2xy(
    ratings: pd.DataFrame, features: Sequence[Feature] | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Turns joined ratings into model inputs and targets.

    Args:
        ratings: joined ratings frame.
        features: field descriptions; None means the post's four, with `movie_genre` holding id lists.

    Returns:
        (x, y), with x one array per feature, in their order, and y the ratings in stars, float32 (n,).
    """
    features = post_features(0, 0, 0) if features is None else features
    return [feature.encode(ratings) for feature in features], ratings["rating"].to_numpy(np.float32)


def split_rows(
    ratings: pd.DataFrame, held: float = 0.1, seed: int = 0, by: str = "random"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits a frame in two disjoint parts, each in file order (chapters 7 and 8).

    Args:
        ratings: the rows to split.
        held: fraction held out, between 0 and 1; exactly `round(held * n)` rows unless `by="user"`.
        seed: fixes the drawing.
        by: "random" draws rows; "tail" takes the last rows as they stand, as Keras' `validation_split` does;
            "user" holds out whole users, drawn until the fraction is reached; "time" the latest rows.

    Returns:
        (kept, held_out)

    Raises:
        ValueError: `held` or `by` out of range, or a part would be empty.
    """
    if not 0 < held < 1:
        raise ValueError(f"held = {held}: choose a fraction between 0 and 1")
    n = len(ratings)
    n_held = round(held * n)
    rng = np.random.default_rng(seed)
    out = np.zeros(n, bool)
    if by == "random":
        out[rng.permutation(n)[:n_held]] = True
    elif by == "tail":
        out[n - n_held :] = True
    elif by == "time":
        out[np.argsort(ratings["timestamp"].to_numpy(), kind="stable")[n - n_held :]] = True
    elif by == "user":
        codes, users = pd.factorize(ratings["uid"])
        order = rng.permutation(len(users))
        rows_before = np.cumsum(np.bincount(codes)[order]) - np.bincount(codes)[order]
        out = np.isin(codes, order[rows_before < n_held])
    else:
        raise ValueError(f"by = {by!r}: choose random, tail, user or time")
    if not 0 < out.sum() < n:
        raise ValueError(f"held = {held} of {n} rows by {by} leaves an empty part; use more rows")
    return ratings[~out], ratings[out]
