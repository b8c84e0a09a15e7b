"""A folder of one's own as the data of a notebook that otherwise reads the book's datasets.

The penalties of the book's recipes were chosen for stars. So the ratings of a folder are divided by a unit, with which
they spread as far as stars do (`fitting` does the same), and where the notebook says "star" it means this unit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import pandas as pd

from deepfm_helpers.claims import say
from deepfm_helpers.own import data as own
from deepfm_helpers.own.fitting import SPREAD_OF_STARS
from deepfm_helpers.schema import DataError


class Folder(NamedTuple):
    """What a notebook needs of a folder.

    Attributes:
        data: the dataset, with its targets and their range in stars; its provenance does not tell where the folder is.
        joined: its joined rows.
        fields: the names of its fields.
        star: how much of the target one star is.
    """

    data: own.OwnData
    joined: pd.DataFrame
    fields: list[str]
    star: float


def read(folder: str) -> Folder:
    """Read a folder of ratings, and say what a reader of the notebook has to know about it.

    Args:
        folder: path of a folder that `data.read` can read.

    Raises:
        DataError: see `data.read`; or the folder has clicks instead of ratings.
    """
    data = own.read(folder)
    if data.task != "rating":
        raise DataError(
            f"{data.name}: this notebook is about ratings, and the target of these tables is a {data.task}; "
            "deepfm fit trains and judges a model of clicks"
        )
    star = float(data.rows.rating.std(ddof=0)) / SPREAD_OF_STARS
    rows = data.rows.assign(rating=(data.rows.rating / star).astype("float32"))
    low, high = (bound / star for bound in data.range)
    data = replace(
        data,
        rows=rows,
        layout=replace(data.layout, range=(low, high)),
        provenance=replace(data.provenance, source="a folder of one's own"),
    )
    fields = [field.name for field in data.fields(rows)]
    target = data.layout.roles["target"]
    say(
        f"`{data.name}` is a folder of one's own. Its fields are those of its description: {', '.join(fields)}. The "
        f"penalties of the book were chosen for stars, so this page divides the column `{target}` by {star:.4g}, "
        f"after which it spreads as far as stars do: **one star on this page is {star:.4g} of `{target}`**. Where "
        "the text says film, it means an item."
    )
    return Folder(data, rows, fields, star)
