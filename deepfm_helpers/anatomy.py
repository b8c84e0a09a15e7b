"""The names of a model's layers, and functions that find its tables, parts, network and head by them.

`models` gives its layers these names, which files of weights and summaries show. No other module knows them.

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
"""The layers of the three parts of a DeepFM score, by part, in the order in which the post concatenates them."""

SUM, SCORE, PROBABILITY = "sum_of_parts", "deepfm_output", "probability"
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
    """The layers that hold a field's weights (first order) and its vectors (second order).

    None stands for a layer that the model lacks: a wide field has no vectors, and a part left out of the score has no
    layers.
    """

    first: object
    second: object


class Terms(NamedTuple):
    """A field's contributions to the score of a row, as tensors: its weight (None, 1), its vector (None, 1, k), and the
    sum of the pairs of its own values (None, 1).

    None stands for a contribution that the model does not compute.
    """

    weight: object
    vector: object
    within: object


class Head(NamedTuple):
    """How the parts become a score: by part the weight that multiplies it, the constant, and the layer.

    The constant and the score are in stars, or, with the task "click", in log-odds.
    """

    weights: dict[str, float]
    constant: float
    layer: object


def table_name(kind: str, order: str, field: str) -> str:
    """Returns the name of the layer with the weights of a field of this kind; the order is "1d" or "2d"."""
    return f"{_TABLES[kind]}_{order}_{field}"


def step_name(step: str, order: str, field: str) -> str:
    """Returns the name of a layer between a table and the sum; the step is "l2", "pool", "row" or "flat"."""
    return f"{step}_{order}_{field}"


def within_name(field: str) -> str:
    """Returns the name of the layer that adds the pairs of a field's own values."""
    return f"pairs_within_{field}"


def hidden_name(number: int) -> str:
    """Returns the name of a hidden layer of the network; the first has the number 1."""
    return f"deep_{number}"


def tables(model, field) -> Tables:
    """Finds the layers with the weights and the vectors of a field.

    `get_weights()[0]` of each layer is the table, (ids, 1) or (ids, k); for a numeric field it is the slope, (1, 1) or
    (1, k), and for a known field the trained matrix, (d, 1) or (d, k).

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
    """Finds the tensors with which a field contributes to the score of a row.

    Args:
        model: a model of `models`.
        field: a field or its name.

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
    """Finds the tensor (None, 1) of each part that the model has: first_order, second_order, deep."""
    layers = _layers(model)
    return {part: layers[name].output for part, name in PART_LAYERS.items() if name in layers}


def network(model) -> list:
    """Finds the Dense layers of the deep part, the output last; an empty list for a model without one."""
    layers, found = _layers(model), []
    while (name := hidden_name(len(found) + 1)) in layers:
        found.append(layers[name])
    return [*found, layers[PART_LAYERS["deep"]]] if PART_LAYERS["deep"] in layers else []


def head(model) -> Head:
    """Finds the weights and the constant that make a score of the parts, see `Head`.

    Raises:
        ValueError: the model is only a part of one, or is not one of `models`.
    """
    layers = _layers(model)
    if SCORE not in layers:
        raise ValueError(f"not a whole model of deepfm_helpers.models: it has no layer {SCORE}")
    *kernel, constant = layers[SCORE].get_weights()
    names = list(parts(model))
    weights = kernel[0][:, 0] if kernel else np.ones(len(names))
    return Head(dict(zip(names, weights.tolist(), strict=True)), float(np.ravel(constant)[0]), layers[SCORE])


def task(model) -> str:
    """Returns what a model predicts: "click", a probability, if it has a layer `PROBABILITY`; else "rating"."""
    layers = list(getattr(model, "layers", ()))
    while layers:
        layer = layers.pop()
        if layer.name == PROBABILITY:
            return "click"
        layers += getattr(layer, "layers", ())  # of a model inside the model
    return "rating"


def _layers(model) -> dict:
    return {layer.name: layer for layer in model.layers}
