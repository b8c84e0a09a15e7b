"""What the layers of a model are called, and where to find its tables, parts, network and head.

`models` builds with these names; they stand in files of weights and in summaries. No other module knows them.

>>> from deepfm_helpers import anatomy, features, models
>>> fields = [features.Feature("uid", "single", "uid", 5), features.Feature("mid", "single", "mid", 4)]
>>> *_, model = models.deep_fm_model(features=fields, k=3, dnn_dim=(8,), mean_rating=3.5)
>>> anatomy.tables(model, "mid").second.get_weights()[0].shape  # ids 0 to 4, k = 3
(5, 3)
>>> [layer.name for layer in anatomy.network(model)]
['deep_1', 'deep_output']
>>> anatomy.head(model).weights, anatomy.head(model).constant
({'first_order': 1.0, 'second_order': 1.0, 'deep': 1.0}, 3.5)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

PART_LAYERS = {"first_order": "fm_1d_output", "second_order": "fm_2d_output", "deep": "deep_output"}
"""The three parts of a DeepFM score, in the order in which the post concatenates them, and their layers."""

SUM, SCORE = "sum_of_parts", "deepfm_output"
VECTORS, LAID_END_TO_END = "concat_embed_2d", "flat_embed_2d"
BETWEEN = "pairs_between_fields"

_TABLES = {"single": "cat_embed", "multi": "cat_embed", "numeric": "num_dense", "known": "known_embed"}
_POOLED = (
    "pool",
    "l2",
    "row",
    *dict.fromkeys(_TABLES.values()),
)  # what ends the way from an input to its vector
_ORDERS = ("1d", "2d")


class Tables(NamedTuple):
    """The layers that hold the weights of a field: of the first order and of the second.

    None where there is no such layer: a wide field has no vectors, and a part left out of the score has no layers.
    """

    first: object
    second: object


class Terms(NamedTuple):
    """What a field brings to the score of a row: weight (None, 1), vector (None, 1, k), pairs inside (None, 1).

    Tensors, or None where the model does without.
    """

    weight: object
    vector: object
    within: object


class Head(NamedTuple):
    """How the parts become a score: the weight of each part present, the constant in stars, and the layer."""

    weights: dict[str, float]
    constant: float
    layer: object


def table_name(kind: str, order: str, field: str) -> str:
    """Name of the layer with the weights of a field of this kind; the order is "1d" or "2d"."""
    return f"{_TABLES[kind]}_{order}_{field}"


def step_name(step: str, order: str, field: str) -> str:
    """Name of a layer between a table and the sum: l2, pool, row or flat."""
    return f"{step}_{order}_{field}"


def within_name(field: str) -> str:
    """Name of the layer with the pairs inside a field."""
    return f"pairs_within_{field}"


def hidden_name(number: int) -> str:
    """Name of a hidden layer of the network; the first has the number 1."""
    return f"deep_{number}"


def tables(model, field) -> Tables:
    """The layers with the weights and the vectors of a field.

    `get_weights()[0]` of each is the table (ids, 1) or (ids, k); of a numeric field the slope (1, k), and of a
    known field the trained matrix (d, k).

    Args:
        model: a model of `models`, or any part of one.
        field: a field or its name.

    Raises:
        ValueError: the model has no such field.
    """
    layers, name = _layers(model), getattr(field, "name", field)
    found = Tables(
        *(
            next((layers[n] for kind in _TABLES if (n := table_name(kind, order, name)) in layers), None)
            for order in _ORDERS
        )
    )
    inputs = [i.name for i in model.inputs]
    if found == (None, None) and f"input_{name}" not in inputs:
        raise ValueError(f"the model has no field {name}; its inputs are {', '.join(inputs)}")
    return found


def terms(model, field) -> Terms:
    """What a field, given as such or by its name, brings to the score of a row, as tensors.

    Raises:
        ValueError: the model has no such field.
    """
    tables(model, field)
    layers, name = _layers(model), getattr(field, "name", field)
    names = (
        [step_name("flat", "1d", name)],
        [step_name(step, "2d", name) for step in _POOLED],
        [within_name(name)],
    )
    return Terms(*(next((layers[n].output for n in some if n in layers), None) for some in names))


def parts(model) -> dict:
    """The tensor (None, 1) of each part that the model has: first_order, second_order, deep."""
    layers = _layers(model)
    return {part: layers[name].output for part, name in PART_LAYERS.items() if name in layers}


def network(model) -> list:
    """The Dense layers of the deep part, the output last; none without a deep part."""
    layers, found = _layers(model), []
    while (name := hidden_name(len(found) + 1)) in layers:
        found.append(layers[name])
    return [*found, layers[PART_LAYERS["deep"]]] if PART_LAYERS["deep"] in layers else []


def head(model) -> Head:
    """How the parts become a score: the weight of each part present and the constant that is added, in stars.

    Raises:
        ValueError: the model ends in another way than those of `models`.
    """
    layers = _layers(model)
    if SCORE not in layers:
        raise ValueError(f"not a whole model of deepfm_helpers.models: it has no layer {SCORE}")
    *kernel, constant = layers[SCORE].get_weights()
    names = list(parts(model))
    weights = kernel[0][:, 0] if kernel else np.ones(len(names))
    return Head(dict(zip(names, weights.tolist(), strict=True)), float(np.ravel(constant)[0]), layers[SCORE])


def _layers(model) -> dict:
    return {layer.name: layer for layer in model.layers}
