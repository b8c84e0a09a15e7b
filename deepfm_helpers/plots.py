"""Every figure of the book, one function each. They draw on Matplotlib Axes and return them.

Figures have a white ground; the book's style sheet inverts them on a dark page. Colours are those of Okabe and Ito,
which readers with colour-blindness can tell apart.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")


def new_axes(
    ax: plt.Axes | None = None, *, xlabel: str = "", ylabel: str = "", width: float = 6.0, height: float = 3.4
):
    """The house style: a given Axes or a new one, labelled, with a light grid and no frame at the top and right."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), dpi=110, layout="constrained")
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    return ax


def learning_curves(
    histories: dict[str, pd.DataFrame], ax: plt.Axes | None = None, column: str = "loss"
) -> plt.Axes:
    """Training (dashed) and validation (solid) `column` by epoch; one colour and marker per named history.

    Args:
        histories: name → what `training.train` returned.
        column: "loss" (stars²) or "rmse" (stars).
    """
    unit = "mean squared error (stars²)" if column == "loss" else "RMSE (stars)"
    ax = new_axes(ax, xlabel="epoch", ylabel=unit)
    for (name, history), colour, marker in zip(histories.items(), COLOURS, MARKERS, strict=False):
        prefix = f"{name}: " if name else ""
        ax.plot(
            history.epoch,
            history[column],
            "--",
            color=colour,
            marker=marker,
            ms=3.5,
            mfc="white",
            label=f"{prefix}training",
        )
        if f"val_{column}" in history:
            ax.plot(
                history.epoch,
                history[f"val_{column}"],
                color=colour,
                marker=marker,
                ms=3.5,
                label=f"{prefix}validation",
            )
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=8)
    return ax


def bars(
    values: pd.Series, ax: plt.Axes | None = None, *, xlabel: str, errors: pd.Series | None = None
) -> plt.Axes:
    """Horizontal bars, the first at the top, with the value written at its end."""
    ax = new_axes(ax, xlabel=xlabel, height=0.8 + 0.38 * len(values))
    places = np.arange(len(values))
    ax.barh(
        places, values.to_numpy(), color=BLUE, height=0.62, xerr=None if errors is None else errors.to_numpy()
    )
    ax.set_yticks(places, [str(name) for name in values.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return ax
