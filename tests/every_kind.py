"""A dataset of one's own with a column of every kind in every table, and a model of it with random weights."""

from pathlib import Path

import numpy as np
import pandas as pd

from deepfm_helpers import anatomy, models
from deepfm_helpers.own import data, keeping
from deepfm_helpers.own.fitting import in_units
from deepfm_helpers.own.layouts import FILE

BREAKS_OUT = '</script><img src=x onerror="broken=1"><!-- & $name "Sage"'
"""A title that would end the script of a page, were it written there as it is."""

TOML = """
task = "{task}"
rare = 3
repeats = true

[rows]
files = ["log.csv"]
user = "member"
item = "plant"
target = "{target}"
time = "sown"
{range}

[rows.columns]
member = "single"
plant = {{kind = "single", whole = true}}
{target} = "numeric"
sown = "time"
weather = "single"
tools = {{kind = "multi", separator = "|"}}
depth = "numeric"
watered = "time"
lot = {{kind = "single", hashed = 20}}
remark = "text"

[users]
files = ["members.csv"]
key = "member"

[users.columns]
member = "single"
town = "single"
pets = {{kind = "multi", separator = "|", none = "none"}}
altitude = "numeric"
born = "time"
postcode = {{kind = "single", hashed = 7, whole = true}}

[items]
files = ["plants.csv"]
key = "plant"

[items.columns]
plant = {{kind = "single", whole = true}}
title = "text"
family = "single"
likes = {{kind = "multi", separator = "|"}}
rows = "numeric"
found = "time"
label = {{kind = "single", hashed = 7}}

[split]
by = "{split}"
"""


def tables(folder: Path, task: str = "rating", split: str = "random", n: int = 1200) -> Path:
    """Writes tables of a garden club: points from 0 to 100, or whether a plant was sown `again`; cells are missing."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    day = 86_400

    def some(cells, share: float = 0.1) -> pd.Series:
        return pd.Series(cells).mask(rng.random(len(cells)) < share)

    members = pd.DataFrame({"member": [f"m{i:02}" for i in range(40)]})
    members["town"] = some(rng.choice(["Ashford", "Elmham", "Oakley"], 40))
    members["pets"] = rng.choice(["cat|dog", "dog", "none", "hen|cat|dog"], 40)
    members["altitude"] = some(rng.gamma(4, 120, 40).round(1))
    members["born"] = some(rng.integers(0, 10_000, 40) * day)
    members["postcode"] = some(rng.integers(10_000, 10_030, 40)).astype("Int64")
    plants = pd.DataFrame({"plant": np.arange(1, 31)})
    plants["title"] = [BREAKS_OUT, "", "Sage", "Sage", *(f"Bean {i}" for i in range(26))]
    plants["family"] = some(rng.choice(["mint", "bean", "beet"], 30))
    plants["likes"] = some(rng.choice(["sun", "sun|sand", "clay|loam"], 30))
    plants["rows"] = some(rng.integers(1, 9, 30)).astype("Int64")
    plants["found"] = some(rng.integers(0, 9_000, 30) * day)
    plants["label"] = some(rng.choice(["a", "b", "c", "d"], 30))
    log = pd.DataFrame({"member": rng.choice(members.member, n), "plant": rng.choice(np.arange(1, 29), n)})
    target = "again" if task == "click" else "points"
    log[target] = rng.integers(0, 2, n) if task == "click" else rng.integers(0, 101, n)
    log["sown"] = rng.integers(15_000, 18_000, n) * day
    odd = np.array([f"odd {i // 2}" for i in range(n)])  # twice each
    log["weather"] = some(np.where(rng.random(n) < 0.1, odd, rng.choice(["rain", "sun"], n)))
    log["tools"] = some(rng.choice(["fork", "fork|hoe", "hoe|rake|fork"], n))
    log["depth"] = some(rng.gamma(2, 3, n).round(2))
    log["watered"] = some(log.sown + rng.integers(0, 30, n) * day)
    log["lot"] = some([f"L{i}" for i in rng.integers(0, 60, n)])
    log["remark"] = rng.choice(["", "slugs"], n)
    for name, frame in {"log": log, "members": members, "plants": plants}.items():
        frame.to_csv(folder / f"{name}.csv", index=False)
    entries = {
        "task": task,
        "target": target,
        "split": split,
        "range": "" if task == "click" else "range = [0, 100]",
    }
    (folder / FILE).write_text(TOML.format(**entries), encoding="utf-8")
    return folder


def model_of(own: data.OwnData) -> keeping.Kept:
    """A model with random weights everywhere, as if `deepfm fit` had made it and `keeping.load` had read it."""
    learned = own.learned()
    fields = own.fields(learned)
    *_, model = models.deep_fm_model(
        features=fields, task=own.task, k=4, dnn_dim=(8, 4), mean_rating=float(learned.rating.mean())
    )
    rng, unit = np.random.default_rng(1), 1 if own.task == "click" else 20  # points for a star
    model.set_weights([rng.normal(0, 0.3, w.shape) if w.ndim else w for w in model.get_weights()])
    constant = anatomy.head(model).layer.get_weights()
    in_units(model, fields, unit)
    anatomy.head(model).layer.set_weights(constant)
    return keeping.Kept(Path("random.keras"), model, fields, own.layout)


def chosen(exported: dict, row: pd.Series) -> list:
    """What `live.terms` takes for a joined row: for each field of a page its row, its rows or its number."""
    people, films = exported["people"], exported["films"]
    user = people["uid"].index(str(row["uid"]))
    item = row["mid"] - 1  # of a page that holds all items

    def of(f: dict):
        if f["name"] in ("uid", "mid"):
            return people["row"][user] if f["name"] == "uid" else item + 1
        if f["side"] != "rating":
            return (
                people["values"][f["name"]][user] if f["side"] == "user" else films["values"][f["name"]][item]
            )
        return in_row(f, row[f["label"]])

    return [of(f) for f in exported["fields"]]


def in_row(f: dict, cell):
    """The row, the rows or the number of a cell of the row."""
    if f["kind"] == "numeric":
        return None if pd.isna(cell) else float(cell)
    if f["kind"] == "multi":
        values = [] if pd.isna(cell) else cell.split("|")
        return [f["values"].index(value) + 1 for value in values if value in f["values"]]
    return f["values"].index("unknown" if pd.isna(cell) or str(cell) not in f["values"] else str(cell)) + 1
