"""The form in which a browser gets a trained DeepFM, so that a page computes its scores, and the scripts that do so.

The form is a dict of JSON's types. `terms` computes a score of it as `deepfm.js` does. The page "The model, live" of
the book (`press.live`) and the page of a model of your own data (`own.showing`) are filled in this way.

In the tables of a field, row 0 is the average over the training rows, which stands for a value that is not given. The
tables of users and films have a row for each of them. Those of a field with values have one for each value and, where
the value of a user, a film or a row may be missing or rare, one more: the model's own for that case. A number needs no
table: its field has the entry of the mean, in row 0, and in row 1 what one spread more adds.

>>> from deepfm_helpers import datasets, features, live, models, recommending
>>> data = datasets.planted(n_users=40, n_movies=30, n_ratings=300)
>>> fields = features.describe(data, ("uid", "mid", "age"))
>>> *_, model = models.deep_fm_model(features=fields, mean_rating=3.5)  # not trained yet
>>> chosen = live.Chosen(users=[0, 1], films=range(30))
>>> rows = datasets.join(data.ratings, data.movies, data.users)
>>> exported = live.exported(model, recommending.TwoSides(model, data, fields), rows, chosen)
>>> [(field["name"], field["rows"]) for field in exported["fields"]]
[('uid', 3), ('mid', 31), ('age', 8)]
>>> list(live.terms(exported, [1, 1, 0]).index)
['w0', 'uid', 'mid', 'age', 'uid × mid', 'uid × age', 'mid × age', 'deep']
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy
from deepfm_helpers.features import KEYS, Feature

STATIC = Path(__file__).parent / "static"
"""Files that pages load; the book's own pages find them below `_static`."""

FORWARD, PAGE, STYLE = (STATIC / "live" / name for name in ("deepfm.js", "page.js", "live.css"))
"""The forward pass in JavaScript, the page around it, and its style."""

NAME = "DEEPFM_MODEL"

VALUES = 1000
"""A field with more values than this gets rows for those alone that the page needs."""

_WHOLE = {8: "i1", 16: "<i2", 32: "<f4"}


class Chosen(NamedTuple):
    """Which users and films a page holds, as positions in the frames of `recommending.TwoSides`.

    Attributes:
        users: the users whom the page offers to choose from.
        films: the films.
        known: the users whose rows the table holds, from which the page mixes someone new; None: those offered who have
            a training row.
    """

    users: Sequence[int]
    films: Sequence[int]
    known: Sequence[int] | None = None


class Words(NamedTuple):
    """What a page calls things.

    Attributes:
        item: one of what is listed.
        items: several of them.
        title: what can be typed of an item, such as its title.
        seen: what an item is that somebody has met before, and that leaves the lists.
        scale: the unit of the terms, as in "in stars".
        unit: what follows a score or a difference of scores, with a space before it; "" if nothing does.
        column: the head of the column of terms.
        total: what the prediction is called, where it needs a name.
        truth: what the true value is called.
        ends: a clause that says where the range of the target ends; "" for clicks.
    """

    item: str
    items: str
    title: str
    seen: str
    scale: str
    unit: str
    column: str
    total: str
    truth: str
    ends: str


def check(model, features: Sequence[Feature], named: Collection[str] = (), asks_rows: bool = False) -> None:
    """Raise ValueError, with the reason, if a page cannot compute this model.

    Args:
        model: a whole model of `models`.
        features: its fields.
        named: fields without a vocabulary whose values `exported` takes from the data.
        asks_rows: whether the page asks for what belongs to the single rating, too.
    """
    if missing := {"uid", "mid"} - {f.name for f in features}:
        raise ValueError(
            f"the page needs the fields uid and mid; the model lacks {', '.join(sorted(missing))}"
        )
    for f in features:
        if f.owner == "rating" and not asks_rows:
            raise ValueError(
                f"field {f.name} belongs to the single rating: the page asks for a user and a film"
            )
        if f.kind == "known" or anatomy.tables(model, f).second is None:
            raise ValueError(f"field {f.name} has no table of vectors: the page looks every field up in one")
        if f.kind == "multi" and f.pooling != "mean":
            raise ValueError(f"field {f.name}: pooling {f.pooling!r}; the page only averages")
        is_key = (f.name, f.column) == (KEYS[f.owner], KEYS[f.owner])
        if f.kind != "numeric" and f.vocabulary is None and f.name not in named and not is_key:
            raise ValueError(f"field {f.name} has no vocabulary, and so the page no names for its values")
    weights, _, layer = anatomy.head(model)
    if len(layer.get_weights()) != 1:
        raise ValueError("head = 'dense': the page adds the parts up; train the model with head='sum'")
    if missing := set(anatomy.PART_LAYERS) - set(weights):
        raise ValueError(f"the model has no {', '.join(sorted(missing))}: the page shows all three parts")
    if (last := anatomy.network(model)[-1].activation.__name__) != "linear":
        raise ValueError(f"deep_activation = {last!r}: the page takes the deep part as it is, with None")


