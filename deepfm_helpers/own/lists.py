"""Lists of items for a user of your own data, from a model of that data.

What a model reads of the single row, such as the hour of a click, is unknown before there is a row. Such a field is
left open: a number counts as its mean, and any other value as missing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from deepfm_helpers.own.cells import shown
from deepfm_helpers.own.data import OwnData
from deepfm_helpers.own.keeping import Kept
from deepfm_helpers.own.layouts import nearest
from deepfm_helpers.recommending import TwoSides, recommend
from deepfm_helpers.schema import DataError

OPEN = ""
"""Name of the empty column that fields of the single row read."""


def sides(kept: Kept, data: OwnData) -> TwoSides:
    """Cuts a model between users and items, for lists without what a user already has.

    That is every item that the user has rated, or, for clicks, has clicked on; an item that was shown in vain may come
    again.

    Args:
        kept: the model.
        data: the dataset; its training and validation rows are those that the model was trained on.

    Raises:
        ValueError: see `TwoSides`.
    """
    fields = [
        replace(field, owner="film", column=OPEN) if field.owner == "rating" else field
        for field in kept.fields
    ]
    blank = replace(data, items=data.items.assign(**{OPEN: np.nan}))
    had = data.rows[data.rows.rating == 1] if data.task == "click" else data.rows
    return TwoSides(kept.model, blank, fields, data.learned(), had)


def id_of(user: str, data: OwnData) -> int | str:
    """Returns the id of a user who is given as text.

    Raises:
        DataError: the dataset has no such user.
    """
    known = data.users["uid"]
    whole = pd.api.types.is_numeric_dtype(known)
    found = known[known.astype(str) == user]
    if found.empty:
        column = data.layout.roles["user"]
        kind = "whole number" if whole else "text"
        few = known.astype(str).head(1000).tolist()
        near = nearest(user, few) if len(known) <= 20 else nearest(user, few).partition("; known are")[0]
        raise DataError(
            f"{column} {shown(user)} is not among the {len(known):,} of {data.name}, each a {kind}{near}"
        )
    return found.iloc[0]


def table(kept: Kept, data: OwnData, user: int | str, n: int = 10) -> pd.DataFrame:
    """Returns the n items with the highest scores for a user, best first, under the names of the dataset.

    Args:
        kept: the model.
        data: the dataset.
        user: the id of a user.
        n: number of items; fewer are returned if fewer are left.

    Returns:
        One row per item, indexed by rank: the columns of `recommending.recommend`, with the item under its own name and
        the number of its training rows as `rows`.

    Raises:
        ValueError: n is below 1, or see `sides`.
    """
    found = recommend(sides(kept, data), user, n)
    return found.rename(columns={"mid": data.layout.roles["item"], "ratings": "rows"})
