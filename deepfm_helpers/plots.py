"""Draws the figures of the book, one function each, in the style of `book.mplstyle`; each returns its Matplotlib Axes.

Figures have a white background, which the book's style sheet inverts on a dark page. Thousands of dots are rasterized,
so that an SVG with them stays small. The style applies while a function draws; a reader's own figures keep theirs.
Every function raises ValueError if its first argument, or a series in it, is empty.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import cycle
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.transforms import Bbox

STYLE = "deepfm_helpers.book"
BLUE, RED = "#0072B2", "#D55E00"  # the first two colours of the style
HATCHES = ("", "//", "..", "xx", "--")  # 5, with 7 colours: no two of 35 bars look alike


def _figure(draw: Callable) -> Callable:
    """Makes `draw` use the book's style, and raise ValueError if its first argument, or a series in it, is empty."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        arguments = inspect.signature(draw).bind(*args, **kwargs).arguments
        for name, given in list(arguments.items())[:1]:
            parts = {name: given}
            if isinstance(given, Mapping):
                parts = {name: list(given)} | {f"{name}[{key!r}]": part for key, part in given.items()}
            for part, values in parts.items():
                if np.size(values) == 0:
                    raise ValueError(f"plots.{draw.__name__}: {part} is empty; there is nothing to draw")
        with plt.style.context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@_figure
def new_axes(*, xlabel: str = "", ylabel: str = "", width: float = 4.6, height: float = 2.9) -> plt.Axes:
    """Makes new Axes in the book's style, on a figure of `width` by `height` inches."""
    _, ax = plt.subplots(figsize=(width, height))
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax


