"""An independent DeepFM in float64 NumPy: row by row, pair by pair, gradients by central differences.

It shares no code with the package. From the description of the fields and a dict of weights it says what the
Keras model with the same weights must answer.
"""

from itertools import combinations

import numpy as np


def weights_of(model) -> dict[str, list[np.ndarray]]:
    """Layer name → its weights in float64, for every layer that has some."""
    return {
        layer.name: [np.asarray(w, np.float64) for w in layer.get_weights()]
        for layer in model.layers
        if layer.get_weights()
    }


def values_of(feature, x: np.ndarray, weights: dict, order: str) -> list[np.ndarray]:
    """The vectors of one field in one row: one for each value that the row carries, padding left out."""
    if feature.kind == "numeric":
        kernel, *bias = weights[f"num_dense_{order}_{feature.name}"]
        return [float(x[0]) * kernel[0] + (bias[0] if bias else 0.0)]
    if feature.kind == "known":
        matrix, table = weights[f"known_embed_{order}_{feature.name}"]
        return [table[int(x[0])] @ matrix]
    (table,) = weights[f"cat_embed_{order}_{feature.name}"]
    if feature.kind == "single":
        return [table[int(x[0])]]
    return [table[int(i)] for i in x if i > 0]


def pooled(feature, x: np.ndarray, weights: dict, order: str) -> np.ndarray:
    """One vector for one field in one row."""
    vectors = values_of(feature, x, weights, order)
    if feature.kind != "multi":
        return vectors[0]
    (table,) = weights[f"cat_embed_{order}_{feature.name}"]
    if feature.pooling == "mean_with_padding":
        return sum((table[int(i)] for i in x), np.zeros(table.shape[1])) / len(x)
    total = sum(vectors, np.zeros(table.shape[1]))
    return total / max(len(vectors), 1) if feature.pooling == "mean" else total


def first_order(features, row, weights) -> float:
    """Sum of one weight per field."""
    return sum(float(pooled(f, x, weights, "1d")[0]) for f, x in zip(features, row, strict=True))


def second_order(features, row, weights) -> float:
    """Sum of the dot products of all pairs; with multi_hot every value is a feature of its own."""
    vectors = []
    for feature, x in zip(features, row, strict=True):
        if feature.wide:
            continue
        if feature.pooling == "multi_hot" and feature.kind == "multi":
            vectors += values_of(feature, x, weights, "2d")
        else:
            vectors.append(pooled(feature, x, weights, "2d"))
    return sum(float(a @ b) for a, b in combinations(vectors, 2))


def deep(features, row, weights, deep_activation: str | None) -> float:
    """The network on the vectors of the fields, one after the other."""
    hidden = np.concatenate(
        [pooled(f, x, weights, "2d") for f, x in zip(features, row, strict=True) if not f.wide]
    )
    depth = sum(name.startswith("deep_") and name != "deep_output" for name in weights)
    for i in range(1, depth + 1):
        kernel, bias = weights[f"deep_{i}"]
        hidden = np.maximum(hidden @ kernel + bias, 0.0)
    kernel, bias = weights["deep_output"]
    output = float(hidden @ kernel[:, 0] + bias[0])
    return max(output, 0.0) if deep_activation == "relu" else output


def parts(features, x, weights, deep_activation=None) -> np.ndarray:
    """First order, second order and deep part of every row, (rows, 3)."""
    rows = list(zip(*x, strict=True))
    return np.array(
        [
            [
                first_order(features, row, weights),
                second_order(features, row, weights),
                deep(features, row, weights, deep_activation),
            ]
            for row in rows
        ]
    )


def scores(features, x, weights, deep_activation=None, use=(0, 1, 2)) -> np.ndarray:
    """The score of every row; `use` holds the positions of the parts that enter it."""
    chosen = parts(features, x, weights, deep_activation)[:, list(use)]
    head = weights["deepfm_output"]
    if len(head) == 2:
        kernel, bias = head
        return chosen @ kernel[:, 0] + bias[0]
    return chosen.sum(axis=1) + float(head[0])


def penalty(features, x, weights, l2: float) -> float:
    """l2 · (squares of every looked-up weight and vector, once for each use) / rows."""
    squares = 0.0
    for row in zip(*x, strict=True):
        for feature, ids in zip(features, row, strict=True):
            if feature.kind in ("numeric", "known"):
                continue
            for order in ("1d",) if feature.wide else ("1d", "2d"):
                (table,) = weights[f"cat_embed_{order}_{feature.name}"]
                squares += sum(float(table[int(i)] @ table[int(i)]) for i in ids if i > 0)
    return l2 * squares / len(x[0])


def table_penalty(features, weights, table_l2: dict) -> float:
    """factor · (all squares of a table), table by table; weights of a wide field may have a factor of their own."""
    own = {f"cat_embed_1d_{f.name}": f.name for f in features if f.wide and f.name in table_l2}
    total = 0.0
    for layer, (array, *_) in weights.items():
        if layer.startswith("deep_"):
            name = "deep"
        elif layer.startswith(("cat_embed_1d_", "num_dense_1d_", "known_embed_1d_")):
            name = own.get(layer, "first_order")
        else:
            name = layer.removeprefix("cat_embed_2d_").removeprefix("num_dense_2d_")
            name = name.removeprefix("known_embed_2d_")
        total += table_l2.get(name, 0.0) * float(np.sum(array**2))
    return total


def loss(
    features,
    x,
    y,
    weights,
    deep_activation=None,
    use=(0, 1, 2),
    l2: float = 0.0,
    table_l2: dict | None = None,
) -> float:
    """Mean squared error plus penalties."""
    errors = scores(features, x, weights, deep_activation, use) - y
    penalties = penalty(features, x, weights, l2) + table_penalty(features, weights, table_l2 or {})
    return float(np.mean(errors**2)) + penalties


def gradients(function, weights: dict, step: float = 1e-6) -> dict[str, list[np.ndarray]]:
    """Central differences of `function(weights)` with respect to every number in `weights`."""
    result = {}
    for name, arrays in weights.items():
        result[name] = []
        for array in arrays:
            slope = np.zeros_like(array)
            flat, out = array.reshape(-1), slope.reshape(-1)
            for i in range(flat.size):
                kept = flat[i]
                flat[i] = kept + step
                above = function(weights)
                flat[i] = kept - step
                below = function(weights)
                flat[i] = kept
                out[i] = (above - below) / (2 * step)
            result[name].append(slope)
    return result
