"""Results of sweeps: the frame of all runs, paired differences, what differs between two runs, MLflow, pictures."""

import matplotlib

matplotlib.use("Agg")

import json
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from scipy import stats

from deepfm_helpers.records import RECORD_MIME
from deepfm_helpers.sweeps import results

ABOUT = {
    "fingerprint": "37d70aab",
    "digest": "0123456789abcdef",
    "versions": {"python": "3.11.2", "keras": "3.15.1"},
    "date": "2026-11-26",
    "seconds": 21.5,
    "processor_seconds": 30.0,
    "host": "here",
    "processor": "a model",
    "cores": 2,
    "threads": 1,
    "kernel": "warm",
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def add(folder: Path, parameters: dict, metrics: dict, cells=(), notebook="07_training", **about) -> Path:
    """One finished run in a sweep's folder; its name counts."""
    name = f"{notebook}-{len(list(folder.glob('runs/*'))):016x}"
    run = folder / "runs" / name
    run.mkdir(parents=True)
    written = {"name": name, "notebook": notebook, "parameters": {"dataset": "ml-100k"} | parameters}
    written |= ABOUT | {"metrics": metrics} | about
    nbformat.write(new_notebook(cells=[cell.copy() for cell in cells]), run / "executed.ipynb")
    (run / "run.json").write_text(json.dumps(written))
    return run


NOISE = {1: 0.020, 2: -0.010, 3: 0.004, 4: -0.013}  # by seed, much larger than the effects
OWN = {4: [0.0, 0.0, 0.0, 0.0], 16: [-2e-3, -3e-3, -2e-3, -3e-3], 64: [1e-3, -1e-3, 2e-3, -2e-3]}


def planted(folder: Path, seeds=(1, 2, 3, 4), **about) -> Path:
    """Runs of three k and some seeds: k = 16 is lower by 0.0025 on average, k = 64 not at all."""
    for k, own in OWN.items():
        for seed in seeds:
            rmse = 0.95 + NOISE[seed] + own[seed - 1]
            add(folder, {"seed": seed, "k": k}, {"rmse": rmse, "curve": [rmse + 0.1, rmse]}, **about)
    return folder


# the frame


def test_every_run_is_a_row_with_all_that_is_known_of_it(tmp_path):
    metrics = {"rmse": 0.9, "by_field": {"uid": 1.5, "deep": {"a": 2}}, "curve": [1.0, 0.9], "best": "k"}
    run = add(tmp_path, {"seed": 3, "k": 16, "hidden": [64, 32]}, metrics)
    frame = results.collect(tmp_path)
    assert frame.columns.tolist() == [
        *("run", "notebook", "dataset", "seed", "k", "hidden"),
        *("rmse", "by_field.uid", "by_field.deep.a", "best"),
        *("seconds", "processor_seconds", "threads", "cores", "host", "processor", "kernel"),
        *("digest", "fingerprint", "versions.python", "versions.keras", "date"),
    ]
    row = frame.iloc[0]
    assert row.run == run.name
    assert (row.seed, row.k, row.hidden, row.rmse, row["by_field.deep.a"]) == (3, 16, "[64, 32]", 0.9, 2)
    assert row["versions.keras"] == "3.15.1"
    assert frame.attrs["parameters"] == ["dataset", "seed", "k", "hidden"]


def test_runs_of_several_notebooks_miss_what_only_the_others_have(tmp_path):
    add(tmp_path, {"seed": 1, "k": 4}, {"rmse": 0.9, "epochs_run": 3}, notebook="07_training")
    add(tmp_path, {"seed": 1, "n": 10}, {"recall": 0.3}, notebook="12_recommending")
    add(tmp_path, {"seed": 1, "k": 16}, {"rmse": 0.8, "epochs_run": 4}, notebook="07_training")
    frame = results.collect(tmp_path)
    assert frame.notebook.tolist() == ["07_training", "07_training", "12_recommending"]
    assert frame.k.dropna().tolist() == [4, 16]
    assert str(frame.k.dtype) == str(frame.epochs_run.dtype) == "Int64"  # whole numbers stay whole
    assert frame.n.isna().tolist() == [True, True, False]
    assert frame.recall.isna().tolist() == [True, True, False]


@pytest.mark.parametrize("name", ["k", "epochs", "seconds", "run", "versions.python"])
def test_a_metric_with_the_name_of_something_else_gets_another_one_and_this_is_said(tmp_path, name):
    add(tmp_path, {"seed": 1, "k": 4}, {name: 0.5})
    with pytest.warns(UserWarning, match=rf"metric {name} has the name of .* becomes metric\.{name}"):
        frame = results.collect(tmp_path)
    assert frame[f"metric.{name}"].tolist() == [0.5]
    assert frame.k.tolist() == [4]
    assert frame.seconds.tolist() == [21.5]


def test_two_metrics_that_become_one_are_refused(tmp_path):
    run = add(tmp_path, {"seed": 1}, {"a": {"b.c": 1, "b": {"c": 2}}})
    with pytest.raises(ValueError, match=rf"run {run.name} recorded two metrics that both become a\.b\.c"):
        results.collect(tmp_path)


def test_an_unreadable_record_is_named_and_the_others_stay(tmp_path):
    planted(tmp_path)
    torn = next(tmp_path.glob("runs/*/run.json"))
    torn.write_text(torn.read_text()[:40])
    with pytest.warns(UserWarning, match=torn.parent.name):
        assert len(results.collect(tmp_path)) == 11


def test_failed_runs_are_named(tmp_path):
    planted(tmp_path)
    broken = tmp_path / "runs" / "07_training-broken"
    broken.mkdir()
    (broken / "error.txt").write_text("cell [3]: KeyError")
    with pytest.warns(UserWarning, match=r"1 run \(07_training-broken\) of .* failed"):
        assert len(results.collect(tmp_path)) == 12


def test_a_folder_without_runs_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} is not the folder of a sweep"):
        results.collect(tmp_path)
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path}: no run has finished"):
        results.collect(tmp_path)


