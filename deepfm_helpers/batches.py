"""Rows in batches: shuffled from the seed and the epoch, packed row by row, in equal shares for the processes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepfm_helpers._keras import keras
from deepfm_helpers.processes import Share


class Batches:
    """Rows in batches, shuffled anew each epoch; the order in epoch e depends on (seed, e) alone.

    Because of that a run that was killed can go on exactly as if it had not been, and processes that train together
    agree on every batch.

    Args:
        x: model inputs, each (n, …).
        y: ratings in stars, (n,).
        batch_size: rows in a batch, of all processes together; the last batch of an epoch holds the rest.
        seed: of all orders; None: the rows stay as they are.
        share: the part of every batch that is dealt here, see `processes.share`. All parts of a batch have the same
            length: rows of zeros fill up the last ones. They have weight 0, and the others weight 1.
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
        """Row numbers in the order of this epoch, (n,)."""
        if self.seed is None:
            return np.arange(len(self.y))
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.y))

    def __len__(self) -> int:
        return -(-len(self.y) // self.batch_size)

    def dataset(self):
        """The batches for `fit`, (inputs, ratings); each pass goes in the order of its epoch.

        They are gathered from a copy of the columns in types as narrow as their values allow. The bytes of a row lie
        side by side, so that it is read in one place instead of one for each column.

        Returns:
            With TensorFlow a `tf.data.Dataset`; with another backend a `keras.utils.PyDataset`, whose batches hold the
            weights of the rows too if there are several devices.
        """
        return self._in_tensorflow() if keras.backend.backend() == "tensorflow" else _Gathered(self)

    def _in_tensorflow(self):
        """A pipeline in which TensorFlow alone gathers the batches, ahead of the training step.

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
    """A record for each row, (n,), with a field of the narrowest type for each column."""
    fields = [(f"column {i}", _narrow(column), column.shape[1:]) for i, column in enumerate(columns)]
    records = np.empty(len(columns[0]), fields)
    for (name, *_), column in zip(fields, columns, strict=True):
        records[name] = column
    return records


def _unpacked(records, narrow: np.dtype, start: int, dtype: np.dtype):
    """A column out of the bytes (batch, bytes) of some records: its field begins at `start`."""
    import tensorflow as tf

    values = tf.reshape(records[:, start : start + narrow.itemsize], (-1, narrow.base.itemsize))
    return tf.cast(tf.reshape(tf.bitcast(values, narrow.base), (-1, *narrow.shape)), dtype)


def _narrow(column: np.ndarray) -> np.dtype:
    """The smallest signed type that holds these whole numbers; that of the column if they are not whole."""
    if column.dtype.kind != "i" or not column.size:
        return column.dtype
    low, high = column.min(), column.max()
    fits = (t for t in (np.int8, np.int16, np.int32) if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    return np.dtype(next(fits, column.dtype))
