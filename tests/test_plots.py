"""Figures: every series is drawn in a style of its own, and the book's style stays with the book's figures."""

import matplotlib

matplotlib.use("Agg")

import inspect

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from deepfm_helpers import plots

PUBLIC = [
    name
    for name, value in vars(plots).items()
    if inspect.isfunction(value) and value.__module__ == plots.__name__ and not name.startswith("_")
]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def histories(n):
    epochs = np.arange(1, 4)
    losses = ("loss", "val_loss", "rmse", "val_rmse")
    columns = {name: i + 1 / epochs for i, name in enumerate(losses)}
    return {f"series {i}": pd.DataFrame({"epoch": epochs, **columns}) + 0 * i for i in range(n)}


def series(n):
    return {f"series {i}": pd.Series([1.0 + i, 2.0, 3.0], [1, 2, 3]) for i in range(n)}


def table(n):
    return pd.DataFrame(series(n))


def measurements(n):
    return pd.DataFrame(
        {
            "system": f"book, system {i}",
            "data": f"planted, {size} million",
            "metric": metric,
            "value": i + size,
        }
        for i in range(n)
        for size in (1, 2, 4)
        for metric in ("rows_per_second", "peak_mib")
    )


def counts(n):
    return {f"series {i}": np.arange(1, 20 + i) for i in range(n)}


SEVERAL = {  # of n named series: how to draw them, and how many entries of the legend do not stand for one
    "learning_curves": (lambda n: plots.learning_curves(histories(n)), 0),
    "scale": (lambda n: plots.scale(measurements(n)), 0),
    "rank_counts": (lambda n: plots.rank_counts(series(n)), 0),
    "overlaid_histograms": (lambda n: plots.overlaid_histograms(counts(n), xlabel="x", ylabel="y"), 0),
    "genres_kept": (lambda n: plots.genres_kept(table(n)), 0),
    "validation_losses": (lambda n: plots.validation_losses(histories(n), constant=1.0), 1),
    "cost_by_fields": (lambda n: plots.cost_by_fields(table(n), table(n).iloc[0]), 0),
    "weights_before_and_after": (lambda n: plots.weights_before_and_after(table(n), table(n)), 1),
    "sum_of_bends": (lambda n: plots.sum_of_bends(table(n), 1.0, pd.Series([0.0, 1.0], [1, 3])), 2),
    "held_out_errors": (lambda n: plots.held_out_errors(series(n), levels={"noise": 0.3}), 0),
    "errors_by_seed": (lambda n: plots.errors_by_seed(table(n).T), 0),
    "runs_by": (
        lambda n: plots.runs_by(
            pd.DataFrame({"k": [4, 16] * n, "rmse": np.arange(2.0 * n), "seed": np.repeat(range(n), 2)}),
            *("k", "rmse", "seed"),
            xlabel="k",
            ylabel="RMSE",
            title="seed",
        ),
        0,
    ),
    "error_by_code": (lambda n: plots.error_by_code(series(n), xlabel="code"), 0),
    "shares_along": (lambda n: plots.shares_along(table(n), ylabel="share (%)"), 0),
    "shares_by_count": (lambda n: plots.shares_by_count(counts(n), xlabel="ratings"), 0),
}

OTHERS = {
    "new_axes": lambda: plots.new_axes(xlabel="x", ylabel="y"),
    "bars": lambda: plots.bars(pd.Series([1.0, 2.0], ["a", "b"]), xlabel="x"),
    "forest": lambda: plots.forest(
        pd.DataFrame({"difference": [0.1], "low": [0.0], "high": [0.2], "each": [[0.1, 0.2]]}, ["a"]),
        xlabel="x",
    ),
    "error_and_seconds": lambda: plots.error_and_seconds(
        pd.DataFrame({"RMSE": [0.9, 0.8], "seconds": [1.0, 20.0]}, ["a", "b"]), ["b"]
    ),
    "rating_matrix": lambda: plots.rating_matrix(
        pd.DataFrame({"uid": [1, 2], "mid": [3, 3]}), pd.Index([1, 2]), pd.Index([3])
    ),
    "file_order": lambda: plots.file_order(pd.DataFrame({"uid": np.arange(20)})),
    "lines_through_codes": lambda: plots.lines_through_codes(
        {"left": np.array([0, 1, 2]), "right": np.array([2, 0, 1])}, np.array([1.0, 2.0, 3.0])
    ),
    "learned_shares": lambda: plots.learned_shares(*[pd.Series([1.0, 2.0])] * 3),
    "gram_square": lambda: plots.gram_square(np.eye(2), ["a", "b"]),
    "two_vectors": lambda: plots.two_vectors([2, 1], [1, 2]),
    "multi_hot": lambda: plots.multi_hot(pd.DataFrame([[0, 1]], ["film"], ["g", "h"])),
    "pair_heat": lambda: plots.pair_heat(pd.DataFrame(np.ones((3, 3)), list("abc"), list("abc")), label="sd"),
    "contributions": lambda: plots.contributions({f"way {i}": table(3) for i in range(3)}),
    "loss_along_step": lambda: plots.loss_along_step(np.array([0, 0.1]), np.array([1.0, 0.5]), -5.0, 0.05),
    "waterfall": lambda: plots.waterfall(pd.Series({"w0": 3.5, "uid": 0.2, "mid": -0.1})),
}
OWN = {  # a reader's style
    "axes.prop_cycle": plt.cycler(color=["red"]),
    "axes.spines.top": True,
    "axes.grid": True,
    "grid.alpha": 1.0,
    "grid.linewidth": 3.0,
    "legend.fontsize": 14,
    "lines.markersize": 9,
}
DRAWINGS = OTHERS | {name: lambda draw=draw: draw(3) for name, (draw, _) in SEVERAL.items()}