def _legend(ax: plt.Axes, above: bool = False, **style) -> None:
    """Puts a legend into the Axes or, with `above` or more than six entries, on top of the Axes of a taller figure."""
    if not above and len(ax.get_legend_handles_labels()[1]) <= 6:
        ax.legend(**style)
        return
    figure = ax.figure
    for columns in (3, 2, 1):
        legend = ax.legend(**style | {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": columns})
        box = legend.get_window_extent()
        if box.width < 0.9 * figure.bbox.width:
            break
    figure.set_figheight(figure.get_figheight() + box.height / figure.dpi)


def _lines(ax: plt.Axes, columns: Mapping[str, pd.Series] | pd.DataFrame, **style) -> None:
    """Draws each column against its index of whole numbers, in the next style of the cycle."""
    for name, column in columns.items():
        ax.plot(column.index, column, label=name, **style)
    ax.xaxis.get_major_locator().set_params(integer=True)


@_figure
def learning_curves(histories: dict[str, pd.DataFrame], column: str = "loss") -> plt.Axes:
    """Draws training (dashed) and validation (solid) curves by epoch, one colour and marker per named history.

    Args:
        histories: name → what `training.train` returned.
        column: what is drawn, "loss" (stars²) or "rmse" (stars).
    """
    ax = new_axes(
        xlabel="epoch", ylabel="mean squared error (stars²)" if column == "loss" else "RMSE (stars)"
    )
    for name, history in histories.items():
        by_epoch, prefix = history.set_index("epoch"), f"{name}: " if name else ""
        _lines(ax, {f"{prefix}training": by_epoch[column]}, linestyle="--", mfc="white")
        if f"val_{column}" in history:
            line = ax.lines[-1]
            same = {"color": line.get_color(), "marker": line.get_marker(), "linestyle": "-"}
            _lines(ax, {f"{prefix}validation": by_epoch[f"val_{column}"]}, **same)
    _legend(ax)
    return ax


@_figure
def bars(values: pd.Series, *, xlabel: str) -> plt.Axes:
    """Draws horizontal bars, the first at the top.

    Args:
        values: length of each bar by its name.
        xlabel: what the bars measure, with its unit.
    """
    ax = new_axes(xlabel=xlabel, height=0.8 + 0.38 * len(values))
    ax.barh(range(len(values)), values, color=BLUE, height=0.62)
    ax.set_yticks(range(len(values)), [str(name) for name in values.index])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    return ax


@_figure
def forest(effects: pd.DataFrame, *, xlabel: str) -> plt.Axes:
    """Draws a forest plot: one row per effect, the first at the top, with its interval and every single run.

    Args:
        effects: indexed by name, with the columns `difference`, `low`, `high` (NaN: no interval) and `each`, the
            list of the single runs. The dot of an interval that contains 0 is hollow, and its line thin.
    """
    ax = new_axes(xlabel=xlabel, height=0.9 + 0.36 * len(effects))
    ax.axvline(0, color="black", linewidth=0.8)
    for place, (_, row) in enumerate(effects.iterrows()):
        clear = row.low > 0 or row.high < 0
        ax.plot(row.each, [place + 0.27] * len(row.each), "|", color="0.3", ms=5)
        ax.hlines(place, row.low, row.high, color=BLUE, linewidth=2.5 if clear else 1.2)
        ax.plot(row.difference, place, "o", color=BLUE, mfc=BLUE if clear else "white", ms=6)
    names = [fill(str(name), 20) for name in effects.index]
    ax.set_yticks(range(len(effects)), names, fontsize=9)
    ax.invert_yaxis()
    return ax


@_figure
def error_and_seconds(table: pd.DataFrame, others: Sequence[str] = ()) -> plt.Axes:
    """Draws systems as labelled points: RMSE (stars) against seconds, on a logarithmic axis.

    Args:
        table: indexed by system, with the columns `RMSE` and `seconds`.
        others: the systems that are other libraries; they are drawn as hollow markers.
    """
    ax = new_axes(xlabel="seconds (logarithmic)", ylabel="test RMSE (stars)", height=5.2)
    foreign = table.index.isin(others)
    ours, theirs = table[~foreign], table[foreign]
    ax.plot(ours.seconds, ours.RMSE, linestyle="none", ms=6, label="this book")
    ax.plot(theirs.seconds, theirs.RMSE, linestyle="none", ms=6, mfc="white", label="other libraries")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.margins(x=0.12, y=0.12)
    _legend(ax, above=True)
    _label(ax, table.index, table[["seconds", "RMSE"]].to_numpy())
    return ax


def _label(ax: plt.Axes, names: Sequence[str], points: np.ndarray) -> None:
    """Writes each name near its point, if possible where it is nearest to it and covers no other name and no point."""
    ax.figure.canvas.draw()  # the layout must stand before places can be compared
    dots = ax.transData.transform(points)
    taken = [Bbox([dot - 4, dot + 4]) for dot in dots]
    places = [(7, 0, "left", "center"), (-7, 0, "right", "center")]
    places += [
        (dx, sign * dy, ha, va)
        for dy in (6, 18, 30, 42)
        for sign, va in ((1, "bottom"), (-1, "top"))
        for dx, ha in ((4, "left"), (-4, "right"), (0, "center"))
    ]

    def write(name: str, point: np.ndarray, dx: float, dy: float, ha: str, va: str) -> plt.Annotation:
        offset = {"xytext": (dx, dy), "textcoords": "offset points"}
        text = ax.annotate(fill(name, 22), point, **offset, fontsize=9, ha=ha, va=va)
        text.set_in_layout(False)
        return text

    def is_free(box: Bbox, dot: np.ndarray, has_line: bool) -> bool:
        inside = ax.bbox.x0 <= box.x0 and box.x1 <= ax.bbox.x1 and ax.bbox.y0 <= box.y0
        far = np.linalg.norm(dots - np.clip(dots, box.min, box.max), axis=1)
        is_own = (dots == dot).all(axis=1)
        tells = has_line or far[is_own][0] < far[~is_own].min(initial=np.inf)
        return inside and tells and not any(box.overlaps(other) for other in taken)

    for name, point, dot in sorted(zip(names, points, dots, strict=True), key=lambda one: -len(one[0])):
        for place in places:
            text = write(name, point, *place)
            has_line = abs(place[1]) > 6  # too far from its point to be taken for its name without one
            if is_free(text.get_window_extent(), dot, has_line):
                break
            text.remove()
        else:
            place = places[0]
            text = write(name, point, *place)
        taken.append(text.get_window_extent())
        if has_line:
            line = {"arrowstyle": "-", "color": "0.3", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4}
            ax.annotate("", point, place[:2], textcoords="offset points", arrowprops=line)


@_figure
def scale(rows: pd.DataFrame) -> np.ndarray:
    """Draws training pace and peak memory by number of ratings, one above the other, one line per system.

    Args:
        rows: measurements with the columns `system` ("book, batches of 16384"), `data` ("planted, 16 million"),
            `metric` and `value`.
    """
    _, axes = plt.subplots(2, 1, figsize=(4.6, 4.6), sharex=True)
    rows = rows.assign(millions=rows.data.str.extract(r"([\d.]+) million")[0].astype(float))
    panels = (
        ("rows_per_second", 1e3, "thousand rows a second"),
        ("peak_mib", 1024, "peak memory (GiB)"),
    )
    for ax, (metric, unit, label) in zip(axes, panels, strict=True):
        for name, of_one in rows[rows.metric == metric].groupby("system"):
            values = of_one.set_index("millions").value.sort_index() / unit
            ax.plot(values.index, values, ms=6, label=name.removeprefix("book, "))
        ax.set_xscale("log", base=2)
        ax.set_xticks(sorted(rows.millions.dropna().unique()))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.margins(y=0.1)
        ax.set_ylim(bottom=0)
        ax.set_ylabel(label)
    _legend(axes[0], loc="lower left")
    axes[-1].set_xlabel("million ratings")
    return axes


@_figure
def rank_counts(counts: dict[str, pd.Series]) -> plt.Axes:
    """Draws the long tail: number of ratings against rank, both logarithmic, one line per named series.

    Args:
        counts: name → number of ratings of each user or film; those without any are left out.
    """
    ax = new_axes(xlabel="rank, most ratings first", ylabel="number of ratings")
    for name, series in counts.items():
        ranked = np.sort(series[series > 0].to_numpy())[::-1]
        on_top = 2 + 1 / (1 + len(ranked))  # a longer line must not hide the end of a shorter one
        ax.loglog(
            np.arange(1, len(ranked) + 1), ranked, marker="none", linewidth=1.8, label=name, zorder=on_top
        )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter(plt.NullFormatter())
    _legend(ax)
    return ax


@_figure
def rating_matrix(ratings: pd.DataFrame, users: pd.Index, films: pd.Index) -> plt.Axes:
    """Draws one dot for each rating of the given films by the given users.

    Args:
        ratings: frame with uid and mid.
        users: uids from the top to the bottom.
        films: mids from the left to the right.
    """
    ax = new_axes(xlabel="film, most rated first", ylabel="user, most active first", height=4.2)
    chosen = ratings[ratings["uid"].isin(users) & ratings["mid"].isin(films)]
    across, down = pd.Index(films).get_indexer(chosen["mid"]), pd.Index(users).get_indexer(chosen["uid"])
    ax.scatter(across, down, s=2.5, color=BLUE, linewidths=0, rasterized=True)
    ax.set(xlim=(-1, len(films)), ylim=(len(users), -1))
    ax.grid(visible=False)
    return ax


@_figure
def file_order(ratings: pd.DataFrame) -> plt.Axes:
    """Draws the user id against the row of the file, for about 6,000 evenly spaced rows, the last tenth in red.

    Args:
        ratings: frame with uid, in file order.
    """
    ax = new_axes(xlabel="row of the file", ylabel="user id")
    rows = np.arange(0, len(ratings), max(1, len(ratings) // 6000))
    tail = rows >= len(ratings) - round(0.1 * len(ratings))
    uid = ratings["uid"].to_numpy()
    for label, some, colour in (("first rows", rows[~tail], BLUE), ("last 10%", rows[tail], RED)):
        ax.scatter(some, uid[some], s=2, color=colour, linewidths=0, label=label, rasterized=True)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    _legend(ax, above=True, markerscale=4)
    return ax


@_figure
def lines_through_codes(codes: dict[str, np.ndarray], ratings: np.ndarray) -> np.ndarray:
    """Draws the mean rating of each code, larger dots for more ratings, and the least-squares line over all ratings.

    Args:
        codes: label of a panel → code of each rating; the panels stand side by side.
        ratings: ratings in stars.
    """
    _, axes = plt.subplots(1, len(codes), figsize=(2.3 * len(codes), 2.9), sharey=True, squeeze=False)
    for ax, (xlabel, code) in zip(axes[0], codes.items(), strict=True):
        mean, rows = pd.Series(ratings).groupby(np.asarray(code)).agg(["mean", "size"]).to_numpy().T
        values = np.unique(code)
        slope, intercept = np.polyfit(code, ratings, 1)
        ax.scatter(values, mean, s=90 * rows / rows.max() + 8, color=BLUE)
        ax.plot(values, intercept + slope * values, "-", color=RED)
        text = f"{slope:+.4f} stars a code".replace("-", "−")
        ax.annotate(text, (0.98, 1.02), xycoords="axes fraction", ha="right", color=RED, fontsize=9)
        ax.set_xlabel(xlabel)
    axes[0, 0].set_ylabel("mean rating (stars)")
    return axes[0]


@_figure
def learned_shares(mean_ratings: pd.Series, shares: pd.Series, counts: pd.Series) -> plt.Axes:
    """Draws what a model adds for each film against the film's centred mean rating, with the diagonal.

    Args:
        mean_ratings: mean rating of each film minus the overall mean, in stars.
        shares: what the model adds for each film, in stars.
        counts: number of ratings of each film, shown as the area of its dot.
    """
    ax = new_axes(xlabel="mean rating minus overall mean (stars)", ylabel="learned share (stars)", height=4)
    ends = [mean_ratings.min(), mean_ratings.max()]
    ax.plot(ends, ends, "-", color="0.5", linewidth=1, label="equal")
    areas = 150 * counts / counts.max() + 1
    ax.scatter(mean_ratings, shares, s=areas, color=BLUE, alpha=0.45, linewidths=0, rasterized=True)
    _legend(ax, loc="upper left")
    return ax


@_figure
def overlaid_histograms(values: dict[str, np.ndarray], *, xlabel: str, ylabel: str) -> plt.Axes:
    """Draws histograms of several samples over 50 common bins: the first filled, the others as outlines.

    Args:
        values: name → sample; numbers that are not finite are left out.
        xlabel, ylabel: what the axes measure.
    """
    ax = new_axes(xlabel=xlabel, ylabel=ylabel)
    samples = {name: sample[np.isfinite(sample)] for name, sample in values.items()}
    edges = np.histogram_bin_edges(np.concatenate(list(samples.values())), 50)
    kind = {"histtype": "stepfilled", "alpha": 0.55}
    for (name, sample), style in zip(samples.items(), plt.rcParams["axes.prop_cycle"](), strict=False):
        ax.hist(sample, edges, color=style["color"], linestyle=style["linestyle"], label=name, **kind)
        kind = {"histtype": "step", "linewidth": 1.6}
    _legend(ax)
    return ax


@_figure
def genres_kept(fates: pd.DataFrame) -> plt.Axes:
    """Draws, for each genre, stacked shares of the films that keep the genre and of those that lose it.

    Args:
        fates: numbers of films, one row per genre, one column per fate; the sum of a row stands at the end of its bar.
    """
    ax = new_axes(xlabel="films that carry the genre (%)", height=0.7 + 0.26 * len(fates))
    totals = fates.sum(axis=1)
    widths = 100 * fates.div(totals, axis=0)
    starts = widths.cumsum(axis=1) - widths
    for fate, hatch in zip(fates, cycle(HATCHES), strict=False):
        style = {"hatch": hatch, "height": 0.7, "edgecolor": "white"}
        ax.barh(range(len(fates)), widths[fate], left=starts[fate], label=fate, **style)
    for place, total in enumerate(totals):
        ax.text(101, place, f"{total:,}", va="center", fontsize=9)
    ax.set_yticks(range(len(fates)), fates.index, fontsize=9)
    ax.set_ylim(len(fates) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    _legend(ax, above=True)
    return ax


@_figure
def validation_losses(histories: dict[str, pd.DataFrame], *, constant: float) -> plt.Axes:
    """Draws the validation loss (stars², logarithmic) by epoch, one line per named history.

    Args:
        histories: name → what `training.train` returned.
        constant: loss of a constant prediction, in stars²; a dotted line.
    """
    ax = new_axes(xlabel="epoch", ylabel="validation loss (stars²)")
    _lines(ax, {name: history.set_index("epoch").val_loss for name, history in histories.items()})
    ax.axhline(constant, color="black", linestyle=":", linewidth=1, label="a constant")
    _logarithmic(ax)
    _legend(ax, above=True)
    return ax


@_figure
def learned_against_planted(terms: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Draws what a model learned against what was planted, with the diagonal on which both agree.

    Args:
        terms: name → planted and learned values in stars, (n,) each; the panels stand one below the other.
    """
    _, grid = plt.subplots(len(terms), 1, figsize=(4.6, 2.3 * len(terms)), squeeze=False)
    axes = grid[:, 0]
    for ax, (name, (planted, learned)) in zip(axes, terms.items(), strict=True):
        ends = [min(np.min(planted), np.min(learned)), max(np.max(planted), np.max(learned))]
        ax.plot(ends, ends, "-", color="0.5", linewidth=1)
        ax.scatter(planted, learned, s=4, color=BLUE, alpha=0.5, linewidths=0, rasterized=True)
        ax.set(title=name, ylabel="learned (stars)")
    axes[-1].set_xlabel("planted (stars)")
    return axes


@_figure
def errors_and_floors(errors: Mapping[str, pd.DataFrame], floors: pd.DataFrame, *, xlabel: str) -> plt.Axes:
    """Draws errors on logarithmic axes: the mean over the runs, a bar from the lowest to the highest, and floors.

    Args:
        errors: name → errors in stars, one column per run, indexed by numbers above 0.
        floors: lower bounds in stars, a column for each name, with the same index; dotted, in the colour of the name.
        xlabel: what the index measures.
    """
    ax = new_axes(xlabel=xlabel, ylabel="error (stars)", height=3.4)
    for name, runs in errors.items():
        (line,) = ax.plot(runs.index, runs.mean(axis=1), ms=6, label=name)
        style = {"color": line.get_color(), "linewidth": 1}
        ax.vlines(runs.index, runs.min(axis=1), runs.max(axis=1), **style)
        ax.plot(floors.index, floors[name], ":", marker="none", color=line.get_color(), linewidth=1.6)
    _logarithmic(ax)
    ax.set_xscale("log")
    ax.set_xticks(floors.index, [f"{place:,g}" for place in floors.index])
    ax.minorticks_off()
    _legend(ax, above=True)
    return ax


def _logarithmic(ax: plt.Axes) -> None:
    """Makes the vertical axis logarithmic, with plain numbers at 1, 2 and 5 times the powers of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(plt.NullLocator())


@_figure
def log_among_runs(runs: dict[str, pd.DataFrame], log: pd.DataFrame, *, constant: float) -> np.ndarray:
    """Draws a training log among other runs of the same model, one panel per loss (stars², logarithmic).

    Args:
        runs: column of `log` → one row per run, one column per epoch.
        log: losses indexed by epoch.
        constant: loss of a constant prediction, in stars²; a dotted line.
    """
    _, axes = plt.subplots(1, len(runs), figsize=(4.6, 3.2), sharey=True, squeeze=False)
    for ax, (name, each) in zip(axes[0], runs.items(), strict=True):
        ax.plot(each.columns, each.T, "-", marker="none", color=BLUE, linewidth=0.8, alpha=0.6)
        ax.lines[0].set_label("a recorded run")
        _lines(ax, {"the log": log[name]}, color=RED, marker="s", linewidth=2)
        ax.axhline(constant, color="black", linestyle=":", linewidth=1, label="a constant")
        _logarithmic(ax)
        ax.set(title=name, xlabel="epoch")
    axes[0, 0].set_ylabel("mean squared error (stars²)")
    _legend(axes[0, -1])
    return axes[0]


def _grid(ax: plt.Axes, rows: Sequence[str], columns: Sequence[str], **slant) -> None:
    """Turns the Axes into a table, with names at the left and at the top (styled by `slant`), and without lines."""
    ax.set_xticks(range(len(columns)), columns, **slant)
    ax.set_yticks(range(len(rows)), rows)
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    ax.tick_params(length=0, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)


def _cell(ax: plt.Axes, row: int, column: int, text: str, ground: str, ink: str, edge: str = "white") -> None:
    """Draws one filled cell of a table with its text."""
    ax.add_patch(
        plt.Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=ground, edgecolor=edge, linewidth=1.5)
    )
    ax.text(column, row, text, ha="center", va="center", color=ink)


@_figure
def gram_square(vectors: np.ndarray, names: Sequence[str]) -> plt.Axes:
    """Draws all dot products of a few vectors in a square: the pairs above and below the diagonal, the squares on it.

    Args:
        vectors: the vectors, (p, k).
        names: one name per vector.
    """
    ax = new_axes(width=3.8, height=3.3)
    for (i, j), value in np.ndenumerate(vectors @ vectors.T):
        ground, ink = {1: (BLUE, "white"), 0: ("0.8", "black"), -1: ("#C9DFEF", "black")}[np.sign(j - i)]
        _cell(ax, i, j, f"{value:g}".replace("-", "−"), ground, ink)
    _grid(ax, names, names)
    ax.set_aspect("equal")
    return ax


@_figure
def two_vectors(a: Sequence[float], b: Sequence[float]) -> plt.Axes:
    """Draws two vectors of the plane, (2,) each, as arrows, and their sum as the diagonal between them."""
    ax = new_axes(width=3.8, height=3.3)
    a, b = np.array([a, b], dtype=float)
    for vector, name, colour in ((a, "a", BLUE), (b, "b", RED), (a + b, "a + b", "0.35")):
        style = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", vector, (0, 0), arrowprops=style)
        ground = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        style = {"textcoords": "offset points", "color": colour, "weight": "bold", "bbox": ground}
        ax.annotate(name, vector, (7, 5), **style)
    for start in (a, b):
        ax.plot(*zip(start, a + b, strict=True), "--", color="0.6", linewidth=1)
    ends = np.array([a, b, a + b, 0 * a])
    ax.set(xlim=(ends[:, 0].min() - 0.4, ends[:, 0].max() + 0.9), aspect="equal")
    ax.set_ylim(ends[:, 1].min() - 0.4, ends[:, 1].max() + 0.7)
    ax.locator_params(integer=True)
    return ax


@_figure
def multi_hot(rows: pd.DataFrame) -> plt.Axes:
    """Draws rows of zeros and ones, with filled cells for the ones.

    Args:
        rows: one row per film, indexed by its name, which is written above it; one column per genre.
    """
    height, width = rows.shape
    ax = new_axes(height=1.1 + 0.55 * height)
    for (i, j), value in np.ndenumerate(rows.to_numpy()):
        ground, ink = (BLUE, "white") if value else ("white", "0.35")
        _cell(ax, 2 * i, j, f"{value:d}", ground, ink, edge="0.75")
    _grid(ax, [""] * (2 * height - 1), rows.columns, rotation=90, fontsize=9)
    for i, name in enumerate(rows.index):
        ax.text(-0.5, 2 * i - 0.65, name, va="bottom", fontsize=9)
    ax.set_ylim(2 * height - 1.5, -1.4)
    return ax


@_figure
def cost_by_fields(seconds: pd.DataFrame, slopes: pd.Series) -> plt.Axes:
    """Draws time against number of fields on logarithmic axes, one line per column of `seconds`.

    Args:
        seconds: times indexed by number of fields.
        slopes: slope of each column's line, which is written into the legend.
    """
    ax = new_axes(xlabel="number of fields", ylabel="time (ms)")
    for name, column in seconds.items():
        ax.loglog(column.index, 1000 * column, label=f"{name.replace('_', ' ')} ({slopes[name]:.1f})")
    ax.set_xticks(seconds.index, [str(p) for p in seconds.index])
    ax.yaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    _legend(ax)
    return ax


@_figure
def pair_heat(values: pd.DataFrame, *, label: str) -> plt.Axes:
    """Draws a heat map of the pairs above the diagonal of a symmetric frame, each cell with its number.

    Args:
        values: symmetric frame of numbers that are not negative.
        label: what the numbers measure, with its unit; it stands below.
    """
    ax = new_axes(xlabel=label, height=3.4)
    shown = values.to_numpy()[:-1, 1:]
    above = np.triu(np.ones(shown.shape, bool))
    ax.imshow(np.where(above, shown, np.nan), cmap="Blues", vmin=0, aspect="auto")
    for i, j in zip(*np.nonzero(above), strict=True):
        ink = "white" if shown[i, j] > 0.6 * shown[above].max() else "black"
        ax.text(j, i, f"{shown[i, j]:.2f}", ha="center", va="center", color=ink)
    _grid(ax, values.index[:-1], values.columns[1:])
    ax.tick_params(labelsize=9)
    return ax


@_figure
def weights_before_and_after(before: pd.DataFrame, after: pd.DataFrame) -> plt.Axes:
    """Draws the weights of the last layer after training against those before it.

    Args:
        before, after: weights, one row per seed, one column per part.
    """
    ax = new_axes(xlabel="weight drawn before training", ylabel="weight after training", height=3.8)
    reach = 1.1 * max(before.abs().to_numpy().max(), after.abs().to_numpy().max())
    ax.axline((0, 0), slope=1, color="black", linestyle=":", linewidth=1, label="unchanged")
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.axvline(0, color="0.6", linewidth=0.8)
    for name in before:
        ax.plot(before[name], after[name], linestyle="none", ms=7, label=name.replace("_", " "))
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    _legend(ax, loc="upper left")
    return ax


@_figure
def contributions(ways: dict[str, pd.DataFrame]) -> np.ndarray:
    """Draws several ways to ask which part does the work, one below the other; returns one Axes per way.

    Args:
        ways: title with its unit → one row per seed, one column per part. Bars show the mean, which also stands at the
            right as a number, dots the seeds.
    """
    parts = max(values.shape[1] for values in ways.values())
    _, grid = plt.subplots(len(ways), 1, figsize=(4.6, (0.75 + 0.26 * parts) * len(ways)), squeeze=False)
    axes = grid[:, 0]
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    for ax, (title, values) in zip(axes, ways.items(), strict=True):
        ax.set_title(title)
        ax.xaxis.set_major_locator(plt.MaxNLocator(6))
        places = np.arange(values.shape[1])
        ax.barh(places, values.mean(), color=colours, height=0.6, alpha=0.75)
        for place, mean in zip(places, values.mean(), strict=True):
            ax.annotate(
                f"{mean:.2g}", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9
            )
        for _, seed in values.iterrows():
            ax.plot(seed, places, "o", color="black", mfc="white")
        ax.axvline(0, color="black", linewidth=0.8)
        ax.set_yticks(places, [name.replace("_", " ") for name in values])
        ax.grid(axis="y", visible=False)
        ax.invert_yaxis()
    return axes


@_figure
def sum_of_bends(terms: pd.DataFrame, constant: float, points: pd.Series) -> plt.Axes:
    """Draws ReLU terms of one input (thin), their sum with a constant (thick), and points that the sum has to meet.

    Args:
        terms: weighted terms indexed by the input, one column per term.
        constant: what is added to the sum of the terms.
        points: outputs indexed by the input.
    """
    ax = new_axes(xlabel="s, the sum of the three signs", ylabel="output")
    for name, term in terms.items():
        ax.plot(terms.index, term, marker="none", linewidth=1.2, label=name)
    total = constant + terms.sum(axis=1)
    ax.plot(terms.index, total, "-", color="black", linewidth=2.4, label="sum and constant")
    ax.plot(points.index, points, "o", color="black", mfc="white", ms=7, label="stars")
    ax.set_ylim(-3.4, 3.4)
    _legend(ax, above=True)
    return ax


@_figure
def held_out_errors(errors: dict[str, pd.Series], *, levels: dict[str, float]) -> plt.Axes:
    """Draws the error on held-out rows by epoch, one line per named series, with dotted levels for comparison.

    Args:
        errors: name → RMSE in stars, indexed by epoch.
        levels: name → RMSE in stars.
    """
    ax = new_axes(xlabel="epoch", ylabel="RMSE (stars)", height=3.2)
    _lines(ax, errors)
    for name, level in levels.items():
        ax.axhline(level, color="black", linestyle=":", linewidth=1)
        ax.annotate(
            name, (1, level), (-2, -11), ("axes fraction", "data"), "offset points", ha="right", fontsize=9
        )
    ax.set_ylim(bottom=0)
    _legend(ax)
    return ax


@_figure
def loss_along_step(rates: np.ndarray, losses: np.ndarray, slope: float, chosen: float) -> plt.Axes:
    """Draws the loss after one step against the gradient, by learning rate, and the line with the slope at rate 0.

    Args:
        rates: learning rates, from 0 on.
        losses: loss after a step with each learning rate, in stars².
        slope: d loss / d rate at rate 0, which is minus the squared length of the gradient.
        chosen: the learning rate to mark.
    """
    ax = new_axes(xlabel="learning rate η", ylabel="loss after the step (stars²)")
    ax.plot(rates, losses, "-", color=BLUE, label="the loss")
    promise = losses[0] + slope * rates
    ax.plot(rates[promise >= 0], promise[promise >= 0], "--", color=RED, label="what the gradient promises")
    ax.plot(chosen, np.interp(chosen, rates, losses), "o", color=BLUE, ms=8, label=f"η = {chosen}")
    ax.locator_params(axis="x", nbins=5)
    _legend(ax)
    return ax


@_figure
def errors_by_seed(errors: pd.DataFrame) -> plt.Axes:
    """Draws the error of several models, one point per seed; the points of a model stand side by side.

    A thin line joins the points of a seed, because models are compared seed by seed.

    Args:
        errors: RMSE in stars, one row per seed, one column per model.
    """
    ax = new_axes(ylabel="RMSE on held-out rows (stars)", height=3.0)
    seats = (np.arange(len(errors)) + 0.5) / len(errors) - 0.5
    for seat, (seed, row) in zip(0.6 * seats, errors.iterrows(), strict=True):
        ax.plot(np.arange(len(row)) + seat, row, linewidth=0.6, ms=6, label=f"seed {seed}")
    ax.set_xticks(range(len(errors.columns)), [fill(str(model), 9) for model in errors.columns])
    ax.grid(axis="x", visible=False)
    _legend(ax, above=True)
    return ax


@_figure
def runs_by(runs: pd.DataFrame, x: str, y: str, by: str, *, xlabel: str, ylabel: str, title: str) -> plt.Axes:
    """Draws every run as a dot over the evenly spaced values of `x`; the values of `by` stand side by side.

    A short line marks the mean of each value of `x` and `by`.

    Args:
        runs: one row per run, with the columns `x`, `y` and `by`.
        x, y, by: names of columns.
        xlabel, ylabel: what `x` and `y` measure.
        title: title of the legend.
    """
    ax = new_axes(xlabel=xlabel, ylabel=ylabel, height=3.2)
    places = {value: at for at, value in enumerate(sorted(runs[x].unique()))}
    groups = list(runs.groupby(by))
    for seat, (value, group) in enumerate(groups):
        shift = 0.7 * ((seat + 0.5) / len(groups) - 0.5)
        at = group[x].map(places) + shift
        ax.plot(at, group[y], linestyle="none", ms=4.5, mfc="none", label=str(value))
        means = group.groupby(at)[y].mean()
        ax.hlines(means, means.index - 0.08, means.index + 0.08, ax.lines[-1].get_color(), linewidth=2)
    ax.set_xticks(range(len(places)), [str(value) for value in places])
    ax.grid(axis="x", visible=False)
    _legend(ax, above=True, title=title)
    return ax


@_figure
def error_by_code(errors: dict[str, pd.Series], *, xlabel: str) -> plt.Axes:
    """Draws the mean error (stars) by code, one marker and colour per named series, with a line at zero.

    Args:
        errors: name → mean error in stars, indexed by code.
        xlabel: what the codes stand for.
    """
    ax = new_axes(xlabel=xlabel, ylabel="mean error (stars)")
    ax.axhline(0, color="black", linewidth=0.8)
    _lines(ax, errors, linestyle="none", ms=6)
    _legend(ax, above=True)
    return ax


@_figure
def shares_along(shares: pd.DataFrame, *, xlabel: str = "epoch", ylabel: str) -> plt.Axes:
    """Draws shares, in per cent, along the index, one line per column.

    An index of lengths that double is drawn on a logarithmic axis.

    Args:
        shares: shares between 0 and 1.
        xlabel, ylabel: what the index and the shares measure.
    """
    ax = new_axes(xlabel=xlabel, ylabel=ylabel)
    _lines(ax, 100 * shares)
    if _is_wide(shares.index) and np.diff(shares.index).max() > 1:
        ax.set_xscale("log", base=2)
        ax.set_xticks(shares.index, [str(place) for place in shares.index])
        ax.minorticks_off()
    ax.set_ylim(bottom=0)
    _legend(ax)
    return ax


@_figure
def shares_by_count(counts: dict[str, np.ndarray], *, xlabel: str) -> plt.Axes:
    """Draws the share of each named sample, in per cent, that falls into the classes 1, 2–3, 4–7 and so on.

    Args:
        counts: name → whole numbers from 1 on; a class stands on the logarithmic axis at its geometric mean.
        xlabel: what the numbers count.
    """
    ax = new_axes(xlabel=xlabel, ylabel="share (%)")
    last = int(max(sample.max() for sample in counts.values()))
    edges = 2 ** np.arange(last.bit_length() + 1)
    middles = np.sqrt(edges[:-1] * (edges[1:] - 1))
    for name, sample in counts.items():
        ax.plot(middles, 100 * np.histogram(sample, edges)[0] / len(sample), label=name)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.set_ylim(bottom=0)
    _legend(ax, above=True)
    return ax


@_figure
def waterfall(terms: pd.Series, ax: plt.Axes | None = None) -> plt.Axes:
    """Draws how the terms of a score, in stars, add up: each bar begins where the one above it ends.

    Positive terms are solid, negative ones striped; the last row is the score.

    Args:
        terms: name → stars; the first term is the constant from which the score starts.
        ax: the Axes to draw in; None makes new ones.
    """
    ends = terms.cumsum().to_numpy()
    ax = ax or new_axes(height=0.9 + 0.25 * (len(terms) + 1))
    ax.set_xlabel("stars")
    beside = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    for place, (value, end) in enumerate(zip(terms[1:], ends[1:], strict=True), start=1):
        style = {"color": BLUE} if value >= 0 else {"facecolor": "white", "edgecolor": RED, "hatch": "/////"}
        ax.barh(place, value, left=end - value, height=0.6, **style)
        ax.annotate(f"{value:+.3f}".replace("-", "−"), (1, place), (4, 0), fontsize=9, **beside)
    places = np.arange(len(terms))
    ax.vlines(ends, places, places + 1, color="black", linewidth=0.7, zorder=0.9)
    ax.plot(ends[[0, -1]], [0, len(terms)], "o", color="black", ms=6)
    for place, value in ((0, ends[0]), (len(terms), ends[-1])):
        ax.annotate(f"{value:.3f}", (1, place), (4, 0), fontsize=9, weight="bold", **beside)
    ax.set_yticks(range(len(terms) + 1), [*terms.index, "prediction"], fontsize=9)
    room = 0.05 * max(np.ptp(ends), 0.1)
    ax.set(xlim=(ends.min() - room, ends.max() + room), ylim=(len(terms) + 0.7, -0.7))
    return ax


@_figure
def metric_along(values: pd.DataFrame, *, xlabel: str, ylabel: str) -> plt.Axes:
    """Draws a metric against a parameter: every run as a dot, runs of one pair joined, mean and standard deviation.

    Positive numbers whose largest is more than 20 times the smallest get a logarithmic axis, other numbers a linear
    one; texts stand side by side. If no value has two runs, mean and standard deviation are left out.

    Args:
        values: indexed by the parameter, one column per pair, such as a seed; NaN where there is no run.
        xlabel, ylabel: the parameter and the metric, with their units.
    """
    ax = new_axes(xlabel=xlabel, ylabel=ylabel, height=3.2)
    names = None
    if pd.api.types.is_numeric_dtype(values.index.dtype) and not values.index.hasnans:
        places = values.index.to_numpy(float)
        ax.set_xscale("log" if _is_wide(places) else "linear")
    else:
        places, names = np.arange(len(values)), [str(name) for name in values.index]
    there = values.notna()
    repeated, joined = there.sum(axis=1).max() > 1, there.sum().max() > 1
    style = {"color": "0.6" if repeated else BLUE, "ms": 3 if repeated else 6, "linewidth": 0.8}
    for name, pair in values.items():
        shown = there[name].to_numpy()
        ax.plot(places[shown], pair[shown], marker="o", linestyle="-" if joined else "none", **style)
    ax.lines[0].set_label("a run; lines join pairs" if joined else "a run")
    if repeated:
        style = {"color": BLUE, "capsize": 4, "ms": 7, "linestyle": "none", "zorder": 3}
        spread = values.std(axis=1).fillna(0.0)
        ax.errorbar(places, values.mean(axis=1), spread, label="mean ± standard deviation", **style)
    if names or len(values) <= 8:
        ax.set_xticks(places, names or [f"{place:g}" for place in places])
        ax.minorticks_off()
    ax.margins(x=0.08)
    _legend(ax, above=True)
    return ax


def _is_wide(numbers: np.ndarray) -> bool:
    """Tells whether numbers need a logarithmic axis: all above 0, the largest more than 20 times the smallest."""
    return numbers.min() > 0 and numbers.max() > 20 * numbers.min()


@_figure
def metric_heat(means: pd.DataFrame, *, label: str) -> plt.Axes:
    """Draws a heat map of a metric over two parameters, each cell with its number, or – where there is no run.

    Args:
        means: one row for each value of the first parameter, one column for each of the second; index and columns carry
            the names of the parameters.
        label: the metric with its unit.
    """
    height, width = means.shape
    ax = new_axes(width=1.9 + 0.75 * width, height=1.1 + 0.42 * height)
    numbers = means.to_numpy(float)
    image = ax.imshow(numbers, cmap="Blues", aspect="auto")
    low, high = image.get_clim()
    decimals = _decimals(high - low)
    for (i, j), value in np.ndenumerate(numbers):
        ink = "white" if value > low + 0.6 * (high - low) else "black"
        text = "–" if np.isnan(value) else f"{value:.{decimals}f}"
        ax.text(j, i, text, ha="center", va="center", color=ink, fontsize=9)
    _grid(ax, [str(name) for name in means.index], [fill(str(name), 9) for name in means.columns])
    ax.set(xlabel=_named(means.columns.name), ylabel=_named(means.index.name))
    ax.xaxis.set_label_position("top")
    ax.figure.colorbar(image, ax=ax, label=label)
    return ax


def _named(name: object) -> str:
    return str(name or "").replace("_", " ")


def _decimals(span: float) -> int:
    """Returns the number of decimals that shows a hundredth of the span."""
    return int(np.clip(2 - np.floor(np.log10(span)), 0, 8)) if span > 0 else 4


@_figure
def parallel_coordinates(table: pd.DataFrame) -> plt.Axes:
    """Draws each run as a line through one axis per column, in the colour of the last column, the metric.

    Texts, and numbers of up to eight different values, stand evenly spaced, and runs that share a value are fanned out
    there in the order of the metric. More numbers stand to scale or, if all are positive and the largest is more than
    20 times the smallest, by their logarithms.

    Args:
        table: one row per run, in any order, the metric last.
    """
    table = table.sort_values(table.columns[-1])
    metric = table.iloc[:, -1].to_numpy(float)
    ax = new_axes(width=1.4 + 1.15 * table.shape[1], height=3.6)
    fan = 0.07 * (np.arange(len(table)) / max(len(table) - 1, 1) - 0.5)
    heights = np.empty(table.shape)
    beside = {"textcoords": "offset points", "va": "center", "fontsize": 9, "zorder": 3}
    ground = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
    for at, (_, column) in enumerate(table.items()):
        is_metric = at == table.shape[1] - 1
        is_number = pd.api.types.is_numeric_dtype(column.dtype) and column.notna().all()
        codes, values = pd.factorize(
            column if column.notna().all() else column.astype(object).map(_or_dash), sort=True
        )
        if is_metric or (is_number and len(values) > 8):
            numbers = column.to_numpy(float)
            wide = not is_metric and _is_wide(numbers)
            scaled = np.log(numbers) if wide else numbers
            low, high = scaled.min(), scaled.max()
            heights[:, at] = (scaled - low) / (high - low or 1)
            marks = {share: low + share * (high - low) for share in (0, 0.5, 1)}
            decimals = _decimals(high - low)
            ticks = {h: f"{np.exp(x):.2g}" if wide else f"{x:.{decimals}f}" for h, x in marks.items()}
        else:
            places = np.linspace(0, 1, len(values)) if len(values) > 1 else np.array([0.5])
            heights[:, at] = places[codes] + fan * min(1, 5 / len(values))
            ticks = dict(zip(places, map(str, values), strict=True))
        for height, text in ticks.items():
            offset, side = ((5, 0), "left") if is_metric else ((-5, 0), "right")
            ax.annotate(text, (at, height), offset, ha=side, bbox=ground, **beside)
        ax.axvline(at, color="black", linewidth=0.8)
    colours = plt.cm.ScalarMappable(plt.Normalize(metric.min(), metric.max()), "viridis")
    for line, value in zip(heights, metric, strict=True):
        ax.plot(range(len(line)), line, "-", marker="none", color=colours.to_rgba(value), linewidth=1.1)
    ax.set_xticks(range(table.shape[1]), [fill(_named(name), 14) for name in table])
    ax.set(xlim=(-0.5, table.shape[1] - 0.5), ylim=(-0.08, 1.08), yticks=[])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.grid(visible=False)
    return ax


def _or_dash(value: object) -> str:
    return "–" if pd.isna(value) else str(value)


@_figure
def curves_of_runs(curves: dict[str, pd.DataFrame], *, xlabel: str = "epoch", ylabel: str) -> plt.Axes:
    """Draws learning curves: each run as a thin line, the mean of all runs of one name as a thick one in their colour.

    Args:
        curves: name → one column per run, indexed by step; NaN where a run has ended. The mean ends with the shortest
            run.
        xlabel, ylabel: what the steps and the curves measure.
    """
    ax = new_axes(xlabel=xlabel, ylabel=ylabel, height=3.2)
    _lines(ax, {name: runs.mean(axis=1, skipna=False) for name, runs in curves.items()}, linewidth=1.8)
    for line, runs in zip(list(ax.lines), curves.values(), strict=True):
        ax.plot(
            runs.index, runs, line.get_linestyle(), marker="none", color=line.get_color(), lw=0.6, alpha=0.6
        )
    _legend(ax, above=True)
    return ax


@_figure
def twins(
    healthy: Mapping[str, pd.Series],
    broken: Mapping[str, pd.Series],
    *,
    xlabel: str,
    ylabel: str,
    dots: bool = False,
    logarithmic: bool = False,
) -> np.ndarray:
    """Draws a healthy version on the left and its broken twin on the right, both on the same scales.

    Args:
        healthy, broken: name -> series, drawn against its index. A series of one number is drawn as a large mark, one
            of two as a plain line.
        xlabel, ylabel: what the axes show, with their units.
        dots: draw the first series of each as a cloud of dots instead of a line.
        logarithmic: a logarithmic x axis.

    Returns:
        Both Axes.
    """
    figure, axes = plt.subplots(1, 2, figsize=(4.6, 2.5), sharex=True, sharey=True)
    for ax, title, series in zip(axes, ("healthy", "broken"), (healthy, broken), strict=True):
        for i, (name, values) in enumerate(series.items()):
            style = {"ms": 4 if 2 < len(values) <= 25 else 0}
            if len(values) == 1:
                style = {"ms": 9, "mfc": "none", "mew": 1.6, "linestyle": "none"}
            elif dots and i == 0:
                style = {"ms": 2, "alpha": 0.5, "linestyle": "none", "rasterized": True, "zorder": 3}
            ax.plot(values.index, values, label=name, **style)
        ax.set_title(title)
        if logarithmic:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:,g}")
            ax.xaxis.set_minor_locator(plt.NullLocator())
        elif values.index.dtype.kind == "i":
            ax.xaxis.get_major_locator().set_params(integer=True)
    figure.supxlabel(xlabel, fontsize=plt.rcParams["axes.labelsize"])
    axes[0].set_ylabel(ylabel)
    if len(healthy) > 1:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=len(healthy))
    return axes


@_figure
def maps(grids: Mapping[str, np.ndarray], *, label: str) -> np.ndarray:
    """Draws grids of numbers side by side as maps of one scale of colours; a cell that is NaN stays blank.

    Args:
        grids: name -> numbers, (lines, columns), all of one shape.
        label: what the numbers are, and their unit.
    """
    low = min(np.nanmin(grid) for grid in grids.values())
    high = max(np.nanmax(grid) for grid in grids.values())
    figure, axes = plt.subplots(1, len(grids), figsize=(4.6, 2.2), layout="constrained", squeeze=False)
    for ax, (name, grid) in zip(axes[0], grids.items(), strict=True):
        image = ax.imshow(grid, cmap="cividis", vmin=low, vmax=high, interpolation="none")
        ax.set(title=name, xticks=[], yticks=[])
    figure.colorbar(image, ax=axes[0], orientation="horizontal", shrink=0.5, label=label)
    return axes[0]
