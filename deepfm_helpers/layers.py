"""The few layers that a factorization machine needs beyond Keras' own, written in `keras.ops` alone.

All are registered, so that a saved ``.keras`` file reloads in safe mode without `custom_objects`. None calls
TensorFlow, so that the same model runs on another Keras backend.
"""

from __future__ import annotations

import numpy as np

from deepfm_helpers._keras import keras

ops = keras.ops
register = keras.saving.register_keras_serializable(package="deepfm_helpers")

MANY_IDS = 20_000
"""`KnownEmbedding` multiplies a table of up to this many rows, about two large batches, as a whole."""


def _mask(ids, dtype):
    """Returns 1.0 where a slot holds a value and 0.0 where it is padding, (batch, slots, 1)."""
    return ops.expand_dims(ops.cast(ids > 0, dtype), -1)


def _pool(slots, ids, pooling: str):
    """Combines what the slots of each row hold, (batch, slots, n), into one, (batch, 1, n); see `PoolValues`.

    Pooling is linear: the combined one-hot rows times a table are the combined vectors.
    """
    if pooling == "mean_with_padding":
        return ops.mean(slots, axis=1, keepdims=True)
    mask = _mask(ids, slots.dtype)
    total = ops.sum(slots * mask, axis=1, keepdims=True)
    if pooling == "mean":
        return total / ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
    return total


def _check_ids(layer: keras.layers.Layer, ids) -> None:
    """Raises ValueError for an id without a row, except in a compiled graph, where the ids cannot be seen."""
    try:
        values = np.asarray(ids)
    except (NotImplementedError, TypeError, ValueError):  # a tensor without numbers: TensorFlow, JAX, Keras
        return
    strange = values[(values < 0) | (values >= layer.input_dim) | (values % 1 != 0)]
    if strange.size:
        raise ValueError(
            f"{layer.name}: id {strange[0]} has no row; the table holds whole numbers 0 … {layer.input_dim - 1}"
        )


@register
class PoolValues(keras.layers.Layer):
    """Combines the vectors of a multi-valued field into one (equation eq-pooling, chapter 2).

    Args:
        pooling: "mean" averages over the values present; "sum" and "multi_hot" add them (every value is a feature
            x_i = 1 of its own); "mean_with_padding" averages over all slots, empty ones included, as the post does.

    Input shape: embeddings (batch, slots, k) and ids (batch, slots). Output shape: (batch, 1, k).
    """

    def __init__(self, pooling: str = "mean", **kwargs):
        super().__init__(**kwargs)
        self.pooling = pooling

    def call(self, embeddings, ids):
        return _pool(embeddings, ids, self.pooling)

    def compute_output_shape(self, embeddings_shape, ids_shape=None):
        return (embeddings_shape[0], 1, embeddings_shape[2])

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


@register
class Embedding(keras.layers.Embedding):
    """Keras' table of vectors, which also refuses ids without a row and can combine the values of a field.

    Args:
        input_dim: rows of the table.
        output_dim: length k of a vector.
        pooling: how the values of a multi-valued field are combined, see `PoolValues`; None: they are not.

    Input shape: ids (batch, slots). Output shape: (batch, slots, k), or (batch, 1, k) with pooling.

    Raises:
        ValueError: an id lies outside the table. A compiled graph cannot see ids and raises nothing.
    """

    def __init__(self, input_dim: int, output_dim: int, *args, pooling: str | None = None, **kwargs):
        super().__init__(input_dim, output_dim, *args, **kwargs)
        self.pooling = pooling

    def call(self, ids):
        _check_ids(self, ids)
        vectors = super().call(ids)
        return _pool(vectors, ids, self.pooling) if self.pooling else vectors

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1 if self.pooling else input_shape[1], self.output_dim)

    def get_config(self):
        return {**super().get_config(), "pooling": self.pooling}


@register
class OneHotEmbedding(Embedding):
    """An `Embedding` for few values: it multiplies the one-hot or multi-hot row by the table instead of looking it up.

    Arguments, weights and result are those of `Embedding`. For up to about a hundred values the product, and above all
    its gradient, takes less time than the look-up.
    """

    def call(self, ids):
        _check_ids(self, ids)
        hot = ops.one_hot(ids, self.input_dim, dtype=self.compute_dtype)
        return ops.matmul(_pool(hot, ids, self.pooling) if self.pooling else hot, self.embeddings)


