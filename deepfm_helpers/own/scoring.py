"""Scores the rows of a further table, whose targets nobody knows yet, with a model of your own data.

The table has the columns of the dataset under their names: the user, the item, and what the model reads of the row.
What it reads of users and items can stand in the same table, or in the dataset's own tables of users and items. The
target, the time that orders rows, and columns that the description does not know are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers import evaluation
from deepfm_helpers.own import files
from deepfm_helpers.own.cells import first, refuse, shown
from deepfm_helpers.own.keeping import Kept
from deepfm_helpers.own.layouts import ROLES, Column, Layout, nearest
from deepfm_helpers.schema import DataError

BLOCK = 2**16  # rows


def read(kept: Kept, path: str | Path, folder: str | Path | None = None) -> pd.DataFrame:
    """Reads the rows of a table, as strictly as the rows of a dataset; but a cell may be empty.

    Args:
        kept: the model.
        path: a CSV, TSV or Parquet file, with the separator and the encoding of the dataset's rows.
        folder: a folder with the tables of users and items, under the names that the description gives them; None: the
            table holds their columns, too.

    Returns:
        uid, mid and the other columns of the model's fields, as in `OwnData.rows`. A user or an item that its table
        lacks has missing values in the columns of that table.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: a column is missing, or a cell breaks a rule; the message says where and what to do.
    """
    path, layout = Path(path), kept.layout
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    path = path.resolve() if path.is_symlink() else path
    needed = {column.name: (section, column) for section, column in _needed(kept)}
    header = files.header_of(path, layout.rows)
    tables = _tables(layout, folder) if folder is not None else {}
    for name, (section, _) in needed.items():
        if name not in header and section not in tables:
            there = ", ".join(layout.sources[section].files) if section != "rows" else ""
            remedy = f", or name with --folder the folder that holds {there}" if there else ""
            raise DataError(
                f"{path}: the model reads a column {name!r}, and the header has none{nearest(name, header)}; "
                f"add it{remedy}"
            )
    columns = {name: needed[name][1] if name in needed else Column(name, "text") for name in header}
    source = replace(layout.rows, files=(path.name,), columns=columns, required=frozenset())
    rows = files.read(path.parent, source).frame.rename(columns=layout.names("rows"))
    for section, frame in tables.items():
        key = ROLES[section.removesuffix("s")]
        at = pd.Index(frame[key]).get_indexer(rows[key])  # −1, which is no row of the frame, if there is none
        rows = rows.assign(**{name: frame[name].reindex(at).array for name in frame if name not in rows})
    return rows


def _needed(kept: Kept) -> list[tuple[str, Column]]:
    """Returns all columns that the fields of a model read, with their sections; user and item are those of the rows."""
    layout, reads = kept.layout, {field.column for field in kept.fields}
    found = []
    for section, source in layout.sources.items():
        named = layout.names(section)
        for name, column in source.columns.items():
            if (section == "rows" or name not in named) and column.kind != "text":
                found += [(section, column)] * (named.get(name, name) in reads)
    return found


def _tables(layout: Layout, folder: str | Path) -> dict[str, pd.DataFrame]:
    """Reads the tables of users and items, with uid or mid: section -> frame with one row for each."""
    found = {}
    for section in ("users", "items"):
        source = layout.sources.get(section)
        if source and source.files:
            table = files.read(Path(folder), source)
            if (row := first(table.frame[source.key].duplicated())) is not None:
                value = shown(table.frame[source.key][row])
                refuse(
                    table.place(row), source.key, f"{value} has a row before this one; drop one of the two"
                )
            found[section] = table.frame.rename(columns=layout.names(section))
    return found


def scores(kept: Kept, rows: pd.DataFrame, done: Callable[[int], object] = lambda n: None) -> np.ndarray:
    """Predicts the target of rows: in the range of the ratings, or the probability of a 1; float32 (n,).

    Args:
        kept: the model.
        rows: what `read` returned.
        done: is told the number of rows of each block when it is done.
    """
    blocks = [np.zeros(0, "f4")]
    for start in range(0, len(rows), BLOCK):
        block = rows.iloc[start : start + BLOCK]
        blocks.append(evaluation.predict(kept.model, [field.encode(block) for field in kept.fields]))
        done(len(block))
    return np.clip(np.concatenate(blocks), *kept.layout.range)


def table(kept: Kept, rows: pd.DataFrame, predicted: np.ndarray) -> pd.DataFrame:
    """Returns user, item (under the names of the dataset) and prediction: `score`, or `probability` for clicks."""
    named = {column: name for name, column in kept.layout.names("rows").items()}
    frame = rows[["uid", "mid"]].rename(columns=named)
    return frame.assign(**{"probability" if kept.layout.task == "click" else "score": predicted})


def strangers(kept: Kept, rows: pd.DataFrame) -> dict[str, int]:
    """Counts the rows whose user or item has no id of its own in the model: "user", "item" -> number of rows."""
    role = {"uid": "user", "mid": "item"}
    found = {f.column: int((f.encode(rows)[:, 0] == 0).sum()) for f in kept.fields if f.column in role}
    return {role[column]: n for column, n in found.items()}
