"""Turns the cells of a column into values of its kind, whole columns at a time, and names the first cell that is wrong.

Where a row stands is said by a function `place`: row, counted from 0 -> "ratings.csv, line 17".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import numpy as np
import pandas as pd

from deepfm_helpers.columns import END_OF_TIME
from deepfm_helpers.own.layouts import Column
from deepfm_helpers.schema import DataError

Place = Callable[[int], str]
LARGEST = float(np.finfo(np.float32).max)

FAULTS: dict[str, Callable[[list[str]], bool]] = {
    "has nothing between two separators": lambda values: "" in values,
    "has a space beside a separator": lambda values: any(value != value.strip() for value in values),
    "names a value twice": lambda values: len(set(values)) < len(values),
}
"""What can be wrong with a list of values."""


def typed(cells: pd.Series, column: Column, place: Place, required: bool = False) -> pd.Series:
    """Returns the values of a column; a missing cell is NaN, NA or None.

    Args:
        cells: text as it stands in a file, or what a frame holds.
        column: name and kind of the column.
        place: says where a row stands.
        required: whether each cell needs a value.

    Returns:
        numeric: float64; whole numbers: int64, or Int64 if cells are missing; time: seconds since 1970, int64, or
        float64 if cells are missing; all others: text.

    Raises:
        DataError: a cell is no value of the column's kind, or is missing where a value is needed.
    """
    cells = cells.reset_index(drop=True)
    if isinstance(cells.dtype, pd.CategoricalDtype):
        cells = cells.astype(cells.cat.categories.dtype)
    missing = cells.isna()
    if required and (row := first(missing)) is not None:
        refuse(place(row), column, "the cell is empty; fill it in, or drop the row")
    if column.kind == "numeric":
        return _numbers(cells, column, place, required)
    if column.kind == "time":
        return _seconds(cells, column, place)
    if column.kind == "single" and column.whole:
        return _whole_numbers(cells, column, place)
    _check_text(cells, column, place)
    return cells.where(~missing, None)


def first(flags) -> int | None:
    """Returns the position of the first true value, None if there is none."""
    flags = np.asarray(flags, bool)
    return int(flags.argmax()) if flags.any() else None


def refuse(place: str, column: Column | str, what: str) -> NoReturn:
    """Raises the DataError that names the place, the column and what is wrong there."""
    raise DataError(f"{place}, column {getattr(column, 'name', column)!r}: {what}")


def shown(cell) -> str:
    """Returns a cell as a message shows it: on one line, at most 60 characters long."""
    text = repr(cell.item() if isinstance(cell, np.generic) else cell)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _numbers(cells: pd.Series, column: Column, place: Place, required: bool) -> pd.Series:
    numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
    wrong = (numbers.isna() & cells.notna()) | (numbers.abs() > LARGEST)
    if (row := first(wrong)) is not None:
        remedy = "drop the row" if required else "leave it empty if the number is missing"
        refuse(place(row), column, f"{shown(cells[row])} is no finite number; correct the cell, or {remedy}")
    return numbers


def _whole_numbers(cells: pd.Series, column: Column, place: Place) -> pd.Series:
    if cells.dtype.kind in "iub":
        wrong = (cells > np.iinfo(np.int64).max).fillna(False)
    elif cells.dtype.kind == "f":
        wrong = cells.notna() & ~((cells == np.floor(cells)) & (cells.abs() < 2**53))
    else:
        wrong = cells.notna() & ~cells.astype("string").str.fullmatch(r"-?[0-9]{1,18}").fillna(False).astype(
            bool
        )
    if (row := first(wrong)) is not None:
        refuse(
            place(row),
            column,
            f"{shown(cells[row])} is no whole number of at most 18 digits; correct the cell, or drop whole = true",
        )
    if cells.dtype.kind not in "iubf":
        cells = pd.Series(
            [pd.NA if pd.isna(cell) else int(cell) for cell in cells], dtype="Int64", name=cells.name
        )
    return cells.astype("Int64" if cells.isna().any() else "int64")


def _seconds(cells: pd.Series, column: Column, place: Place) -> pd.Series:
    if cells.dtype.kind == "M":
        times = pd.to_datetime(cells, utc=True)
    else:
        numbers = pd.to_numeric(cells, errors="coerce").astype("float64")
        if 2 * numbers.notna().sum() >= cells.notna().sum():
            return _since_1970(np.floor(numbers / {"s": 1, "ms": 1000}[column.unit]), cells, column, place)
        times = pd.to_datetime(cells.astype(object), utc=True, errors="coerce", format="ISO8601")
    # Whole seconds since 1970 fit into a float64 without loss, and far years into seconds, but not into nanoseconds.
    since = times.dt.tz_localize(None).dt.as_unit("s").astype("int64").where(times.notna())
    return _since_1970(since.astype("float64"), cells, column, place)


def _since_1970(seconds: pd.Series, cells: pd.Series, column: Column, place: Place) -> pd.Series:
    wrong = (seconds.isna() & cells.notna()) | (seconds < 0) | (seconds >= END_OF_TIME)
    if (row := first(wrong)) is not None:
        refuse(
            place(row),
            column,
            f"{shown(cells[row])} is no time from 1970 to 2242; write seconds since 1970, milliseconds with "
            "unit = 'ms', or a date such as 2024-05-31T18:30:00",
        )
    return seconds.astype("float64" if seconds.isna().any() else "int64")


def _check_text(cells: pd.Series, column: Column, place: Place) -> None:
    if cells.dtype.kind in "iufbmMc":
        strange = cells.notna()
    elif cells.dtype == object:
        strange = cells.notna() & ~cells.map(lambda cell: isinstance(cell, str)).astype(bool)
    else:
        strange = np.zeros(len(cells), bool)
    if (row := first(strange)) is not None:
        cell = cells[row]
        remedy = (
            "write whole = true, or convert the column to text" if column.kind == "single" else "convert it"
        )
        refuse(
            place(row),
            column,
            f"{shown(cell)} is of type {type(cell).__name__}, and text is needed; {remedy}",
        )
    for cell in cells.dropna().unique() if column.kind != "text" else ():
        if cell != cell.strip():
            end = "begins" if cell != cell.lstrip() else "ends"
            refuse(place(first(cells == cell)), column, f"{shown(cell)} {end} with a space; remove the space")
        if column.kind == "multi":
            values = cell.split(column.separator)
            fault = next((fault for fault, has in FAULTS.items() if has(values)), None)
            if fault and cell != column.none:
                refuse(
                    place(first(cells == cell)), column, f"the list {shown(cell)} {fault}; correct the cell"
                )