def exported(
    model,
    sides,
    rows: pd.DataFrame,
    chosen: Chosen,
    *,
    features: Sequence[Feature] | None = None,
    codebook: Mapping[str, Mapping] | None = None,
    labels: Mapping[str, str] | None = None,
    named: Collection[str] = (),
    bits: int = 32,
) -> dict:
    """Return what a page needs of a model to compute any score of the users and films chosen.

    Args:
        model: a whole model of `models` that `check` accepts.
        sides: the `recommending.TwoSides` of the model.
        rows: the joined training rows, over which fields of the single rating are averaged.
        chosen: which users and films.
        features: the fields in the order of the model's inputs, with those of the single rating; None: those of sides.
        codebook: column -> {code: label}, such as `MovieLens.codebook`.
        labels: field -> what the page calls it; a field that is missing has its own name.
        named: fields without a vocabulary whose values are those in the data, such as hashed ones.
        bits: bits for each weight, see `encode`.

    Returns:
        task ("rating" or "click"), w0, fields, network; films and people with `values`: field -> for each film and
        person chosen the row, the rows or the number of the field; and `row` of each person in the table of users, 0
        for a user without a training row, who gets the average.
    """
    film_rows = np.asarray(chosen.films, int)
    users = np.asarray(chosen.users, int)
    half = sides.halves["user"]
    known = np.asarray(users[half.rows[users] > 0] if chosen.known is None else chosen.known, int)
    kept, at = {"user": known, "film": film_rows}, {"user": users, "film": film_rows}
    fields, values = [], {"user": {}, "film": {}}
    for f in sides.features if features is None else features:
        if f.owner == "rating":
            made = of_rows(model, f, rows, codebook, bits, f.name in named)
        elif f.kind == "numeric":
            made = number(model, f, rows, bits)
            values[f.owner][f.name] = _plain(sides.halves[f.owner].frame[f.column].iloc[at[f.owner]])
        elif f.column == KEYS[f.owner]:
            made = ids(f, sides.halves[f.owner], kept[f.owner], bits)
        else:
            half_of = sides.halves[f.owner]
            made, values[f.owner][f.name] = of_half(
                model, f, half_of, at[f.owner], codebook, bits, f.name in named
            )
        fields.append(made | {"label": (labels or {}).get(f.name, f.name)})
    place = {position: row for row, position in enumerate(known.tolist(), start=1)}
    return {
        "task": sides.task,
        "w0": sides.bias,
        "fields": fields,
        "network": network(model, bits),
        "films": {"rows": sides.counts[film_rows].tolist(), "values": values["film"]},
        "people": {
            "row": [place.get(position, 0) for position in users.tolist()],
            "values": values["user"],
        },
    }


def ids(f: Feature, half, kept: np.ndarray, bits: int) -> dict:
    """Return the entry of uid or mid, with the rows of the users or films at the positions kept."""
    j = half.fields.index(f)
    first, vectors = half.embedded.first[kept, j : j + 1], half.embedded.vectors[kept, j]
    return entry(f, "id", None, _average(f, half), first, vectors, bits)