def test_histories_are_columns_by_step(tmp_path):
    long = add(tmp_path, {"seed": 1}, {"log": {"rmse": [3.0, 2.0, 1.0]}})
    short = add(tmp_path, {"seed": 2}, {"log": {"rmse": [3, 2]}})
    without = add(tmp_path, {"seed": 3}, {"log": {"rmse": ["no", "numbers"]}})
    with pytest.warns(UserWarning, match=rf"of 3 runs, 1 run \({without.name}\) did not record log\.rmse"):
        curves = results.histories(tmp_path, "log.rmse")
    assert curves.index.tolist() == [1, 2, 3]
    assert curves[long.name].tolist() == [3.0, 2.0, 1.0]
    assert curves[short.name].dropna().tolist() == [3.0, 2.0]
    with pytest.raises(ValueError, match=r"no run recorded rmse as a list of numbers; lists are log\.rmse"):
        results.histories(tmp_path, "rmse")


@pytest.mark.parametrize("name", ["runs.csv", "runs", "runs.parquet"])
def test_a_frame_comes_back_from_its_file(tmp_path, name):
    planted(tmp_path)
    add(tmp_path, {"seed": 5, "hidden": []}, {"rmse": 0.1 + 0.2, "found": True})
    add(tmp_path, {"seed": 5, "hidden": [8]}, {"rmse": 1.0, "found": None})
    frame = results.collect(tmp_path)
    results.write(frame, tmp_path / "out" / name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
    if name == "runs.parquet":
        again = pd.read_parquet(tmp_path / "out" / name)
        pd.testing.assert_frame_equal(again, frame)
        assert again.attrs == frame.attrs
    else:
        again = pd.read_csv(tmp_path / "out" / name)
        plain = [some.astype(object).where(some.notna(), None) for some in (again, frame)]
        pd.testing.assert_frame_equal(*plain)
    only = again.hidden.isna()
    pd.testing.assert_frame_equal(
        results.compare(again[only], "rmse", "k", baseline=4),
        results.compare(frame[frame.hidden.isna()], "rmse", "k", baseline=4),
        check_index_type=False,
    )


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    frame = results.collect(planted(tmp_path))
    path = tmp_path / "runs.csv"
    path.write_text("old")

    def torn(self, part, **how):
        Path(part).write_text("half")
        raise OSError("disk full")

    monkeypatch.setattr(pd.DataFrame, "to_csv", torn)
    with pytest.raises(OSError, match="disk full"):
        results.write(frame, path)
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runs", "runs.csv"]


def test_what_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch):
    frame = results.collect(planted(tmp_path))
    with pytest.raises(ValueError, match=r"runs\.xlsx: the ending has to be \.csv or \.parquet"):
        results.write(frame, tmp_path / "runs.xlsx")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match="needs the package mlflow-skinny"):
        results.to_mlflow(tmp_path, tmp_path / "store")


