"""Export two trained DeepFMs to one script file, with which the page "The model, live" computes in the browser.

One predicts stars, or clicks as in chapter 16; the other makes the lists, as in chapter 12. The file holds the trained
weights and the names that the page shows, in the form of `deepfm_helpers.live`. Of real data it holds no rating and
describes only a few people (see the page on data and licences).

>>> from deepfm_helpers import datasets, features, models
>>> from deepfm_helpers import live as form
>>> from deepfm_helpers.press import live
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> fields = features.describe(data)
>>> *_, model = models.deep_fm_model(features=fields, mean_rating=3.5, dnn_dr=0.0)  # not trained yet
>>> rows = datasets.join(data.ratings, data.movies, data.users)
>>> exported = live.export(model, fields, data, rows, "_build/model.js", error=1.0)
>>> [field["name"] for field in exported["fields"]]
['uid', 'mid', 'gender', 'age', 'occupation', 'genre']
>>> form.terms(exported, [1, 1, 1, 1, 1, [1, 2]]).size  # w0, six weights, fifteen pairs and deep
23
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import (
    anatomy,
    clicks,
    datasets,
    evaluation,
    models,
    neighbours,
    plots,
    ranking,
    recipes,
    training,
)
from deepfm_helpers import live as form
from deepfm_helpers.features import Feature, describe, df2xy, split_rows
from deepfm_helpers.files import write_whole
from deepfm_helpers.page import versions
from deepfm_helpers.press.checkout import Checkout
from deepfm_helpers.press.digests import digest_of_module
from deepfm_helpers.recommending import TwoSides
from deepfm_helpers.sides import Half

PEOPLE = 30
"""The number of people whom the page offers to choose from; of real data it may describe only a few."""

RECIPE = recipes.changed(recipes.WITHOUT_HISTORY, {"model": {"k": 16, "dnn_dim": (64, 32)}})
"""The recipe of the model of stars: all six fields, a penalty for each table, no history."""

BITS = {"stars": 16, "lists": 8}
"""Bits for each weight of the two models: stars are shown with three digits, and of lists only the order."""

STORED = {"n_users": 200, "n_movies": 150, "n_ratings": 10_000}
"""Sizes of the planted data behind the model that the repository keeps, for pages built without training."""

_FILMS = {"item": "film", "items": "films", "title": "title", "seen": "seen"}
WORDS = {
    "rating": form.Words(
        **_FILMS,
        scale="stars",
        unit=" stars",
        column="stars",
        total="",
        truth="true rating",
        ends="Ratings end at 1 and 5 stars",
    ),
    "click": form.Words(
        **_FILMS,
        scale="log-odds",
        unit=" log-odds",
        column="log-odds",
        total="probability of a click",
        truth="true answer",
        ends="",
    ),
}
"""What the page calls things, by the task of the first model."""

PLACE = Path("book", "_static", "live", "model.js")
"""Where the pages look for the script, below their root."""


def store(here: Checkout) -> None:
    """Regenerate the model of planted data that the page uses without a build, and its two figures."""
    path = here.root / PLACE
    exported = train_and_export(datasets.planted(**STORED), path)
    draw(exported, path.with_name("waterfall.svg"))
    draw(exported, path.with_name("summary.svg"), small=True)
    print(f"{PLACE.as_posix()}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def script(here: Checkout, data, cache: Path) -> Path | None:
    """Return the page's script, with a model trained on ``data``, kept under a digest; None if the book has no page."""
    if "book/live" not in here.contents():
        return None
    key = digest_of_module(here, "press.live", data.provenance.fingerprint, versions())
    path = cache / key / PLACE.name
    if not path.is_file():
        shutil.rmtree(cache, ignore_errors=True)
        train_and_export(data, path)
    return path


def place(script: Path | None, source: Path) -> None:
    """Copy the script, if there is one, into the staged pages, in place of the stored one."""
    if script:
        shutil.copy2(script, source / PLACE)


