"""From frames to model inputs: a `Feature` describes a field once, and all that a model needs to know of it follows.

Id 0 always means "padding, missing or unknown"; values are numbered from 1. Chapters 2 and 3 derive the encodings.
"""

from __future__ import annotations

import base64
import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from deepfm_helpers.columns import column_of, finite_numbers, ids_of, seconds, whole_numbers

KINDS = ("numeric", "single", "multi", "known")
POOLINGS = ("mean", "sum", "multi_hot", "mean_with_padding")
KEYS = {"user": "uid", "film": "mid", "rating": None}
"""What a field can describe, and the column of ids that says which user or film a row is about."""

FRAMES = {"user": "users", "film": "movies", "rating": "ratings"}
"""The frame of a `datasets.MovieLens` that describes each of them."""

_CLASSES: dict[str, type] = {}  # by name, for reading a field that was written


@dataclass(frozen=True)
class Feature:
    """One field of the model: where its values come from, how they become numbers, and what they describe.

    A subclass may read cells in another way (`read`, as `Year` does) or encode frames in another way (`encode`).

    Attributes:
        name: short name; the Keras input is called ``input_<name>``.
        kind: "numeric" (one float), "single" (one id), "multi" (up to `slots` ids) or "known" (one id, about which
            `table` holds a row of numbers).
        column: column of the joined ratings frame that holds the values.
        size: largest id; an embedding table has `size + 1` rows. 0 for a numeric field.
        vocabulary: the values of ids 1, 2, …; None if the column holds the ids themselves.
        slots: how many ids one row may carry; 1 unless the field is multi-valued.
        truncating: "post" keeps the first `slots` values of a longer list, "pre" the last ones.
        pooling: how the vectors of a multi-valued field are combined, see `layers.PoolValues`.
        table: what is known about each id of a known field, float32 (size + 1, d). The model does not change the
            table; it learns the matrix (d, k) that turns a row into a vector.
        wide: the field enters the first order alone: each of its values has a weight, but no vector.
        owner: what the field describes. A "user" or "film" field is the same in all rows of that user or film; a
            "rating" field may differ from row to row.
        penalty: λ for the table of the field's vectors (for a wide field: of its weights), in units of one rating. A
            recipe with penalties uses it unless it names another λ; see `recipes`.

    Raises:
        ValueError: the kind, the owner or the pooling is unknown, or the size does not fit the vocabulary or the table.
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
    penalty: float = 25.0

    def __init_subclass__(cls) -> None:
        _CLASSES[cls.__name__] = cls

    def __post_init__(self) -> None:
        for attribute, choices in (("kind", KINDS), ("owner", KEYS), ("pooling", POOLINGS)):
            if (value := getattr(self, attribute)) not in choices:
                raise ValueError(
                    f"feature {self.name}: {attribute} {value!r} is not one of {', '.join(choices)}"
                )
        if (self.kind == "known") != (self.table is not None) or (
            self.table is not None and len(self.table) != self.size + 1
        ):
            raise ValueError(
                f"feature {self.name}: a known field, and no other, has a table of size + 1 = {self.size + 1} rows"
            )
        if self.vocabulary is not None and len(self.vocabulary) != self.size:
            raise ValueError(
                f"feature {self.name}: the vocabulary has {len(self.vocabulary)} values, and size is {self.size}"
            )

    @property
    def input_name(self) -> str:
        """Name of the Keras input."""
        return f"input_{self.name}"

    def read(self, cell) -> Sequence:
        """Returns the values in one cell of the column: the cell itself, or A, B and C of a multi-valued "A|B|C"."""
        return _genres(cell) if self.kind == "multi" else (cell,)

    def described(self, frame: pd.DataFrame, n_values: int | None = None) -> Feature:
        """Returns this field with the size, the vocabulary and the slots that its values in a frame call for.

        Args:
            frame: the users, films or ratings of a dataset, according to `owner`.
            n_values: how many values of a multi-valued field keep an id, the most frequent first; None keeps all.

        Raises:
            KeyError: the frame lacks the column.
        """
        column = column_of(frame, self.column, f"feature {self.name}")
        if self.kind == "numeric":
            return self
        if self.column == KEYS[self.owner]:
            return replace(self, size=int(whole_numbers(column, f"feature {self.name}").max(initial=0)))
        read = [self.read(cell) for cell in column.dropna()]
        if self.kind == "multi":
            vocabulary = tuple(_by_frequency(read)[:n_values])
            slots = max([1, *map(len, read)])
        else:
            vocabulary, slots = tuple(sorted({value for values in read for value in values})), 1
        return replace(self, size=len(vocabulary), vocabulary=vocabulary, slots=slots)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Returns the model input for every row of `frame`.

        A missing value has id 0, and so has a value outside the vocabulary. A numeric field needs a number in each row.

        Shapes: numeric float32 (n, 1); single and known int32 (n, 1); multi int32 (n, slots).

        Raises:
            KeyError: the frame lacks the column.
            TypeError: the column holds values of another type, such as ids as text.
            ValueError: an id is not a whole number or lies outside 0 … size, or a number is missing or not finite.
        """
        what = f"feature {self.name}"
        column = column_of(frame, self.column, what)
        if self.kind == "numeric":
            return finite_numbers(column, what).astype(np.float32)[:, None]
        if self.vocabulary is None:
            return ids_of(column, what, self.size, self.slots if self.kind == "multi" else None)
        codes, cells = pd.factorize(column)
        # A missing value has the code −1, the last row.
        return np.concatenate([self._ids(cells), np.zeros((1, self.slots), np.int32)])[codes]

    def _ids(self, cells: Iterable) -> np.ndarray:
        """Returns the ids of distinct cells, (len(cells), slots); leaves out values outside the vocabulary."""
        index = {value: i for i, value in enumerate(self.vocabulary, start=1)}
        text = {isinstance(value, str) for value in index}

        def ids(cell) -> list[int]:
            try:
                values = self.read(cell)
                alike = all(isinstance(value, str) in text for value in values)
            except (TypeError, AttributeError):
                alike = False
            if not alike:
                raise TypeError(
                    f"feature {self.name}: column {self.column!r} holds {cell!r}, of type {type(cell).__name__}; the "
                    f"field knows values such as {self.vocabulary[0]!r}: convert the column"
                )
            return [index[value] for value in values if value in index]

        return _pad(
            [ids(cell) for cell in cells] if index else [[]] * len(cells), self.slots, self.truncating
        )

    def labels(self, codebook: Mapping[str, Mapping] | None = None) -> list[str]:
        """Returns the labels of ids 1, 2, … of a categorical field, for people to read.

        Args:
            codebook: column -> {code: label}, such as `MovieLens.codebook`; a value without a label stands for itself.
        """
        names = (codebook or {}).get(self.column, {})
        values = range(1, self.size + 1) if self.vocabulary is None else self.vocabulary
        return [str(names.get(value, value)) for value in values]

    def to_dict(self) -> dict:
        """Returns the field as a dict that JSON can write and `from_dict` can read."""
        return {"field": type(self).__name__} | {
            f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)
        }

    @staticmethod
    def from_dict(written: Mapping) -> Feature:
        """Returns the field that `to_dict` wrote.

        Raises:
            ValueError: the class of the field is unknown, or has other attributes than those written.
        """
        attributes = {name: _restored(value) for name, value in written.items()}
        name = attributes.pop("field", None)
        if name not in _CLASSES:
            raise ValueError(
                f"no class of fields is called {name!r}; known are {', '.join(_CLASSES)}: "
                "import the module that defines it first"
            )
        try:
            return _CLASSES[name](**attributes)
        except TypeError as error:
            raise ValueError(f"the attributes of a {name} are others than those written: {error}") from None