@register
class KnownEmbedding(keras.layers.Layer):
    """Vectors of ids about which numbers are known: a row of a fixed table times a trained matrix (equation eq-known).

    The layer multiplies the whole table and looks the ids up in the product; with batches as large as the table, this
    is less work than multiplying every row of the batch. If the table has more than `MANY_IDS` rows, the layer looks
    up first and multiplies then.

    Args:
        input_dim: rows of the table.
        known: numbers in a row.
        output_dim: length k of a vector.
        embeddings_initializer, embeddings_regularizer: those of the matrix (known, k).

    Input shape: ids (batch, slots). Output shape: (batch, slots, k).

    Raises:
        ValueError: an id lies outside the table. A compiled graph cannot see ids and raises nothing.
    """

    def __init__(
        self,
        input_dim: int,
        known: int,
        output_dim: int,
        embeddings_initializer="uniform",
        embeddings_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.input_dim, self.known, self.output_dim = int(input_dim), int(known), int(output_dim)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.embeddings_regularizer = keras.regularizers.get(embeddings_regularizer)

    def build(self, input_shape=None):
        self.matrix = self.add_weight(
            name="matrix",
            shape=(self.known, self.output_dim),
            initializer=self.embeddings_initializer,
            regularizer=self.embeddings_regularizer,
        )
        self.table = self.add_weight(
            name="table", shape=(self.input_dim, self.known), initializer="zeros", trainable=False
        )
        self.built = True

    def call(self, ids):
        _check_ids(self, ids)
        if self.input_dim <= MANY_IDS:
            return ops.take(ops.matmul(self.table, self.matrix), ids, axis=0)
        return ops.matmul(ops.take(self.table, ids, axis=0), self.matrix)

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.output_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "input_dim": self.input_dim,
            "known": self.known,
            "output_dim": self.output_dim,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "embeddings_regularizer": keras.regularizers.serialize(self.embeddings_regularizer),
        }


@register
class PairwiseInteractions(keras.layers.Layer):
    """Adds the dot products of all pairs of rows, in O(p·k) (equation eq-fm-fast, chapter 4).

    The sum is ½ Σ_f [(Σ_i v_if)² − Σ_i v_if²], Lemma 3.1 of Rendle, *Factorization Machines* (2010). With `ids`, rows
    of padding are left out.

    Input shape: vectors (batch, p, k), optionally ids (batch, p). Output shape: (batch, 1).
    """

    def call(self, vectors, ids=None):
        if ids is not None:
            vectors = vectors * _mask(ids, vectors.dtype)
        square_of_sum = ops.square(ops.sum(vectors, axis=1))
        sum_of_squares = ops.sum(ops.square(vectors), axis=1)
        return 0.5 * ops.sum(square_of_sum - sum_of_squares, axis=-1, keepdims=True)

    def compute_output_shape(self, vectors_shape, ids_shape=None):
        return (vectors_shape[0], 1)


@register
class Offset(keras.layers.Layer):
    """Adds the trainable constant w0 of equation eq-first-order.

    Args:
        start: value of w0 before training, in stars.

    Input and output shape: (batch, 1).
    """

    def __init__(self, start: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.start = float(start)

    def build(self, input_shape):
        self.w0 = self.add_weight(name="w0", shape=(), initializer=keras.initializers.Constant(self.start))

    def call(self, x):
        return x + self.w0

    def get_config(self):
        return {**super().get_config(), "start": self.start}


@register
class BatchL2(keras.layers.Layer):
    """Passes embeddings on and, in training, adds l2 · (sum of their squares) / batch to the loss.

    The penalty covers the vectors that the batch looked up, each as often as it was used, and not the whole table.
    Padding is left out.

    Args:
        l2: factor of the penalty.

    Input shape: embeddings (batch, slots, k) and ids (batch, slots). Output shape: that of the embeddings.
    """

    def __init__(self, l2: float, **kwargs):
        super().__init__(**kwargs)
        self.l2 = float(l2)

    def call(self, embeddings, ids, training=None):
        if training:
            squares = ops.sum(ops.square(embeddings * _mask(ids, embeddings.dtype)))
            self.add_loss(self.l2 * squares / ops.cast(ops.shape(ids)[0], squares.dtype))
        return embeddings

    def compute_output_shape(self, embeddings_shape, ids_shape=None):
        return embeddings_shape

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}