class Ranker(NamedTuple):
    """A DeepFM that makes lists, as chapter 12 trains it.

    Attributes:
        model: the trained model of likes.
        fields: its fields; the last is `taste`, in which the film at position i of the films sorted by mid is liked by
            an additional uid, the largest of the data + 1 + i.
        recall: share of the films liked in rows held out that are on lists of ten, mean over users; None: not measured.
        popular: the same for lists of the films rated most.
    """

    model: object
    fields: Sequence[Feature]
    recall: float | None = None
    popular: float | None = None


def ranker(data, train: pd.DataFrame, seed: int, epochs: int = 6, k: int = 32) -> Ranker:
    """Train the DeepFM on likes of chapter 12, whose lists the page shows.

    Args:
        data: a `datasets.MovieLens`.
        train: joined training rows.
        seed: seed of the drawn films, of the first weights and of the order of the rows.
        epochs: a hundred steps of training each.
        k: length of the vectors.
    """
    questions = ranking.liked_or_drawn(train, times=10, seed=seed)
    likes = questions[questions.rating == 1]
    mids = np.sort(data.movies.mid)
    each = pd.DataFrame({"uid": data.users.uid.max() + 1 + np.arange(len(mids)), "mid": mids})
    taste = neighbours.taste(data, likes, min(250, len(mids) // 15), seed, others=each)
    fields = (*(f for f in describe(data) if f.name != "uid"), taste)
    passes = min(epochs, max(1, 10_000_000 // len(questions)))
    training.set_seed(seed)
    *_, model = models.deep_fm_model(
        features=fields,
        dnn_dim=(64, 32),
        dnn_dr=0.2,
        mean_rating=float(questions.rating.mean()),
        k=k,
        l2=0.01,
    )
    batch_size = -(-len(questions) * passes // (100 * epochs))
    how = {"epochs": passes, "batch_size": batch_size, "averaging": 0.99, "seed": seed}
    training.train(model, df2xy(questions, fields), learning_rate=3e-3, **how)
    return Ranker(model, fields)


def measured(ranker: Ranker, data, train: pd.DataFrame, test: pd.DataFrame) -> Ranker:
    """Return the ranker with the recall of its lists of ten, and that of the popular list, on rows held out."""
    sides, users = TwoSides(ranker.model, data, ranker.fields, train), np.unique(train.uid)
    relevant = ranking.liked(test, users, sides.films.mid)
    lists = sides.top(users), sides.top(users, scores=sides.counts)
    recall, popular = (float(ranking.quality(found, relevant).recall) for found in lists)
    return ranker._replace(recall=recall, popular=popular)


def train_and_export(data, path: str | Path, *, seed: int = 1, recipe: recipes.Recipe = RECIPE) -> dict:
    """Train both models on nine tenths of the rows, drawn at random, measure them on the others, and write them.

    Args:
        data: a `datasets.MovieLens`.
        path: path of the script file.
        seed: seed of the split, of training and of the draw of people.
        recipe: recipe of the first model, without history, see `recipes`; with the task "click" it learns `clicks.of`
            the ratings.

    Returns:
        What `export` returns.
    """
    joined = datasets.join(data.ratings, data.movies, data.users)
    asks_clicks = recipe["model"].get("task") == "click"
    train, test = split_rows(clicks.of(joined) if asks_clicks else joined, 0.1, seed=seed)
    fitted = recipes.fit(recipe, data, train, seed)
    error = (clicks.log_loss if asks_clicks else evaluation.rmse)(test.rating, fitted.predict(test))
    in_stars = [joined.loc[rows.index] for rows in (train, test)]
    lists = measured(ranker(data, in_stars[0], seed), data, *in_stars)
    return export(fitted.model, fitted.fields, data, train, path, error=error, lists=lists, seed=seed)


def export(
    model,
    features: Sequence[Feature],
    data,
    train: pd.DataFrame,
    path: str | Path,
    *,
    error: float,
    lists: Ranker | None = None,
    seed: int = 0,
) -> dict:
    """Write trained DeepFMs as a script that sets `window.DEEPFM_MODEL`.

    The form is that of `deepfm_helpers.live`. The table of uid has rows for all users with a training row, the table of
    mid for all films, by mid; a film without a training row has the average.

    The part `lists` has the same form. Its field taste has a row for each film, which n liked films bring in with
    1 / √n (equation eq-topn-taste), and then one for each person described. The exact row of a person is a sum over
    the films that the person liked, and might tell which they are. So only people with as many training rows as the
    median user, or more, are described, and each number is rounded to a whole number of standard deviations.

    Args:
        model: the last of `models.deep_fm_model`, which predicts stars or the probability of a click.
        features: the fields of the model: uid, mid and others that belong to the user or the film.
        data: the `datasets.MovieLens` of users, films and code books.
        train: the joined training rows.
        path: path of the script file, which is replaced in one step.
        error: the error of the model on rows held out: its RMSE in stars, with scores clipped to 1 … 5 stars, or its
            log-loss in nats.
        lists: the model that makes the lists; None: the page makes them by the first one.
        seed: the seed of the model; it also draws the users to describe, at most `PEOPLE`. Planted users come
            with their ratings.

    Returns:
        What the script holds, as a dict.

    Raises:
        ValueError: the page cannot compute the model, see `live.check`.
    """
    form.check(model, features)
    sides = TwoSides(model, data, features, train)
    user = sides.halves["user"]
    trained = np.flatnonzero(user.rows)
    often = trained[user.rows[trained] >= np.median(user.rows[trained])]
    shown = np.sort(np.random.default_rng(seed).permutation(often)[:PEOPLE])
    uids = user.frame.uid.iloc[shown]
    chosen = form.Chosen(shown, range(len(sides.films)), known=trained)
    exported = form.exported(model, sides, train, chosen, codebook=data.codebook, bits=BITS["stars"])
    exported["films"]["title"] = sides.films.movie_name.tolist()
    exported["people"]["uid"] = uids.tolist()
    exported |= {
        "dataset": data.name,
        "fingerprint": data.provenance.fingerprint,
        "seed": seed,
        "error": round(error, 4),
        "range": data.range,
        "words": WORDS[sides.task]._asdict(),
    }
    if lists:
        exported["lists"] = _lists(lists, data, train, shown)
    if data.truth is not None:
        exported["people"]["ratings"] = _ratings(data, train, uids, sides.films.mid, sides.task)
    exported["notes"] = _notes(exported)
    write_whole(path, form.script(exported))
    return exported


def draw(exported: dict, path: str | Path, small: bool = False) -> None:
    """Write, as SVG, the waterfall with which the page opens: its first person and the film rated most often.

    Args:
        exported: what `export` returned.
        path: path of the SVG file.
        small: draw all pairs as one bar, for half the width of a page.
    """
    import matplotlib.pyplot as plt

    films, people = exported["films"], exported["people"]
    film = int(np.argmax(films["rows"]))
    of = {"uid": people["row"][0], "mid": film + 1}
    of |= {name: some[0] for name, some in people["values"].items()}
    of |= {name: some[film] for name, some in films["values"].items()}
    rows = [of[f["name"]] for f in exported["fields"]]
    bars, ax = form.terms(exported, rows), None
    if small:
        pairs = bars.index.str.contains(" × ")
        alone = bars[~pairs]
        bars = pd.concat([alone[:-1], pd.Series({f"{pairs.sum()} pairs": bars[pairs].sum()}), alone[-1:]])
        bars = bars.rename({"w0": "constant", "uid": "user", "mid": "film"})  # for who has not read a chapter
        ax = plots.new_axes(width=3.6, height=3.1)
        told = f"user {people['uid'][0]}, {films['title'][film]}"
        if stars := people.get("ratings", [{"test": {}}])[0]["test"].get(film):
            told += f"\nheld-out rating: {stars}"
        ax.set_title(told, fontsize=9)
    ax = plots.waterfall(bars, ax)
    svg = io.StringIO()
    with plt.rc_context({"svg.hashsalt": form.NAME}):
        ax.figure.savefig(svg, format="svg", metadata={"Date": None})
    plt.close(ax.figure)
    write_whole(path, svg.getvalue())


def _tastes(f: Feature, model, half: Half, shown: np.ndarray, bits: int) -> dict:
    """Return the entry of taste, with a row for each film and one, coarsely rounded, for each user shown."""
    j, rows = half.fields.index(f), half.embedded
    of_users = np.column_stack([rows.first[:, j], rows.vectors[:, j]])
    spread = np.maximum(of_users.std(axis=0), 1e-9)
    of_users = np.round(of_users[shown] / spread) * spread
    of_films = f.table[half.frame[half.key].max() + 1 :]
    of_films = of_films @ np.column_stack([t.get_weights()[0] for t in anatomy.tables(model, f)])
    both = np.concatenate([of_films, of_users])
    average = half.average.first[j : j + 1], half.average.vectors[j]
    return form.entry(f, "known", None, average, both[:, :1], both[:, 1:], bits)


def _lists(lists: Ranker, data, train: pd.DataFrame, shown: np.ndarray) -> dict:
    """Return the model that makes the lists; fields other than mid and taste have the ids of the model of stars."""
    sides, bits = TwoSides(lists.model, data, lists.fields, train), BITS["lists"]
    user, film = sides.halves.values()
    everybody = {owner: np.arange(len(half.frame)) for owner, half in sides.halves.items()}

    def entry(f: Feature) -> dict:
        if f.name == "mid":
            return form.ids(f, film, everybody["film"], bits)
        if f.name == "taste":
            return _tastes(f, lists.model, user, shown, bits)
        half = sides.halves[f.owner]
        return form.of_half(lists.model, f, half, everybody[f.owner], data.codebook, bits)[0]

    return {
        "recall": lists.recall,
        "popular": lists.popular,
        "w0": sides.bias,
        "fields": [entry(f) for f in sides.features],
        "network": form.network(lists.model, bits),
    }


def _ratings(data, train: pd.DataFrame, users: pd.Series, mids: pd.Series, task: str) -> list[dict]:
    """Return for each user the stars, or clicks, by position of the film, of training rows and of rows held out."""
    rows = data.ratings[data.ratings.uid.isin(users)]
    rows = rows.assign(
        film=pd.Index(mids).get_indexer(rows.mid),
        kind=np.where(rows.index.isin(train.index), "train", "test"),
    )
    if task == "click":
        rows = clicks.of(rows)
    of = {
        key: {int(film): int(stars) for film, stars in zip(group.film, group.rating, strict=True)}
        for key, group in rows.groupby(["uid", "kind"])
    }
    return [{kind: of.get((uid, kind), {}) for kind in ("train", "test")} for uid in users]


def _notes(exported: dict) -> dict[str, str]:
    """Return what the page says about its lists and its models."""
    of_clicks, lists = exported["task"] == "click", exported.get("lists")
    planted = "ratings" in exported["people"]
    number = (
        "the probability of a click, by the first" if of_clicks else "what the first model predicts, in stars"
    )
    chosen = (
        "A second model, which was asked what people like, chooses these films and their order. "
        f"The number is {number}. "
        if lists
        else "These films have the highest scores. "
    )
    left_out = (
        "A film that the user has rated in training, or that is marked as seen, is left out; a rating beside a film "
        "was held out from the training."
        if planted
        else "The page holds no ratings. So it does not know what a user has seen: mark seen films, and they leave the "
        "lists."
    )
    measure, unit = ("log-loss", "nats") if of_clicks else ("root mean squared error", "stars")
    told = [
        f"The models: trained on nine tenths of the {exported['dataset']} {'clicks' if of_clicks else 'ratings'} "
        f"(seed {exported['seed']}).",
        f"On the tenth held out, the {measure} of the first is {exported['error']:.3f} {unit}.",
    ]
    if lists and lists["recall"] is not None:
        told.append(
            "Lists of ten by the second, without the films rated in training, hold "
            f"{100 * lists['recall']:.0f}% of the films liked there; lists of the films rated most hold "
            f"{100 * lists['popular']:.0f}%."
        )
    told.append(
        "People and films are invented, so the ratings can be shown beside the prediction."
        if planted
        else "MovieLens may not be passed on, so no rating is part of this page, and there is no true one to compare "
        "with."
    )
    return {"lists": chosen + left_out, "model": " ".join(told)}
