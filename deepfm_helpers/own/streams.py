"""Rows that do not fit in memory: Parquet files of ids and numbers, read group by group while a model trains on them.

`write` encodes frames, one after the other, and stores what the model takes; `Parquet` reads it back in batches. An
epoch goes through the row groups in an order of its own, `window` of them at a time, and mixes the rows of these. So
memory does not grow with the rows, and each batch holds rows from all over the file. If the window holds all groups,
every order of the rows is possible, as in memory.

>>> import pandas as pd
>>> from deepfm_helpers import models, training
>>> from deepfm_helpers.features import Feature
>>> from deepfm_helpers.own import streams
>>> fields = [Feature("uid", "single", "uid", 3), Feature("mid", "single", "mid", 2)]
>>> frame = pd.DataFrame({"uid": [1, 2, 3] * 40, "mid": [1, 2] * 60, "rating": [5.0, 1.0, 4.0] * 40})
>>> rows = streams.write([frame, frame], fields, "_build/rows.parquet", rows_per_group=50)
>>> rows
Parquet('_build/rows.parquet': 240 rows in 5 groups)
>>> model = models.fm_model(fields, k=2)
>>> list(training.train(model, rows, epochs=2, batch_size=32).columns)
['epoch', 'loss', 'rmse', 'seconds']
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from deepfm_helpers.features import Feature
from deepfm_helpers.files import replacing
from deepfm_helpers.processes import Share
from deepfm_helpers.schema import DataError

TARGET = "rating"
ROWS_PER_GROUP = 131_072


def write(
    frames: Iterable[pd.DataFrame],
    fields: Sequence[Feature],
    path: str | Path,
    *,
    rows_per_group: int = ROWS_PER_GROUP,
) -> Parquet:
    """Encodes frames and writes them to one Parquet file; if that fails, whatever was at `path` stays.

    Args:
        frames: joined rows with the columns of the fields and `rating`, part by part; only one part is in memory.
        fields: the fields of the model, in the order of its inputs.
        path: path of the file.
        rows_per_group: rows in a row group; a reader holds a few groups in memory.

    Raises:
        DataError: there is no row, or a target is missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = pa.schema([*(pa.field(f.name, _type_of(f)) for f in fields), pa.field(TARGET, pa.float32())])
    written, kept = 0, []
    with replacing(path) as part:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:
            for frame in frames:
                if frame[TARGET].isna().any():
                    row = written + sum(map(len, kept)) + int(frame[TARGET].isna().to_numpy().argmax())
                    raise DataError(f"row {row} (counted from 0) has no {TARGET}; drop the row")
                kept.append(_table(schema, frame, fields))
                while (waiting := sum(map(len, kept))) >= rows_per_group:
                    joined = pa.concat_tables(kept)
                    writer.write_table(joined.slice(0, rows_per_group), row_group_size=rows_per_group)
                    kept, written = [joined.slice(rows_per_group)], written + rows_per_group
                    if waiting == rows_per_group:
                        kept = []
            if kept:
                writer.write_table(pa.concat_tables(kept), row_group_size=rows_per_group)
                written += sum(map(len, kept))
        if not written:
            raise DataError("the frames hold no rows; check what they were made from")
    return Parquet(path)


class Parquet:
    """What `write` has written, as a `batches.Stream`.

    Args:
        path: path of the file.
        window: number of row groups that lie in memory together and are mixed.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: the file is damaged, or `write` did not write it.
        ValueError: the window is below 1.
    """

    def __init__(self, path: str | Path, window: int = 8):
        self.path, self.window = Path(path), window
        if window < 1:
            raise ValueError(f"window = {window}: at least one row group has to lie in memory")
        if not self.path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; streams.write writes one")
        try:
            with parquet.ParquetFile(self.path) as file:
                groups = range(file.metadata.num_row_groups)
                self.rows = [file.metadata.row_group(i).num_rows for i in groups]
                names, footer = file.schema_arrow.names, repr(file.metadata.to_dict())
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a whole Parquet file ({error}); write it again") from None
        if names[-1:] != [TARGET]:
            raise DataError(f"{path}: its last column is not {TARGET!r}; streams.write writes such files")
        self.columns = names
        self._digest = hashlib.sha256(footer.encode()).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Parquet('{self.path}': {len(self):,} rows in {len(self.rows)} groups)"

    def __len__(self) -> int:
        return sum(self.rows)

    def digests(self) -> dict[str, str]:
        """Returns a digest of the file's footer: its columns, and the place, size and extremes of every group."""
        return {"rows": f"{len(self)} rows, {self._digest}"}

    def batches(self, batch_size: int, seed: int | None, share: Share = Share()):  # noqa: B008
        """Returns the rows in batches; arguments as in `batches.Batches`."""
        return _Batches(self, batch_size, seed, share)

    def group(self, i: int) -> list[np.ndarray]:
        """Reads a row group: the inputs of the model, each (n, slots), and the targets, (n,)."""
        with parquet.ParquetFile(self.path, memory_map=True) as file:
            table = file.read_row_group(i, use_threads=True)
        found = []
        for column in table.columns:
            cells = column.combine_chunks()
            slots = getattr(cells.type, "list_size", 1)
            flat = cells.flatten() if slots > 1 else cells
            found.append(flat.to_numpy(zero_copy_only=False).reshape(len(table), slots))
        return [*found[:-1], found[-1][:, 0]]


