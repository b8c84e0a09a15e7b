"""Format tables as the book prints them."""

import pandas as pd


def as_text(table: pd.DataFrame, decimals: int = 4) -> pd.DataFrame:
    """Return a table as text: whole and large numbers with commas, others with decimals, – for a missing one.

    Underscores in names become spaces, so that a heading can wrap; the names of index and columns are dropped.

    Args:
        table: numbers and texts.
        decimals: digits after the point for numbers below 10,000 that are not whole.
    """

    def cell(value: object) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return "–"
        whole = float(value).is_integer() or abs(value) >= 10_000
        return f"{value:,.0f}" if whole else f"{value:,.{decimals}f}"

    words = {"index": _words, "columns": _words}
    return table.map(cell).rename_axis(index=None, columns=None).rename(**words)


def _words(name: object) -> object:
    return name.replace("_", " ") if isinstance(name, str) else name
