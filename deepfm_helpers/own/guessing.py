"""Guesses what tables hold, as a first draft of `dataset.toml` for somebody who knows the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from deepfm_helpers.own.files import (
    Form,
    check_widths,
    first_rows_of_parquet,
    read_cells,
    usual_separator,
)
from deepfm_helpers.own.layouts import FILE, PRESETS, SEPARATORS, Layout, encoding_mark
from deepfm_helpers.schema import DataError

SUFFIXES = (".csv", ".tsv", ".parquet")
SAMPLE = 1_000_000
"""Rows of each file, from its beginning, of which the kinds of its columns are guessed."""

FEW = 20
"""Whole numbers with at most this many different values are taken for codes, others for quantities."""

_ROLES = {
    "target": r"rating|stars?|score|click(ed)?|label|target",
    "time": r"time_?stamp|time|date|datetime|when",
    "user": r"u_?id|(user|customer|client|member|visitor|reader)(_?id)?",
    "item": r"(m|i)id|(item|movie|film|product|article|book|song|track|ad)(_?id)?",
}


def columns_of(frame: pd.DataFrame) -> dict[str, Any]:
    """Guesses the kinds of a frame's columns: name -> entry of a section such as [rows.columns].

    Numbers are numeric, unless they are whole and have few values; dates are times; text with "|" or ";" in at least a
    tenth of its cells is a list; text of which more than half of the cells differ is left out as "text".
    """
    return {str(name): _entry(frame[name].dropna()) for name in frame.columns}


def _entry(cells: pd.Series) -> Any:
    whole = {"kind": "single", "whole": True}
    if cells.empty:
        return "text"
    if cells.dtype.kind == "M":
        return "time"
    if cells.dtype.kind in "iufb":
        few = cells.nunique() <= FEW and bool((cells == cells.round()).all())
        return whole if cells.dtype.kind == "b" or few else "numeric"
    cells = cells.astype(str)
    # A leading zero, as in a zip code, says that digits are no number.
    numbers = pd.to_numeric(cells.mask(cells.str.fullmatch(r"0\d+")), errors="coerce")
    if numbers.notna().all():
        return _entry(numbers)
    if pd.to_datetime(cells, errors="coerce", format="ISO8601", utc=True).notna().all():
        return "time"
    for separator in "|;":
        if cells.str.contains(separator, regex=False).mean() >= 0.1:
            return {"kind": "multi", "separator": separator}
    return "text" if cells.nunique() > max(FEW, len(cells) / 2) else "single"


def key_entry(cells: pd.Series) -> Any:
    """Guesses the entry of a column that holds users or items: whole numbers, or text."""
    if cells.dtype.kind in "iu":
        return {"kind": "single", "whole": True}
    text = cells.dropna().astype(str)
    plain = text.str.fullmatch(r"(0|[1-9]\d{0,17})").all() and len(text) > 0
    return {"kind": "single", "whole": True} if plain else "single"


def propose(folder: str | Path) -> Layout:
    """Guesses a description from the files of a folder: roles by the names of columns, kinds by their values.

    Raises:
        DataError: the folder has no table, or it cannot be told which file holds the rows, or which of their columns
            hold user, item and target.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    paths = [path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES]
    if not paths:
        raise DataError(f"{folder}: no file ends in {', '.join(SUFFIXES)}; put the tables there")
    tables = {path.name: _sample(path) for path in paths}
    headers = {name: list(frame.columns) for name, (frame, _) in tables.items()}
    for preset in PRESETS.values():
        layout = Layout.read(preset)
        if all(headers.get(s.files[0]) == list(s.columns) for s in layout.sources.values()):
            return layout
    found = {
        name: roles for name in tables if {"user", "item", "target"} <= set(roles := _roles(headers[name]))
    }
    if len(found) != 1:
        names = ", ".join(found or tables)
        which = (
            "several files look like rows" if found else "no file looks like rows, with user, item and target"
        )
        raise DataError(f"{folder}: {which} ({names}); write {FILE} by hand")
    ((name, roles),) = found.items()
    frame, options = tables.pop(name)
    rows = entries_of_rows(frame, roles, guess_time=True)
    targets = pd.to_numeric(frame[roles["target"]], errors="coerce")
    click = set(targets.dropna().unique()) <= {0, 1}
    if not click:
        rows["range"] = [float(targets.min()), float(targets.max())]
    columns = rows.pop("columns")
    keys = [rows[role] for role in ("user", "item", "time") if role in rows]
    entries = {
        "task": "click" if click else "rating",
        **({"repeats": True} if frame.duplicated(keys).any() else {}),
        "rows": {"files": [name]} | options | rows | {"columns": columns},
    }
    for role in ("user", "item"):
        other = "item" if role == "user" else "user"
        for name, (frame, options) in tables.items():
            key = roles[role]
            if key in frame and roles[other] not in frame and frame[key].is_unique:
                described = columns_of(frame) | {key: columns[key]}
                entries[f"{role}s"] = {"files": [name]} | options | {"key": key, "columns": described}
                break
    return Layout.of(entries, f"the proposal for {folder}")


def entries_of_rows(
    frame: pd.DataFrame, roles: Mapping[str, str], guess_time: bool = False
) -> dict[str, Any]:
    """Returns the entries of [rows] but its files and range: the roles, and the columns with their kinds.

    With `guess_time`, the only column of times is the time of the rows, if `roles` names none.
    """
    columns = columns_of(frame)
    times = [name for name, entry in columns.items() if entry == "time"]
    if guess_time and len(times) == 1:
        roles = {"time": times[0], **roles}
    for role, name in roles.items():
        if name in columns:
            known = {"target": "numeric", "time": "time"}
            columns[name] = known.get(role) or key_entry(frame[name])
    return {**roles, "columns": columns}


def _roles(header: list[str]) -> dict[str, str]:
    """Returns role -> column, for the first column whose name says so."""
    found = {}
    for role, pattern in _ROLES.items():
        for name in header:
            if name not in found.values() and re.fullmatch(pattern, str(name), re.IGNORECASE):
                found[role] = name
                break
    return found


def _sample(path: Path) -> tuple[pd.DataFrame, dict[str, str]]:
    """Returns the first rows of a file as text, and the options that it takes to read them."""
    if path.suffix == ".parquet":
        return first_rows_of_parquet(path, SAMPLE), {}
    with open(path, "rb") as file:
        start = file.read(2**16)
    encoding = encoding_mark(start) or ("utf-8" if _is_utf8(path) else "latin-1")
    if encoding == "utf-16":
        raise DataError(f"{path}: the file is UTF-16 text; save it as UTF-8")
    options = {"encoding": encoding} if encoding != "utf-8" else {}
    usual = usual_separator(path)
    head = start.decode("latin-1").split("\n")[0]
    separator = max([usual, *SEPARATORS], key=head.count)
    if separator != usual:
        options["separator"] = separator
    form = Form(separator, encoding)
    try:
        return read_cells(path, form, "str", SAMPLE), options
    except ValueError as error:  # pandas' own errors, too
        check_widths(path, form)
        raise DataError(f"{path}: cannot be read as a table ({' '.join(str(error).split())})") from error


def _is_utf8(path: Path) -> bool:
    with open(path, encoding="utf-8") as file:
        try:
            while file.read(2**20):
                pass
        except UnicodeDecodeError:
            return False
    return True
