"""Every figure of the book, one function each. They draw on Matplotlib Axes and return them.

Figures have a white ground; the book's style sheet inverts them on a dark page. Thousands of dots are rasterized, so
that an SVG of them stays small. Colours are those of Okabe and Ito, which readers with colour-blindness can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.transforms import Bbox

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
COLOURS = (BLUE, RED, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")


def new_axes(
    ax: plt.Axes | None = None, *, xlabel: str = "", ylabel: str = "", width: float = 4.6, height: float = 2.9
):
    """The house style: a given or a new Axes with labels, a light grid and no frame at the top and right."""
    if ax is None:
        _, ax = plt.subplots(figsize=(width, height), layout="constrained")
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
    ax.legend(frameon=False, fontsize=9)
    return ax


def bars(
    values: pd.Series, ax: plt.Axes | None = None, *, xlabel: str, errors: pd.Series | None = None
) -> plt.Axes:
    """Horizontal bars, the first at the top."""
    ax = new_axes(ax, xlabel=xlabel, height=0.8 + 0.38 * len(values))
    places = np.arange(len(values))
    ax.barh(
        places, values.to_numpy(), color=BLUE, height=0.62, xerr=None if errors is None else errors.to_numpy()
    )
    ax.set_yticks(places, [str(name) for name in values.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return ax


def forest(effects: pd.DataFrame, ax: plt.Axes | None = None, *, xlabel: str) -> plt.Axes:
    """A forest plot: one row an effect, the first at the top, with its interval and every single run.

    Args:
        effects: indexed by name, with the columns `difference`, `low`, `high` (NaN: no interval) and `each`, the
            list of the single runs. An interval that holds 0 is drawn hollow and grey.
    """
    ax = new_axes(ax, xlabel=xlabel, width=5.8, height=0.9 + 0.36 * len(effects))
    ax.axvline(0, color="black", linewidth=0.8)
    for place, (_, row) in enumerate(effects.iterrows()):
        clear = row.low > 0 or row.high < 0
        ax.plot(row.each, [place + 0.22] * len(row.each), "|", color="0.45", ms=5)
        ax.plot([row.low, row.high], [place, place], color=BLUE if clear else "0.5", linewidth=2)
        face = BLUE if clear else "white"
        ax.plot(row.difference, place, "o", color=BLUE if clear else "0.5", mfc=face, ms=6)
    ax.set_yticks(range(len(effects)), effects.index)
    ax.invert_yaxis()
    return ax


def error_and_seconds(
    table: pd.DataFrame, others: Sequence[str] = (), ax: plt.Axes | None = None
) -> plt.Axes:
    """Systems as labelled points: RMSE (stars) against seconds, on a logarithmic axis.

    Args:
        table: indexed by system, with the columns `RMSE` and `seconds`.
        others: which of them are other libraries; they are drawn as hollow squares.
    """
    ax = new_axes(ax, xlabel="seconds (logarithmic)", ylabel="test RMSE (stars)", width=5.8, height=5.0)
    foreign = table.index.isin(others)
    for rows, style, label in (
        (table[~foreign], {"marker": "o", "color": BLUE}, "this book"),
        (table[foreign], {"marker": "s", "color": RED, "mfc": "white"}, "other libraries"),
    ):
        ax.plot(rows.seconds, rows.RMSE, linestyle="none", label=label, **style)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.margins(x=0.12, y=0.08)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    _label(ax, table.index, table[["seconds", "RMSE"]].to_numpy())
    return ax


def _label(ax: plt.Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Writes each name beside its point, where it meets no other name and no point, if there is such a place."""
    ax.figure.canvas.draw()  # the layout must stand before places can be compared
    at = ax.transData.transform(points)
    taken = [Bbox([dot - 4, dot + 4]) for dot in at]
    above_or_below = [
        (dx, dy, ha) for dy in (10, -10, 20, -20) for dx, ha in ((4, "left"), (-4, "right"), (0, "center"))
    ]
    places = [(7, 0, "left"), (-7, 0, "right"), *above_or_below]
    for name, point in zip(names, points, strict=True):
        for dx, dy, side in places:
            text = ax.annotate(
                name, point, (dx, dy), textcoords="offset points", fontsize=9, ha=side, va="center"
            )
            text.set_in_layout(False)
            box = text.get_window_extent()
            inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:
            ax.add_artist(text)
        taken.append(box)