def of_half(
    model, f: Feature, half, at, codebook: Mapping | None, bits: int, named: bool = False
) -> tuple[dict, list]:
    """Return the entry of another field of users or films, and for each of those at the positions its row or rows."""
    frame, tables = half.frame.iloc[at], _tables(model, f)
    if named:
        cells = frame[f.column].astype(object)
        names, frequent = _names(cells)
        found = np.where(cells.isna(), 0, 1 + pd.Index(frequent, dtype=object).get_indexer(cells))
        own = f.encode(pd.DataFrame({f.column: frequent}))[:, 0]
    else:
        names, encoded = f.labels(codebook), f.encode(frame)
        own = np.arange(1, f.size + 1)
        if f.size > VALUES:
            own = np.unique(encoded[encoded > 0])
            names = [names[i - 1] for i in own]
        found = np.where(encoded > 0, 1 + np.searchsorted(own, encoded), 0)
        if f.kind == "multi":
            average = _average(f, half)
            made = entry(f, "multi", names, average, *(t[own] for t in tables), bits)
            return made, [row[row > 0].tolist() for row in found]
        found = found[:, 0]
    if (found == 0).any():
        own, names = np.append(own, 0), [*names, "unknown"]
        found = np.where(found == 0, len(own), found)
    return entry(f, "single", names, _average(f, half), *(t[own] for t in tables), bits), found.tolist()


def of_rows(
    model, f: Feature, rows: pd.DataFrame, codebook: Mapping | None, bits: int, named: bool = False
) -> dict:
    """Return the entry of a field of the single rating; of many values the `VALUES` most frequent have a row.

    `more` in the entry is the number of the others.
    """
    if f.kind == "numeric":
        return number(model, f, rows, bits)
    tables, encoded = _tables(model, f), f.encode(rows)
    if f.kind == "multi":
        filled = encoded > 0
        share = np.repeat(1 / np.maximum(filled.sum(axis=1), 1), f.slots)
        counts = np.bincount(encoded.ravel(), share * filled.ravel(), f.size + 1)
    else:
        counts = np.bincount(encoded[:, 0], minlength=f.size + 1)
    average = tuple(counts @ t / len(rows) for t in tables)
    if named:
        cells = rows[f.column].astype(object)
        names, frequent = _names(cells, VALUES)
        own, n = f.encode(pd.DataFrame({f.column: frequent}))[:, 0], cells.nunique()
    else:
        own, n = np.arange(1, f.size + 1), f.size
        if n > VALUES:
            own = np.sort(own[np.argsort(-counts[1:], kind="stable")[:VALUES]])
        names = f.labels(codebook)
        names = [names[i - 1] for i in own]
    more = n - len(own)
    if f.kind == "single":  # a row may hold a value that is missing, rare or new
        own, names = np.append(own, 0), [*names, "unknown"]
    return entry(f, f.kind, names, average, *(t[own] for t in tables), bits) | (
        {"more": more} if more else {}
    )


def number(model, f: Feature, rows: pd.DataFrame, bits: int) -> dict:
    """Return the entry of a numeric field, with the mean and the spread from which it measures a number.

    A field that does not scale its numbers gets the mean of the training rows, and 1 for the spread.
    """
    start, spread = getattr(f, "mean", 0.0), getattr(f, "spread", 1.0)
    mean = getattr(f, "mean", float(rows[f.column].mean()))
    averages, slopes = [], []
    for layer in anatomy.tables(model, f):
        slope, *constant = layer.get_weights()
        slopes.append(slope)
        averages.append(slope[0] * (mean - start) / spread + (constant[0] if constant else 0.0))
    return entry(f, "numeric", None, averages, *slopes, bits) | {"mean": mean, "spread": spread}


def network(model, bits: int) -> list[dict]:
    """Return the layers of the deep part in order: sizes (inputs, outputs), kernel and bias."""
    return [
        {"size": list(kernel.shape), "kernel": encode(kernel, bits), "bias": encode(bias, bits)}
        for kernel, bias in (layer.get_weights() for layer in anatomy.network(model))
    ]


def entry(
    f: Feature,
    kind: str,
    values: list[str] | None,
    average,
    first: np.ndarray,
    vectors: np.ndarray,
    bits: int,
) -> dict:
    """Return a field in the form of the page.

    Args:
        f: the field.
        kind: "id", "single", "multi", "numeric", or "known" for a field whose rows are summed, and not averaged.
        values: the names of rows 1, 2, …; None if they are users, films or numbers.
        average: what stands in row 0, (1,) and (k,).
        first, vectors: the further rows, (rows, 1) and (rows, k).
        bits: see `encode`.
    """
    w, v = (np.concatenate([[row], table]) for row, table in zip(average, (first, vectors), strict=True))
    return {
        "name": f.name,
        "label": f.name,
        "side": f.owner,
        "kind": kind,
        "values": values,
        "rows": len(w),
        "k": v.shape[1],
        "w": encode(w, bits),
        "v": encode(v, bits),
    }