_CLASSES["Feature"] = Feature


def _plain(value):
    """Returns a field's value in JSON's types; of an array the dtype, the shape and base64 of little-endian bytes."""
    if isinstance(value, Feature):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        array = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        return {
            "dtype": array.dtype.str,
            "shape": list(array.shape),
            "base64": base64.b64encode(array.tobytes()).decode("ascii"),
        }
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


def _restored(value):
    """Returns the value from which `_plain` made this one."""
    if isinstance(value, Mapping) and "base64" in value:
        flat = np.frombuffer(base64.b64decode(value["base64"]), value["dtype"])
        return flat.reshape(value["shape"]).astype(flat.dtype.newbyteorder("="))
    if isinstance(value, Mapping):
        return Feature.from_dict(value)
    return tuple(_restored(v) for v in value) if isinstance(value, list) else value


class Year(Feature):
    """The release year of a film, from the last "(YYYY)" of its title: a decade such as "1930s" before 1970, a single
    year from then on."""

    def read(self, cell) -> Sequence:
        years = re.findall(r"\((\d{4})\)", cell)
        return [f"{year[:3]}0s" if year < "1970" else year for year in years[-1:]]


@dataclass(frozen=True)
class Cross(Feature):
    """A crossed field: it has one id for every combination of values of two fields (Cheng et al. 2016, section 3.1)."""

    parts: tuple[Feature, Feature] = ()

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        left, right = (part.encode(frame) for part in self.parts)
        pairs = (left[:, :, None] - 1) * self.parts[1].size + right[:, None, :]
        known = (left[:, :, None] > 0) & (right[:, None, :] > 0)
        return np.where(known, pairs, 0).reshape(len(frame), self.slots).astype(np.int32)

    def labels(self, codebook: Mapping[str, Mapping] | None = None) -> list[str]:
        left, right = (part.labels(codebook) for part in self.parts)
        return [f"{one} × {other}" for one in left for other in right]


