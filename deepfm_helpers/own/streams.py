"""Rows that do not fit in memory: Parquet files of ids and numbers, read group by group while a model trains on them.

`write` encodes frames, one after the other, and stores what the model takes; `Parquet` reads it back in batches. An
epoch goes through the row groups in an order of its own, `window` of them at a time, and mixes the rows of these. So
memory does not grow with the rows, and each batch holds rows from all over the file. If the window holds all groups,
every order of the rows is possible, as in memory.

A window lies in memory once, as numbers of the types that they have in the file, with 8 bytes for each row while the
rows are mixed. One more group is there while it is read. `Parquet.window_bytes` says how much a window takes.

Several processes can train together on one file (`processes.start`, on JAX): each reads all row groups, mixes them in
the same order, and computes its share of every batch. So the file has to lie where all processes can read it.

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

from deepfm_helpers import batches
from deepfm_helpers._keras import keras
from deepfm_helpers.features import Feature
from deepfm_helpers.files import replacing
from deepfm_helpers.processes import Share
from deepfm_helpers.schema import DataError

TARGET = "rating"
ROWS_PER_GROUP = 131_072
KEY = b"deepfm rows"
"""Where a file keeps the digest of its rows, among the metadata of the file."""


def write(
    frames: Iterable[pd.DataFrame],
    fields: Sequence[Feature],
    path: str | Path,
    *,
    rows_per_group: int = ROWS_PER_GROUP,
) -> Parquet:
    """Encodes frames and writes them to one Parquet file; if that fails, whatever was at `path` stays.

    The file keeps a SHA-256 of its columns, its row groups and every row in them.

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
    digest = hashlib.sha256(str(schema).encode())
    with replacing(path) as part:
        with parquet.ParquetWriter(part, schema, compression="zstd") as writer:

            def group(table: pa.Table) -> None:
                writer.write_table(table, row_group_size=rows_per_group)
                digest.update(f"\n{len(table)} rows\n".encode())
                for column in _arrays(table):
                    digest.update(np.ascontiguousarray(column, column.dtype.newbyteorder("<")).data)

            for frame in frames:
                if frame[TARGET].isna().any():
                    row = written + sum(map(len, kept)) + int(frame[TARGET].isna().to_numpy().argmax())
                    raise DataError(f"row {row} (counted from 0) has no {TARGET}; drop the row")
                kept.append(_table(schema, frame, fields))
                while (waiting := sum(map(len, kept))) >= rows_per_group:
                    joined = pa.concat_tables(kept)
                    group(joined.slice(0, rows_per_group))
                    kept, written = [joined.slice(rows_per_group)], written + rows_per_group
                    if waiting == rows_per_group:
                        kept = []
            if waiting := sum(map(len, kept)):
                group(pa.concat_tables(kept))
                written += waiting
            writer.add_key_value_metadata({KEY: digest.hexdigest()})
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
                schema, kept = file.schema_arrow, file.metadata.metadata or {}
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a whole Parquet file ({error}); write it again") from None
        if schema.names[-1:] != [TARGET]:
            raise DataError(f"{path}: its last column is not {TARGET!r}; streams.write writes such files")
        if KEY not in kept:
            raise DataError(
                f"{path}: the file holds no digest of its rows, by which one run is told from another; "
                "write it again with streams.write"
            )
        self.columns = schema.names
        self._digest = kept[KEY].decode()
        self._types = [_numpy(field.type) for field in schema]

    def __repr__(self) -> str:
        return f"Parquet('{self.path}': {len(self):,} rows in {len(self.rows)} groups)"

    def __len__(self) -> int:
        return sum(self.rows)

    def digests(self) -> dict[str, str]:
        """Returns a digest of the columns, the row groups and every row in them, which `write` has computed."""
        return {"rows": f"{len(self)} rows, {self._digest[:16]}"}

    def window_bytes(self, batch_size: int) -> int:
        """Returns how many bytes a window takes when its rows are mixed, without the group that is being read."""
        row = sum(dtype.itemsize * slots for dtype, slots in self._types)
        return (self._most() + batch_size - 1) * row + 8 * self._most()

    def _most(self) -> int:
        """The largest number of rows in a window."""
        return sum(sorted(self.rows)[-self.window :])

    def empty(self, n: int) -> list[np.ndarray]:
        """Makes room for n rows: the inputs of the model, each (n, slots), and the targets, (n, 1)."""
        return [np.empty((n, slots), dtype) for dtype, slots in self._types]

    def batches(self, batch_size: int, seed: int | None, share: Share = Share()):  # noqa: B008
        """Returns the rows in batches; arguments as in `batches.Batches`."""
        return _Batches(self, batch_size, seed, share)

    def group(self, i: int) -> list[np.ndarray]:
        """Reads a row group: the inputs of the model, each (n, slots), and the targets, (n, 1)."""
        with parquet.ParquetFile(self.path, memory_map=True) as file:
            table = file.read_row_group(i, use_threads=True)
        return _arrays(table)


