"""Reads columns of frames as numbers; an error names the column and the row of a cell that is not a number.

Every message begins with the argument `what`, which says what the column is read for, such as "feature uid".
"""

from __future__ import annotations

import numbers

import numpy as np
import pandas as pd

END_OF_TIME = 2**33
"""Times, in seconds since 1970, have to lie below this number (in the year 2242): `history.Stretch` packs a time into
33 bits, below a uid."""


def column_of(frame: pd.DataFrame, column: str, what: str) -> pd.Series:
    """Returns a column of a frame.

    Raises:
        KeyError: the frame lacks the column; the message lists the columns that it has.
    """
    if column not in frame:
        raise KeyError(f"{what}: no column {column!r}; the frame has {', '.join(map(str, frame.columns))}")
    return frame[column]


def _first(column: pd.Series, wrong: np.ndarray) -> str:
    """Describes the first of the wrong cells of a column, for a message."""
    i = int(np.argmax(wrong))
    cell = column.iloc[i]
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return f"column {column.name!r}, row {column.index[i]!r}: {cell!r}"


def finite_numbers(column: pd.Series, what: str) -> np.ndarray:
    """Returns a column of numbers as float64 (n,).

    Raises:
        TypeError: a cell is not a number.
        ValueError: a number is missing, or too large for a float32.
    """
    found = _numbers(column, what)
    if (wrong := ~(np.abs(found) <= np.finfo(np.float32).max)).any():
        raise ValueError(f"{what}: {_first(column, wrong)} is no finite number: drop the row or fill it in")
    return found


def whole_numbers(column: pd.Series, what: str) -> np.ndarray:
    """Returns a column of ids as int64 (n,); a missing id becomes 0.

    Raises:
        TypeError: a cell is not a number.
        ValueError: a number has a fraction or is infinite.
    """
    if column.dtype.kind in "iu" and not column.hasnans:
        return column.to_numpy(np.int64)
    found = _numbers(column, what)
    found = np.where(np.isnan(found), 0.0, found)
    if (wrong := ~np.isfinite(found) | (found != np.round(found))).any():
        raise ValueError(f"{what}: {_first(column, wrong)} is no whole number, and so no id")
    return found.astype(np.int64)


def _numbers(column: pd.Series, what: str) -> np.ndarray:
    """Returns a column of numbers as float64 (n,), NaN where a cell is missing."""
    if column.dtype.kind not in "iufb":
        wrong = np.array([not isinstance(cell, numbers.Real) for cell in column], bool)
        wrong &= column.notna().to_numpy()
        if wrong.any():
            found = type(column[wrong].iloc[0]).__name__
            raise TypeError(
                f"{what}: {_first(column, wrong)} is of type {found}, and a number is needed: convert the column"
            )
    return column.to_numpy(np.float64, na_value=np.nan)


def ids_of(column: pd.Series, what: str, size: int, slots: int | None = None) -> np.ndarray:
    """Returns the ids in a column, int32 (n, 1), or in its lists, int32 (n, slots); a missing id becomes 0.

    Args:
        size: largest id that is allowed; 0 allows every int32 from 0 on.
        slots: length of the list in each cell; None: a cell holds one id.

    Raises:
        TypeError: a cell is not a number, or not a list of `slots` numbers.
        ValueError: an id is not a whole number or lies outside 0 … size.
    """
    ids = whole_numbers(column if slots is None else _flat(column, what, slots), what)
    largest = size or np.iinfo(np.int32).max
    if len(ids) and not 0 <= ids.min() <= ids.max() <= largest:
        raise ValueError(f"{what}: ids {ids.min()} to {ids.max()} do not fit 0 … {largest}")
    return ids.astype(np.int32).reshape(len(column), slots or 1)


def _flat(column: pd.Series, what: str, slots: int) -> pd.Series:
    """Returns the entries of a column of lists, one below the other, with zeros for a missing list."""
    lists = [[0] * slots if missing else cell for cell, missing in zip(column, column.isna(), strict=True)]
    wrong = np.array([np.shape(cell) != (slots,) for cell in lists], bool)
    if wrong.any():
        raise TypeError(f"{what}: {_first(column, wrong)} is no list of {slots} ids")
    entries = [entry for cell in lists for entry in cell]
    return pd.Series(entries, column.index.repeat(slots), None if entries else int, column.name)


def seconds(frame: pd.DataFrame, what: str) -> np.ndarray:
    """Returns the column `timestamp` as whole seconds since 1970, int64 (n,); it may hold seconds or dates (UTC).

    Raises:
        KeyError: the frame has no such column.
        TypeError: a cell is neither a number nor a date.
        ValueError: a time is missing, lies before 1970, or has another unit than seconds.
    """
    column = column_of(frame, "timestamp", what)
    if column.dtype == object and pd.api.types.infer_dtype(column) in ("datetime", "datetime64", "date"):
        column = pd.to_datetime(column, utc=True)
    if column.dtype.kind == "M":
        if column.isna().any():
            raise ValueError(f"{what}: {_first(column, column.isna().to_numpy())} is no time: drop the row")
        dates = pd.DatetimeIndex(column)
        times = (dates if dates.tz is None else dates.tz_convert("UTC").tz_localize(None)).to_numpy()
        found = times.astype("datetime64[s]").astype(np.int64)
    else:
        found = np.floor(finite_numbers(column, what))
    if len(found) and found.min() < 0:
        raise ValueError(f"{what}: {_first(column, found < 0)} lies before 1970")
    if len(found) and (largest := found.max()) >= END_OF_TIME:
        unit = {10**3: "milliseconds", 10**6: "microseconds", 10**9: "nanoseconds"}
        fits = [n for n in unit if largest < n * END_OF_TIME]
        hint = f": these look like {unit[fits[0]]}, divide by {fits[0]:,}" if fits else ""
        raise ValueError(f"{what}: {_first(column, found >= END_OF_TIME)} cannot be seconds since 1970{hint}")
    return found.astype(np.int64)