def encode(array: np.ndarray, bits: int) -> dict:
    """Return an array as base64: as float32, or as whole multiples of a step, chosen for the largest number.

    Args:
        array: numbers.
        bits: 32 for float32; 16 or 8 for a whole number of so many bits.

    Raises:
        ValueError: a number is not finite.
    """
    if not np.isfinite(array).all():
        raise ValueError("a weight of the model is not finite: the training has diverged; train it again")
    largest = float(np.abs(array).max(initial=0))
    step = 1.0 if bits == 32 else largest / (2 ** (bits - 1) - 1) or 1.0
    scaled = np.asarray(array, float) / step
    stored = (scaled if bits == 32 else np.round(scaled)).astype(_WHOLE[bits])
    return {"bits": bits, "step": step, "data": base64.b64encode(stored.tobytes()).decode("ascii")}


def decode(array: Mapping, *shape: int) -> np.ndarray:
    """Return the float64 array behind one of the exported dict, in the shape of its table or layer."""
    stored = np.frombuffer(base64.b64decode(array["data"]), _WHOLE[array["bits"]])
    return (stored * float(array["step"])).reshape(shape)


def terms(exported: Mapping, rows: Sequence[int | float | None | Sequence[int]]) -> pd.Series:
    """Compute all terms of one score, which add up to it (equation eq-deepfm, with eq-pairs written out).

    Args:
        exported: what `exported` returned, or another dict with its w0, fields and network.
        rows: for each field the row of its tables, or the rows of a field with several values; for a numeric field the
            number in the unit of its column, or None for the mean.

    Returns:
        The terms by name, float64, which are w0, a weight per field, a term per pair, such as "uid × mid", and deep; in
        the unit of the target, or in log-odds.
    """
    w, v = {}, {}
    for f, row in zip(exported["fields"], rows, strict=True):
        first, vectors = decode(f["w"], -1), decode(f["v"], -1, f["k"])
        if f["kind"] == "numeric":
            x = 0.0 if row is None else (row - f["mean"]) / f["spread"]
            shares = np.array([1.0, x])
        else:
            row = np.atleast_1d(np.asarray(row, int))
            shares = np.zeros(len(first))
            np.add.at(shares, row, max(len(row), 1) ** -(0.5 if f["kind"] == "known" else 1.0))
        w[f["name"]], v[f["name"]] = shares @ first, shares @ vectors
    a = np.concatenate(list(v.values()))
    for i, layer in enumerate(exported["network"]):
        a = np.maximum(a, 0.0) if i else a
        a = a @ decode(layer["kernel"], *layer["size"]) + decode(layer["bias"], -1)
    pairs = {f"{i} × {j}": v[i] @ v[j] for i, j in combinations(v, 2)}
    return pd.Series({"w0": exported["w0"], **w, **pairs, "deep": a[0]})


def script(exported: Mapping) -> str:
    """Return the JavaScript that sets `window.DEEPFM_MODEL`; no text in it can end the element that holds it."""
    text = json.dumps(exported, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return f"window.{NAME} = {text.replace('<', chr(92) + 'u003c')};\n"


def _average(f: Feature, half) -> tuple[np.ndarray, np.ndarray]:
    j = half.fields.index(f)
    return half.average.first[j : j + 1], half.average.vectors[j]


def _tables(model, f: Feature) -> list[np.ndarray]:
    return [layer.get_weights()[0] for layer in anatomy.tables(model, f)]


def _names(cells: pd.Series, most: int | None = None) -> tuple[list[str], list]:
    """Return the values in cells, as text and as they are; the most frequent ones, sorted by their text."""
    counts = cells.value_counts()
    found = sorted(counts.index[:most].tolist(), key=str)
    return [str(value) for value in found], found


def _plain(cells: pd.Series) -> list[float | None]:
    """Return numbers in JSON's types; None where one is missing."""
    return [None if pd.isna(number) else float(number) for number in cells]