def scale(rows: pd.DataFrame) -> np.ndarray:
    """Training pace and peak memory by number of ratings, one above the other, one line a system.

    Args:
        rows: measurements with the columns `system` ("book, batches of 16384"), `data` ("planted, 16 million"),
            `metric` and `value`.
    """
    _, axes = plt.subplots(2, 1, figsize=(4.6, 4.6), layout="constrained", sharex=True)
    rows = rows.assign(millions=rows.data.str.extract(r"([\d.]+) million")[0].astype(float))
    for ax, metric, unit, label in zip(
        axes,
        ("rows_per_second", "peak_mib"),
        (1e3, 1024),
        ("thousand rows a second", "peak memory (GiB)"),
        strict=True,
    ):
        new_axes(ax, ylabel=label)
        of_all = rows[rows.metric == metric].groupby("system")
        for (name, of_one), colour, marker in zip(of_all, COLOURS, MARKERS, strict=False):
            values = of_one.set_index("millions").value.sort_index() / unit
            ax.plot(values.index, values, f"{marker}-", color=colour, label=name.removeprefix("book, "))
        ax.set_xscale("log", base=2)
        ax.set_xticks(sorted(rows.millions.dropna().unique()))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(y=0.1)
        ax.set_ylim(bottom=0)
    axes[0].legend(frameon=False, fontsize=9, loc="lower left")
    axes[-1].set_xlabel("million ratings")
    return axes


def rank_counts(counts: dict[str, pd.Series], ax: plt.Axes | None = None) -> plt.Axes:
    """The long tail: number of ratings against rank, both logarithmic, one line per named series.

    Args:
        counts: name → number of ratings of each user or film; those without any are left out.
    """
    ax = new_axes(ax, xlabel="rank, most ratings first", ylabel="number of ratings")
    for (name, series), colour in zip(counts.items(), COLOURS, strict=False):
        ranked = np.sort(series[series > 0].to_numpy())[::-1]
        ax.loglog(np.arange(1, len(ranked) + 1), ranked, color=colour, linewidth=1.8, label=name)
    ax.legend(frameon=False, fontsize=9)
    return ax


def rating_matrix(
    ratings: pd.DataFrame, users: pd.Index, films: pd.Index, ax: plt.Axes | None = None
) -> plt.Axes:
    """One dot for each rating of the given films by the given users, in the order in which both are given.

    Args:
        ratings: frame with uid and mid.
    """
    ax = new_axes(
        ax, xlabel="film, most rated first", ylabel="user, most active first", width=4.6, height=4.2
    )
    chosen = ratings[ratings["uid"].isin(users) & ratings["mid"].isin(films)]
    ax.scatter(
        pd.Index(films).get_indexer(chosen["mid"]),
        pd.Index(users).get_indexer(chosen["uid"]),
        s=2.5,
        color=BLUE,
        linewidths=0,
        rasterized=True,
    )
    ax.set(xlim=(-1, len(films)), ylim=(len(users), -1))
    ax.grid(visible=False)
    return ax


