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
    sizes = ", ".join(f"{len(at):,} {name}" for name, at in data.parts.items())
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
    owners = {"user": "user", "film": "item", "rating": "row"}
    table = [("column", "describes", "kind", "values", "missing", "rare", "in the model")]
    for column, owner, name in data.columns():
        frame = {"user": data.users, "film": data.items}.get(owner, data.rows)
        cells = next((f[name] for f in (frame, data.rows, data.users, data.items) if name in f), None)
        if cells is None:  # text beside the rows, which is not kept
            table.append((column.name, "row", column.kind, "", "", "", _fate(column, name, None)))
            continue
        field = fields.get(name)
        has_ids = field is not None and field.vocabulary is not None
        values = _values(cells, field) if has_ids else ()
        n_values = len(values) if has_ids else cells.nunique()
        described = owners[owner] if owner else _where(data, name)
        table.append(
            (
                column.name,
                described,
                column.kind,
                f"{n_values:,}",
                f"{int(cells.isna().sum()):,}",
                f"{len(values - set(field.vocabulary)):,}" if has_ids else "",
                _fate(column, name, field),
            )
        )
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    right = {3, 4, 5}
    return [
        "  ".join(f"{cell:{'>' if i in right else '<'}{widths[i]}}" for i, cell in enumerate(row)).rstrip()
        for row in table
    ]


def _where(data: OwnData, name: str) -> str:
    return next((w for f, w in ((data.rows, "row"), (data.users, "user")) if name in f), "item")


def _values(cells: pd.Series, field: Feature) -> set:
    """Returns the different values of a column, those of lists one by one."""
    return {value for cell in cells.dropna().unique().tolist() for value in field.read(cell)}


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
