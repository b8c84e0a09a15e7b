"""From a score to a list: all films for a person at once, new people and films, and how good a list is.

A DeepFM scores pairs. Cut between the fields of the user and those of the film, it needs little work per pair
(equations eq-topn-split and eq-topn-hidden), and the result is the model's own to rounding.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers.evaluation import head_weights
from deepfm_helpers.features import Feature, describe

SMALL_PRODUCT = 2**18  # multiplications up to which OpenBLAS keeps a product on the thread that asked for it
BLOCK = 256  # users that a thread scores in one go


class Embedded(NamedTuple):
    """The p fields of one side of n rows: weights (n, p), vectors (n, p, k), pairs inside a field (n,)."""

    first: np.ndarray
    vectors: np.ndarray
    within: np.ndarray


class Side(NamedTuple):
    """What n users or films bring to a score: weight and own pairs (n,), vector (n, k), hidden (n, h)."""

    first: np.ndarray
    own: np.ndarray
    vector: np.ndarray
    hidden: np.ndarray

    def take(self, rows) -> Side:
        """The side of some of the rows."""
        return Side(*(a[rows] for a in self))


class TwoSides:
    """A trained model cut in two, with the arrays of all users and all films of a dataset.

    A user or film without a training row has an id whose weights were never trained. It gets the
    average over the training rows instead, so that its other fields decide.

    Args:
        model: the last of `models.deep_fm_model`, or `models.fm_model`, possibly loaded from a file.
        data: the `datasets.MovieLens` with the users and films.
        features: the fields of the model; None: `features.describe(data)`.
        ratings: the training rows, which say who has seen what; None: all of `data.ratings`.

    Attributes:
        users, films: the frames of `data` sorted by id; positions in arrays count their rows.
        counts: training rows of each film.

    Raises:
        ValueError: the model is of another kind, a field belongs neither to the user nor to the film alone,
            or the features are not those of the model.
    """

    def __init__(
        self,
        model,
        data,
        features: Sequence[Feature] | None = None,
        ratings: pd.DataFrame | None = None,
    ):
        self.features = tuple(describe(data) if features is None else features)
        ratings = data.ratings if ratings is None else ratings
        self.users = data.users.sort_values("uid", ignore_index=True)
        self.films = data.movies.sort_values("mid", ignore_index=True)
        self._owners = [self._owner(f) for f in self.features]
        self._read(model)

        by_user, by_film = (
            pd.Index(frame[key]).get_indexer(ratings[key])
            for frame, key in ((self.users, "uid"), (self.films, "mid"))
        )
        self.counts = np.bincount(by_film, minlength=len(self.films))
        order = np.argsort(by_user, kind="stable")
        self._seen = by_film[order]
        self._seen_from = np.searchsorted(by_user[order], np.arange(len(self.users) + 1))

        self._known, self._share, sides = {}, {}, {}
        rows_of = {"user": np.diff(self._seen_from), "film": self.counts}
        for side, key, frame in (("user", "uid", self.users), ("film", "mid", self.films)):
            embedded = self._embed(side, frame)
            self._share[side] = (rows_of[side] / rows_of[side].sum())[rows_of[side] > 0]
            self._known[side] = Embedded(*(a[rows_of[side] > 0] for a in embedded))
            self._average(side, embedded, key, rows_of[side] == 0)
            sides[side] = self._side(side, embedded)
        self.user_side, self.film_side = sides["user"], sides["film"]
        self._tiles = self._tiled(self.film_side.hidden)

    def scores(self, users: Sequence[int] | Side) -> np.ndarray:
        """Scores of all films, in stars, float32 (users, films), for uids or for what `new_user` returned."""
        user, film = self._user(users), self.film_side
        first, second, deep = (
            np.float32(self._weights.get(part, 0.0)) for part in ("first_order", "second_order", "deep")
        )
        scores = _product(second * user.vector, film.vector.T)
        if deep:
            scores += deep * self._deep(user.hidden, *self._tiles)
        scores += (first * user.first + second * user.own)[:, None]
        scores += first * film.first + second * film.own + np.float32(self.bias)
        return scores

    def parts(self, users: Sequence[int] | Side, films: Side | None = None) -> dict[str, np.ndarray]:
        """What each part adds to each score, in stars: name -> float32 (users, films).

        Args:
            users: uids, or what `new_user` returned.
            films: what `new_film` returned; None: all films.
        """
        user = self._user(users)
        film, tiled = (self.film_side, self._tiles) if films is None else (films, self._tiled(films.hidden))
        formulas = {
            "first_order": lambda: user.first[:, None] + film.first,
            "second_order": lambda: user.vector @ film.vector.T + (user.own[:, None] + film.own),
            "deep": lambda: self._deep(user.hidden, *tiled),
        }
        return {name: np.float32(weight) * formulas[name]() for name, weight in self._weights.items()}

    def top(
        self, users: Sequence[int], n: int = 10, *, min_ratings: int = 1, scores: np.ndarray | None = None
    ) -> np.ndarray:
        """The n best films for each user that the user has not seen: positions in `films`, int64 (users, n).

        Equal scores are ordered by film id. A row ends in −1 where fewer than n films are left.

        Args:
            users: uids.
            min_ratings: films with fewer training rows are left out; 0 lets in films nobody has rated.
            scores: rank these under the same rules instead, (films,) or (users, films), such as `counts`.
        """
        if n < 1:
            raise ValueError(f"n = {n}: ask for at least one film")
        users, rows = np.asarray(users), self._rows("uid", users)
        rare = self.counts < min_ratings

        def block(start: int) -> np.ndarray:
            here = slice(start, start + BLOCK)
            if scores is None:
                block_scores = self.scores(users[here])
            else:
                block_scores = np.array(
                    scores[here] if np.ndim(scores) == 2 else [scores] * len(rows[here]), "f8"
                )
            block_scores[:, rare] = -np.inf
            for line, row in zip(block_scores, rows[here], strict=True):
                line[self._seen[self._seen_from[row] : self._seen_from[row + 1]]] = -np.inf
            return best(block_scores, n)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            blocks = list(pool.map(block, range(0, len(users), BLOCK)))
        return np.concatenate([np.empty((0, n), np.int64), *blocks])

    def new_user(
        self, description: Mapping, likes: Sequence = (), *, target: float = 5.0, noise: float = 1.0
    ) -> Side:
        """Someone whom the model has not met, as a mixture of those it has (equation eq-topn-mixture).

        Args:
            description: column -> value, such as {"age": 25, "gender": "F"}; what is missing is the average.
            likes: mids or full titles of films this person likes.
            target: the rating that a liked film stands for: 5 stars, or 1 for a model of 0 and 1.
            noise: standard deviation of a rating around its score; the RMSE of the model is a good choice.

        Raises:
            ValueError: a value or a film that the data does not know.
        """
        embedded = self._described("user", description)
        if len(likes):
            known = self._known["user"]
            columns = [f.column for f in self._fields("user")]
            if "uid" not in columns:
                raise ValueError("the model has no field uid: it cannot learn what one person likes")
            j = columns.index("uid")
            candidates = Embedded(*(np.repeat(a, len(known.within), axis=0) for a in embedded))
            candidates.first[:, j], candidates.vectors[:, j] = known.first[:, j], known.vectors[:, j]
            liked = self.film_side.take(self._film_rows(likes))
            stars = self.bias + sum(self.parts(self._side("user", candidates), liked).values())
            evidence = -np.square(target - stars.astype("f8")).sum(axis=1) / (2 * noise**2)
            share = np.exp(evidence - evidence.max())
            share /= share.sum()
            embedded.first[0, j] = share @ known.first[:, j]
            embedded.vectors[0, j] = share @ known.vectors[:, j]
        return self._side("user", embedded)

    def new_film(self, description: Mapping) -> Side:
        """A film that nobody has rated, from its columns, such as {"movie_genre": "Action|Sci-Fi"}.

        Raises:
            ValueError: a genre that the data does not know.
        """
        return self._side("film", self._described("film", description))

    def _user(self, users: Sequence[int] | Side) -> Side:
        return users if isinstance(users, Side) else self.user_side.take(self._rows("uid", users))

    def _owner(self, feature: Feature) -> str:
        """Whose field this is: user or film."""
        for side, frame in (("user", self.users), ("film", self.films)):
            if type(feature) is Feature and feature.column in frame:
                return side
        raise ValueError(
            f"field {feature.name} belongs to the pair of user and film, so the model cannot be cut between "
            "them: score its pairs with model.predict, or train a model without this field"
        )

    def _read(self, model) -> None:
        """Takes what is needed out of the model: a probe for the embeddings, and the weights after them."""
        from deepfm_helpers._keras import keras

        layers = {layer.name: layer for layer in model.layers}
        described = {f.input_name for f in self.features}
        if "deepfm_output" not in layers:
            raise ValueError("not a model of models.deep_fm_model or models.fm_model: no layer deepfm_output")
        if described != {i.name for i in model.inputs} or len(set(self._owners)) < 2:
            raise ValueError(
                f"the model's inputs are {', '.join(i.name for i in model.inputs)}; the features are for "
                f"{', '.join(sorted(described))}: give those it was trained with, of user and of film"
            )
        for f in self.features:
            table = layers.get(f"cat_embed_2d_{f.name}", layers.get(f"cat_embed_1d_{f.name}"))
            if table is not None and table.input_dim != f.size + 1:
                raise ValueError(
                    f"field {f.name}: the model knows {table.input_dim - 1} values and the features describe "
                    f"{f.size}; describe the data that the model was trained on, in the same way"
                )
        self._weights, self.bias = head_weights(model)

        def outputs(prefix: str) -> dict:
            return {
                f.name: layers[prefix + f.name].output for f in self.features if prefix + f.name in layers
            }

        self._probe = keras.Model(
            {i.name: i for i in model.inputs},
            {
                "first": outputs("flat_1d_"),
                "vectors": {"": layers["concat_embed_2d"].output} if "concat_embed_2d" in layers else {},
                "within": outputs("pairs_within_"),
            },
        )
        dense = [layers[name] for name in layers if name.startswith("deep_") and name != "deep_output"]
        dense += [layers["deep_output"]] if "deep" in self._weights else []
        self._dense = [tuple(layer.get_weights()) for layer in dense]
        last = dense[-1].activation.__name__ if dense else "linear"
        if last not in ("linear", "relu"):
            raise ValueError(f"deep_activation = {last!r}: only None and 'relu' are supported")
        self._lowest = 0.0 if last == "relu" else -np.inf

    def _embed(self, side: str, frame: pd.DataFrame) -> Embedded:
        """Looks the fields of one side up in the model; the other side's inputs are zeros and not read."""
        from deepfm_helpers._keras import keras

        to_numpy = keras.ops.convert_to_numpy
        zeros = {f.input_name: np.zeros((len(frame), f.slots), "f4" if f.kind == "numeric" else "i4")
                 for f in self.features}  # fmt: skip
        mine = self._fields(side)
        found = self._probe(zeros | {f.input_name: f.encode(frame) for f in mine}, training=False)
        found = {
            kind: {name: to_numpy(a).copy() for name, a in group.items()} for kind, group in found.items()
        }
        nothing = np.zeros((len(frame), len(self.features), 0), "f4")
        own = [i for i, owner in enumerate(self._owners) if owner == side]
        first = [found["first"].get(f.name, np.zeros((len(frame), 1), "f4")) for f in mine]
        within = [found["within"][f.name][:, 0] for f in mine if f.name in found["within"]]
        return Embedded(
            np.concatenate(first, axis=1),
            found["vectors"].get("", nothing)[:, own],
            sum(within, np.zeros(len(frame), "f4")),
        )

    def _side(self, side: str, embedded: Embedded) -> Side:
        """Adds the fields of each row up, and takes them through their half of the first hidden layer."""
        first, vectors, within = embedded
        total = vectors.sum(axis=1)
        own = 0.5 * (np.square(total) - np.square(vectors).sum(axis=1)).sum(axis=1) + within
        hidden = np.zeros((len(first), 0), "f4")
        if self._dense:
            kernel, bias = self._dense[0]
            mine = [i for i, owner in enumerate(self._owners) if owner == side]
            half = kernel.reshape(len(self.features), -1, kernel.shape[1])[mine]
            hidden = vectors.reshape(len(first), -1) @ half.reshape(-1, kernel.shape[1])
            hidden = hidden + bias if side == "film" else hidden
        return Side(first.sum(axis=1), own, total, hidden)

    def _tiled(self, film: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """What the network needs of the film halves: −t of each layer in tiles, and the constant after it.

        A tile is so small that its products stay on the thread that asks for them.
        """
        rest = self._dense[1:]
        tile = max(1, SMALL_PRODUCT // max((kernel.size for kernel, _ in rest), default=1))
        tile = min(tile, max(1, len(film)))
        shift = np.zeros((-(-len(film) // tile) * tile, film.shape[1]), "f4")
        shift[: len(film)] = film
        floors = []
        for kernel, bias in rest:
            floors.append(-shift.reshape(-1, tile, shift.shape[1]))
            shift = shift @ kernel + bias
        return floors, shift[: len(film)].sum(axis=1)  # of one column, or of none

    @np.errstate(invalid="ignore")  # OpenBLAS may raise the flag on finite numbers
    def _deep(self, user: np.ndarray, floors: list[np.ndarray], constant: np.ndarray) -> np.ndarray:
        """The network from the sum of two hidden halves on, (users, films).

        relu(s + t) is max(s, −t) + t, and what "+ t" adds after the next layer depends on the film alone. So
        a pair costs one maximum a layer, and the products.
        """
        works = [np.empty_like(floor) for floor in floors]
        out = np.empty((len(user), len(constant)), "f4")
        for row, x in zip(out, user, strict=True):
            for floor, work, (kernel, _) in zip(floors, works, self._dense[1:], strict=True):
                np.maximum(x, floor, out=work)
                x = work @ (kernel[:, 0] if kernel.shape[1] == 1 else kernel)
            row[:] = np.ravel(x)[: len(constant)] if floors else x
        out += constant
        return np.maximum(out, self._lowest, out=out)

    def _described(self, side: str, description: Mapping) -> Embedded:
        """One row from a description; its id is the typical one."""
        key = {"user": "uid", "film": "mid"}[side]
        fields = {f.column: f for f in self._fields(side) if f.column != key}
        for column, value in description.items():
            if column not in fields:
                raise ValueError(f"the model has no field for {column}; it knows {', '.join(fields)}")
            values = value.lower().split("|") if fields[column].kind == "multi" else [value]
            known = fields[column].vocabulary or values
            if strange := [v for v in values if v not in known]:
                choices = ", ".join(map(str, known))
                raise ValueError(f"{column} = {strange[0]!r} is unknown; choose from {choices}")
        frame = self.users if side == "user" else self.films
        embedded = self._embed(side, frame.head(1).assign(**description))
        for f in self._fields(side):
            if f.column not in description:
                self._average(side, embedded, f.column, np.array([True]))
        return embedded

    def _average(self, side: str, embedded: Embedded, column: str, rows: np.ndarray) -> None:
        """Gives a field of some rows the weight and vector that it has on average over the training rows."""
        columns, known = [f.column for f in self._fields(side)], self._known[side]
        if column in columns and rows.any() and len(known.within):
            j, share = columns.index(column), self._share[side]
            embedded.first[rows, j] = share @ known.first[:, j]
            embedded.vectors[rows, j] = share @ known.vectors[:, j]

    def _fields(self, side: str) -> list[Feature]:
        """The fields of one side, in the order of the model."""
        return [f for f, owner in zip(self.features, self._owners, strict=True) if owner == side]

    def _rows(self, key: str, ids: Sequence[int]) -> np.ndarray:
        """Positions of uids or mids."""
        frame = self.users if key == "uid" else self.films
        rows = pd.Index(frame[key]).get_indexer(np.atleast_1d(ids))
        if (rows < 0).any():
            stranger = np.atleast_1d(ids)[rows < 0][0]
            hint = "; describe someone new with a dict, see new_user" if key == "uid" else ""
            raise ValueError(f"{key} {stranger} is not among the {len(frame):,} of the data{hint}")
        return rows

    def _film_rows(self, likes: Sequence) -> np.ndarray:
        """Positions of films given by mid or by title."""
        by_title = dict(zip(self.films.movie_name, self.films.mid, strict=True))
        if unknown := [like for like in likes if isinstance(like, str) and like not in by_title]:
            near = [t for t in by_title if unknown[0].lower() in t.lower()][:3]
            raise ValueError(
                f"no film is called {unknown[0]!r}" + (f"; perhaps {', '.join(near)}" if near else "")
            )
        return self._rows("mid", [by_title[like] if isinstance(like, str) else like for like in likes])


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a @ b in stacks of a few rows, so that the product stays on the thread that asks for it."""
    rows = max(1, SMALL_PRODUCT // max(1, b.size))
    stacks = np.zeros((-(-len(a) // rows) * rows, a.shape[1]), a.dtype)
    stacks[: len(a)] = a
    product = stacks.reshape(len(stacks) // rows, rows, a.shape[1]) @ b
    return product.reshape(len(stacks), b.shape[1])[: len(a)]


def recommend(
    model,
    user: int | Mapping,
    n: int = 10,
    *,
    data=None,
    features: Sequence[Feature] | None = None,
    ratings: pd.DataFrame | None = None,
    min_ratings: int = 1,
    target: float = 5.0,
    noise: float = 1.0,
) -> pd.DataFrame:
    """The n films with the highest scores that a person has not seen, and why (notebook 12_recommending).

    Args:
        model: a Keras model with `data`, `features` and `ratings` as in `TwoSides`, or a `TwoSides`.
        user: a uid, or a description such as {"age": 25, "gender": "F", "likes": ["Toy Story (1995)"]}: the
            columns of the users and, optionally, the mids or titles of films that this person likes.
        n: how many films; fewer come back where fewer are left.
        min_ratings: films with fewer training rows are left out; 0 lets in films nobody has rated.
        target, noise: what liked films count for, see `TwoSides.new_user`.

    Returns:
        One row a film, best first and indexed by rank, with mid, title, score, one column per part of the score and
        bias, all in stars, and ratings, the training rows of the film.

    Raises:
        ValueError: an unknown uid, film or value, or a model that cannot be cut in two.
    """
    if not isinstance(model, TwoSides):
        if data is None:
            raise ValueError("recommend needs data: a datasets.MovieLens with the titles, users and ratings")
        model = TwoSides(model, data, features, ratings)
    if isinstance(user, Mapping):
        likes = user.get("likes", ())
        side = model.new_user(
            {name: value for name, value in user.items() if name != "likes"},
            likes,
            target=target,
            noise=noise,
        )
        hidden = model._film_rows(likes) if len(likes) else np.empty(0, np.int64)
        scores = model.scores(side)
        scores[:, model.counts < min_ratings] = -np.inf
        scores[:, hidden] = -np.inf
        films = best(scores, n)[0]
    else:
        side = model.user_side.take(model._rows("uid", [user]))
        films = model.top([user], n, min_ratings=min_ratings)[0]
    films = films[films >= 0]
    parts = model.parts(side, model.film_side.take(films))
    table = model.films.loc[films, ["mid", "movie_name"]].rename(columns={"movie_name": "title"})
    table["score"] = sum(parts.values())[0] + model.bias
    for name, values in parts.items():
        table[name] = values[0]
    table = table.assign(bias=model.bias, ratings=model.counts[films])
    return table.set_index(pd.RangeIndex(1, len(films) + 1, name="rank"))


def best(scores: np.ndarray, n: int) -> np.ndarray:
    """Positions of the n largest scores of each row, largest first, int64 (rows, n).

    Equal scores are ordered by position. A score of −inf is never chosen: its place holds −1.
    """
    lists = np.full((len(scores), n), -1, np.int64)
    m = min(n, scores.shape[1])
    if m == 0:
        return lists
    lowest = np.partition(scores, -m, axis=1)[:, -m]
    for line, row, least in zip(lists, scores, lowest, strict=True):
        chosen = np.flatnonzero((row >= least) & (row > -np.inf))
        chosen = chosen[np.argsort(-row[chosen], kind="stable")[:n]]
        line[: len(chosen)] = chosen
    return lists


def liked(rows: pd.DataFrame, users: Sequence[int], films: Sequence[int], stars: float = 4.0) -> np.ndarray:
    """Which films each user rated with at least so many stars in `rows`: bool (users, films)."""
    rows = rows[rows["rating"] >= stars]
    u, f = pd.Index(users).get_indexer(rows["uid"]), pd.Index(films).get_indexer(rows["mid"])
    inside = (u >= 0) & (f >= 0)
    relevant = np.zeros((len(users), len(films)), bool)
    relevant[u[inside], f[inside]] = True
    return relevant


def liked_or_drawn(rows: pd.DataFrame, times: int = 3, seed: int = 0, stars: float = 4.0) -> pd.DataFrame:
    """Rows for a model of who likes what: films liked get rating 1, films drawn at random for their users 0.

    Args:
        rows: joined training rows.
        times: films drawn for each liked one, evenly from the films in `rows`; those liked are dropped.
        seed: fixes the drawing.
    """
    rng = np.random.default_rng(seed)
    likes = rows[rows["rating"] >= stars]
    films = rows.drop_duplicates("mid")[["mid", "movie_name", "movie_genre"]]
    drawn = likes.loc[likes.index.repeat(times)].reset_index(drop=True)
    picked = films.iloc[rng.integers(len(films), size=len(drawn))].reset_index(drop=True)
    drawn[list(films)] = picked
    pairs = pd.MultiIndex.from_frame(drawn[["uid", "mid"]])
    drawn = drawn[~pairs.isin(pd.MultiIndex.from_frame(likes[["uid", "mid"]]))]
    both = [likes.assign(rating=np.float32(1)), drawn.assign(rating=np.float32(0))]
    return pd.concat(both, ignore_index=True)


def ranking(lists: np.ndarray, relevant: np.ndarray) -> pd.Series:
    """How good lists are: recall@n, nDCG@n and coverage (equation eq-topn-ndcg), each between 0 and 1.

    Users without a relevant film do not count in recall and nDCG.

    Args:
        lists: positions of films, best first, (users, n), −1 where a list has ended.
        relevant: bool (users, films).

    Returns:
        `recall`, the mean share of the relevant films that the list holds; `ndcg`, the mean gain, discounted by the
        logarithm of the place, over that of a perfect list; `coverage`, the share of all films in any list.

    Raises:
        ValueError: no user has a relevant film.
    """
    wanted = relevant.sum(axis=1)
    if not wanted.any():
        raise ValueError("no user has a relevant film: nothing to measure")
    hits = np.take_along_axis(relevant, np.maximum(lists, 0), axis=1) & (lists >= 0)
    discount = 1 / np.log2(np.arange(2, lists.shape[1] + 2))
    ideal = np.concatenate([[0], np.cumsum(discount)])[np.minimum(wanted, lists.shape[1])]
    some = wanted > 0
    return pd.Series(
        {
            "recall": (hits.sum(axis=1)[some] / wanted[some]).mean(),
            "ndcg": ((hits @ discount)[some] / ideal[some]).mean(),
            "coverage": len(np.unique(lists[lists >= 0])) / relevant.shape[1],
        }
    )


def save(model, features: Sequence[Feature], folder: str | Path) -> None:
    """Writes `model.keras` and, beside it, `features.json`: which value has which id."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.keras")
    text = json.dumps([asdict(f) for f in features], indent=1, ensure_ascii=False)
    (folder / "features.json").write_text(text, encoding="utf-8")


def load(folder: str | Path) -> tuple:
    """Reads what `save` wrote: the model and its features.

    Raises:
        FileNotFoundError: a file is missing.
    """
    from deepfm_helpers import layers  # noqa: F401  (registers the layers of the saved model)
    from deepfm_helpers._keras import keras

    folder = Path(folder)
    fields = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    fields = [f | {"vocabulary": f["vocabulary"] and tuple(f["vocabulary"])} for f in fields]
    return keras.models.load_model(folder / "model.keras", compile=False), tuple(Feature(**f) for f in fields)