def cross(left: Feature, right: Feature) -> Cross:
    """Describes the cross of two categorical fields, such as gender × genre (chapter 6).

    If the two fields have the same owner, the cross has that owner too; otherwise it belongs to the rating.

    Raises:
        ValueError: one of the fields is numeric, or there are more combinations than int32 can number.
    """
    if "numeric" in (left.kind, right.kind):
        raise ValueError(f"cross of {left.name} and {right.name}: a numeric field has no ids to combine")
    if left.size * right.size > np.iinfo(np.int32).max:
        raise ValueError(
            f"cross of {left.name} and {right.name}: {left.size:,} × {right.size:,} combinations are too many"
        )
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


FIELDS = {
    row.name: row
    for row in (
        Feature("user_fea3", "numeric", "occupation", owner="user"),
        Feature("uid", "single", "uid", owner="user", penalty=12.0),
        Feature("mid", "single", "mid", owner="film", penalty=20.0),
        Feature("gender", "single", "gender", owner="user"),
        Feature("age", "single", "age", owner="user"),
        Feature("occupation", "single", "occupation", owner="user"),
        Feature("genre", "multi", "movie_genre", owner="film"),
        Year("year", "single", "movie_name", owner="film"),
    )
}
"""The fields by name, before a dataset gives them their sizes and vocabularies.

`user_fea3` is the occupation code taken as a number, as in the post. A further row makes a further field.

:meta hide-value:"""

USUAL_FIELDS = ("uid", "mid", "gender", "age", "occupation", "genre")
"""The fields that `describe` describes, if it is not told which, and if the data has them."""


def _genres(text) -> list[str]:
    if not isinstance(text, str):
        if pd.api.types.is_scalar(text) and pd.isna(text):
            return []
        raise TypeError(f"genres are text such as 'Comedy|Drama', not {text!r}")
    return [genre for genre in text.lower().split("|") if genre]


