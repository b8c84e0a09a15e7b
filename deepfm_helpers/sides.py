"""Cuts one side, users or films, out of a model: what their fields hold, also for those new or without a rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy
from deepfm_helpers.features import KEYS, Feature
from deepfm_helpers.scoring import Side


class Embedded(NamedTuple):
    """The p fields of n users or films, looked up: weights (n, p), vectors (n, p, k), pairs inside a field (n, p)."""

    first: np.ndarray
    vectors: np.ndarray
    within: np.ndarray

    def mixed(self, shares: np.ndarray) -> Embedded:
        """Returns the mixture Σ share · row, arrays (p,), (p, k) and (p,)."""
        return Embedded(*(np.tensordot(shares, a, 1) for a in self))

    def put(self, rows, fields: Sequence[int], other: Embedded) -> None:
        """Replaces some fields of some rows by those of `other`, which has one row or as many as these."""
        for mine, its in zip(self, other, strict=True):
            mine[np.ix_(np.atleast_1d(rows), fields)] = (
                its[..., fields, :] if mine.ndim == 3 else its[..., fields]
            )


class Half:
    """The users or the films of a dataset, as their fields of a model describe them.

    The weights of an id without a training row were never trained. The average over the training rows takes their
    place, so that the other fields decide.

    Args:
        owner: "user" or "film".
        model: a whole model of `models`.
        features: the fields of the model, in the order of its inputs.
        frame: the users or films.
        ids: the uid or mid of every training row.
        kernel: kernel of the network's first layer, see `scoring.Scorer`.

    Attributes:
        key: "uid" or "mid".
        frame: the frame sorted by id; positions in arrays count its rows.
        fields: the fields of this side.
        own: positions, in `fields`, of the fields that depend on the id.
        rows: number of training rows of each user or film.
        at: position of the user or film of each training row.
        embedded: the fields of all rows of the frame, looked up.
        average: the fields averaged over the training rows.
        side: what all rows of the frame contribute to a score.

    Raises:
        ValueError: there is no training row, or see `positions`.
    """

    def __init__(self, owner, model, features, frame: pd.DataFrame, ids: pd.Series, kernel):
        self.key = KEYS[owner]
        self.frame = frame.sort_values(self.key, ignore_index=True)
        self.fields = [f for f in features if f.owner == owner]
        self.own = [j for j, f in enumerate(self.fields) if self.key in _columns(f)]
        self._open(model, features, kernel)

        self.at = self.positions(ids)
        self.rows = np.bincount(self.at, minlength=len(self.frame))
        if not len(ids):
            raise ValueError("there is no training row: nothing to take an average of")
        self.embedded = self.embed(self.frame)
        self.average = self.embedded.mixed(self.rows / self.rows.sum())
        untrained = [j for j in self.own if self.fields[j].kind != "known"]
        self.embedded.put(np.flatnonzero(self.rows == 0), untrained, self.average)
        self.side = self.sum_up(self.embedded)

    def embed(self, frame: pd.DataFrame) -> Embedded:
        """Looks up the fields of a frame's rows in the model."""
        from deepfm_helpers._keras import keras

        found = self._probe({f.input_name: f.encode(frame) for f in self.fields}, training=False)
        n = len(frame)

        def together(terms: dict, *shape: int) -> np.ndarray:
            arrays = [
                np.asarray(keras.ops.convert_to_numpy(terms[f.name])).reshape(n, *shape)
                if f.name in terms
                else np.zeros((n, *shape), "f4")
                for f in self.fields
            ]
            return np.stack(arrays, axis=1)

        return Embedded(
            together(found["weight"]), together(found["vector"], self._k), together(found["within"])
        )

    def sum_up(self, embedded: Embedded) -> Side:
        """Adds up the fields of each row, and takes them through their half of the first hidden layer."""
        first, vectors, within = embedded
        total = vectors.sum(axis=1)
        own = 0.5 * (np.square(total) - np.square(vectors).sum(axis=1)).sum(axis=1) + within.sum(axis=1)
        return Side(first.sum(axis=1), own, total, vectors.reshape(len(first), -1) @ self._kernel)

    def described(self, description: Mapping) -> Embedded:
        """Looks up one row from a description, column -> value; a field that it does not determine is the average.

        Raises:
            ValueError: the model has no field for a column, or the field does not know the value.
        """
        leaves = [f for whole in self.fields for f in _leaves(whole) if f.column != self.key]
        known = list(dict.fromkeys(f.column for f in leaves))
        for column, value in description.items():
            if column not in known:
                raise ValueError(f"the model has no field for {column}; it knows {', '.join(known)}")
            for f in leaves:
                if f.column == column and f.vocabulary is not None:
                    _check_value(f, value)
        embedded = self.embed(self.frame.head(1).assign(**description))
        open_ = [j for j, f in enumerate(self.fields) if not _columns(f) <= set(description)]
        embedded.put(0, open_, self.average)
        return embedded

    @property
    def ids_are_text(self) -> bool:
        """Whether the ids in the frame are texts; otherwise they are whole numbers."""
        return not pd.api.types.is_numeric_dtype(self.frame[self.key])

    def positions(self, ids: Sequence) -> np.ndarray:
        """Returns the positions in the frame of these ids.

        Raises:
            TypeError: an id is not a number, or not a text where the ids are texts.
            ValueError: the frame lacks an id.
        """
        ids = np.atleast_1d(ids)
        hint = "; describe someone new with a dict, see new_user" if self.key == "uid" else ""
        if self.ids_are_text:
            strange = [one for one in ids.tolist() if not isinstance(one, str)]
        else:
            strange = [] if ids.dtype.kind in "iuf" else ids.tolist()
        if strange:
            kind = "text" if self.ids_are_text else "whole number"
            raise TypeError(
                f"{self.key} {strange[0]!r} is of type {type(strange[0]).__name__}, and a {self.key} is a {kind}{hint}"
            )
        rows = pd.Index(self.frame[self.key]).get_indexer(ids)
        if (rows < 0).any():
            raise ValueError(
                f"{self.key} {ids[rows < 0].tolist()[0]!r} is not among the {len(self.frame):,} of the data{hint}"
            )
        return rows

    def _open(self, model, features: Sequence[Feature], kernel) -> None:
        """Takes two things out of the model: a probe that looks up the fields, and their half of the first layer."""
        from deepfm_helpers._keras import keras

        inputs = {i.name: i for i in model.inputs}
        terms = {f.name: anatomy.terms(model, f) for f in features}
        outputs = {
            term: {f.name: t for f in self.fields if (t := getattr(terms[f.name], term)) is not None}
            for term in anatomy.Terms._fields
        }
        self._probe = keras.Model({f.input_name: inputs[f.input_name] for f in self.fields}, outputs)
        vectors = {name: t.vector for name, t in terms.items() if t.vector is not None}
        self._k = next((v.shape[-1] for v in vectors.values()), 0)
        hidden = 0 if kernel is None else kernel.shape[1]
        halves = {f.name: np.zeros((self._k, hidden), "f4") for f in self.fields}
        if kernel is not None:
            halves |= dict(zip(vectors, kernel.reshape(len(vectors), self._k, hidden), strict=True))
        self._kernel = np.concatenate([halves[f.name] for f in self.fields])


def _check_value(field: Feature, value) -> None:
    """Raises ValueError, with the possible values, for a value that the field does not know."""
    try:
        values = field.read(value)
    except (TypeError, AttributeError):  # of a type that the field cannot read
        values = [value]
    if not values and field.kind == "single":  # such as a title without a year
        values = [value]
    if strange := [v for v in values if v not in field.vocabulary]:
        choices = ", ".join(map(str, field.vocabulary))
        raise ValueError(f"{field.column} = {strange[0]!r} is unknown; choose from {choices}")


def _leaves(field: Feature) -> list[Feature]:
    """Returns the field itself, or the fields that it crosses."""
    return [leaf for part in getattr(field, "parts", ()) for leaf in _leaves(part)] or [field]


def _columns(field: Feature) -> set[str]:
    """Returns the columns that determine the value of a field."""
    return {leaf.column for leaf in _leaves(field)}
