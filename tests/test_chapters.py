"""What a notebook cell calls: parameters, records, claims, stamps."""

import json
import re
import subprocess
import sys
from html import unescape
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from deepfm_helpers import chapters


@pytest.fixture
def shown(monkeypatch):
    """The bundles that a call displays."""
    bundles = []
    monkeypatch.setattr(chapters, "display", lambda bundle, metadata=None, raw=False: bundles.append(bundle))
    return bundles


@pytest.mark.parametrize(
    "good",
    [
        {"dataset": "planted", "seed": 0, "epochs": 200, "k": 1},
        {"seed": 2**31 - 1, "batch_size": 16, "learning_rate": 1, "dropout": 0},
        {"learning_rate": 0.001, "l2": 0.0, "test_fraction": 0.1, "n_seeds": 20},
        {"seed": np.int64(3), "dropout": np.float32(0.5)},
    ],
)
def test_parameters_in_range_pass(good):
    assert chapters.check_parameters(**good) is None


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ({"epochs": 0}, ValueError, "parameter epochs = 0: must be a whole number from 1 to 200"),
        ({"epochs": 3.0}, TypeError, "parameter epochs = 3.0: must be a whole number"),
        ({"epochs": True}, TypeError, "parameter epochs = True: must be a whole number"),
        ({"seed": "1"}, TypeError, "parameter seed = '1': must be a whole number from 0"),
        ({"seed": -1}, ValueError, "parameter seed = -1: must be"),
        ({"seed": 2**31}, ValueError, "to 2,147,483,647"),
        ({"dataset": "ml-20m"}, ValueError, "must be one of ml-100k, ml-1m, planted"),
        ({"dataset": 1}, TypeError, "must be one of ml-100k"),
        ({"dropout": 1}, ValueError, "must be a number from 0 below 1"),
        ({"learning_rate": 0}, ValueError, "must be a number above 0 to 1"),
        ({"learning_rate": float("nan")}, ValueError, "parameter learning_rate = nan"),
        ({"epoch": 3}, ValueError, "parameter epoch: no such parameter; known are"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(bad, error, says):
    with pytest.raises(error) as caught:
        chapters.check_parameters(**bad)
    assert says in str(caught.value)


def test_every_rule_of_the_table_accepts_its_own_limits():
    for name, rule in chapters.PARAMETERS.items():
        for limit, is_open in ((rule.low, rule.open_low), (rule.high, rule.open_high)):
            if np.isfinite(limit):
                assert rule.accepts_value(rule.kind(limit)) is not is_open, name


def test_record_stores_plain_json_and_a_line_to_read(shown):
    chapters.record(
        rmse=np.float32(0.5), n=np.int64(3), losses=np.array([1.0, 2.0]), means=pd.Series([1, 2]), name="x"
    )
    values = shown[0][chapters.RECORD_MIME]
    assert json.loads(json.dumps(values)) == {
        "rmse": 0.5,
        "n": 3,
        "losses": [1.0, 2.0],
        "means": [1, 2],
        "name": "x",
    }
    lines = shown[0]["text/plain"].splitlines()
    assert lines[:4] == ["recorded:", "  rmse = 0.5", "  n = 3", "  losses = 2\u00a0values"]


@pytest.mark.parametrize(
    ("metrics", "error", "says"),
    [
        ({}, ValueError, "at least one"),
        ({"rmse": float("nan")}, ValueError, "rmse = nan is not a finite number"),
        ({"rmse": {"a": [1.0, float("inf")]}}, ValueError, r"rmse\['a'\]\[1\] = inf"),
        ({"frame": pd.DataFrame({"a": [1]})}, TypeError, "frame is a DataFrame"),
    ],
)
def test_record_refuses_what_cannot_be_read_back(shown, metrics, error, says):
    with pytest.raises(error, match=says):
        chapters.record(**metrics)
    assert shown == []


def test_a_claim_that_holds_is_shown_with_its_line(shown):
    chapters.claim("all is *well*", np.bool_(True))
    chapters.claim("a sentence with its stop.", True)
    assert [one["text/plain"] for one in shown] == ["✓ all is *well*.", "✓ a sentence with its stop."]
    assert shown[0][chapters.CLAIM_MIME]["statement"] == "all is *well*."
    assert isinstance(shown[0][chapters.CLAIM_MIME]["line"], int)


def test_a_claim_that_does_not_hold_stops_the_notebook(shown):
    with pytest.raises(AssertionError, match="does not hold here: the moon is cheese"):
        chapters.claim("the moon is cheese", False)
    assert shown == []


@pytest.mark.parametrize("holds", [np.array([True, True]), 1, None, "yes"])
def test_a_claim_needs_one_truth_value(shown, holds):
    with pytest.raises(TypeError, match="must be True or False"):
        chapters.claim("vague", holds)


def test_say_shows_its_text_in_both_forms(shown):
    chapters.say("**3** films")
    assert shown == [{"text/markdown": "**3** films", "text/plain": "**3** films"}]


@pytest.fixture
def records(tmp_path, monkeypatch):
    """A folder of records that stands in for the package's own."""
    monkeypatch.setattr(chapters, "files", lambda package: tmp_path)
    (tmp_path / "records").mkdir()
    return tmp_path / "records"


def test_recorded_table_gives_mean_and_standard_deviation(records):
    runs = [
        {"parameters": {"seed": s}, "metrics": {"rmse": r, "losses": [1.0]}, "seconds": 1.0}
        for s, r in ((1, 0.8), (2, 0.9))
    ]
    (records / "07_training.json").write_text(json.dumps({"runs": runs}))
    assert chapters.recorded("07_training") == runs
    table = chapters.recorded_table("07_training")
    assert list(table.index) == ["rmse"]
    assert table.loc["rmse"].to_list() == pytest.approx([0.85, np.std([0.8, 0.9], ddof=1), 2])
    with pytest.raises(KeyError, match="07_training has no recorded mae; it has rmse, losses"):
        chapters.recorded_table("07_training", ["mae"])


def test_a_table_is_printed_with_the_digits_that_mean_something():
    table = pd.DataFrame(
        {"mean_error": [0.87246, 24_350_440.0, 12_345.6], "sd": [np.nan, 0.0, 1.5], "n": ["3", "3", "3"]},
        index=pd.Index(["rmse_deepfm", "pairs", 7], name="metric"),
    )
    shown = chapters.as_text(table, 3)
    assert list(shown.index) == ["rmse deepfm", "pairs", 7]
    assert shown.index.name is None
    assert shown["mean error"].to_list() == ["0.872", "24,350,440", "12,346"]
    assert shown["sd"].to_list() == ["–", "0", "1.500"]
    assert shown["n"].to_list() == ["3", "3", "3"]
    counts = pd.DataFrame({"n": pd.array([1_500, None], dtype="Int64")})
    assert chapters.as_text(counts)["n"].to_list() == ["1,500", "–"]


def test_a_missing_record_says_how_to_make_it(records):
    with pytest.raises(FileNotFoundError, match="no record of notebook 99_none: make one with `make record`"):
        chapters.recorded("99_none")


def test_the_stamp_names_data_seed_and_versions_without_importing_them(shown):
    provenance = SimpleNamespace(source="drawn from a <seed>", fingerprint="0123456789abcdef")
    chapters.stamp(SimpleNamespace(name="planted", provenance=provenance), 7)
    html, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert "drawn from a &lt;seed&gt;" in html
    assert "fingerprint: 0123456789ab\n" in text
    assert f"numpy: {np.__version__}" in text
    assert "seed: 7" in text


def test_importing_the_package_loads_neither_tensorflow_nor_a_submodule():
    code = (
        "import sys, deepfm_helpers, deepfm_helpers.chapters as c; c.versions();"
        "print([m for m in sys.modules if m in ('tensorflow', 'keras') or m == 'deepfm_helpers.models'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_measurements_are_read_by_task():
    frame = chapters.measured("reading")
    assert set(frame.task) == {"reading"}
    assert {"system", "data", "metric", "value", "spread", "n", "seconds"} <= set(frame.columns)


def test_a_lab_carries_its_values_and_shows_nothing_by_itself(shown):
    chapters.lab("shares", "fig-shares", k=np.array([1, 2]), parts={"a < b": [0.5, '"x"']})
    (bundle,) = shown
    assert set(bundle) == {"text/html", "text/plain"}
    div = re.fullmatch(
        r'<div class="lab" data-lab="shares" data-figure="fig-shares" data-values="([^"<]*)"></div>',
        bundle["text/html"],
    )
    assert json.loads(unescape(div.group(1))) == {"k": [1, 2], "parts": {"a < b": [0.5, '"x"']}}