def _by_frequency(lists: Iterable[Sequence]) -> list:
    """Returns the values in the lists, the most frequent first; ties keep the order of first appearance."""
    return [value for value, _ in Counter(value for values in lists for value in values).most_common()]


def _pad(sequences: Sequence[Sequence[int]], slots: int, truncating: str) -> np.ndarray:
    """Returns sequences as rows of `slots` ids, with zeros at the end."""
    if truncating not in ("pre", "post"):
        raise ValueError(f"truncating {truncating!r} is not 'pre' or 'post'")
    ids = np.zeros((len(sequences), slots), np.int32)
    for row, sequence in zip(ids, sequences, strict=True):
        kept = sequence[-slots:] if truncating == "pre" else sequence[:slots]
        row[: len(kept)] = kept
    return ids


def genre_index(text: Iterable[str], n_genre: int | None = None) -> dict[str, int]:
    """Numbers the lower-cased genres from 1, the genre of most films first (chapter 2).

    Ties keep the order of first appearance, as in the `Tokenizer` of older Keras versions.

    Args:
        text: one string "A|B|C" per film; a missing one has no genres.
        n_genre: ids from `n_genre` on are dropped, so that 15 keeps 14 genres, as the Tokenizer's `num_words` does;
            None keeps all.

    Returns:
        genre -> id.

    Raises:
        TypeError: `text` is a single string, or one of its items is not text.
    """
    ranked = _by_frequency(map(_genres, _films(text)))
    return {genre: i for i, genre in enumerate(ranked if n_genre is None else ranked[: n_genre - 1], start=1)}


def _films(text: Iterable[str]) -> list[str]:
    if isinstance(text, str):
        raise TypeError(
            f"text is one string, {text!r}, and would be read letter by letter: give a list of strings"
        )
    return list(text)


def text2seq(
    text: Sequence[str], n_genre: int | None = None, maxlen: int | None = None, truncating: str = "post"
) -> np.ndarray:
    """Encodes `A|B|C` genre strings as padded id sequences (chapter 2).

    Args:
        text: one string "A|B|C" per film; a missing one has no genres.
        n_genre: ids from `n_genre` on are dropped; None keeps all. The post: 15.
        maxlen: number of slots; None takes the longest list. The post: 3.
        truncating: which end of a longer list is cut, "post" or "pre". The post: "pre".

    Returns:
        int32 array (n, maxlen), zeros at the end of each row.

    Raises:
        TypeError: `text` is a single string, or one of its items is not text.
        ValueError: `truncating` is neither "post" nor "pre".
    """
    text = _films(text)
    index = genre_index(text, n_genre)
    sequences = [[index[genre] for genre in _genres(films) if genre in index] for films in text]
    return _pad(sequences, maxlen or max(map(len, sequences), default=1), truncating)


def post_features(n_uid: int, n_mid: int, n_genre: int) -> tuple[Feature, ...]:
    """Describes the four inputs of the post, in its order, for a frame whose `movie_genre` holds lists of ids.

    Args:
        n_uid, n_mid, n_genre: largest ids of the fields; 0 allows every id.
    """
    genre = replace(
        FIELDS["genre"], size=int(n_genre), slots=3, truncating="pre", pooling="mean_with_padding"
    )
    return (
        FIELDS["user_fea3"],
        replace(FIELDS["uid"], size=int(n_uid)),
        replace(FIELDS["mid"], size=int(n_mid)),
        genre,
    )


