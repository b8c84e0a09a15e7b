"""The account of a dataset that `deepfm describe` prints: what was read, and what a model will make of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deepfm_helpers.features import Feature
from deepfm_helpers.own.data import OwnData
from deepfm_helpers.own.fields import Hashed, Listed, Scaled
from deepfm_helpers.own.layouts import Column

BAR = 40  # characters of the longest bar
BINS = 10


def account(data: OwnData) -> str:
    """Returns an account of a dataset for people to read: sizes, targets, split, and each column with its field.

    A value is rare if it has no id of its own, because it has too few training rows, possibly none.

    Raises:
        DataError: a column cannot become a field, see `OwnData.fields`.
    """
    layout = data.layout
    train = data.split()[0]
    fields = {field.column: field for field in data.fields(train)}
    sizes = ", ".join(f"{n:,} {name}" for name, n in data.sizes.items())
    blocks = [
        [
            f"{data.name}: {len(data.rows):,} rows, {len(data.users):,} users, {len(data.items):,} items",
            f"the task is {layout.task}; split by {layout.split.by}: {sizes} rows",
            f"fingerprint {data.provenance.fingerprint[:16]}",
            *(f"{name}: SHA-256 {digest[:16]}…" for name, digest in data.provenance.files.items()),
        ],
        _targets(data),
        _columns(data, fields),
    ]
    ids = sum(field.size + 1 for field in fields.values() if field.kind != "numeric")
    numeric = sum(field.kind == "numeric" for field in fields.values())
    k = "for vectors of length k, each row holds 1 + k weights"
    blocks.append([f"{len(fields)} fields, {numeric} of them numeric; {ids:,} rows in all tables ({k})"])
    return "\n\n".join("\n".join(lines) for lines in blocks)


def _targets(data: OwnData) -> list[str]:
    targets = data.rows["rating"].astype("float64")
    head = f"target {data.layout.roles['target']}: mean {targets.mean():.4g}, "
    head += f"standard deviation {targets.std(ddof=0):.4g}"
    if targets.nunique() <= BINS:
        counts = targets.value_counts().sort_index()
        labels = [f"{value:g}" for value in counts.index]
    else:
        numbers, edges = np.histogram(targets, BINS, data.layout.range)
        counts = pd.Series(numbers)
        labels = [f"{low:.4g} to {high:.4g}" for low, high in zip(edges, edges[1:], strict=False)]
    width = max(map(len, labels))
    return [head] + [
        f"  {label:>{width}} {n:>12,} {n / len(targets):6.1%} {'█' * round(BAR * n / counts.max())}".rstrip()
        for label, n in zip(labels, counts, strict=True)
    ]


def _columns(data: OwnData, fields: dict[str, Feature]) -> list[str]:
    frames = {"rows": data.rows, "users": data.users, "items": data.items}
    table = [("column", "describes", "kind", "values", "missing", "rare", "in the model")]
    for column, section, name, is_field in data.columns():
        field = fields[name] if is_field else None
        counts = _counts(frames[section][name], field) if name in frames[section] else [""] * 3
        describes = section.removesuffix("s")
        table.append((column.name, describes, column.kind, *counts, _fate(column, name, field)))
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    sides = "<<<>>><"
    return [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in table
    ]


def _counts(cells: pd.Series, field: Feature | None) -> list[str]:
    """Returns the number of values (those of lists one by one), of missing cells, and of values without an id."""
    missing = f"{int(cells.isna().sum()):,}"
    if field is None or field.vocabulary is None:
        return [f"{cells.nunique():,}", missing, ""]
    values = {value for cell in cells.dropna().unique().tolist() for value in field.read(cell)}
    return [f"{len(values):,}", missing, f"{len(values - set(field.vocabulary)):,}"]


def _fate(column: Column, name: str, field: Feature | None) -> str:
    """Says in words what becomes of a column."""
    if field is None:
        words = {"rating": "the target", "timestamp": "orders the rows", "text": "nothing"}
        return words["text" if column.kind == "text" else name]
    if isinstance(field, Scaled):
        return f"field {field.name}: (number − {field.mean:.4g}) / {field.spread:.4g}"
    rows = f"field {field.name}: table of {field.size + 1:,} rows"
    if isinstance(field, Hashed):
        return f"{rows}, by hash"
    return f"{rows}, up to {field.slots} at once" if isinstance(field, Listed) else rows
