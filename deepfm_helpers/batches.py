"""Deals rows in batches: shuffled by seed and epoch, packed row by row, in equal shares for the processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from deepfm_helpers._keras import keras
from deepfm_helpers.processes import Share


@runtime_checkable
class Stream(Protocol):
    """Rows that are read while a model trains on them."""

    def digests(self) -> Mapping[str, str]:
        """Returns what tells these rows from others, under names for messages."""

    def batches(self, batch_size: int, seed: int | None, share: Share):
        """Returns the rows in batches: an object with the attributes `seed` and `epoch` and the method `dataset`.

        They mean what they mean in `Batches`.
        """


class Batches:
    """Rows in batches, shuffled anew each epoch; the order in epoch e depends on (seed, e) alone.

    A run that was killed can therefore go on exactly as if nothing had happened, and processes that train together
    agree on every batch.

    Args:
        x: model inputs, each (n, …).
        y: targets, stars or 0 and 1, (n,).
        batch_size: rows in a batch of all processes together; the last batch of an epoch holds the rest.
        seed: seed of the orders of all epochs; None: the rows keep their order.
        share: the part of every batch that this process gets, see `processes.share`. All parts of a batch have the same
            length: rows of zeros fill up the last parts. Those rows have weight 0, all others weight 1.
    """

    def __init__(
        self,
        x: Sequence[np.ndarray],
        y: np.ndarray,
        batch_size: int,
        seed: int | None,
        share: Share = Share(),  # noqa: B008 (a constant)
    ):
        self.x, self.y, self.batch_size, self.seed, self.share = x, y, batch_size, seed, share
        self.epoch = 0

    def order(self) -> np.ndarray:
        """Returns the row numbers in the order of this epoch, (n,)."""
        if self.seed is None:
            return np.arange(len(self.y))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.y))

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def dataset(self):
        """Returns the batches for `fit`, (inputs, ratings); each pass follows the order of its epoch.

        They are gathered from a copy of the columns in the narrowest types that hold their values. The bytes of a row
        lie side by side, so that a row is read from one place instead of one for each column.

        Returns:
            A `tf.data.Dataset` with TensorFlow; with another backend a `keras.utils.PyDataset`, whose batches also hold
            the weights of the rows if there are several devices.
        """
        return self._in_tensorflow() if keras.backend.backend() == "tensorflow" else _Gathered(self)

    def _in_tensorflow(self):
        """Returns a pipeline in which TensorFlow alone gathers the batches, ahead of the training step.

        Autotuning is off: with it, a pass began with up to three seconds in which nothing was computed.
        """
        import tensorflow as tf

        packed = _packed((*self.x, self.y))
        places = [packed.dtype.fields[name] for name in packed.dtype.names]
        types = [column.dtype for column in (*self.x, self.y)]
        table = tf.convert_to_tensor(packed.view(np.uint8).reshape(len(packed), -1))

        def epoch(order):
            def batch(i):
                records = tf.gather(table, order[i * self.batch_size : (i + 1) * self.batch_size])
                *x, y = (
                    _unpacked(records, *place, dtype) for place, dtype in zip(places, types, strict=True)
                )
                return tuple(x), y

            return tf.data.Dataset.range(len(self)).map(batch)

        orders = tf.data.Dataset.from_generator(
            lambda: iter([self.order()]), output_signature=tf.TensorSpec((None,), tf.int64)
        )
        options = tf.data.Options()
        options.autotune.enabled = False
        counted = orders.flat_map(epoch).apply(tf.data.experimental.assert_cardinality(len(self)))
        return counted.prefetch(2).with_options(options)


class _Gathered(keras.utils.PyDataset):
    """Batches that NumPy gathers."""

    def __init__(self, batches: Batches):
        super().__init__()
        self.batches, self.packed, self.of = batches, _packed((*batches.x, batches.y)), None

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> tuple:
        batches, (rank, size, devices) = self.batches, self.batches.share
        if self.of != batches.epoch:
            self.of, self.order = batches.epoch, batches.order()
        rows = self.order[i * batches.batch_size : (i + 1) * batches.batch_size]
        part = -(-len(rows) // devices) * devices // size
        mine = rows[rank * part : (rank + 1) * part]
        records = np.zeros(part, self.packed.dtype)
        records[: len(mine)] = self.packed[mine]
        columns = zip(self.packed.dtype.names, (*batches.x, batches.y), strict=True)
        *x, y = (records[name].astype(column.dtype) for name, column in columns)
        weights = (np.arange(part) < len(mine)).astype(np.float32)
        return (tuple(x), y, weights) if devices > 1 else (tuple(x), y)


def _packed(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Packs columns into one record per row, (n,), with a field of the narrowest type for each column."""
    fields = [(f"column {i}", _narrow(column), column.shape[1:]) for i, column in enumerate(columns)]
    records = np.empty(len(columns[0]), fields)
    for (name, *_), column in zip(fields, columns, strict=True):
        records[name] = column
    return records


def _unpacked(records, narrow: np.dtype, start: int, dtype: np.dtype):
    """Returns a column from the bytes (batch, bytes) of some records, in which its field begins at `start`."""
    import tensorflow as tf

    values = tf.reshape(records[:, start : start + narrow.itemsize], (-1, narrow.base.itemsize))
    return tf.cast(tf.reshape(tf.bitcast(values, narrow.base), (-1, *narrow.shape)), dtype)


def _narrow(column: np.ndarray) -> np.dtype:
    """Returns the smallest signed type that holds a column of whole numbers; the type of any other column."""
    if column.dtype.kind != "i" or not column.size:
        return column.dtype
    low, high = column.min(), column.max()
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.dtype(next(fits, column.dtype))
