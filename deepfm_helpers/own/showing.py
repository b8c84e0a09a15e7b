"""Writes a model of your own data as one page of HTML, which computes its scores in the browser and needs no network.

A reader of the page chooses a user and an item, sees the terms of the score, and a list of items for the user. The page
is that of the book, "The model, live", filled with another model; `deepfm_helpers.live` says in which form.

**The file holds data of yours**: the weights of the model, the ids of users, the names of items, the values that
describe both, and which items each user has had. Whoever gets the file gets these. It holds no target and no time.

- Fields of users, of items and of the single row are computed exactly, be they numbers, times, single values, lists or
  hashed values. A field of the row, such as the hour of a click, is asked for; until it is given, the average over the
  training rows stands for it.
- For ratings the score is in the unit of the target, and is not cut to its range, so that the terms add up to it. For
  clicks the terms add up to log-odds, and one sigmoid of the sum is the probability.
- Lists leave out what `lists.sides` leaves out.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NamedTuple

import numpy as np

from deepfm_helpers import live
from deepfm_helpers.files import write_whole
from deepfm_helpers.own import judging, lists, scoring
from deepfm_helpers.own.data import OwnData
from deepfm_helpers.own.fields import Hashed
from deepfm_helpers.own.keeping import Kept
from deepfm_helpers.schema import DataError

USERS = 1000
"""A page offers at most so many users; of more, it holds some that are drawn at random."""

ITEMS = 20_000
"""A page holds at most so many items, those with the most training rows."""

FRAME = Path(__file__).with_name("page.html")


class Shown(NamedTuple):
    """What was written: the path, what the file holds (see `live.exported`), and its size in bytes."""

    path: Path
    exported: dict
    size: int


def checked(path: str | Path) -> Path:
    """Returns the path under which a page can be written.

    Raises:
        ValueError: it does not end in ".html".
    """
    path = Path(path)
    if path.suffix != ".html":
        raise ValueError(f"path = {str(path)!r}: the name of a page ends in .html")
    return path


def show(
    kept: Kept,
    data: OwnData,
    path: str | Path,
    *,
    wanted: Sequence[int | str] = (),
    users: int = USERS,
    items: int = ITEMS,
) -> Shown:
    """Writes the page of a model, whole or not at all.

    Args:
        kept: the model.
        data: the dataset that it was trained on.
        path: the file to write; it ends in ".html".
        wanted: ids of users who have to be on the page, in front of the others.
        users, items: how many users and items the page holds at most.

    Raises:
        DataError: a user who is wanted is not in the dataset, or the page cannot compute a column of the model.
        ValueError: the path has another ending, or see `lists.sides` and `live.check`.
    """
    path = checked(path)
    exported = content(kept, data, wanted=wanted, users=users, items=items)
    page = Template(FRAME.read_text(encoding="utf-8")).substitute(
        {name: html.escape(text) for name, text in _prose(exported, data).items()},
        style=live.STYLE.read_text(encoding="utf-8"),
        model=live.script(exported),
        forward=live.FORWARD.read_text(encoding="utf-8"),
        page=live.PAGE.read_text(encoding="utf-8"),
    )
    write_whole(path, page)
    return Shown(path, exported, len(page.encode()))


def content(
    kept: Kept,
    data: OwnData,
    *,
    wanted: Sequence[int | str] = (),
    users: int = USERS,
    items: int = ITEMS,
) -> dict:
    """Returns what the page holds, in JSON's types; see `live.exported` and `show`."""
    hashed = [field.name for field in kept.fields if isinstance(field, Hashed)]
    _check(kept, hashed)
    sides = lists.sides(kept, data)
    by_name = {field.name: field for field in kept.fields}
    fields = [by_name[field.name] for field in sides.features]
    of_users = _users(sides, data, wanted, users)
    of_items = np.sort(np.argsort(-sides.counts, kind="stable")[:items])
    roles, learned = data.layout.roles, data.learned()
    exported = live.exported(
        kept.model,
        sides,
        learned,
        live.Chosen(of_users, of_items),
        features=fields,
        labels={f.name: f.column for f in fields} | {"uid": roles["user"], "mid": roles["item"]},
        named=hashed,
    )
    times = {part.name for part in data.columns() if part.column.kind == "time"}
    for field, entry in zip(fields, exported["fields"], strict=True):
        if field.column in times:
            entry["time"] = True
    place = np.full(len(sides.films), -1)
    place[of_items] = np.arange(len(of_items))
    had = [place[sides.seen[user]] for user in of_users]
    exported["films"]["title"] = _titles(sides, of_items)
    exported["people"]["uid"] = sides.users["uid"].iloc[of_users].astype(str).tolist()
    exported["people"]["had"] = [np.unique(some[some >= 0]).tolist() for some in had]
    figures = _figures(kept, data)
    return exported | {
        "dataset": data.name,
        "fingerprint": data.provenance.fingerprint,
        "range": list(data.range),
        "error": float(figures[judging.DECISIVE[data.task]]["DeepFM"]),
        "words": _words(data)._asdict(),
        "notes": _notes(exported, data, sides, figures),
    }


