"""What a notebook cell calls: parameters, records, claims, stamps."""

import json
import re
import subprocess
import sys
from datetime import date
from html import unescape
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from deepfm_helpers import claims, page, records, tables


@pytest.fixture
def shown():
    """The bundles that a call displays, as a notebook would receive them."""

    class Kept(DisplayPublisher):
        def publish(self, data, *args, **kwargs) -> None:
            bundles.append(data)

    bundles = []
    shell = InteractiveShell.instance()
    shell.display_pub = Kept(parent=shell)
    yield bundles
    InteractiveShell.clear_instance()


def test_record_stores_plain_json_and_a_line_to_read(shown):
    records.record(
        rmse=np.float32(0.5), n=np.int64(3), losses=np.array([1.0, 2.0]), means=pd.Series([1, 2]), name="x"
    )
    values = shown[0][records.RECORD_MIME]
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
        records.record(**metrics)
    assert shown == []


def test_a_claim_that_holds_is_shown_with_its_line(shown):
    claims.claim("all is *well*", np.bool_(True))
    claims.claim("a sentence with its stop.", True)
    assert [one["text/plain"] for one in shown] == ["✓ all is *well*.", "✓ a sentence with its stop."]
    assert shown[0][claims.CLAIM_MIME]["statement"] == "all is *well*."
    assert isinstance(shown[0][claims.CLAIM_MIME]["line"], int)


@pytest.mark.parametrize(
    ("on", "mark"), [("run", "✓"), ("records", "✓ (recorded runs)"), ("algebra", "✓ (by algebra)")]
)
def test_a_claim_says_what_it_rests_on(shown, on, mark):
    claims.claim("so it is", True, on=on)
    assert shown[0]["text/plain"] == f"{mark} so it is."
    assert shown[0][claims.CLAIM_MIME]["on"] == on
    assert claims.GROUNDS[on] in shown[0]["text/markdown"]


def test_a_claim_on_no_known_ground_is_refused(shown):
    with pytest.raises(ValueError, match="on='rumour' is not one of run, records, algebra"):
        claims.claim("so it is", True, on="rumour")
    assert shown == []


def test_a_claim_that_does_not_hold_stops_the_notebook(shown):
    with pytest.raises(AssertionError, match="does not hold here: the moon is cheese"):
        claims.claim("the moon is cheese", False)
    assert shown == []


@pytest.mark.parametrize("holds", [np.array([True, True]), 1, None, "yes"])
def test_a_claim_needs_one_truth_value(shown, holds):
    with pytest.raises(TypeError, match="must be True or False"):
        claims.claim("vague", holds)


def test_say_shows_its_text_in_both_forms(shown):
    claims.say("**3** films")
    assert shown == [{"text/markdown": "**3** films", "text/plain": "**3** films"}]


def test_say_writes_a_minus_and_leaves_hyphens_alone(shown):
    claims.say("by -0.5 (-1 to +2) on `ml-100k`, 1997-09-20, 1e-05")
    assert shown[0]["text/plain"] == "by −0.5 (−1 to +2) on `ml-100k`, 1997-09-20, 1e-05"


def test_where_recorded_numbers_come_from_is_said_in_a_sentence():
    record = records.recorded("07_training")
    day = date.fromisoformat(record.date)
    told = page.origin(record)
    assert f"{len(record.runs)} seeds, the last on {day.day} {day:%B %Y}." in told
    assert "`make record NB=07_training`" in told


def test_when_rows_were_measured_is_said_in_a_sentence():
    machine = {"processor": "a model", "cores": 2}
    rows = pd.DataFrame(
        {"task": "reach", "date": ["2026-11-02", "2026-11-02"], "machine": [machine, machine]}
    )
    assert page.measured_on(rows) == (
        '*Measured on 2 November 2026, with 2 cores (a model). `make bench TASKS="reach"` measures this again.*'
    )
    machines = [machine, machine | {"cores": 4}]
    rows = pd.DataFrame({"task": "ranking", "date": ["2026-11-02", "2026-10-30"], "machine": machines})
    assert page.measured_on(rows) == (
        "*Measured on days from 30 October 2026 to 2 November 2026, with 2 cores (a model) and 4 cores (a model). "
        "`python -m benchmarks.ranking` measures this again.*"
    )
    assert page.measured_on(rows.assign(date=["2026-11-02", None])).startswith(
        "*Measured on a day that was not noted, with "
    )


def test_recorded_table_gives_mean_and_standard_deviation():
    record = records.recorded("07_training")
    runs, table = record.frame(), record.table()
    assert set(table.index) == set(runs.select_dtypes("number").columns) != set()
    for name, row in table.iterrows():
        assert row.to_list() == pytest.approx([runs[name].mean(), np.std(runs[name], ddof=1), len(runs)])
    with pytest.raises(KeyError, match="07_training has no recorded mae_of_nothing; it has "):
        record.table(["mae_of_nothing"])


def test_a_table_is_printed_with_the_digits_that_mean_something():
    table = pd.DataFrame(
        {"mean_error": [0.87246, 24_350_440.0, 12_345.6], "sd": [np.nan, 0.0, 1.5], "n": ["3", "3", "3"]},
        index=pd.Index(["rmse_deepfm", "pairs", 7], name="metric"),
    )
    shown = tables.as_text(table, 3)
    assert list(shown.index) == ["rmse deepfm", "pairs", 7]
    assert shown.index.name is None
    assert shown["mean error"].to_list() == ["0.872", "24,350,440", "12,346"]
    assert shown["sd"].to_list() == ["–", "0", "1.500"]
    assert shown["n"].to_list() == ["3", "3", "3"]
    counts = pd.DataFrame({"n": pd.array([1_500, None], dtype="Int64")})
    assert tables.as_text(counts)["n"].to_list() == ["1,500", "–"]


def test_a_missing_record_says_how_to_make_it():
    with pytest.raises(FileNotFoundError, match="no record of notebook 99_none: make one with `make record`"):
        records.recorded("99_none")


def test_the_stamp_names_data_seed_and_versions_without_importing_them(shown):
    provenance = SimpleNamespace(source="drawn from a <seed>", fingerprint="0123456789abcdef")
    page.stamp(SimpleNamespace(name="planted", provenance=provenance), 7)
    html, text = shown[0]["text/html"], shown[0]["text/plain"]
    assert "drawn from a &lt;seed&gt;" in html
    assert "fingerprint: 0123456789ab\n" in text
    assert f"numpy: {np.__version__}" in text
    assert "seed: 7" in text


def test_importing_the_package_loads_neither_tensorflow_nor_a_submodule():
    code = (
        "import sys, deepfm_helpers, deepfm_helpers.page as p; p.versions();"
        "print([m for m in sys.modules if m in ('tensorflow', 'keras') or m == 'deepfm_helpers.models'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_measurements_are_read_by_task():
    frame = records.measurements("reading")
    assert set(frame.task) == {"reading"}
    assert {"system", "data", "metric", "value", "spread", "n", "seconds"} <= set(frame.columns)


def test_a_lab_carries_its_values_and_shows_nothing_by_itself(shown):
    page.lab("shares", "fig-shares", k=np.array([1, 2]), parts={"a < b": [0.5, '"x"']})
    (bundle,) = shown
    assert set(bundle) == {"text/html", "text/plain"}
    div = re.fullmatch(
        r'<div class="lab" data-lab="shares" data-figure="fig-shares" data-values="([^"<]*)"></div>',
        bundle["text/html"],
    )
    assert json.loads(unescape(div.group(1))) == {"k": [1, 2], "parts": {"a < b": [0.5, '"x"']}}