class _Batches:
    """The batches of an epoch: see `batches.Batches`, of which this has `seed`, `epoch`, `dataset` and a length."""

    def __init__(self, rows: Parquet, batch_size: int, seed: int | None, share: Share):
        self.rows, self.batch_size, self.seed, self.share = rows, batch_size, seed, share
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def dataset(self):
        """Returns a `tf.data.Dataset` of this epoch's batches, which a thread of its own reads ahead; Keras takes one
        with every backend."""
        import tensorflow as tf

        def spec(array):
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        example = self._part(self.rows.group(0))
        signature = tf.nest.map_structure(spec, example)
        batches = tf.data.Dataset.from_generator(self._deal, output_signature=signature)
        batches = batches.apply(tf.data.experimental.assert_cardinality(len(self)))
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.prefetch(4).with_options(options)

    def _deal(self) -> Iterator[tuple]:
        left: list[np.ndarray] | None = None
        for block in self._blocks():
            block = (
                block if left is None else [np.concatenate(pair) for pair in zip(left, block, strict=True)]
            )
            whole = len(block[-1]) // self.batch_size * self.batch_size
            for start in range(0, whole, self.batch_size):
                yield self._part([column[start : start + self.batch_size] for column in block])
            left = [column[whole:] for column in block]
        if left is not None and len(left[-1]):
            yield self._part(left)

    def _blocks(self) -> Iterator[list[np.ndarray]]:
        """Yields the rows of this epoch window by window, each window in an order of its own."""
        groups = np.arange(len(self.rows.rows))
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        groups = groups if rng is None else rng.permutation(groups)
        for start in range(0, len(groups), self.rows.window):
            read = [self.rows.group(int(i)) for i in groups[start : start + self.rows.window]]
            block = [np.concatenate(columns) for columns in zip(*read, strict=True)]
            if rng is not None:
                order = rng.permutation(len(block[-1]))
                block = [column[order] for column in block]
            yield block

    def _part(self, columns: Sequence[np.ndarray]) -> tuple:
        """Returns the part of a batch that this process gets, as `fit` takes it; see `batches.Batches`."""
        rank, size, devices = self.share
        n = len(columns[-1])
        part = -(-n // devices) * devices // size
        mine = [column[rank * part : (rank + 1) * part] for column in columns]
        weights = (np.arange(part) < len(mine[-1])).astype(np.float32)
        *x, y = [np.concatenate([m, np.zeros((part - len(m), *m.shape[1:]), m.dtype)]) for m in mine]
        x = tuple(a.astype(np.int32) if a.dtype.kind == "i" else a.astype(np.float32) for a in x)
        return (x, y, weights) if devices > 1 else (x, y)


def _table(schema, frame: pd.DataFrame, fields: Sequence[Feature]):
    """Encodes a frame as a table of the schema."""
    arrays = []
    for field in fields:
        ids = field.encode(frame)
        cells = pa.array(ids.ravel(), schema.field(field.name).type if field.slots == 1 else _number(field))
        arrays.append(cells if field.slots == 1 else pa.FixedSizeListArray.from_arrays(cells, field.slots))
    arrays.append(pa.array(frame[TARGET].to_numpy("float32")))
    return pa.Table.from_arrays(arrays, schema=schema)


def _type_of(field: Feature):
    return _number(field) if field.slots == 1 else pa.list_(_number(field), field.slots)


def _number(field: Feature):
    """Returns the narrowest type that holds the ids of a field; for a numeric field float32."""
    if field.kind == "numeric":
        return pa.float32()
    return next(
        t for t, most in ((pa.int8(), 2**7), (pa.int16(), 2**15), (pa.int32(), 2**31)) if field.size < most
    )
