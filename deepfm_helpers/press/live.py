"""Export two trained DeepFMs to one script file, with which the page "The model, live" computes in the browser.

One predicts stars, the other makes the lists, as in chapter 12. The file holds the trained weights and the names that
the page shows. Of real data it holds no rating and describes only a few people (see the page on data and licences).

>>> from deepfm_helpers import datasets, features, models
>>> from deepfm_helpers.press import live
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> fields = features.describe(data)
>>> *_, model = models.deep_fm_model(features=fields, mean_rating=3.5, dnn_dr=0.0)  # not trained yet
>>> rows = datasets.join(data.ratings, data.movies, data.users)
>>> exported = live.export(model, fields, data, rows, "_build/model.js", rmse=1.0)
>>> [field["name"] for field in exported["fields"]]
['uid', 'mid', 'gender', 'age', 'occupation', 'genre']
>>> live.terms(exported, [1, 1, 1, 1, 1, [1, 2]]).size  # w0, six weights, fifteen pairs and deep
23
"""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import (
    anatomy,
    datasets,
    evaluation,
    models,
    neighbours,
    plots,
    ranking,
    recipes,
    training,
)
from deepfm_helpers.features import KEYS, Feature, describe, df2xy, split_rows
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

NAME = "DEEPFM_MODEL"

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
        recipe: recipe of the model of stars, without history, see `recipes`.

    Returns:
        What `export` returns.
    """
    joined = datasets.join(data.ratings, data.movies, data.users)
    train, test = split_rows(joined, 0.1, seed=seed)
    fitted = recipes.fit(recipe, data, train, seed)
    rmse = evaluation.rmse(test.rating, fitted.predict(test))
    lists = measured(ranker(data, train, seed), data, train, test)
    return export(fitted.model, fitted.fields, data, train, path, rmse=rmse, lists=lists, seed=seed)


def export(
    model,
    features: Sequence[Feature],
    data,
    train: pd.DataFrame,
    path: str | Path,
    *,
    rmse: float,
    lists: Ranker | None = None,
    seed: int = 0,
) -> dict:
    """Write trained DeepFMs as a script that sets `window.DEEPFM_MODEL`.

    In the tables of the file, row 0 is the average over the training rows, which stands for a value that is not given,
    as in `recommending.TwoSides`. The table of uid has rows for users with a training row, the table of mid for all
    films, by mid; a film without a training row has the average. Tables of other fields have rows for the values in the
    order of their ids and, if the value of a user or film is not known, one more row: the model's own for that case.

    The part `lists` has the same form. Its field taste has a row for each film, which n liked films bring in with
    1 / √n (equation eq-topn-taste), and then one for each person described. The exact row of a person is a sum over
    the films that the person liked, and might tell which they are. So only people with as many training rows as the
    median user, or more, are described, and each number is rounded to a whole number of standard deviations.

    Args:
        model: the last of `models.deep_fm_model`, which predicts stars.
        features: the fields of the model: uid, mid and others that belong to the user or the film.
        data: the `datasets.MovieLens` of users, films and code books.
        train: the joined training rows.
        path: path of the script file, which is replaced in one step.
        rmse: RMSE of the model on rows held out, in stars, with scores clipped to 1 … 5 stars.
        lists: the model that makes the lists; None: the page makes them by stars.
        seed: the seed of the model; it also draws the users to describe, at most `PEOPLE`. Planted users come
            with their ratings.

    Returns:
        What the script holds, as a dict.

    Raises:
        ValueError: the page cannot compute the model, see `check`.
    """
    check(model, features)
    sides = TwoSides(model, data, features, train)
    user, film = sides.halves.values()
    trained = np.flatnonzero(user.rows)
    often = np.flatnonzero(user.rows[trained] >= np.median(user.rows[trained]))
    shown = np.sort(np.random.default_rng(seed).permutation(often)[:PEOPLE])
    uids = user.frame.uid.iloc[trained[shown]]
    kept = {"user": trained, "film": np.arange(len(film.frame))}
    described = {"user": trained[shown], "film": kept["film"]}
    exported = {
        "dataset": data.name,
        "fingerprint": data.provenance.fingerprint,
        "seed": seed,
        "rmse": round(rmse, 4),
        "w0": sides.bias,
        "fields": [],
        "network": _network(model, BITS["stars"]),
        "films": {"title": sides.films.movie_name.tolist(), "rows": sides.counts.tolist()},
        "people": {"uid": uids.tolist(), "row": (shown + 1).tolist()},
    }
    for f in sides.features:
        half = sides.halves[f.owner]
        if f.column == half.key:
            exported["fields"].append(_ids(f, half, kept[f.owner], BITS["stars"]))
            continue
        entry, ids = _field(model, f, half, data.codebook, BITS["stars"])
        exported["fields"].append(entry)
        exported["people" if f.owner == "user" else "films"][f.name] = [ids[i] for i in described[f.owner]]
    if lists:
        exported["lists"] = _lists(lists, data, train, described["user"])
    if data.truth is not None:
        exported["people"]["ratings"] = _ratings(data, train, uids, sides.films.mid)
    write_whole(path, f"window.{NAME} = {json.dumps(exported, separators=(',', ':'), ensure_ascii=False)};\n")
    return exported


def check(model, features: Sequence[Feature]) -> None:
    """Raise ValueError, with the reason, if the page cannot compute this model."""
    if missing := {"uid", "mid"} - {f.name for f in features}:
        raise ValueError(
            f"the page needs the fields uid and mid; the model lacks {', '.join(sorted(missing))}"
        )
    for f in features:
        if f.owner == "rating":
            raise ValueError(
                f"field {f.name} belongs to the single rating: the page asks for a user and a film"
            )
        if f.kind not in ("single", "multi") or anatomy.tables(model, f).second is None:
            raise ValueError(f"field {f.name} has no table of vectors: the page looks every field up in one")
        if f.kind == "multi" and f.pooling != "mean":
            raise ValueError(f"field {f.name}: pooling {f.pooling!r}; the page only averages")
        if f.vocabulary is None and (f.name, f.column) != (KEYS[f.owner], KEYS[f.owner]):
            raise ValueError(f"field {f.name} has no vocabulary, and so the page no names for its values")
    weights, _, layer = anatomy.head(model)
    if len(layer.get_weights()) != 1:
        raise ValueError("head = 'dense': the page adds the parts up; train the model with head='sum'")
    if missing := set(anatomy.PART_LAYERS) - set(weights):
        raise ValueError(f"the model has no {', '.join(sorted(missing))}: the page shows all three parts")
    if (last := anatomy.network(model)[-1].activation.__name__) != "linear":
        raise ValueError(f"deep_activation = {last!r}: the page takes the deep part as it is, with None")


def decode(array: dict, *shape: int) -> np.ndarray:
    """Return the float64 array behind one of the exported dict, in the shape of its table or layer."""
    whole = np.frombuffer(base64.b64decode(array["data"]), f"<i{array['bits'] // 8}")
    return (whole * array["step"]).reshape(shape)


def terms(exported: dict, rows: Sequence[int | Sequence[int]]) -> pd.Series:
    """Compute all terms of one score, which add up to it (equation eq-deepfm, with eq-pairs written out).

    Args:
        exported: what `export` returned, or its part `lists`.
        rows: for each field the row of its tables, or the rows of a field with several values.

    Returns:
        The terms by name, float64, which are w0, a weight per field, a term per pair, such as "uid × mid", and deep.
    """
    w, v = {}, {}
    for f, row in zip(exported["fields"], rows, strict=True):
        row = np.atleast_1d(np.asarray(row, int))
        n = max(len(row), 1) ** (0.5 if f["values"] is None else 1)
        w[f["name"]] = decode(f["w"], -1)[row].sum() / n
        v[f["name"]] = decode(f["v"], -1, f["k"])[row].sum(axis=0) / n
    a = np.concatenate(list(v.values()))
    for i, layer in enumerate(exported["network"]):
        a = np.maximum(a, 0.0) if i else a
        a = a @ decode(layer["kernel"], *layer["size"]) + decode(layer["bias"], -1)
    pairs = {f"{i} × {j}": v[i] @ v[j] for i, j in combinations(v, 2)}
    return pd.Series({"w0": exported["w0"], **w, **pairs, "deep": a[0]})


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
    for f in exported["fields"]:
        if f["name"] not in of:
            of[f["name"]] = people[f["name"]][0] if f["side"] == "user" else films[f["name"]][film]
    rows = [of[f["name"]] for f in exported["fields"]]
    bars, ax = terms(exported, rows), None
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
    with plt.rc_context({"svg.hashsalt": NAME}):
        ax.figure.savefig(svg, format="svg", metadata={"Date": None})
    plt.close(ax.figure)
    write_whole(path, svg.getvalue())


def _encode(array: np.ndarray, bits: int) -> dict:
    """Return an array as whole multiples of a step, so small that the largest number fits into so many bits."""
    step = float(np.abs(array).max(initial=0)) / (2 ** (bits - 1) - 1) or 1.0
    whole = np.round(np.asarray(array, float) / step).astype(f"<i{bits // 8}")
    return {"bits": bits, "step": step, "data": base64.b64encode(whole.tobytes()).decode("ascii")}


def _entry(f: Feature, half: Half, values: list[str] | None, first, vectors, bits: int) -> dict:
    """Return name, side, labels and the two tables of a field, with the average before the rows given."""
    j = half.fields.index(f)
    tables = [
        np.concatenate([average[j : j + 1], table])
        for average, table in ((half.average.first[:, None], first), (half.average.vectors, vectors))
    ]
    return {
        "name": f.name,
        "side": f.owner,
        "values": values,
        "rows": len(tables[0]),
        "k": tables[1].shape[1],
        "w": _encode(tables[0], bits),
        "v": _encode(tables[1], bits),
    }


def _ids(f: Feature, half: Half, kept: np.ndarray, bits: int) -> dict:
    """Return the entry of uid or mid, with the rows of the users or films that are kept."""
    j = half.fields.index(f)
    return _entry(f, half, None, half.embedded.first[kept, j : j + 1], half.embedded.vectors[kept, j], bits)


def _field(model, f: Feature, half: Half, codebook: dict, bits: int) -> tuple[dict, list]:
    """Return the entry of another field, and the row or rows of its tables for every user or film."""
    tables = [layer.get_weights()[0] for layer in anatomy.tables(model, f)]
    ids, values = f.encode(half.frame), f.labels(codebook)
    if f.kind == "multi":
        return _entry(f, half, values, *(t[1:] for t in tables), bits), [row[row > 0].tolist() for row in ids]
    if (ids == 0).any():
        tables, values = [np.concatenate([t, t[:1]]) for t in tables], [*values, "unknown"]
        ids = np.where(ids == 0, len(values), ids)
    return _entry(f, half, values, *(t[1:] for t in tables), bits), ids[:, 0].tolist()


def _tastes(f: Feature, model, half: Half, shown: np.ndarray, bits: int) -> dict:
    """Return the entry of taste, with a row for each film and one, coarsely rounded, for each user shown."""
    j, rows = half.fields.index(f), half.embedded
    of_users = np.column_stack([rows.first[:, j], rows.vectors[:, j]])
    spread = np.maximum(of_users.std(axis=0), 1e-9)
    of_users = np.round(of_users[shown] / spread) * spread
    of_films = f.table[half.frame[half.key].max() + 1 :]
    of_films = of_films @ np.column_stack([t.get_weights()[0] for t in anatomy.tables(model, f)])
    both = np.concatenate([of_films, of_users])
    return _entry(f, half, None, both[:, :1], both[:, 1:], bits)


def _lists(lists: Ranker, data, train: pd.DataFrame, shown: np.ndarray) -> dict:
    """Return the model that makes the lists; fields other than mid and taste have the ids of the model of stars."""
    sides, bits = TwoSides(lists.model, data, lists.fields, train), BITS["lists"]
    user, film = sides.halves.values()

    def entry(f: Feature) -> dict:
        if f.name == "mid":
            return _ids(f, film, np.arange(len(film.frame)), bits)
        if f.name == "taste":
            return _tastes(f, lists.model, user, shown, bits)
        return _field(lists.model, f, sides.halves[f.owner], data.codebook, bits)[0]

    return {
        "recall": lists.recall,
        "popular": lists.popular,
        "w0": sides.bias,
        "fields": [entry(f) for f in sides.features],
        "network": _network(lists.model, bits),
    }


def _network(model, bits: int) -> list[dict]:
    """Return the layers of the deep part in order: sizes (inputs, outputs), kernel and bias."""
    return [
        {"size": list(kernel.shape), "kernel": _encode(kernel, bits), "bias": _encode(bias, bits)}
        for kernel, bias in (layer.get_weights() for layer in anatomy.network(model))
    ]


def _ratings(data, train: pd.DataFrame, users: pd.Series, mids: pd.Series) -> list[dict]:
    """Return for each user the stars by position of the film, of training rows and of rows held out."""
    rows = data.ratings[data.ratings.uid.isin(users)]
    rows = rows.assign(
        film=pd.Index(mids).get_indexer(rows.mid),
        kind=np.where(rows.index.isin(train.index), "train", "test"),
    )
    of = {
        key: {int(film): int(stars) for film, stars in zip(group.film, group.rating, strict=True)}
        for key, group in rows.groupby(["uid", "kind"])
    }
    return [{kind: of.get((uid, kind), {}) for kind in ("train", "test")} for uid in users]