def describe(
    data,
    fields: Sequence[str] | None = None,
    *,
    n_genre: int | None = None,
    slots: int | None = None,
    truncating: str = "post",
    pooling: str = "mean",
) -> tuple[Feature, ...]:
    """Describes the fields of a dataset, with vocabularies and sizes from its films and users.

    Args:
        data: a `datasets.MovieLens`.
        fields: names out of {names}; see `FIELDS`. None: those of {usual} that the data has.
        n_genre: how many genres keep an id, the most frequent first; None keeps all. The post: 14.
        slots: how many genres a film may carry; None takes the longest list. The post: 3.
        truncating: which end of a longer list is cut. The post: "pre".
        pooling: how genre vectors are combined: "mean", "sum", "multi_hot" or "mean_with_padding" (the post).

    Returns:
        One `Feature` for each name, in their order.

    Raises:
        ValueError: a field name or the pooling is unknown.
        KeyError: the data lacks the column of a field; the message names all such fields, and those that it has.
    """
    frames = {name: getattr(data, FRAMES[field.owner]) for name, field in FIELDS.items()}
    there = [name for name, field in FIELDS.items() if field.column in frames[name]]
    if fields is None:
        fields = [name for name in USUAL_FIELDS if name in there]
    if unknown := [name for name in fields if name not in FIELDS]:
        raise ValueError(f"unknown field {', '.join(unknown)}; choose from {', '.join(FIELDS)}")
    if lacking := [name for name in fields if name not in there]:
        raise KeyError(f"{data.name} has no column for {', '.join(lacking)}; it has {', '.join(there)}")
    described = [FIELDS[name].described(frames[name], n_genre) for name in fields]
    return tuple(
        replace(f, slots=slots or f.slots, truncating=truncating, pooling=pooling) if f.kind == "multi" else f
        for f in described
    )


describe.__doc__ = (describe.__doc__ or "").replace("{names}", ", ".join(FIELDS))
describe.__doc__ = describe.__doc__.replace("{usual}", ", ".join(USUAL_FIELDS))


def df2xy(
    ratings: pd.DataFrame, features: Sequence[Feature] | None = None
) -> tuple[list[np.ndarray], np.ndarray]:
    """Turns joined ratings into model inputs and targets.

    Args:
        ratings: joined ratings frame.
        features: field descriptions; None means the post's four, with `movie_genre` holding id lists.

    Returns:
        (x, y), where x holds one array per feature, in their order, with the shapes of `Feature.encode`, and y holds
        the ratings in stars, float32 (n,).

    Raises:
        KeyError, TypeError, ValueError: see `Feature.encode`; or a rating is missing or is not a finite number.
    """
    features = post_features(0, 0, 0) if features is None else features
    stars = finite_numbers(column_of(ratings, "rating", "targets"), "targets")
    return [feature.encode(ratings) for feature in features], stars.astype(np.float32)


def split_rows(
    ratings: pd.DataFrame, held: float = 0.1, seed: int = 0, by: str = "random"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits a frame into two disjoint parts, each in file order (chapters 7 and 8).

    Args:
        ratings: the rows to split.
        held: fraction held out, between 0 and 1; exactly `round(held * n)` rows unless `by="user"`.
        seed: seed of the draw.
        by: "random" draws rows; "tail" takes the last rows as they stand, as Keras' `validation_split` does;
            "user" holds out whole users, drawn until the fraction is reached (rows without a uid stay together);
            "time" holds out the latest rows.

    Returns:
        (kept, held_out)

    Raises:
        KeyError: the frame lacks `uid` (by="user") or `timestamp` (by="time").
        ValueError: `held` or `by` is out of range, a part would be empty, or a time is missing,
            lies before 1970 or is no whole number of seconds.
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
        out[np.argsort(seconds(ratings, "split by time"), kind="stable")[n - n_held :]] = True
    elif by == "user":
        codes, users = pd.factorize(column_of(ratings, "uid", "split by user"), use_na_sentinel=False)
        order = rng.permutation(len(users))
        rows_before = np.cumsum(np.bincount(codes)[order]) - np.bincount(codes)[order]
        out = np.isin(codes, order[rows_before < n_held])
    else:
        raise ValueError(f"by = {by!r}: choose random, tail, user or time")
    if not 0 < out.sum() < n:
        raise ValueError(f"held = {held} of {n} rows by {by} leaves an empty part; use more rows")
    return ratings[~out], ratings[out]
