"""Draw the planted ratings of the page "Train it in the page", where a factorization machine learns in the browser.

The ratings come from a known factorization machine over three fields: a user, a film, and the time of day. With three
fields that meet in pairs, the vectors are determined but for a rotation or a reflection, so that the page can lay the
learned ones on the true ones. They are made up; none comes from MovieLens.

>>> from deepfm_helpers.press import train
>>> drawn = train.draw()
>>> [(field["name"], len(field["values"])) for field in drawn["fields"]]
[('user', 30), ('film', 20), ('time', 4)]
>>> len(drawn["stars"]) - drawn["train"]  # rows held out
300
"""

import io
import json
from pathlib import Path

import numpy as np

from deepfm_helpers import plots
from deepfm_helpers.files import write_whole
from deepfm_helpers.press.checkout import Checkout

PLACE = Path("book", "_static", "train", "data.js")
"""Where the page looks for its ratings, below the root of the book."""

NAME = "PLANTED_FM"

FIELDS = {
    "user": [f"user {i}" for i in range(1, 31)],
    "film": [f"film {i}" for i in range(1, 21)],
    "time": ["morning", "afternoon", "evening", "night"],
}
K = 2
TRAIN, HELD_OUT = 600, 300  # rows
MEAN, FIRST_ORDER_SD, SECOND_ORDER_SD, NOISE = 3.5, 0.4, 0.6, 0.4  # in stars


def draw(seed: int = 7) -> dict:
    """Draw a factorization machine and its ratings.

    Weights and vectors have mean zero in each field: what a weight can say, no pair says as well. No combination of a
    user, a film and a time occurs twice. A rating is the score plus normal noise; it is not rounded or cut.

    Returns:
        What the page reads: "fields" with the names of their values, "noise" in stars, "train", the number of rows to
        train on, which come first, the columns "rows" (one list of positions per field) and "stars", and "truth" with
        w0, w (values of all fields,) and V (values of all fields, k).
    """
    rng = np.random.default_rng(seed)
    sizes = [len(values) for values in FIELDS.values()]
    w, V = [np.concatenate([_centred(rng.normal(size=(n, width))) for n in sizes]) for width in (1, K)]
    cells = rng.permutation(np.prod(sizes))[: TRAIN + HELD_OUT]
    rows = np.stack(np.unravel_index(cells, sizes))
    at = rows + np.cumsum([0, *sizes[:-1]])[:, None]  # positions among the values of all fields
    first = w[at, 0].sum(axis=0)
    second = ((V[at].sum(axis=0) ** 2) - (V[at] ** 2).sum(axis=0)).sum(axis=1) / 2
    w *= FIRST_ORDER_SD / first.std()
    V *= np.sqrt(SECOND_ORDER_SD / second.std())
    score = MEAN + FIRST_ORDER_SD * first / first.std() + SECOND_ORDER_SD * second / second.std()
    stars = score + rng.normal(0, NOISE, score.size)
    return {
        "fields": [{"name": name, "values": values} for name, values in FIELDS.items()],
        "noise": NOISE,
        "train": TRAIN,
        "rows": rows.tolist(),
        "stars": stars.round(2).tolist(),
        "truth": {"w0": MEAN, "w": w[:, 0].round(3).tolist(), "V": V.round(3).tolist()},
    }


def _centred(table: np.ndarray) -> np.ndarray:
    return table - table.mean(axis=0)


def store(here: Checkout) -> None:
    """Draw the ratings of the page again, and its figure."""
    path = here.root / PLACE
    drawn = draw()
    write_whole(path, f"window.{NAME} = {json.dumps(drawn, separators=(',', ':'))};\n")
    figure(drawn, path.with_name("planted.svg"))
    print(f"{PLACE.as_posix()}: {path.stat().st_size / 1e3:.0f} kB", flush=True)


def figure(drawn: dict, path: Path) -> None:
    """Write, as SVG, the map of the true vectors, which paper and pages without JavaScript show."""
    import matplotlib.pyplot as plt

    ax = plots.new_axes(xlabel="first number of a vector", ylabel="second number", width=4.6, height=3.4)
    start = 0
    for field, marker in zip(drawn["fields"], "os^", strict=True):
        stop = start + len(field["values"])
        x, y = np.array(drawn["truth"]["V"][start:stop]).T
        ax.plot(x, y, marker, label=f"{field['name']}s", markersize=5 if marker == "o" else 6)
        start = stop
    for name, (x, y) in zip(FIELDS["time"], drawn["truth"]["V"][-len(FIELDS["time"]) :], strict=True):
        ax.annotate(name, (x, y), (4, 4), textcoords="offset points", fontsize=8)
    ax.set_aspect("equal", "datalim")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    svg = io.StringIO()
    with plt.rc_context({"svg.hashsalt": NAME, "svg.fonttype": "none"}):
        ax.figure.savefig(svg, format="svg", metadata={"Date": None})
    plt.close(ax.figure)
    write_whole(path, svg.getvalue())