# MLflow


def test_runs_stand_in_an_mlflow_store_once_whatever_happened_to_the_first_try(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    sweep, store = tmp_path / "sizes", tmp_path / "store"
    metrics = {
        "rmse": 0.9,
        "curve": [0.7, 0.8, 0.9],
        "by_field": {"Léon: 1/2": 1.5},
        "best": "deep",
        "ok": True,
    }
    first = add(sweep, {"seed": 1, "hidden": [64, 32]}, metrics, [new_code_cell("1 + 1")])
    second = add(sweep, {"seed": 2, "hidden": []}, {"curve": list(np.linspace(0, 1, 230))})
    (second / "executed.ipynb").rename(second / "away")
    with pytest.raises(Exception, match=r"executed\.ipynb"):
        results.to_mlflow(sweep, store)
    (second / "away").rename(second / "executed.ipynb")
    assert results.to_mlflow(sweep, store) == 1
    assert results.to_mlflow(sweep, store) == 0

    client = MlflowClient(tracking_uri=store.as_uri())
    experiment = client.get_experiment_by_name("sizes")
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert sorted(found) == [first.name, second.name]
    run = found[first.name]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"dataset": "ml-100k", "seed": "1", "hidden": "[64, 32]"}
    assert run.data.metrics == {"rmse": 0.9, "curve": 0.9, "by_field.Léon_ 1_2": 1.5, "ok": 1.0}
    tags = {"notebook": "07_training", "threads": "1", "versions.keras": "3.15.1", "metric.best": "deep"}
    assert tags.items() <= run.data.tags.items()
    steps = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "curve")]
    assert steps == [(1, 0.7), (2, 0.8), (3, 0.9)]
    assert len(client.get_metric_history(found[second.name].info.run_id, "curve")) == 230
    kept = client.download_artifacts(run.info.run_id, "executed.ipynb", str(tmp_path))
    assert Path(kept).read_bytes() == (first / "executed.ipynb").read_bytes()