def file_order(
    ratings: pd.DataFrame, held: float = 0.1, ax: plt.Axes | None = None, dots: int = 6000
) -> plt.Axes:
    """User id against place in the file, for about `dots` evenly spaced rows; the last `held` of them in red.

    Args:
        ratings: frame with uid, in file order.
        held: share of the rows that counts as the tail.
    """
    ax = new_axes(ax, xlabel="row of the file", ylabel="user id")
    rows = np.arange(0, len(ratings), max(1, len(ratings) // dots))
    tail = rows >= len(ratings) - round(held * len(ratings))
    uid = ratings["uid"].to_numpy()[rows]
    ax.scatter(rows[~tail], uid[~tail], s=2, color=BLUE, linewidths=0, label="first rows", rasterized=True)
    ax.scatter(rows[tail], uid[tail], s=2, color=RED, linewidths=0, label=f"last {held:.0%}", rasterized=True)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False, fontsize=9, markerscale=4, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)
    return ax


def line_through_codes(
    codes: np.ndarray, ratings: np.ndarray, ax: plt.Axes | None = None, *, xlabel: str
) -> plt.Axes:
    """Mean rating of each code, larger dots for more ratings, and the least-squares line over all ratings."""
    ax = new_axes(ax, xlabel=xlabel, ylabel="mean rating (stars)")
    by_code = pd.Series(ratings).groupby(np.asarray(codes)).agg(["mean", "size"])
    slope, intercept = np.polyfit(codes, ratings, 1)
    ax.scatter(by_code.index, by_code["mean"], s=90 * by_code["size"] / by_code["size"].max() + 8, color=BLUE)
    ax.plot(by_code.index, intercept + slope * by_code.index, color=RED)
    ax.annotate(
        f"{slope:+.4f} stars a code".replace("-", "−"),
        (0.98, 1.02),
        xycoords="axes fraction",
        ha="right",
        color=RED,
        fontsize=9,
    )
    return ax


def learned_shares(
    mean_ratings: pd.Series, shares: pd.Series, counts: pd.Series, ax: plt.Axes | None = None
) -> plt.Axes:
    """What a model adds for each film against the film's centred mean rating, with the diagonal.

    Args:
        mean_ratings: mean rating less the overall mean, in stars.
        shares: learned, in stars.
        counts: ratings per film, shown as the area of the dots.
    """
    ax = new_axes(
        ax,
        xlabel="mean rating less overall mean (stars)",
        ylabel="learned share (stars)",
        height=4,
    )
    ends = [mean_ratings.min(), mean_ratings.max()]
    ax.plot(ends, ends, color="0.5", linewidth=1, label="equal")
    ax.scatter(
        mean_ratings,
        shares,
        s=60 * counts / counts.max() + 2,
        color=BLUE,
        alpha=0.45,
        linewidths=0,
        rasterized=True,
    )
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    return ax


def overlaid_histograms(
    values: dict[str, np.ndarray], ax: plt.Axes | None = None, *, xlabel: str, ylabel: str, bins: int = 50
) -> plt.Axes:
    """Histograms of several samples over common bins: the first filled, the others as outlines."""
    ax = new_axes(ax, xlabel=xlabel, ylabel=ylabel)
    edges = np.histogram_bin_edges(np.concatenate([v[np.isfinite(v)] for v in values.values()]), bins)
    for (name, sample), colour, filled in zip(values.items(), COLOURS, [True, *[False] * 9], strict=False):
        style = (
            {"histtype": "stepfilled", "alpha": 0.55} if filled else {"histtype": "step", "linewidth": 1.6}
        )
        ax.hist(sample[np.isfinite(sample)], edges, color=colour, label=name, **style)
    ax.legend(frameon=False, fontsize=9)
    return ax


def genres_kept(fates: pd.DataFrame, ax: plt.Axes | None = None) -> plt.Axes:
    """What becomes of each genre's films: stacked shares of those that keep it and those that lose it.

    Args:
        fates: one row a genre, one column a fate, numbers of films; the row's sum is written at its end.
    """
    ax = new_axes(ax, xlabel="films that carry the genre (%)", width=5.4, height=0.9 + 0.26 * len(fates))
    places, totals = np.arange(len(fates)), fates.sum(axis=1).to_numpy()
    left = np.zeros(len(fates))
    for column, colour, hatch in zip(fates, (SKY, RED, PURPLE), ("", "//", ".."), strict=False):
        width = 100 * fates[column].to_numpy() / totals
        ax.barh(
            places, width, left=left, color=colour, hatch=hatch, height=0.7, edgecolor="white", label=column
        )
        left += width
    for place, total in zip(places, totals, strict=True):
        ax.text(101, place, f"{total:,}", va="center", fontsize=9)
    ax.set_yticks(places, fates.index, fontsize=9)
    ax.set_ylim(len(fates) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


def validation_losses(
    histories: dict[str, pd.DataFrame], ax: plt.Axes | None = None, *, constant: float
) -> plt.Axes:
    """Validation loss (stars²) by epoch, one line per named history, and a dotted line for a constant."""
    ax = new_axes(ax, xlabel="epoch", ylabel="validation loss (stars²)")
    for (name, history), colour, marker in zip(histories.items(), COLOURS, MARKERS, strict=False):
        ax.plot(history.epoch, history.val_loss, color=colour, marker=marker, ms=4, label=name)
    ax.axhline(constant, color="black", linestyle=":", linewidth=1, label="a constant")
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9)
    return ax


def gram_square(vectors: np.ndarray, names: Sequence[str], ax: plt.Axes | None = None) -> plt.Axes:
    """All dot products of a few vectors in a square: pairs above the diagonal, again below, squares on it.

    Args:
        vectors: shape (p, k).
        names: one per vector.
    """
    ax = new_axes(ax, width=3.8, height=3.3)
    products = vectors @ vectors.T
    for (i, j), value in np.ndenumerate(products):
        ground, ink = ((BLUE, "white"), ("#C9DFEF", "black"), ("0.8", "black"))[
            0 if j > i else 1 if j < i else 2
        ]
        ax.add_patch(
            plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=ground, edgecolor="white", linewidth=2)
        )
        ax.text(j, i, f"{value:g}".replace("-", "−"), ha="center", va="center", color=ink)
    places = range(len(names))
    ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(names) - 0.5, -0.5), aspect="equal")
    ax.set_xticks(places, names)
    ax.set_yticks(places, names)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return ax