def _check(kept: Kept, hashed: Sequence[str]) -> None:
    """Raises DataError, with the name of the column, for a field that the page cannot compute."""
    for field in kept.fields:
        if field.wide or field.kind == "known" or getattr(field, "parts", ()):
            raise DataError(
                f"column {field.column!r}: the page cannot compute the field {field.name}, which is crossed, known or "
                "has no vectors; train a model without it, as deepfm fit does"
            )
    live.check(kept.model, kept.fields, named=hashed, asks_rows=True)


def _users(sides, data: OwnData, wanted: Sequence[int | str], most: int) -> np.ndarray:
    """Returns positions of users: those wanted, then others in order; if there are too many, a draw of them."""
    known = {uid: position for position, uid in enumerate(sides.users["uid"].tolist())}
    if unknown := [uid for uid in wanted if uid not in known]:
        raise DataError(f"user {unknown[0]!r} is not among the {len(known):,} of {data.name}")
    first = [known[uid] for uid in dict.fromkeys(wanted)]
    others = np.setdiff1d(np.arange(len(known)), first)
    room = max(0, most - len(first))
    if len(others) > room:
        others = np.sort(np.random.default_rng(0).permutation(others)[:room])
    return np.concatenate([first, others]).astype(int)


def _titles(sides, at: np.ndarray) -> list[str]:
    """Returns what the page calls the items at the positions: their titles, with the id where one does not tell."""
    mids = sides.films["mid"].iloc[at].astype(str)
    if sides.title is None:
        return mids.tolist()
    titles = sides.films[sides.title].iloc[at].fillna("").astype(str).str.split().str.join(" ")
    twice = titles.str.lower().duplicated(keep=False)
    titles = titles.where(~twice, titles + " (" + mids + ")")
    return titles.where(titles.str.strip() != "", mids).where(titles != " (" + mids + ")", mids).tolist()


def _figures(kept: Kept, data: OwnData):
    """Judges the model on the test rows."""
    *_, test = data.split()
    predicted = {"DeepFM": scoring.scores(kept, test)}
    return judging.figures(data.task, data.learned(), test, predicted)


def _words(data: OwnData) -> live.Words:
    target, (low, high) = data.layout.roles["target"], data.range
    of_clicks = data.task == "click"
    return live.Words(
        item="item",
        items="items",
        title="title" if data.title else "name",
        seen="had",
        scale="log-odds" if of_clicks else f"the unit of {target}",
        unit=" log-odds" if of_clicks else "",
        column="log-odds" if of_clicks else "score",
        total=f"probability that “{target}” is 1," if of_clicks else target,
        truth=f"true {target}",
        ends="" if of_clicks else f"The range of {target} ends at {low:g} and {high:g}",
    )


def _notes(exported: dict, data: OwnData, sides, figures) -> dict[str, str]:
    """Returns what the page says about its lists and its model."""
    target, measure = data.layout.roles["target"], judging.DECISIVE[data.task]
    what = (
        f"the probability that “{target}” is 1"
        if data.task == "click"
        else f"the score, in the unit of {target}"
    )
    a_row = f"a row with {target} = 1" if data.task == "click" else "a row"
    simple = figures[measure].drop("DeepFM").idxmin()
    model = [
        f"The model: trained on {len(data.learned()):,} rows of {data.name}. On the {len(data.parts['test']):,} test "
        f"rows its {measure.replace('_', ' ').replace('rmse', 'RMSE')} is {figures[measure]['DeepFM']:.4g}; that of "
        f"{simple} is {figures[measure][simple]:.4g}."
    ]
    for word, part, frame in (("users", "people", sides.users), ("items", "films", sides.films)):
        held = len(exported[part].get("uid", exported[part].get("title")))
        if held < len(frame):
            how = "drawn at random" if word == "users" else "those with the most training rows"
            model.append(f"The page holds {held:,} of {len(frame):,} {word}, {how}.")
    return {
        "lists": f"These items have the highest scores among those with a training row. The number is {what}. An item "
        f"for which the table has {a_row} of the user, or that is marked here, is left out.",
        "model": " ".join(model),
    }


def _prose(exported: dict, data: OwnData) -> dict[str, str]:
    """Returns the sentences of the page around the model, by their place in the frame."""
    target = data.layout.roles["target"]
    of_clicks = data.task == "click"
    more = [
        f" Of {field['label']} the page offers the most frequent values, and leaves out {field['more']:,}."
        for field in exported["fields"]
        if field.get("more")
    ]
    return {
        "name": data.name,
        "what": f"how probable it is that “{target}” is 1" if of_clicks else f"“{target}”",
        "private": (
            f"This file holds parts of the table {data.name}: the weights of the model, the ids and values of "
            f"{len(exported['people']['uid']):,} users, the names and values of {len(exported['films']['title']):,} "
            "items, and which items each user has had. Whoever gets the file gets these."
        ),
        "end": (
            "The terms add up to log-odds, and one sigmoid of their sum is the probability."
            if of_clicks
            else f"The last bar ends at the prediction, which is not cut to the range of {target}, so that the bars "
            "add up to it."
        ),
        "left": "".join(more),
    }