def test_metrics_that_mlflow_cannot_tell_apart_are_refused_before_anything_is_written(tmp_path):
    add(tmp_path / "sweep", {"seed": 1}, {"by_film": {"a/b": 1, "a:b": 2}})
    with pytest.raises(ValueError, match=r"cannot tell metric by_film\.a/b from by_film\.a:b"):
        results.to_mlflow(tmp_path / "sweep", tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_nothing_of_mlflow_goes_over_a_network(tmp_path):
    planted(tmp_path / "sweep", seeds=(1,))
    program = """
import socket, sys, threading

def refused(*args):
    raise SystemExit(f"a connection to {args[1:]}")

from deepfm_helpers.sweeps import results
socket.socket.connect = socket.getaddrinfo = refused
assert results.to_mlflow(sys.argv[1], sys.argv[2]) == 3
from mlflow.telemetry.client import get_telemetry_client
assert get_telemetry_client() is None
assert threading.active_count() == 1, threading.enumerate()
"""
    quiet = {
        "CI",
        "GITHUB_ACTIONS",
        "PYTEST_CURRENT_TEST",
        "PYTEST_VERSION",
    }  # MLflow is silent in tests anyway
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    command = [sys.executable, "-W", "ignore", "-c", program, tmp_path / "sweep", tmp_path / "store"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


# means and pairs


def test_a_planted_effect_is_found_in_pairs_and_its_interval_is_that_of_scipy(tmp_path):
    table = results.compare(planted(tmp_path), "rmse", "k", baseline=4)
    assert table.index.tolist() == [4, 16, 64]
    assert table.n.tolist() == [4, 4, 4]
    noise = np.array(list(NOISE.values()))
    assert table["mean"].tolist() == pytest.approx(
        [0.95 + noise.mean() + np.mean(own) for own in OWN.values()]
    )
    assert table.sd.tolist() == pytest.approx([np.std(noise + own, ddof=1) for own in OWN.values()])
    assert table.verdict.tolist() == ["baseline", "lower", "within the noise"]
    assert table.pairs.tolist() == [0, 4, 4]
    assert table.level.tolist()[1:] == [0.975, 0.975]
    for k in (16, 64):
        by_hand = stats.ttest_1samp(OWN[k], 0).confidence_interval(0.975)
        assert table.difference[k] == pytest.approx(np.mean(OWN[k]))
        assert (table.low[k], table.high[k]) == pytest.approx((by_hand.low, by_hand.high))


def test_a_single_comparison_has_the_plain_interval(tmp_path):
    frame = results.collect(planted(tmp_path))
    row = results.compare(frame[frame.k != 64], "rmse", "k", baseline=16).loc[4]
    by_hand = stats.ttest_1samp([-own for own in OWN[16]], 0).confidence_interval(0.95)
    assert (row.low, row.high, row.level) == pytest.approx((by_hand.low, by_hand.high, 0.95))
    assert row.verdict == "higher"


def test_intervals_hold_all_at_once_in_95_of_100_experiments():
    rng, held, trials = np.random.default_rng(1), 0, 120
    seeds, ks = np.arange(5), np.arange(6)
    for _ in range(trials):
        runs = [
            {"run": f"{seed}-{k}", "notebook": "a", "seed": seed, "k": k, "rmse": rng.normal()}
            for seed in seeds
            for k in ks
        ]
        table = results.compare(pd.DataFrame(runs), "rmse", "k", baseline=0)
        held += (table.verdict[1:] == "within the noise").all()
    assert held / trials > 0.93


def test_without_a_baseline_there_are_means_alone(tmp_path):
    table = results.compare(planted(tmp_path), "rmse", "k")
    assert table.columns.tolist() == ["mean", "sd", "n"]


def test_one_seed_gives_no_interval_and_says_so(tmp_path):
    table = results.compare(planted(tmp_path, seeds=(2,)), "rmse", "k", baseline=4)
    row = table.loc[16]
    assert row.difference == pytest.approx(-3e-3)
    assert row[["low", "high", "level"]].isna().all()
    assert (row.pairs, row.verdict) == (1, "one pair: no interval")
    assert table.sd.isna().all()


def test_runs_of_unlike_seeds_are_no_pairs(tmp_path):
    frame = results.collect(planted(tmp_path))
    apart = frame[
        ((frame.k == 4) & (frame.seed < 3)) | ((frame.k == 16) & (frame.seed > 2)) | (frame.k == 64)
    ]
    with pytest.warns(UserWarning, match=r"not run with every seed of the rest: 2 values \(k = 4, k = 16\)"):
        table = results.compare(apart, "rmse", "k", baseline=4)
    assert table.verdict[16] == "no pair"
    assert np.isnan(table.difference[16])
    assert table.pairs.tolist() == [0, 0, 2]
    assert table.difference[64] == pytest.approx(0.0)


def test_pairs_agree_in_every_other_parameter_and_do_not_count_as_more_experiments(tmp_path):
    effects = {0: [-1e-3, -2e-3, -3e-3], 8: [-3e-3, -4e-3, -8e-3]}
    for epochs, own in effects.items():
        for seed, effect in enumerate(own):
            for k in (4, 16):
                rmse = 0.9 + NOISE[seed + 1] + epochs / 10 + effect * (k == 16)
                add(tmp_path, {"seed": seed, "k": k, "epochs": epochs}, {"rmse": rmse})
    with pytest.warns(UserWarning, match="the runs differ in epochs as well"):
        row = results.compare(tmp_path, "rmse", "k", baseline=4).loc[16]
    by_hand = stats.ttest_1samp(np.mean(list(effects.values()), axis=0), 0).confidence_interval(0.95)
    assert (row.n, row.pairs) == (6, 3)
    assert (row.low, row.high) == pytest.approx((by_hand.low, by_hand.high))


@pytest.mark.parametrize(
    "baseline", [(4, [64, 32]), [4, [64, 32]], {"hidden": [64, 32], "k": 4}], ids=["tuple", "list", "dict"]
)
def test_two_parameters_and_lists_in_their_order(tmp_path, baseline):
    for k in (4, 16):
        for hidden in ([64, 32], [], [128], [8]):
            for seed in (1, 2):
                metrics = {"rmse": k + len(hidden) + NOISE[seed]}
                add(tmp_path, {"seed": seed, "k": k, "hidden": hidden}, metrics)
    table = results.compare(tmp_path, "rmse", ["k", "hidden"], baseline=baseline)
    assert table.index.tolist() == [(k, h) for k in (4, 16) for h in ("[]", "[8]", "[128]", "[64, 32]")]
    assert table.verdict[(4, "[64, 32]")] == "baseline"
    assert table.difference[(16, "[]")] == pytest.approx(10)
    assert table.level[(16, "[]")] == pytest.approx(1 - 0.05 / 7)


def test_equal_runs_are_called_equal(tmp_path):
    for kernel in ("cold", "warm"):
        for seed in (1, 2, 3):
            add(tmp_path, {"seed": seed}, {"rmse": NOISE[seed]}, kernel=kernel)
    table = results.compare(tmp_path, "rmse", "kernel", baseline="cold")
    assert table.verdict.tolist() == ["baseline", "equal in every pair"]


def test_notebooks_can_be_compared_and_are_never_mixed(tmp_path):
    for notebook, own in (("a", 0.0), ("b", 0.5)):
        for seed in (1, 2, 3):
            for k in (4, 16):
                metrics = {"rmse": NOISE[seed] + own + k * (notebook == "a")}
                add(tmp_path, {"seed": seed, "k": k}, metrics, notebook=notebook, digest=notebook)
    with pytest.warns(UserWarning, match="differ in notebook as well"):
        row = results.compare(tmp_path, "rmse", "k", baseline=4).loc[16]
    assert row.difference == pytest.approx(6)
    assert row.verdict == "higher"
    with pytest.warns(UserWarning, match="differ in k as well"):
        assert results.compare(tmp_path, "rmse", "notebook", baseline="a").difference["b"] == pytest.approx(
            -9.5
        )


@pytest.mark.parametrize(
    ("about", "said"),
    [
        ({"threads": 2}, r"threads, which can change a metric: 1 \(12 runs\), 2 \(1 runs\)"),
        ({"processor": "another"}, "processor"),
        ({"kernel": "cold"}, "kernel"),
        ({"digest": "f" * 16}, "digest"),
        ({"fingerprint": "f" * 16}, "fingerprint"),
        ({"versions": {"python": "3.12.0", "keras": "3.15.1"}}, r"versions\.python"),
    ],
)
def test_runs_that_were_made_with_something_else_are_told(tmp_path, recwarn, about, said):
    results.compare(planted(tmp_path), "rmse", "k", baseline=4)
    assert not [str(w.message) for w in recwarn]
    add(tmp_path, {"seed": 5, "k": 4}, {"rmse": 0.9}, **about)
    with pytest.warns(UserWarning, match=f"the runs differ in {said}"):
        results.compare(tmp_path, "rmse", "k", baseline=4)


def test_other_data_has_another_fingerprint_and_another_notebook_another_digest(tmp_path, recwarn):
    for dataset in ("ml-100k", "planted"):
        for seed in (1, 2):
            add(tmp_path, {"dataset": dataset, "seed": seed}, {"rmse": NOISE[seed]}, fingerprint=dataset)
    assert results.compare(tmp_path, "rmse", "dataset").n.tolist() == [2, 2]
    assert not [str(w.message) for w in recwarn]


def test_two_runs_of_the_same_parameters_are_refused(tmp_path):
    planted(tmp_path)
    twin = add(tmp_path, {"seed": 1, "k": 4}, {"rmse": 0.9}, digest="f" * 16)
    with pytest.raises(ValueError, match=rf"2 runs \(.*{twin.name}\) .*they differ in digest\): keep one"):
        results.compare(tmp_path, "rmse", "k", baseline=4)
    with pytest.warns(UserWarning, match="not run with every"):
        table = results.compare(tmp_path, "rmse", "digest", baseline=ABOUT["digest"], pair=["seed", "k"])
    assert table.pairs.tolist() == [0, 1]


def test_runs_that_did_not_record_the_metric_are_named_and_left_out(tmp_path):
    planted(tmp_path)
    without = [add(tmp_path, {"seed": 5, "k": k}, {"mae": 0.7}).name for k in range(1, 8)]
    named = rf"of 19 runs, 7 runs \({', '.join(without[:5])} and 2 more\) did not record rmse: left out"
    with pytest.warns(UserWarning, match=named):
        table = results.compare(tmp_path, "rmse", "k", baseline=4)
    assert table.n.tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"metric": "rsme"}, "no metric rsme that is a number; there are rmse, seconds, processor_seconds"),
        ({"metric": "digest"}, "no metric digest that is a number"),
        ({"metric": "k"}, "no metric k that is a number"),
        ({"by": "q"}, "no parameter q; there are dataset, seed, k"),
        ({"by": "rmse"}, "no parameter rmse"),
        ({"pair": "q"}, "no parameter q"),
        ({"by": "seed"}, r"by \(seed\) and pair \(seed\) need a name each, all different"),
        ({"by": ()}, "need a name each"),
        ({"baseline": 5}, "baseline: no run with k = 5; there are k = 4, k = 16, k = 64"),
        ({"baseline": {"dropout": 5}}, "baseline names dropout; it has to name k"),
        ({"by": ["k", "dataset"], "baseline": 4}, "baseline 4: it has to give a value of each of k, dataset"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(tmp_path, how, message):
    frame = results.collect(planted(tmp_path))
    with pytest.raises(ValueError, match=message):
        results.compare(frame, **{"metric": "rmse", "by": "k", "baseline": 4} | how)


def test_a_frame_of_something_else_is_refused():
    with pytest.raises(ValueError, match="a frame without the column notebook, run"):
        results.compare(pd.DataFrame({"k": [1], "rmse": [0.9]}), "rmse", "k")


# two runs


def shown(*outputs):
    return new_code_cell("show()", outputs=list(outputs))


def data(**by_mime):
    types = {"text": "text/plain", "svg": "image/svg+xml", "html": "text/html", "record": RECORD_MIME}
    return new_output("display_data", {types[name]: value for name, value in by_mime.items()})


def stream(text):
    return new_output("stream", name="stdout", text=text)


def test_a_run_does_not_differ_from_itself_or_in_time_alone(tmp_path):
    def cells(seconds):
        return [
            shown(
                stream("a\n"),
                data(text=f"seed: 1\nrun time: {seconds} s", html=f"run time</th><td>{seconds} s"),
            )
        ]

    a = add(tmp_path, {"seed": 1}, {"rmse": 0.9}, cells(1.5))
    b = add(
        tmp_path, {"seed": 1}, {"rmse": 0.9}, cells(22.25), seconds=3, processor_seconds=4, date="2027-01-01"
    )
    assert results.differences(a, b).empty


def test_all_that_differs_between_two_runs_is_listed_with_its_size(tmp_path):
    injected = new_code_cell("k = 4", metadata={"tags": ["injected-parameters"]})
    ours = [
        shown(stream("the same\nrmse 0.9\n")),
        injected,
        shown(
            data(svg="<svg>1</svg>"), data(svg="<svg>2</svg>"), data(record={"rmse": 0.9}, text="recorded")
        ),
        new_code_cell("old()"),
        shown(data(text="x")),
    ]
    theirs = [
        shown(stream("the same\nrmse 0.8\n")),
        shown(
            data(svg="<svg>1</svg>"), data(svg="<svg>3</svg>"), data(record={"rmse": 0.8}, text="recorded:")
        ),
        new_code_cell("new()"),
        shown(data(text="x", html="<b>x</b>")),
    ]
    a = add(
        tmp_path / "one", {"seed": 1, "k": 4}, {"rmse": 0.9, "curve": [1, 2, 3, 4, 5, 6], "best": "a"}, ours
    )
    about = {"threads": 2, "versions": {"python": "3.11.2", "keras": "3.16.0"}}
    metrics = {"rmse": 0.8, "curve": [1, 2, 0.5, 4, 5, 7], "best": "b", "more": 1}
    b = add(tmp_path / "other", {"seed": 1, "k": 16}, metrics, theirs, **about)
    found = results.differences(a, b)
    told = [
        tuple(row)
        for row in found[["kind", "name", "a", "b"]].astype(object).where(found.notna(), None).values
    ]
    assert told == [
        ("parameter", "k", 4, 16),
        ("made with", "threads", 1, 2),
        ("version", "keras", "3.15.1", "3.16.0"),
        ("metric", "rmse", 0.9, 0.8),
        ("metric", "curve", "6 numbers", "6 numbers"),
        ("metric", "best", "a", "b"),
        ("metric", "more", None, 1),
        ("output", "cell 1, stdout", "rmse 0.9", "rmse 0.8"),
        ("output", "cell 2, image/svg+xml", "a figure", "another figure"),
        ("code", "cells 3 to 3", "old()", "new()"),
        ("output", "cell 4", "text/plain", "text/html, text/plain"),
    ]
    size = found.set_index("name").difference
    assert size["k"] == 12
    assert size["rmse"] == pytest.approx(-0.1)
    assert size["curve"] == -2.5
    assert np.isnan(size["best"])


def test_a_folder_that_is_no_finished_run_is_named(tmp_path):
    run = add(tmp_path, {"seed": 1}, {"rmse": 0.9})
    with pytest.raises(FileNotFoundError, match=f"{tmp_path} is no folder of a finished run"):
        results.differences(run, tmp_path)


# pictures


def test_one_parameter_is_drawn_with_its_pairs_and_its_table(tmp_path):
    ax, table = results.plot(planted(tmp_path), "rmse", "k", label="RMSE (stars)")
    pd.testing.assert_frame_equal(table, results.compare(tmp_path, "rmse", "k"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("k", "RMSE (stars)")
    pairs = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 3][:4]
    assert np.transpose(pairs).mean(axis=1) == pytest.approx(table["mean"].to_numpy())


def test_two_parameters_are_a_heat_map_of_their_means(tmp_path):
    for k in (4, 16):
        for epochs in (2, 4) if k == 4 else (2,):
            for seed in (1, 2):
                add(tmp_path, {"seed": seed, "k": k, "epochs": epochs}, {"rmse": k + epochs / 10 + seed})
    ax, table = results.plot(tmp_path, "rmse", ["k", "epochs"])
    assert table.loc[4].tolist() == pytest.approx([5.7, 5.9])
    assert table.loc[16, 2] == pytest.approx(17.7)
    assert np.isnan(table.loc[16, 4])
    assert [text.get_text() for text in ax.texts].count("–") == 1


def test_more_parameters_are_parallel_coordinates_of_all_runs(tmp_path):
    rng = np.random.default_rng(0)
    for seed in range(12):
        where = {"seed": seed, "k": int(rng.integers(1, 99)), "epochs": seed % 3, "batch_size": 16 + seed % 2}
        add(tmp_path, where, {"rmse": float(rng.normal())})
    ax, table = results.plot(tmp_path, "rmse", ["k", "epochs", "batch_size"])
    assert table.rmse.is_monotonic_increasing
    assert table.columns.tolist() == ["run", "k", "epochs", "batch_size", "rmse"]
    lines = np.array([line.get_ydata() for line in ax.lines if len(line.get_ydata()) == 4])
    assert len(np.unique(lines, axis=0)) == 12
    metric = (table.rmse - table.rmse.min()) / np.ptp(table.rmse)
    assert lines[:, 3] == pytest.approx(metric.to_numpy())


def test_a_list_is_drawn_as_learning_curves(tmp_path):
    ax, table = results.plot(planted(tmp_path), "curve", "k")
    assert table.columns.tolist() == ["k = 4", "k = 16", "k = 64"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == table.columns.tolist()
    assert table["k = 16"].tolist() == pytest.approx([1.05 - 0.0025 + 0.00025, 0.95 - 0.0025 + 0.00025])
    assert len(ax.lines) == 15
    with pytest.raises(ValueError, match="no parameter q; there are dataset, seed, k"):
        results.plot(tmp_path, "curve", "q")


def test_an_unknown_metric_is_not_drawn(tmp_path):
    with pytest.raises(
        ValueError, match=r"no metric loss that is a number; there are rmse, seconds, processor_seconds"
    ):
        results.plot(planted(tmp_path), "loss", "k")