def test_every_figure_of_the_module_is_tested_here():
    assert sorted(DRAWINGS) == sorted(PUBLIC)


def look(handle) -> tuple:
    """What tells one entry of a legend from another: colours, marker, kind of line or hatch."""
    if isinstance(handle, Line2D):
        dashes = handle.get_linestyle()
        return (to_hex(handle.get_color()), handle.get_marker(), dashes, to_hex(handle.get_markerfacecolor()))
    edge = to_hex(handle.get_edgecolor())
    return (to_hex(handle.get_facecolor(), keep_alpha=True), edge, handle.get_hatch(), handle.get_linestyle())


@pytest.mark.parametrize("n", [2, 9, 14])
@pytest.mark.parametrize("name", SEVERAL)
def test_every_series_is_drawn_in_a_style_of_its_own(name, n):
    draw, others = SEVERAL[name]
    ax = np.ravel(draw(n))[0]
    handles, labels = ax.get_legend_handles_labels()
    entries = 2 * n if name == "learning_curves" else n
    assert len(labels) == len(set(labels)) == entries + others
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    drawn = [handle.patches[0] if hasattr(handle, "patches") else handle for handle in handles]
    drawn = [handle[0] if isinstance(handle, (list, tuple)) else handle for handle in drawn]
    assert len({look(handle) for handle in drawn}) == entries + others


@pytest.mark.parametrize("name", SEVERAL)
def test_a_long_legend_leaves_the_axes_their_room(name):
    draw, _ = SEVERAL[name]
    few, many = (np.ravel(draw(n))[0] for n in (3, 9))
    for ax in (few, many):
        ax.figure.canvas.draw()
    assert many.bbox.height > 0.8 * few.bbox.height
    legend = many.get_legend().get_window_extent()
    assert legend.y0 >= many.bbox.y1 - 1, "the legend covers the Axes"
    assert legend.x1 <= many.figure.bbox.x1, "the legend is cut off"


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_books_style_and_the_readers_own_do_not_meet(name):
    images = []
    for style in ({}, OWN):
        with plt.style.context(style):
            before = dict(plt.rcParams)
            figure = np.ravel(DRAWINGS[name]())[0].figure
            assert dict(plt.rcParams) == before
            figure.canvas.draw()
        images.append(np.asarray(figure.canvas.buffer_rgba()).copy())
    assert np.array_equal(*images)


@pytest.mark.parametrize("name", ["learning_curves", "validation_losses", "held_out_errors", "shares_along"])
def test_epochs_are_whole_numbers(name):
    ax = SEVERAL[name][0](2)
    ax.figure.canvas.draw()
    assert all(place == round(place) for place in ax.get_xticks())


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.learning_curves({}), "plots.learning_curves: histories is empty"),
        (lambda: plots.learning_curves({"a": histories(1)["series 0"][:0]}), r"histories\['a'\] is empty"),
        (lambda: plots.error_by_code({}, xlabel="code"), "plots.error_by_code: errors is empty"),
        (lambda: plots.shares_by_count({"a": np.array([])}, xlabel="n"), r"counts\['a'\] is empty"),
        (lambda: plots.bars(values=pd.Series(dtype=float), xlabel="x"), "plots.bars: values is empty"),
        (lambda: plots.shares_along(pd.DataFrame(index=[1, 2]), ylabel="y"), "shares is empty"),
        (lambda: plots.contributions({}), "ways is empty"),
    ],
)
def test_nothing_to_draw_is_an_error_that_names_what_is_empty(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert not plt.get_fignums()


def test_the_points_of_one_model_stand_side_by_side_and_no_line_joins_two_models():
    ax = plots.errors_by_seed(table(4).T)
    assert {line.get_linestyle() for line in ax.lines} == {"None"}
    places = np.array([line.get_xdata() for line in ax.lines])
    assert (np.diff(places, axis=0) > 0).all()
    assert (places.round() == np.arange(3)).all()


def test_shares_by_count_are_shares_of_classes_that_double():
    ax = plots.shares_by_count({"a": np.array([1, 2, 3, 3, 4, 7, 8, 8, 8, 8])}, xlabel="n")
    (line,) = ax.lines
    assert line.get_ydata().tolist() == pytest.approx([10, 30, 20, 40])
    assert line.get_xdata().tolist() == pytest.approx([1, 6**0.5, 28**0.5, 120**0.5])


def test_a_waterfall_fits_into_axes_that_are_given():
    ax = plots.new_axes(width=3.6, height=2.9)
    assert plots.waterfall(pd.Series({"w0": 3.5, "uid": 0.2}), ax) is ax
    assert len(plt.get_fignums()) == 1