def two_vectors(a: Sequence[float], b: Sequence[float], ax: plt.Axes | None = None) -> plt.Axes:
    """Two vectors of the plane as arrows, and their sum as the diagonal between them."""
    ax = new_axes(ax, width=3.8, height=3.3)
    a, b = np.array([a, b], dtype=float)
    for vector, name, colour in ((a, "a", BLUE), (b, "b", RED), (a + b, "a + b", "0.35")):
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", vector, (0, 0), arrowprops=style)
        ax.annotate(name, vector, (5, 5), textcoords="offset points", color=colour, weight="bold")
    for start in (a, b):
        ax.plot(*zip(start, a + b, strict=True), "--", color="0.6", linewidth=1)
    ends = np.array([a, b, a + b, 0 * a])
    ax.set(xlim=(ends[:, 0].min() - 0.4, ends[:, 0].max() + 0.9), aspect="equal")
    ax.set_ylim(ends[:, 1].min() - 0.4, ends[:, 1].max() + 0.7)
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return ax


def multi_hot(rows: pd.DataFrame, ax: plt.Axes | None = None) -> plt.Axes:
    """Rows of zeros and ones: a film for each row, a genre for each column, the ones filled."""
    height, width = rows.shape
    ax = new_axes(ax, width=1.9 + 0.42 * width, height=1.1 + 0.36 * height)
    for (i, j), value in np.ndenumerate(rows.to_numpy()):
        ground = BLUE if value else "white"
        ax.add_patch(plt.Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=ground, edgecolor="0.75"))
        ax.text(j, i, f"{value:d}", ha="center", va="center", color="white" if value else "0.35", fontsize=9)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    ax.set_xticks(range(width), rows.columns, rotation=55, ha="left", rotation_mode="anchor", fontsize=9)
    ax.set_yticks(range(height), rows.index, fontsize=9)
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return ax


def cost_by_fields(seconds: pd.DataFrame, slopes: pd.Series, ax: plt.Axes | None = None) -> plt.Axes:
    """Time against number of fields on logarithmic axes, one line per column of `seconds`.

    Args:
        seconds: indexed by number of fields.
        slopes: by column, written into the legend.
    """
    ax = new_axes(ax, xlabel="number of fields", ylabel="time (ms)")
    for name, colour, marker in zip(seconds, COLOURS, MARKERS, strict=False):
        label = f"{name.replace('_', ' ')} ({slopes[name]:.1f})"
        ax.loglog(seconds.index, 1000 * seconds[name], color=colour, marker=marker, ms=4.5, label=label)
    ax.set_xticks(seconds.index, [str(p) for p in seconds.index])
    ax.minorticks_off()
    ax.legend(frameon=False, fontsize=9)
    return ax


def pair_heat(values: pd.DataFrame, ax: plt.Axes | None = None, *, label: str) -> plt.Axes:
    """Heat map of the pairs above the diagonal of a symmetric frame, each cell with its number."""
    ax = new_axes(ax, width=5.4, height=3.8)
    shown = values.to_numpy()[:-1, 1:]
    above = np.triu(np.ones(shown.shape, bool))
    image = ax.imshow(np.where(above, shown, np.nan), cmap="Blues", vmin=0)
    for i, j in zip(*np.nonzero(above), strict=True):
        ink = "white" if shown[i, j] > 0.6 * shown[above].max() else "black"
        ax.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", color=ink, fontsize=9)
    ax.set_xticks(range(len(shown)), values.columns[1:])
    ax.set_yticks(range(len(shown)), values.index[:-1])
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    ax.figure.colorbar(image, ax=ax, label=label, shrink=0.85)
    return ax


