"""Three models of clicks after DeepFM, each one layer of `keras.ops` in place of the pairs (chapter 16).

A function here returns a `build` for `recipes.fit`: it takes the arguments `features`, `k`, `dnn_dim`, `dnn_dr`,
`task`, `mean_rating`, `embedding_spread` and `table_l2` of `models.deep_fm_model` and returns a model. All else is that
of the DeepFM: the constant, the first order, the vectors, and the network beside the new part (an empty `dnn_dim`
leaves it out). So a comparison with the DeepFM tells what the new part is worth; none of these is the whole model of
its paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from deepfm_helpers import anatomy, models
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature
from deepfm_helpers.layers import Offset

ops = keras.ops
register = keras.saving.register_keras_serializable(package="deepfm_helpers")
Build = Callable[..., keras.Model]


@register
class FieldWeightedPairs(keras.layers.Layer):
    """Adds the dot products of all pairs of fields, each times a trained strength of the pair (equation eq-fwfm).

    The strengths start at 1, with which the layer is `layers.PairwiseInteractions`. Source: Pan et al., *Field-weighted
    Factorization Machines* (2018).

    Args:
        kernel_regularizer: Keras regularizer of the strengths.

    Input shape: vectors (batch, p, k). Output shape: (batch, 1).
    """

    def __init__(self, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        p = input_shape[1]
        first, second = np.triu_indices(p, 1)
        self.places = (first * p + second).astype(
            "int32"
        )  # of the pairs in the square of all products, row by row
        self.strengths = self.add_weight(
            name="strengths", shape=(len(first), 1), initializer="ones", regularizer=self.kernel_regularizer
        )

    def call(self, vectors):
        products = ops.matmul(vectors, ops.transpose(vectors, (0, 2, 1)))
        flat = ops.reshape(products, (-1, vectors.shape[1] ** 2))
        return ops.matmul(ops.take(flat, self.places, axis=1), self.strengths)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)

    def get_config(self):
        return super().get_config() | _written(self.kernel_regularizer)


@register
class CrossLayer(keras.layers.Layer):
    """Multiplies x0, entry by entry, with a linear layer of x, and adds x (equation eq-cross).

    Each further layer raises the degree of the polynomial in the entries of x0 by one. Source: Wang et al., *DCN V2*
    (2021), with a full matrix.

    Args:
        kernel_regularizer: Keras regularizer of the matrix.

    Input shape: x0 and x, (batch, d) each. Output shape: (batch, d).
    """

    def __init__(self, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, x0_shape, x_shape=None):
        d = x0_shape[-1]
        self.kernel = self.add_weight(
            name="kernel", shape=(d, d), initializer="glorot_uniform", regularizer=self.kernel_regularizer
        )
        self.bias = self.add_weight(name="bias", shape=(d,), initializer="zeros")

    def call(self, x0, x):
        return x0 * (ops.matmul(x, self.kernel) + self.bias) + x

    def compute_output_shape(self, x0_shape, x_shape=None):
        return tuple(x0_shape)

    def get_config(self):
        return super().get_config() | _written(self.kernel_regularizer)


@register
class SelfAttention(keras.layers.Layer):
    """Lets each field look at all fields, and mixes their vectors by what it finds (equation eq-attention).

    In each head, field m gives field j the weight softmax_j ⟨query_m, key_j⟩ and takes the weighted mean of the values.
    The heads are laid side by side, a linear image of the field's own vector is added, and a ReLU taken. Source: Song
    et al., *AutoInt* (2019), which does not divide by the root of the length as transformers do.

    Args:
        heads: number of heads.
        units: length of the queries, keys and values of one head.
        kernel_regularizer: Keras regularizer of the four matrices.

    Input shape: vectors (batch, p, k). Output shape: (batch, p, heads · units).
    """

    def __init__(self, heads: int = 2, units: int = 8, kernel_regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.units = int(heads), int(units)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape):
        self.query, self.key, self.value, self.own = (
            self.add_weight(
                name=name,
                shape=(input_shape[-1], self.heads * self.units),
                initializer="glorot_uniform",
                regularizer=self.kernel_regularizer,
            )
            for name in ("query", "key", "value", "own")
        )

    def call(self, vectors):
        mixed = ops.matmul(
            self.attention(vectors), self._by_head(vectors, self.value)
        )  # (batch, heads, p, units)
        side_by_side = ops.reshape(
            ops.transpose(mixed, (0, 2, 1, 3)), (-1, vectors.shape[1], self.heads * self.units)
        )
        return ops.relu(side_by_side + ops.matmul(vectors, self.own))

    def attention(self, vectors):
        """Returns how much each field (row) looks at each field (column), (batch, heads, p, p); rows add up to 1."""
        query, key = (self._by_head(vectors, kernel) for kernel in (self.query, self.key))
        return ops.softmax(ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))), axis=-1)

    def _by_head(self, vectors, kernel):
        """Multiplies the vectors by a matrix and cuts the product into heads, (batch, heads, p, units)."""
        cut = ops.reshape(ops.matmul(vectors, kernel), (-1, vectors.shape[1], self.heads, self.units))
        return ops.transpose(cut, (0, 2, 1, 3))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.heads * self.units)

    def get_config(self):
        own = {"heads": self.heads, "units": self.units}
        return super().get_config() | own | _written(self.kernel_regularizer)


def fwfm() -> Build:
    """Returns a function that builds a DeepFM whose pairs have strengths, see `FieldWeightedPairs`."""

    def interactions(vectors, penalty):
        return FieldWeightedPairs(penalty, name=anatomy.PART_LAYERS["second_order"])(vectors)

    return _in_place_of_pairs(interactions)


def dcn_v2(n: int = 2) -> Build:
    """Returns a function that builds a DeepFM with n cross layers and a linear one in place of the pairs.

    Args:
        n: number of layers (`CrossLayer`), one after the other, on the vectors laid end to end.

    Raises:
        ValueError: n is below 1.
    """
    _at_least_one(n=n)

    def interactions(vectors, penalty):
        x0 = x = keras.layers.Flatten(name="crossed_vectors")(vectors)
        for i in range(1, n + 1):
            x = CrossLayer(penalty, name=f"cross_{i}")(x0, x)
        return _linear(x, penalty)

    return _in_place_of_pairs(interactions)


def autoint(n: int = 1, heads: int = 2, units: int = 8) -> Build:
    """Returns a function that builds a DeepFM with n layers of attention and a linear one in place of the pairs.

    Args:
        n: number of layers (`SelfAttention`), one after the other.
        heads, units: see `SelfAttention`.

    Raises:
        ValueError: a number is below 1.
    """
    _at_least_one(n=n, heads=heads, units=units)

    def interactions(vectors, penalty):
        for i in range(1, n + 1):
            vectors = SelfAttention(heads, units, penalty, name=f"attention_{i}")(vectors)
        return _linear(keras.layers.Flatten(name="mixed_vectors")(vectors), penalty)

    return _in_place_of_pairs(interactions)


def _in_place_of_pairs(interactions: Callable) -> Build:
    """Returns a function that builds a DeepFM with other interactions: vectors, regularizer -> tensor (None, 1)."""

    def build(
        *,
        features: Sequence[Feature],
        k: int = 16,
        dnn_dim: Sequence[int] = (64, 32),
        dnn_dr: float = 0.2,
        task: str = "rating",
        mean_rating: float | None = None,
        embedding_spread: float | None = 0.01,
        table_l2: Mapping[str, float] | None = None,
    ) -> keras.Model:
        inputs = models.define_input_layers(features)
        shared = {"features": features, "embedding_spread": embedding_spread, "table_l2": table_l2}
        deep_l2 = (table_l2 or {}).get("deep", 0.0)
        penalty = keras.regularizers.L2(deep_l2) if deep_l2 else None
        _, vectors = models.fm_2d(inputs, k=k, **shared)
        parts = [models.fm_1d(inputs, **shared), interactions(vectors, penalty)]
        if len(dnn_dim):
            parts.append(models.deep_part(vectors, dnn_dim, dnn_dr, weight_l2=deep_l2))
        total = keras.layers.Add(name=anatomy.SUM)(parts)
        score = Offset(models.start_of(task, mean_rating), name=anatomy.SCORE)(total)
        return keras.Model(inputs, models.predicted(score, task))

    return build


def _linear(x, penalty):
    return keras.layers.Dense(1, kernel_regularizer=penalty, name=anatomy.PART_LAYERS["second_order"])(x)


def _written(regularizer) -> dict:
    return {"kernel_regularizer": keras.regularizers.serialize(regularizer)}


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} = {number}: ask for at least one")
