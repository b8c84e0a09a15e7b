"""Figures: every series is drawn in a style of its own, and the book's style stays with the book's figures."""

import matplotlib

matplotlib.use("Agg")

import inspect
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.text import Text

from deepfm_helpers import plots
from deepfm_helpers.press.checkout import HERE

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


def curves(n):
    return {f"series {i}": pd.DataFrame({"a": [3.0, 2.0, 1.0 + i], "b": 2.0}, [1, 2, 3]) for i in range(n)}


def sizes(values, pairs=2):
    return pd.DataFrame({pair: pair + np.arange(len(values)) for pair in range(pairs)}, values)


def sampled(n):
    rng = np.random.default_rng(0)
    columns = {"k": rng.choice([4, 16, 64], n), "hidden": rng.choice(["[]", "[64, 32]"], n)}
    return pd.DataFrame(
        columns | {"learning_rate": rng.uniform(0, 0.1, n), "RMSE (stars)": rng.normal(0.9, 0.1, n)}
    )


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
    "curves_of_runs": (lambda n: plots.curves_of_runs(curves(n), ylabel="RMSE (stars)"), 0),
    "errors_and_floors": (lambda n: plots.errors_and_floors(curves(n), table(n) / 9, xlabel="ratings"), 0),
}

OTHERS = {
    "new_axes": lambda: plots.new_axes(xlabel="x", ylabel="y"),
    "twins": lambda: plots.twins(series(3), series(3), xlabel="x", ylabel="y"),
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
    "learned_against_planted": lambda: plots.learned_against_planted(
        {f"term {i}": (np.array([-1.0, 0.0, 1.0]), np.array([-0.8, 0.1, 0.9])) for i in range(3)}
    ),
    "learned_shares": lambda: plots.learned_shares(*[pd.Series([1.0, 2.0])] * 3),
    "gram_square": lambda: plots.gram_square(np.eye(2), ["a", "b"]),
    "two_vectors": lambda: plots.two_vectors([2, 1], [1, 2]),
    "multi_hot": lambda: plots.multi_hot(pd.DataFrame([[0, 1]], ["film"], ["g", "h"])),
    "pair_heat": lambda: plots.pair_heat(pd.DataFrame(np.ones((3, 3)), list("abc"), list("abc")), label="sd"),
    "contributions": lambda: plots.contributions({f"way {i}": table(3) for i in range(3)}),
    "log_among_runs": lambda: plots.log_among_runs(
        {"loss": pd.DataFrame([[2.0, 1.0], [3.0, 1.5]], columns=[1, 2])},
        pd.DataFrame({"loss": [2.5, 1.2]}, [1, 2]),
        constant=1.2,
    ),
    "loss_along_step": lambda: plots.loss_along_step(np.array([0, 0.1]), np.array([1.0, 0.5]), -5.0, 0.05),
    "maps": lambda: plots.maps({"known": np.array([[1.0, np.nan]]), "true": np.ones((1, 2))}, label="m"),
    "metric_along": lambda: plots.metric_along(sizes([4, 16, 64]), xlabel="k", ylabel="RMSE (stars)"),
    "metric_heat": lambda: plots.metric_heat(sizes([4, 16]), label="RMSE (stars)"),
    "parallel_coordinates": lambda: plots.parallel_coordinates(sampled(20)),
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


PHONE = 358  # pixels for a figure on a screen of 390


@pytest.mark.parametrize("name", sorted({*DRAWINGS} - {"parallel_coordinates"}))  # it grows with its axes
def test_the_letters_of_a_figure_can_be_read_on_a_phone(name):
    figure = np.ravel(DRAWINGS[name]())[0].figure
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    share = min(1, PHONE / (96 * figure.get_figwidth()))
    assert min(text.get_fontsize() for text in texts) * 96 / 72 * share >= 9
    assert [text.get_text() for text in texts if "^{" in text.get_text()] == [], (
        "an exponent is smaller still"
    )


@pytest.mark.parametrize(
    "path", sorted((HERE.root / "book/_static/diagrams").glob("*.svg")), ids=lambda path: path.stem
)
def test_the_letters_of_a_diagram_can_be_read_on_a_phone(path):
    svg = path.read_text(encoding="utf-8")
    width = re.search(r'<svg [^>]*viewBox="0 0 (\d+) ', svg)[1]
    sizes = [float(size) for size in re.findall(r'font-size="([\d.]+)"', svg)]
    assert min(sizes) * min(1, PHONE / int(width)) >= 9


@pytest.mark.parametrize(
    "name", ["learning_curves", "validation_losses", "held_out_errors", "shares_along", "curves_of_runs"]
)
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
        (lambda: plots.metric_along(sizes([]), xlabel="k", ylabel="y"), "values is empty"),
        (lambda: plots.metric_heat(sizes([]), label="y"), "means is empty"),
        (lambda: plots.parallel_coordinates(sampled(0)), "table is empty"),
        (lambda: plots.curves_of_runs({}, ylabel="y"), "curves is empty"),
        (lambda: plots.errors_and_floors({}, table(1), xlabel="x"), "errors is empty"),
    ],
)
def test_nothing_to_draw_is_an_error_that_names_what_is_empty(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
    assert not plt.get_fignums()


def test_the_points_of_one_model_stand_side_by_side_and_a_line_joins_those_of_one_seed():
    errors = table(4).T
    ax = plots.errors_by_seed(errors)
    assert [line.get_ydata().tolist() for line in ax.lines] == errors.to_numpy().tolist()
    assert "None" not in {line.get_linestyle() for line in ax.lines}
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


@pytest.mark.parametrize(
    ("values", "scale", "places", "texts"),
    [
        ([4, 8, 16], "linear", [4, 8, 16], ["4", "8", "16"]),
        ([0.0, 0.3, 90.0], "linear", [0, 0.3, 90], ["0", "0.3", "90"]),
        ([0.0001, 0.001, 0.01], "log", [0.0001, 0.001, 0.01], ["0.0001", "0.001", "0.01"]),
        (["[]", "[64, 32]"], "linear", [0, 1], ["[]", "[64, 32]"]),
    ],
)
def test_a_parameter_stands_on_the_axis_that_its_values_ask_for(values, scale, places, texts):
    ax = plots.metric_along(sizes(values), xlabel="x", ylabel="y")
    assert ax.get_xscale() == scale
    assert ax.get_xticks().tolist() == places
    assert [text.get_text() for text in ax.get_xticklabels()] == texts


def test_many_values_of_a_parameter_get_the_ticks_of_their_axis():
    values = np.linspace(0.1, 0.9, 40)
    ax = plots.metric_along(sizes(values), xlabel="x", ylabel="y")
    ax.figure.canvas.draw()
    assert len(ax.get_xticks()) < 12


def test_runs_are_dots_joined_in_pairs_and_the_mean_has_its_standard_deviation():
    values = pd.DataFrame({1: [1.0, 3.0], 2: [2.0, np.nan], 3: [3.0, 4.0]}, ["a", "b"])
    ax = plots.metric_along(values, xlabel="x", ylabel="y")
    runs = [line.get_ydata().tolist() for line in ax.lines[:3]]
    assert runs == [[1.0, 3.0], [2.0], [3.0, 4.0]]
    (bars,) = ax.containers
    assert bars.lines[0].get_ydata().tolist() == [2.0, 3.5]
    (spread,) = bars.lines[2]
    assert [np.ptp(ends[:, 1]) / 2 for ends in spread.get_segments()] == pytest.approx([1.0, 0.5**0.5])


def test_a_heat_map_tells_close_numbers_apart_and_shows_what_is_missing():
    means = pd.DataFrame(
        [[0.93012, 0.93047], [np.nan, 0.93154]], [4, 16], pd.Index([0.0, 0.3], name="dropout")
    )
    ax = plots.metric_heat(means.rename_axis("k"), label="RMSE (stars)")
    assert [text.get_text() for text in ax.texts] == ["0.93012", "0.93047", "–", "0.93154"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dropout", "k")
    assert plots.metric_heat(means[1:], label="y").texts[1].get_text() == "0.9315"


def test_every_run_has_a_line_of_its_own_through_its_values():
    table = sampled(30).assign(n=pd.array([1, None] * 15, "Int64"))
    table = table[["k", "hidden", "n", "learning_rate", "RMSE (stars)"]]
    ax = plots.parallel_coordinates(table)
    lines = np.array([line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 5])
    assert len(np.unique(lines[:, :3], axis=0)) == 30
    order = table.iloc[:, -1].argsort().to_numpy()
    middle = {4: 0.0, 16: 0.5, 64: 1.0}
    assert np.abs(lines[:, 0] - table.k.iloc[order].map(middle)).max() < 0.04
    rates = table.learning_rate.iloc[order]
    assert lines[:, 3] == pytest.approx(((rates - rates.min()) / np.ptp(rates)).to_numpy())
    assert np.diff(lines[:, 4]).min() >= 0
    assert len({line.get_color() for line in ax.lines}) > 25
    assert {"4", "16", "64", "[]", "[64, 32]", "1", "–"} <= {text.get_text() for text in ax.texts}


def test_a_single_value_and_equal_metrics_can_be_drawn():
    table = pd.DataFrame({"k": [4, 4], "seed": [1, 2], "rmse": [0.9, 0.9]})
    lines = [line.get_ydata() for line in plots.parallel_coordinates(table).lines[-2:]]
    assert np.isfinite(lines).all()


def test_a_mean_curve_ends_with_the_first_run_that_ends():
    ax = plots.curves_of_runs(
        {"a": pd.DataFrame({1: [3.0, 2.0, 1.0], 2: [5.0, 4.0, np.nan]}, [1, 2, 3])}, ylabel="y"
    )
    mean, *runs = (line.get_ydata() for line in ax.lines)
    assert mean[:2].tolist() == [4.0, 3.0]
    assert np.isnan(mean[2])
    assert runs[0].tolist() == [3.0, 2.0, 1.0]
    assert {line.get_color() for line in ax.lines} == {plots.BLUE}


def test_values_that_were_run_once_are_dots_alone():
    values = pd.DataFrame(np.where(np.eye(3) == 1, 0.9, np.nan), [1.0, 2.0, 3.0])
    ax = plots.metric_along(values, xlabel="x", ylabel="y")
    assert not ax.containers
    assert {line.get_linestyle() for line in ax.lines} == {"None"}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a run"]


def test_a_mean_error_stands_above_its_dotted_floor_and_its_bar_reaches_over_all_runs():
    ax = plots.errors_and_floors(curves(2), table(2) / 9, xlabel="ratings")
    means, floors = ax.lines[::2], ax.lines[1::2]
    assert [line.get_ydata().tolist() for line in means] == [[2.5, 2.0, 1.5], [2.5, 2.0, 2.0]]
    assert [line.get_linestyle() for line in floors] == [":", ":"]
    assert [line.get_color() for line in means] == [line.get_color() for line in floors]
    ends = [[segment[:, 1].tolist() for segment in bars.get_segments()] for bars in ax.collections]
    assert ends[0] == [[2.0, 3.0], [2.0, 2.0], [1.0, 2.0]]


def test_numbers_of_many_sizes_stand_by_their_logarithms_in_parallel_coordinates():
    table = pd.DataFrame({"rate": 10.0 ** np.linspace(-4, 0, 9), "rmse": np.linspace(1, 2, 9)})
    ax = plots.parallel_coordinates(table)
    lines = np.array([line.get_ydata() for line in ax.lines[-9:]])
    assert lines[:, 0] == pytest.approx(np.linspace(0, 1, 9))
    assert [text.get_text() for text in ax.texts][:3] == ["0.0001", "0.01", "1"]


def test_the_names_of_systems_keep_apart_and_inside():
    table = pd.DataFrame(
        {"RMSE": [0.81, 0.817, 0.8175, 0.819, 0.85], "seconds": [245.0, 132.0, 1500.0, 74.0, 14.0]},
        [
            "full, no day, all cores, mean of 8",
            "full, mean of 2",
            "rank 32, 512 iterations",
            "full",
            "FM",
        ],
    )
    ax = plots.error_and_seconds(table, ["rank 32, 512 iterations"])
    ax.figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.texts if text.get_text()]
    assert len(boxes) == len(table)
    assert not any(box.overlaps(other) for i, box in enumerate(boxes) for other in boxes[:i])
    assert min(box.x0 for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= ax.figure.bbox.x1