def weights_before_and_after(
    before: pd.DataFrame, after: pd.DataFrame, ax: plt.Axes | None = None
) -> plt.Axes:
    """Weights of the last layer before and after training; a point for each seed (row) and part (column)."""
    ax = new_axes(ax, xlabel="weight drawn before training", ylabel="weight after training", height=3.8)
    reach = 1.1 * max(before.abs().to_numpy().max(), after.abs().to_numpy().max())
    ax.axline((0, 0), slope=1, color="black", linestyle=":", linewidth=1, label="unchanged")
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.axvline(0, color="0.6", linewidth=0.8)
    for name, colour, marker in zip(before, COLOURS, MARKERS, strict=False):
        ax.plot(before[name], after[name], marker, color=colour, ms=7, label=name.replace("_", " "))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    return ax


def contributions(ways: dict[str, pd.DataFrame]) -> np.ndarray:
    """Several ways to ask which part does the work, side by side; returns one Axes a way.

    Args:
        ways: title with its unit → one row a seed, one column a part. Bars show the mean, dots the seeds.
    """
    columns = 2
    rows = -(-len(ways) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(5.0, 1.9 * rows), layout="constrained", sharey=True)
    axes = np.atleast_1d(grid).ravel()
    for ax, (title, values) in zip(axes, ways.items(), strict=False):
        new_axes(ax)
        ax.set_title(fill(title, 25), fontsize=9, loc="left")
        ax.xaxis.set_major_locator(plt.MaxNLocator(4))
        places = np.arange(values.shape[1])
        ax.barh(places, values.mean(), color=COLOURS[: len(places)], height=0.6, alpha=0.75)
        for _, seed in values.iterrows():
            ax.plot(seed, places, "o", color="black", mfc="white", ms=4)
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(places, [name.replace("_", " ") for name in values])
        ax.grid(axis="y", visible=False)
    axes[0].invert_yaxis()
    for ax in axes[len(ways) :]:
        ax.set_visible(False)
    return axes


def sum_of_bends(
    terms: pd.DataFrame, constant: float, points: pd.Series, ax: plt.Axes | None = None
) -> plt.Axes:
    """ReLU terms of one input (thin), their sum with a constant (thick), and points that the sum has to meet.

    Args:
        terms: indexed by the input, one column per term with its weight.
        points: indexed by the input.
    """
    ax = new_axes(ax, xlabel="s, the sum of the three signs", ylabel="output", height=3.2)
    for (name, term), colour in zip(terms.items(), (SKY, ORANGE, PURPLE), strict=False):
        ax.plot(terms.index, term, color=colour, linewidth=1.2, label=name)
    ax.plot(terms.index, constant + terms.sum(axis=1), color=BLUE, linewidth=2.4, label="sum and constant")
    ax.plot(points.index, points, "o", color=RED, ms=7, label="stars")
    ax.set_ylim(-3.4, 3.4)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


def held_out_errors(
    errors: dict[str, pd.Series], ax: plt.Axes | None = None, *, levels: dict[str, float]
) -> plt.Axes:
    """Error on held-out rows by epoch, one line per named series, and dotted levels to compare with.

    Args:
        errors: name → RMSE in stars, indexed by epoch.
        levels: name → RMSE in stars.
    """
    ax = new_axes(ax, xlabel="epoch", ylabel="RMSE (stars)", height=3.2)
    for (name, series), colour, marker in zip(errors.items(), (RED, GREEN, BLUE), MARKERS, strict=False):
        ax.plot(series.index, series, color=colour, marker=marker, ms=3.5, label=name)
    for name, level in levels.items():
        ax.axhline(level, color="black", linestyle=":", linewidth=1)
        ax.annotate(
            name, (1, level), (-2, -11), ("axes fraction", "data"), "offset points", ha="right", fontsize=9
        )
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9)
    return ax


def loss_along_step(
    rates: np.ndarray, losses: np.ndarray, slope: float, chosen: float, ax: plt.Axes | None = None
) -> plt.Axes:
    """The loss after one step against the gradient, by learning rate, and what its slope at 0 promises.

    Args:
        rates: learning rates from 0 on.
        losses: loss after a step with each, in stars².
        slope: d loss / d rate at 0, minus the squared length of the gradient.
        chosen: the learning rate to mark.
    """
    ax = new_axes(ax, xlabel="learning rate η", ylabel="loss after the step (stars²)")
    ax.plot(rates, losses, color=BLUE, label="the loss")
    promise = losses[0] + slope * rates
    ax.plot(rates[promise >= 0], promise[promise >= 0], "--", color=RED, label="what the gradient promises")
    ax.plot(chosen, np.interp(chosen, rates, losses), "o", color=BLUE, ms=8, label=f"η = {chosen}")
    ax.legend(frameon=False, fontsize=9)
    return ax


