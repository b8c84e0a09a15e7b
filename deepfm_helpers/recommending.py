"""Turns scores into lists of films, with the reasons, for known people and for new ones (chapter 12).

A DeepFM scores pairs. `TwoSides` cuts it between the fields of the user and those of the film; then little work is left
for a pair (equations eq-topn-split and eq-topn-hidden), and the scores are those of the model to rounding.

>>> from deepfm_helpers import datasets, features, models, recommending
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> *_, model = models.deep_fm_model(features=features.describe(data), mean_rating=3.5)  # not trained yet
>>> sides = recommending.TwoSides(model, data)
>>> sides.scores([1, 2]).shape
(2, 30)
>>> list(recommending.recommend(sides, {"gender": "F", "likes": [1, 7]}, n=3))
['mid', 'title', 'score', 'first_order', 'second_order', 'deep', 'bias', 'ratings']
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from scipy.special import expit

from deepfm_helpers import anatomy, ranking
from deepfm_helpers.features import FRAMES, Feature, describe
from deepfm_helpers.scoring import Scorer, Side
from deepfm_helpers.sides import Embedded, Half

BLOCK = 256  # users that a thread scores in one go


class TwoSides:
    """A trained model cut in two, with all users and all films of a dataset.

    A user or film without a training row has an id whose weights were never trained. The average over the training
    rows takes their place, so that the other fields decide.

    Args:
        model: the last of `models.deep_fm_model`, or another whole model of `models`, possibly loaded from a file.
        data: the `datasets.MovieLens` with the users and films, or an `own.data.OwnData`, whose items are the films.
        features: the fields of the model, each of a user or of a film; None: `features.describe(data)`.
        ratings: the training rows; None: all of `data.ratings`.
        seen: the rows that say who has seen what; None: the training rows.

    Attributes:
        users: the users of `data` sorted by uid; positions of users count its rows.
        films: the films of `data` sorted by mid; positions of films count its rows.
        counts: number of training rows of each film.
        seen: for each position of a user, the positions of the films that this user has seen.
        task: "rating" or "click"; scores of clicks are in log-odds.
        title: the column of `films` that holds the titles; None if there is none.
        liked: the rating for which a liked film stands if nothing else is said: the highest one.
        bias: the constant of the score, in stars.
        halves: "user" and "film" -> `sides.Half`.

    Raises:
        ValueError: the model is of another kind, a field belongs neither to the user nor to the film alone, the
            features are not those of the model, or there is no training row.
    """

    def __init__(
        self,
        model,
        data,
        features: Sequence[Feature] | None = None,
        ratings: pd.DataFrame | None = None,
        seen: pd.DataFrame | None = None,
    ):
        self.features = _fields_of(model, describe(data) if features is None else features)
        ratings = data.ratings if ratings is None else ratings
        self._scorer = Scorer(model)
        self.bias = self._scorer.bias
        self.task = anatomy.task(model)
        self.title = getattr(data, "title", "movie_name")
        self.liked = data.range[1]
        self.halves = {
            owner: Half(owner, model, self.features, getattr(data, FRAMES[owner]), ids, self._scorer.kernel)
            for owner, ids in (("user", ratings["uid"]), ("film", ratings["mid"]))
        }
        self._user, self._film = self.halves.values()
        self.users, self.films, self.counts = self._user.frame, self._film.frame, self._film.rows
        self._all_films = self._scorer.films(self._film.side)

        users, films = self._user.at, self._film.at
        if seen is not None:
            users, films = self._user.positions(seen["uid"]), self._film.positions(seen["mid"])
        ends = np.bincount(users, minlength=len(self.users)).cumsum()
        self.seen = np.split(films[np.argsort(users, kind="stable")], ends[:-1])

    def scores(self, users: Sequence[int] | Side) -> np.ndarray:
        """Computes the scores of all films, in stars, float32 (users, films).

        Args:
            users: uids, or what `new_user` returned.

        Raises:
            TypeError, ValueError: there is no such user.
        """
        return self._scorer.scores(self._side(users), self._all_films)

    def parts(self, users: Sequence[int] | Side, films: Side | None = None) -> dict[str, np.ndarray]:
        """Computes what each part adds to each score, in stars or log-odds: name -> float32 (users, films).

        Args:
            users: uids, or what `new_user` returned.
            films: what `new_film` returned; None: all films.

        Raises:
            TypeError, ValueError: there is no such user.
        """
        films = self._all_films if films is None else self._scorer.films(films)
        return self._scorer.parts(self._side(users), films)

    def top(self, users: Sequence[int], n: int = 10, *, scores: np.ndarray | None = None) -> np.ndarray:
        """Returns the n best films that each user has not seen, as positions in `films`, int64 (users, n).

        Films without a training row are left out, and equal scores are ordered by film id. A row ends in −1 where
        fewer than n films are left.

        Args:
            users: uids.
            n: length of a list.
            scores: other scores to rank by the same rules, (films,) or (users, films), such as `counts`.

        Raises:
            TypeError, ValueError: there is no such user, or n is below 1.
        """
        rows = self._user.positions(users)

        def block(start: int) -> np.ndarray:
            here = rows[start : start + BLOCK]
            if scores is None:
                block_scores = self._scorer.scores(self._user.side.take(here), self._all_films)
            else:
                some = scores[start : start + BLOCK] if np.ndim(scores) == 2 else [scores] * len(here)
                block_scores = np.array(some, "f8")
            return self.best(block_scores, [self.seen[row] for row in here], n)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            blocks = list(pool.map(block, range(0, len(rows), BLOCK)))
        return np.concatenate([np.empty((0, n), np.int64), *blocks])

    def new_user(
        self, description: Mapping, likes: Sequence = (), *, target: float | None = None, noise: float = 1.0
    ) -> Side:
        """Describes a person whom the model has not met, as a mixture of known users (equation eq-topn-mixture).

        Args:
            description: column -> value, such as {"age": 25, "gender": "F"}; a missing column means the average.
            likes: mids or full titles of films that this person likes.
            target: the rating for which a liked film stands; None: the highest one, 5 stars for MovieLens. With the
                task "click" a liked film stands for a 1, and neither this number nor the next one counts.
            noise: standard deviation of a rating around its score; the RMSE of the model is a good choice.

        Returns:
            A `scoring.Side` of one row, for `scores` and `parts`.

        Raises:
            TypeError: the likes are not a list.
            ValueError: the data does not know a value or a film, or films are liked and the model has no uid.
        """
        half = self._user
        embedded = half.described(description)
        liked = self.film_positions(likes)
        if len(liked):
            if not half.own:
                raise ValueError("the model has no field uid: it cannot learn what one person likes")
            trained = np.flatnonzero(half.rows)
            known = Embedded(*(a[trained] for a in half.embedded))
            candidates = Embedded(*(np.repeat(a, len(trained), axis=0) for a in embedded))
            candidates.put(np.arange(len(trained)), half.own, known)
            parts = self.parts(half.sum_up(candidates), self._film.side.take(liked))
            stars = self.bias + sum(parts.values())
            target = self.liked if target is None else target
            if self.task == "click":
                evidence = -np.logaddexp(0.0, -stars.astype("f8")).sum(axis=1)
            else:
                evidence = -np.square(target - stars.astype("f8")).sum(axis=1) / (2 * noise**2)
            share = np.exp(evidence - evidence.max())
            embedded.put(0, half.own, known.mixed(share / share.sum()))
        return half.sum_up(embedded)

    def new_film(self, description: Mapping) -> Side:
        """Describes a film that nobody has rated.

        Args:
            description: column -> value, such as {"movie_genre": "Action|Sci-Fi"}; a missing column means the average.

        Returns:
            A `scoring.Side` of one row, for `parts`.

        Raises:
            ValueError: the data does not know a value, such as a genre.
        """
        return self._film.sum_up(self._film.described(description))

    def _side(self, users: Sequence[int] | Side) -> Side:
        return users if isinstance(users, Side) else self._user.side.take(self._user.positions(users))

    def best(self, scores: np.ndarray, seen: Sequence, n: int, min_ratings: int = 1) -> np.ndarray:
        """Returns the n best films of each row of scores, as positions in `films`, int64 (rows, n); see `ranking.best`.

        Args:
            scores: numbers (rows, films); those of films that are left out become −inf in this very array.
            seen: for each row, the positions of films to leave out.
            n: length of a list.
            min_ratings: films with fewer training rows are left out too.
        """
        scores[:, self.counts < min_ratings] = -np.inf
        for line, films in zip(scores, seen, strict=True):
            line[films] = -np.inf
        return ranking.best(scores, n)

    def film_positions(self, likes: Sequence) -> np.ndarray:
        """Returns the positions of films that are given by mid or by title.

        Raises:
            TypeError: the likes are a text instead of a list.
            ValueError: there is no such film.
        """
        if isinstance(likes, str):
            raise TypeError(f"likes = {likes!r} is one text: give a list of titles or mids")
        by_title = dict(zip(self.films[self.title], self.films.mid, strict=True)) if self.title else {}
        if self._film.ids_are_text:  # a text is an id first, a title second
            by_title |= {mid: mid for mid in self.films.mid}
        if unknown := [like for like in likes if isinstance(like, str) and like not in by_title]:
            titles = [title for title in by_title if isinstance(title, str)]
            near = [title for title in titles if unknown[0].lower() in title.lower()][:3]
            hint = "; a mid is a number, without quotes" if unknown[0].strip().isdigit() else ""
            hint += f"; perhaps {', '.join(near)}" if near else ""
            raise ValueError(f"no film is called {unknown[0]!r}{hint}")
        return self._film.positions([by_title[like] if isinstance(like, str) else like for like in likes])


def _fields_of(model, features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Returns the fields in the order of the model's inputs; refuses fields of another model and of the rating."""
    for f in features:
        if f.owner == "rating":
            raise ValueError(
                f"field {f.name} belongs to the single rating (owner = 'rating'), so the model cannot be cut between "
                "user and film: score pairs with model.predict, or train a model without this field"
            )
    by_input, inputs = {f.input_name: f for f in features}, [i.name for i in model.inputs]
    if set(inputs) != set(by_input) or len({f.owner for f in features}) < 2:
        raise ValueError(
            f"the model's inputs are {', '.join(inputs)}; the features are for {', '.join(sorted(by_input))}: "
            "give those it was trained with, of user and of film"
        )
    for f in features:
        first, second = anatomy.tables(model, f)
        rows = getattr(second or first, "input_dim", f.size + 1)
        if rows != f.size + 1:
            raise ValueError(
                f"field {f.name}: the model knows {rows - 1} values and the features describe "
                f"{f.size}; describe the data that the model was trained on, in the same way"
            )
    return tuple(by_input[name] for name in inputs)