class _Batches:
    """The batches of an epoch: see `batches.Batches`, of which this has `seed`, `epoch`, `dataset` and a length."""

    def __init__(self, rows: Parquet, batch_size: int, seed: int | None, share: Share):
        self.rows, self.batch_size, self.seed, self.share = rows, batch_size, seed, share
        self.epoch = 0

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def dataset(self):
        """Returns this epoch's batches.

        Returns:
            With TensorFlow a `tf.data.Dataset`, which a thread of its own reads ahead; with another backend a
            `keras.utils.PyDataset`.
        """
        if keras.backend.backend() != "tensorflow":
            return _InOrder(self)
        import tensorflow as tf

        def spec(array):
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        signature = tf.nest.map_structure(spec, self._part(self.rows.empty(1)))
        batches = tf.data.Dataset.from_generator(self.deal, output_signature=signature)
        batches = batches.apply(tf.data.experimental.assert_cardinality(len(self)))
        options = tf.data.Options()
        options.autotune.enabled = False
        return batches.prefetch(4).with_options(options)

    def deal(self) -> Iterator[tuple]:
        """Yields the batches of this epoch, as `fit` takes them; each window is mixed in an order of its own."""
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        groups = np.arange(len(self.rows.rows))
        groups = groups if rng is None else rng.permutation(groups)
        room = self.rows.empty(self.rows._most() + self.batch_size - 1)
        n = 0  # rows of the window before that filled no batch
        for start in range(0, len(groups), self.rows.window):
            n += self._fill(room, n, groups[start : start + self.rows.window], rng)
            whole = n // self.batch_size * self.batch_size
            for at in range(0, whole, self.batch_size):
                yield self._part([column[at : at + self.batch_size] for column in room])
            for column in room:
                column[: n - whole] = column[whole:n].copy()
            n -= whole
        if n:
            yield self._part([column[:n] for column in room])

    def _fill(self, room: list[np.ndarray], n: int, groups: np.ndarray, rng) -> int:
        """Reads a window of groups, each row to its place behind the first n ones; returns the number of rows."""
        sizes = [self.rows.rows[i] for i in groups]
        places = None if rng is None else n + rng.permutation(sum(sizes))
        start = 0
        for i, size in zip(groups, sizes, strict=True):
            at = slice(n + start, n + start + size) if rng is None else places[start : start + size]
            for column, read in zip(room, self.rows.group(int(i)), strict=True):
                column[at] = read
            start += size
        return start

    def _part(self, columns: Sequence[np.ndarray]) -> tuple:
        """Returns the part of a batch that this process gets, as `fit` takes it; see `batches.Batches`."""
        *x, y = columns
        x = [a.astype(np.int32) if a.dtype.kind == "i" else a.astype(np.float32) for a in x]
        if self.share.devices == 1:
            return tuple(x), y[:, 0].copy()
        return batches._Gathered(batches.Batches(x, y[:, 0], len(y), None, self.share))[0]


class _InOrder(keras.utils.PyDataset):
    """The batches of an epoch for a backend other than TensorFlow, which asks for them one after the other."""

    def __init__(self, batches: _Batches):
        super().__init__()
        self.batches, self.next, self.dealt = batches, 0, iter(())

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, i: int) -> tuple:
        if i == 0:
            self.next, self.dealt = 0, self.batches.deal()
        if i != self.next:
            raise IndexError(f"batch {i}: the batches come in their order, and batch {self.next} is next")
        self.next += 1
        return next(self.dealt)


def _arrays(table: pa.Table) -> list[np.ndarray]:
    """Returns the columns of a table as arrays (n, slots)."""
    found = []
    for column in table.columns:
        cells = column.combine_chunks()
        _, slots = _numpy(cells.type)
        flat = cells.flatten() if pa.types.is_fixed_size_list(cells.type) else cells
        found.append(flat.to_numpy(zero_copy_only=False).reshape(len(table), slots))
    return found


def _numpy(kind: pa.DataType) -> tuple[np.dtype, int]:
    """Returns the type of the numbers in a column of an Arrow type, and how many a cell holds."""
    if pa.types.is_fixed_size_list(kind):
        return np.dtype(kind.value_type.to_pandas_dtype()), kind.list_size
    return np.dtype(kind.to_pandas_dtype()), 1


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