def errors_by_seed(errors: pd.DataFrame, ax: plt.Axes | None = None) -> plt.Axes:
    """Error of several models, one line per seed.

    Args:
        errors: RMSE in stars, one row a seed, one column a model.
    """
    ax = new_axes(ax, ylabel="RMSE on held-out rows (stars)", height=3.2)
    for (seed, row), colour, marker in zip(errors.iterrows(), cycle(COLOURS), cycle(MARKERS), strict=False):
        ax.plot(range(len(row)), row, color=colour, marker=marker, linewidth=1, ms=5, label=f"seed {seed}")
    ax.set_xticks(range(len(errors.columns)), errors.columns)
    ax.margins(x=0.1)
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


def error_by_code(errors: dict[str, pd.Series], ax: plt.Axes | None = None, *, xlabel: str) -> plt.Axes:
    """Mean error (stars) by code, one marker and colour per named series, with a line at zero."""
    ax = new_axes(ax, xlabel=xlabel, ylabel="mean error (stars)")
    ax.axhline(0, color="black", linewidth=0.8)
    for (name, error), colour, marker in zip(errors.items(), (RED, BLUE), ("o", "^"), strict=False):
        ax.plot(error.index, error, linestyle="none", color=colour, marker=marker, ms=6, label=name)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9)
    return ax


def shares_along(
    shares: pd.DataFrame, ax: plt.Axes | None = None, *, xlabel: str = "epoch", ylabel: str
) -> plt.Axes:
    """Shares, in per cent, along the index, one line per column."""
    ax = new_axes(ax, xlabel=xlabel, ylabel=ylabel, height=3.0)
    colours = COLOURS if shares.shape[1] > 2 else (RED, GREEN)  # of two parts, the second and the third
    for name, colour, marker in zip(shares, colours, MARKERS, strict=False):
        ax.plot(shares.index, 100 * shares[name], color=colour, marker=marker, ms=4, label=name)
    ax.set_ylim(bottom=0)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(frameon=False, fontsize=9)
    return ax


def shares_by_count(
    counts: dict[str, np.ndarray], ax: plt.Axes | None = None, *, xlabel: str, bins: int = 14
) -> plt.Axes:
    """Histograms of counts from 1 on a logarithmic axis, as outlines in per cent of each named sample."""
    ax = new_axes(ax, xlabel=xlabel, ylabel="share (%)")
    edges = np.geomspace(1, max(sample.max() for sample in counts.values()) + 1, bins + 1)
    for (name, sample), colour in zip(counts.items(), COLOURS, strict=False):
        weights = np.full(len(sample), 100 / len(sample))
        ax.hist(sample, edges, weights=weights, histtype="step", linewidth=1.8, color=colour, label=name)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.legend(frameon=False, fontsize=9, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    return ax


def waterfall(terms: pd.Series, ax: plt.Axes | None = None) -> plt.Axes:
    """A score built up from its terms, in stars: each bar begins where the one above it ended.

    Bars that add are solid, those that take away are striped; the last row is the score.

    Args:
        terms: name → stars; the first is the constant that the score starts from.
    """
    ends = terms.cumsum().to_numpy()
    ax = new_axes(ax, xlabel="stars", height=0.9 + 0.25 * (len(terms) + 1))
    for place, (value, end) in enumerate(zip(terms[1:], ends[1:], strict=True), start=1):
        style = {"color": BLUE} if value >= 0 else {"facecolor": "white", "edgecolor": RED, "hatch": "/////"}
        ax.barh(place, value, left=end - value, height=0.6, **style)
        ax.annotate(
            f"{value:+.3f}".replace("-", "−"), (1, place), (4, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=9,
        )  # fmt: skip
    places = np.arange(len(terms))
    ax.vlines(ends, places, places + 1, color="black", linewidth=0.7, zorder=0.9)
    ax.plot(ends[[0, -1]], [0, len(terms)], "o", color="black", ms=6)
    for place, value in ((0, ends[0]), (len(terms), ends[-1])):
        ax.annotate(
            f"{value:.3f}", (1, place), (4, 0), ("axes fraction", "data"), "offset points",
            va="center", fontsize=9, weight="bold",
        )  # fmt: skip
    ax.set_yticks(range(len(terms) + 1), [*terms.index, "prediction"], fontsize=9)
    room = 0.05 * max(np.ptp(ends), 0.1)
    ax.set(xlim=(ends.min() - room, ends.max() + room), ylim=(len(terms) + 0.7, -0.7))
    return ax