def recommend(
    model,
    user: int | str | Mapping,
    n: int = 10,
    *,
    data=None,
    features: Sequence[Feature] | None = None,
    ratings: pd.DataFrame | None = None,
    min_ratings: int = 1,
    target: float | None = None,
    noise: float = 1.0,
) -> pd.DataFrame:
    """Returns the n films with the highest scores that a person has not seen, and the parts of each score (chapter 12).

    Args:
        model: a Keras model with `data`, `features` and `ratings` as in `TwoSides`, or a `TwoSides`.
        user: a uid, or a description such as {"age": 25, "gender": "F", "likes": ["Toy Story (1995)"]}: the
            columns of the users and, optionally, the mids or titles of films that this person likes.
        n: number of films; fewer are returned if fewer are left.
        min_ratings: films with fewer training rows are left out; 0 admits films that nobody has rated.
        target, noise: what liked films count for, see `TwoSides.new_user`.

    Returns:
        One row per film, best first and indexed by rank, with mid and, if there is one, title; score, its parts and
        bias, in stars; and ratings, the number of training rows of the film. With the task "click" the score, its parts
        and bias are in log-odds, and probability follows the score.

    Raises:
        TypeError: the uid is not of the type of the ids, or the likes are not a list.
        ValueError: a uid, a film or a value is unknown, `data` is missing, or the model cannot be cut in two.
    """
    if not isinstance(model, TwoSides):
        if data is None:
            raise ValueError("recommend needs data: a datasets.MovieLens with the titles, users and ratings")
        model = TwoSides(model, data, features, ratings)
    users, films = model.halves.values()
    if isinstance(user, Mapping):
        likes = user.get("likes", ())
        described = {column: value for column, value in user.items() if column != "likes"}
        side = model.new_user(described, likes, target=target, noise=noise)
        seen = model.film_positions(likes)
    else:
        row = users.positions(user)
        side, seen = users.side.take(row), model.seen[row[0]]
    best = model.best(model.scores(side), [seen], n, min_ratings)[0]
    best = best[best >= 0]
    parts = model.parts(side, films.side.take(best))
    table = model.films.loc[best, ["mid"]]
    if model.title:
        table["title"] = model.films.loc[best, model.title]
    table["score"] = sum(parts.values())[0] + model.bias
    if model.task == "click":
        table["probability"] = expit(table["score"])
    for name, values in parts.items():
        table[name] = values[0]
    table = table.assign(bias=model.bias, ratings=model.counts[best])
    return table.set_index(pd.RangeIndex(1, len(best) + 1, name="rank"))
