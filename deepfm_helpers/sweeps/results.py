"""Read the results of a sweep: one frame of all runs, means and paired differences, what differs, and figures.

Functions that compare or draw take the folder of a sweep or a frame of :func:`collect`, possibly read back from a file
or without some of its rows. Bad input raises a ValueError of one line that says what is wrong and what there is
instead. What a reader of the numbers has to know, such as runs that are left out, is a UserWarning of one line.
"""

from __future__ import annotations

import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from deepfm_helpers import evaluation, plots
from deepfm_helpers.files import replacing
from deepfm_helpers.parameters import PARAMETERS
from deepfm_helpers.records import RECORD_MIME
from deepfm_helpers.sweeps import runs

MADE_WITH = ("threads", "cores", "host", "processor", "kernel", "digest", "fingerprint")
ABOUT = ("seconds", "processor_seconds", *MADE_WITH, "date")
MOVES_NUMBERS = ("threads", "processor", "kernel", "digest", "fingerprint")  # and the versions
SAME_WITHIN = {"digest": "notebook", "fingerprint": "dataset"}  # another notebook has another digest anyway
NAMED = 5  # how many runs a message names

Source = pd.DataFrame | str | Path


def collect(folder: str | Path) -> pd.DataFrame:
    """Collect all finished runs of a sweep, one row per run, in the order of notebook and parameters.

    Args:
        folder: a sweep's folder, which holds ``runs/``, with runs of one notebook or of several.

    Returns:
        The columns `run` and `notebook`; every parameter; every metric that is one value, and those in a dict as
        ``name.key``; `seconds`, `processor_seconds`, `threads`, `cores`, `host`, `processor`, `kernel`, `digest`,
        `fingerprint`, ``versions.package``, `date`. What a run does not have is missing. A parameter that is a list
        becomes the text of its JSON, such as ``[64, 32]``, which can be grouped, stored and read back; metrics that are
        lists are in :func:`histories`. A metric with the name of a parameter or of another column becomes
        ``metric.name``, with a warning. ``attrs["parameters"]`` names the parameters.

    Raises:
        FileNotFoundError: the folder is not the folder of a sweep.
        ValueError: no run has finished, or two metrics of a run get the same name.
    """
    found = _finished(folder)
    parameters = _names(run["parameters"] for run in found)
    taken = {"run", "notebook", *ABOUT, *parameters, *PARAMETERS}
    rows, metrics, versions = [], {}, {}
    for run in found:
        row = {"run": run["name"], "notebook": run["notebook"]}
        row |= {name: _cell(value) for name, value in run["parameters"].items()}
        row |= {name: run.get(name) for name in ABOUT}
        row |= {f"versions.{name}": value for name, value in run.get("versions", {}).items()}
        versions |= dict.fromkeys(name for name in row if name.startswith("versions."))
        for name, value in _flat(run).items():
            if not isinstance(value, list):
                column = f"metric.{name}" if name in taken or name.startswith("versions.") else name
                metrics[column] = name
                row[column] = value
        rows.append(row)
    for column, name in metrics.items():
        if column != name:
            _warn(f"metric {name} has the name of a parameter or of another column: it becomes {column}")
    if failed := runs.failed(Path(folder)):
        _warn(f"{_some(failed, 'run')} of {folder} failed and count nowhere; each has its error.txt")
    order = ["run", "notebook", *parameters, *metrics, *ABOUT[:-1], *versions, ABOUT[-1]]
    frame = pd.DataFrame({name: _column([row.get(name) for row in rows]) for name in order})
    frame = frame.sort_values(["notebook", *parameters, "run"], ignore_index=True)
    frame.attrs["parameters"] = parameters
    return frame


def _finished(folder: str | Path) -> list[dict]:
    """Return the finished runs of a folder; raise ValueError if there are none."""
    found = runs.finished(folder)
    if not found:
        raise ValueError(f"{folder}: no run has finished yet")
    return found


def _names(mappings) -> list[str]:
    """Return the keys of several mappings, in the order of their first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _cell(value: object) -> object:
    """Return a value as a cell of a frame: lists and dicts become the text of their JSON."""
    if isinstance(value, (list, tuple, dict)):
        return json.dumps(value, ensure_ascii=False)
    return value


def _column(values: list) -> pd.Series:
    """Return values, some perhaps missing, as a column of one type; values of several types become texts."""
    kinds = {type(value) for value in values if value is not None}
    some = None in values
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if some else "bool")
    if kinds == {int}:
        return pd.Series(values, dtype="Int64" if some else "int64")
    if kinds <= {int, float}:
        return pd.Series(values, dtype="float64")
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    return pd.Series(texts, dtype="str")


def _flat(run: Mapping) -> dict[str, object]:
    """Return the metrics of a run, those inside a dict as ``name.key``.

    Raises:
        ValueError: two metrics get the same name.
    """
    found = {}

    def add(name: str, value: object) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                add(f"{name}.{key}", item)
        elif name in found:
            raise ValueError(f"run {run['name']} recorded two metrics that both become {name}: rename one")
        else:
            found[name] = value

    for name, value in run["metrics"].items():
        add(name, value)
    return found


def histories(folder: str | Path, metric: str) -> pd.DataFrame:
    """Return a metric that is a list of numbers, such as a learning curve: one column per run, steps from 1 in rows.

    Columns of shorter lists end in missing values. Runs that did not record the metric are left out, with a warning.

    Raises:
        ValueError: no run recorded a list of that name; see also :func:`collect`.
    """
    found = {run["name"]: _flat(run) for run in _finished(folder)}
    lists = {name: metrics[metric] for name, metrics in found.items() if _is_curve(metrics.get(metric))}
    if not lists:
        there = _names({m: 0 for m, v in metrics.items() if _is_curve(v)} for metrics in found.values())
        raise ValueError(f"no run recorded {metric} as a list of numbers; lists are {_listing(there)}")
    _say_who_is_left_out(metric, [name for name in found if name not in lists], len(found))
    frame = pd.DataFrame({name: pd.Series(values, dtype="float64") for name, values in lists.items()})
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name="step"))


def _is_curve(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) in (int, float) for item in value)


def write(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a frame, whole or not at all, as Parquet if the name ends in .parquet, and otherwise as CSV.

    Raises:
        ValueError: the name has another ending than .csv, .parquet or none.
    """
    path = Path(path)
    if path.suffix not in ("", ".csv", ".parquet"):
        raise ValueError(f"{path}: the ending has to be .csv or .parquet")
    with replacing(path) as part:
        if path.suffix == ".parquet":
            frame.to_parquet(part, engine="pyarrow", index=False)
        else:
            frame.to_csv(part, index=False, lineterminator="\n")


def to_mlflow(folder: str | Path, store: str | Path) -> int:
    """Write the finished runs of a sweep into an MLflow file store, where the MLflow UI shows them.

    The experiment has the name of the folder. Each run has its parameters; its metrics, a list with its steps from 1
    on; as tags, metrics that are not numbers and everything else that :func:`collect` gives; and the executed notebook
    as an artifact. A run that is already in the store is not written again unless its writing was interrupted. MLflow
    has deprecated its file store and asks for the variable ``MLFLOW_ALLOW_FILE_STORE=true``, which this function sets
    for its process and which ``mlflow ui --backend-store-uri STORE`` needs as well. Nothing goes over a network:
    MLflow's telemetry is switched off.

    Args:
        folder: a sweep's folder.
        store: the folder of the store, which is made if needed.

    Returns:
        The number of runs written.

    Raises:
        ImportError: mlflow-skinny is not installed.
        ValueError: two metrics of a run get the same name, because MLflow allows fewer characters in names.
    """
    found = _finished(folder)
    os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}  # before the import
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise ImportError("an MLflow store needs the package mlflow-skinny (extra `mlflow`)") from None
    contents = [_for_mlflow(run) for run in found]  # what is wrong is found before anything is written
    client = MlflowClient(tracking_uri=Path(store).resolve().as_uri())
    name = Path(folder).resolve().name
    experiment = client.get_experiment_by_name(name)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)
    there = set()
    page = client.search_runs([experiment_id])
    while True:
        for old in page:
            if old.info.status == "FINISHED":
                there.add(old.data.tags.get("run"))
            else:
                client.delete_run(old.info.run_id)
        if not page.token:
            break
        page = client.search_runs([experiment_id], page_token=page.token)
    new = [(run, content) for run, content in zip(found, contents, strict=True) if run["name"] not in there]
    for run, (params, metrics, tags) in new:
        run_id = client.create_run(experiment_id, run_name=run["name"]).info.run_id
        for kind, items in (("params", params), ("tags", tags), ("metrics", metrics)):
            for start in range(0, len(items), 100):  # MLflow takes so many at once
                client.log_batch(run_id, **{kind: items[start : start + 100]})
        client.log_artifact(run_id, str(Path(folder) / "runs" / run["name"] / "executed.ipynb"))
        client.set_terminated(run_id)
    return len(new)


def _for_mlflow(run: dict) -> tuple[list, list, list]:
    """Return the parameters, metrics and tags of a run as objects of MLflow."""
    from mlflow.entities import Metric, Param, RunTag

    now, metrics, names = int(time.time() * 1000), [], {}
    tags = {"run": run["name"]} | {name: run.get(name) for name in ("notebook", *ABOUT)}
    tags |= {f"versions.{name}": value for name, value in run.get("versions", {}).items()}
    for name, value in _flat(run).items():
        key = re.sub(r"[^\w.\- ]", "_", name)
        if key in names:
            raise ValueError(f"run {run['name']}: MLflow cannot tell metric {names[key]} from {name}")
        names[key] = name
        if _is_curve(value):
            metrics += [Metric(key, float(item), now, step) for step, item in enumerate(value, start=1)]
        elif isinstance(value, (bool, int, float)):
            metrics.append(Metric(key, float(value), now, 0))
        else:
            tags[f"metric.{key}"] = value
    params = [Param(name, str(_cell(value))) for name, value in run["parameters"].items()]
    texts = [RunTag(name, str(_cell(value))) for name, value in tags.items() if value is not None]
    return params, metrics, texts


def compare(
    source: Source,
    metric: str,
    by: str | Sequence[str],
    pair: str | Sequence[str] = "seed",
    baseline: object = None,
) -> pd.DataFrame:
    """Compare the values of one or several parameters: mean and spread of a metric, and differences from a baseline.

    Two runs are a pair if they differ in `by` alone, with the same `pair` and the same value of every other parameter.
    Runs of the same seed share much of their noise, and a difference within a pair is free of what they share. If other
    parameters vary too, the differences are averaged over them within each value of `pair`, so that the interval
    rests on as many differences as there are seeds: five seeds at three sizes are not fifteen experiments.

    With m values beside the baseline there are m chances to see a difference where there is none. Each interval is
    therefore widened to the level 1 − 0.05 / m (Bonferroni): in 95 % of such experiments *all* of them contain what
    they estimate. This is the simplest correction that gives intervals (Holm's gives decisions only), and it holds for
    differences that share a baseline. It knows nothing of other comparisons that you made and did not report.

    Args:
        source: a sweep's folder, or a frame of :func:`collect`.
        metric: a column of numbers.
        by: one or several parameters, or another column that describes a run, such as `notebook`, `threads`, `kernel`
            or `digest`.
        pair: the parameter, or several, whose values the runs of a pair share.
        baseline: a value of `by`, or with several parameters one value for each, in their order or as a dict. Without
            it, there are means alone.

    Returns:
        One row for each value of `by`, with `mean`, `sd` (n − 1 in the denominator) and `n`, the number of runs. With a
        baseline also: `difference`, the mean difference from the baseline; `low` and `high`, its interval by Student's
        t at `level`; `detectable`, the minimum detectable difference, see `evaluation.paired_difference`; `pairs`, the
        number of values of `pair` behind the difference; and `verdict`: "higher", "lower", "within the noise" if the
        interval contains 0, "equal in every pair", "one pair: no interval", "no pair", or "baseline".

    Raises:
        FileNotFoundError, ValueError: there is no such folder, metric, parameter or baseline; or several runs have the
            same values of all parameters, so that all but one have to be taken out.

    Warns:
        UserWarning: runs are left out because they did not record the metric; further parameters vary; values of `by`
            were run with other seeds or parameters than the rest; or runs differ in threads, processor, kernel,
            versions, digest (in one notebook) or fingerprint (in one dataset).
    """
    asked = _prepared(source, metric, by, pair)
    table, grid = _means(asked), _paired(asked)
    if baseline is None:
        return table
    base = _place_of(baseline, asked.by, table.index)
    m = max(len(table) - 1, 1)
    rows = []
    for at in range(len(table)):
        both = grid[[base, at]].dropna()
        if at == base or both.empty:
            rows.append({"pairs": 0, "verdict": "baseline" if at == base else "no pair"})
            continue
        ours, theirs = (both[column].groupby(level=0).mean() for column in (at, base))
        found = dict(evaluation.paired_difference(ours, theirs, comparisons=m))
        pairs = int(found.pop("runs"))
        found |= {"pairs": pairs, "level": 1 - 0.05 / m if pairs > 1 else np.nan}
        rows.append(found | {"verdict": _verdict(found, equal=bool((both[at] == both[base]).all()))})
    columns = ["difference", "low", "high", "level", "detectable", "pairs", "verdict"]
    return table.join(pd.DataFrame(rows, index=table.index, columns=columns))


def _groups(frame: pd.DataFrame, names: list[str]):
    """Group the rows of a frame by the values of columns, missing ones included, in order."""
    return frame.groupby(names, dropna=False, observed=True)


def _in_order(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the frame with columns of lists ordered as lists, short ones first, and not as texts."""
    for name in names:
        texts = frame[name].dropna().unique().tolist()
        if texts and all(isinstance(text, str) and text.startswith("[") for text in texts):
            texts.sort(key=lambda text: (len(json.loads(text)), json.loads(text)))
            frame = frame.assign(**{name: pd.Categorical(frame[name], texts, ordered=True)})
    return frame


class _Asked(NamedTuple):
    """The runs to compare, with the metric as floats, and the parameters `others` that vary too."""

    frame: pd.DataFrame
    metric: str
    by: list[str]
    pair: list[str]
    others: list[str]


def _means(asked: _Asked) -> pd.DataFrame:
    values = _groups(asked.frame, asked.by)[asked.metric]
    return pd.DataFrame({"mean": values.mean(), "sd": values.std(), "n": values.size()})


def _paired(asked: _Asked) -> pd.DataFrame:
    """Return the metric with one column for each value of `by`, in order; NaN for what was not run.

    The index numbers the values of `pair` and, within them, the combinations of `pair` and the others.
    """
    frame, metric, by, pair, others = asked
    groups = _groups(frame, by)
    unit, setting = (_groups(frame, keys).ngroup() for keys in (pair, [*pair, *others]))
    grid = frame[metric].groupby([unit, setting, groups.ngroup()]).first().unstack()
    if grid.isna().to_numpy().any():
        values = groups.size().index
        short = [_said(by, values[at]) for at in grid.columns[grid.isna().any()]]
        _warn(
            f"not run with every {' and '.join([*pair, *others])} of the rest: {_some(short, 'value')}; "
            "means are over unlike runs, differences over pairs alone"
        )
    return grid


def _verdict(found: Mapping, equal: bool) -> str:
    if found["pairs"] < 2:
        return "one pair: no interval"
    if equal:
        return "equal in every pair"
    if found["low"] <= 0 <= found["high"]:
        return "within the noise"
    return "higher" if found["difference"] > 0 else "lower"


def _prepared(source: Source, metric: str, by, pair) -> _Asked:
    frame = source if isinstance(source, pd.DataFrame) else collect(source)
    if missing := {"run", "notebook"} - set(frame):
        raise ValueError(f"a frame without the column {_listing(sorted(missing))} is none of collect's")
    by, pair = ([names] if isinstance(names, str) else list(names) for names in (by, pair))
    parameters = [name for name in frame if name in PARAMETERS or name in frame.attrs.get("parameters", ())]
    versions = [name for name in frame if str(name).startswith("versions.")]
    described = ["notebook", *parameters, *MADE_WITH, *versions]
    metrics = [
        name
        for name in frame
        if name not in (*described, "run", "date") and is_numeric_dtype(frame[name].dtype)
    ]
    if metric not in metrics:
        raise ValueError(f"no metric {metric} that is a number; there are {_listing(metrics)}")
    for name in [*by, *pair]:
        if name not in described or name not in frame:
            raise ValueError(f"no parameter {name}; there are {_listing(parameters)}")
    if not by or not pair or len({*by, *pair}) < len(by) + len(pair):
        raise ValueError(f"by ({', '.join(by)}) and pair ({', '.join(pair)}) need a name each, all different")
    without = frame[metric].isna()
    if without.all():
        raise ValueError(f"no run recorded {metric}")
    _say_who_is_left_out(metric, frame.run[without], len(frame))
    frame = frame[~without].astype({metric: "float64"})
    others = [
        name
        for name in ["notebook", *parameters]
        if name not in (*by, *pair) and frame[name].nunique(dropna=False) > 1
    ]
    frame = _in_order(frame, by)
    _refuse_twins(frame, [*by, *pair, *others], versions)
    _warn_of_what_differs(frame, [*MOVES_NUMBERS, *versions], by)
    if others:
        _warn(f"the runs differ in {_listing(others)} as well: means and spreads are over all its values")
    return _Asked(frame, metric, by, pair, others)


def _refuse_twins(frame: pd.DataFrame, keys: list[str], versions: list[str]) -> None:
    twins = frame[frame.duplicated(keys, keep=False)]
    if twins.empty:
        return
    same = twins[_groups(twins, keys).ngroup() == 0]
    differ = [
        name for name in [*MADE_WITH, *versions] if name in same and same[name].nunique(dropna=False) > 1
    ]
    raise ValueError(
        f"{_some(same.run, 'run')} have the same parameters (they differ in {_listing(differ)}): "
        "keep one, by taking its row out of the frame or its folder out of runs"
    )


def _warn_of_what_differs(frame: pd.DataFrame, columns: Sequence[str], by: Sequence[str]) -> None:
    for name in columns:
        if name not in frame or name in by:
            continue
        within = SAME_WITHIN.get(name)
        groups = [frame] if within not in frame else [group for _, group in _groups(frame, within)]
        for group in groups:
            counts = group[name].value_counts(dropna=False, sort=False)
            if len(counts) > 1:
                which = [f"{str(value)[:12]} ({number} runs)" for value, number in counts.items()]
                _warn(f"the runs differ in {name}, which can change a metric: {', '.join(which)}")


def _place_of(baseline: object, by: list[str], index: pd.Index) -> int:
    """Return the position of the baseline in a table of `compare`."""
    if isinstance(baseline, Mapping):
        if set(baseline) != set(by):
            raise ValueError(f"baseline names {_listing(baseline)}; it has to name {_listing(by)}")
        wanted = [baseline[name] for name in by]
    else:
        wanted = [baseline] if len(by) == 1 else baseline
    if not isinstance(wanted, (list, tuple)) or len(wanted) != len(by):
        raise ValueError(f"baseline {baseline!r}: it has to give a value of each of {_listing(by)}")
    wanted = [_cell(value) for value in wanted]
    for at, value in enumerate(index):
        values = value if len(by) > 1 else (value,)
        if [None if pd.isna(one) else one for one in values] == wanted:
            return at
    raise ValueError(
        f"baseline: no run with {_said(by, tuple(wanted))}; there are {_listing(_said(by, v) for v in index)}"
    )


def differences(run_a: str | Path, run_b: str | Path) -> pd.DataFrame:
    """List what differs between two runs, apart from their dates and the time that they took.

    Args:
        run_a, run_b: the folders of two finished runs, ``FOLDER/runs/NAME``, of one sweep or of two.

    Returns:
        One row for each difference, and none if the runs agree. The columns are `kind` ("notebook", "parameter", "made
        with", "version", "metric", "code" or "output"); `name`; the values `a` and `b`, for an output the first line
        that differs; and, for numbers, `difference`, b − a, for lists of numbers the difference that is largest in
        size. Outputs are compared cell by cell where the code is the same: texts by lines, figures as a whole. Records
        are compared as metrics.

    Raises:
        FileNotFoundError: a folder is not the folder of a finished run.
    """
    a, b = _run_of(run_a), _run_of(run_b)
    rows = [("notebook", "", a["notebook"], b["notebook"])] if a["notebook"] != b["notebook"] else []
    made_with = [{name: run.get(name) for name in MADE_WITH} for run in (a, b)]
    sections = {
        "parameter": (a["parameters"], b["parameters"]),
        "made with": made_with,
        "version": (a.get("versions", {}), b.get("versions", {})),
        "metric": (_flat(a), _flat(b)),
    }
    for kind, (ours, theirs) in sections.items():
        for name in _names((ours, theirs)):
            pair = ours.get(name), theirs.get(name)
            if pair[0] != pair[1]:
                rows.append((kind, name, *map(_brief, pair), _size(*pair)))
    rows += _unlike_cells(*(_cells(Path(folder) / "executed.ipynb") for folder in (run_a, run_b)))
    rows = [(*row, np.nan)[:5] for row in rows]
    return pd.DataFrame(rows, columns=["kind", "name", "a", "b", "difference"])


def _run_of(folder: str | Path) -> dict:
    if run := runs.read(Path(folder)):
        return run
    raise FileNotFoundError(f"{folder} is no folder of a finished run: it has no readable run.json")


def _brief(value: object) -> object:
    """Return a value as a table shows it; for a long curve this is its length."""
    return f"{len(value)} numbers" if _is_curve(value) and len(value) > NAMED else _cell(value)


def _size(a: object, b: object) -> float:
    """Return b − a for two numbers; for two lists of numbers the difference largest in size, with its sign."""
    lists = [value if isinstance(value, list) else [value] for value in (a, b)]
    if len(lists[0]) != len(lists[1]) or not all(map(_is_curve, lists)):
        return np.nan
    by = np.subtract(lists[1], lists[0], dtype=float)
    return float(by[np.abs(by).argmax()])


def _cells(path: Path) -> list[tuple[str, list]]:
    """Return code and outputs of an executed notebook's code cells, except the cell with the injected parameters."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    return [
        (
            cell.source,
            [_shown(output) for output in cell.outputs if RECORD_MIME not in output.get("data", {})],
        )
        for cell in code
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]


def _shown(output: dict) -> dict[str, str]:
    """Return what an output shows, by type: the data of a result, the text of a stream, the message of an error."""
    if output.output_type == "stream":
        shown = {output.name: output.text}
    elif output.output_type == "error":
        shown = {"error": f"{output.ename}: {output.evalue}"}
    else:
        shown = output.data
    texts = {kind: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for kind, v in shown.items()}
    # a stamp tells how long its notebook ran
    return {kind: re.sub(r"(run time[^\d\n]{1,20})[\d.]+ s", r"\1", text) for kind, text in texts.items()}


def _unlike_cells(ours: list, theirs: list) -> Iterator[tuple]:
    codes = [[source for source, _ in side] for side in (ours, theirs)]
    for what, a, a_end, b, b_end in SequenceMatcher(None, *codes, autojunk=False).get_opcodes():
        if what != "equal":
            where = f"cells {a + 1} to {a_end}" if a_end > a else f"after cell {a}"
            yield ("code", where, "\n".join(codes[0][a:a_end]), "\n".join(codes[1][b:b_end]))
            continue
        for number in range(a, a_end):
            for shown, seen in zip_longest(ours[number][1], theirs[number - a + b][1], fillvalue={}):
                if shown != seen:
                    yield ("output", *_unlike(f"cell {number + 1}", shown, seen))


def _unlike(where: str, a: Mapping[str, str], b: Mapping[str, str]) -> tuple[str, str, str]:
    """Return the name of two outputs that differ, and what each of them shows."""
    if set(a) != set(b):
        return where, ", ".join(a) or "no output", ", ".join(b) or "no output"
    kinds = [kind for kind in a if a[kind] != b[kind]]
    figures = [kind for kind in kinds if kind.startswith("image/")]
    if figures:
        return f"{where}, {figures[0]}", "a figure", "another figure"
    kind = "text/plain" if "text/plain" in kinds else kinds[0]
    lines = zip_longest(a[kind].splitlines(), b[kind].splitlines(), fillvalue="")
    return f"{where}, {', '.join(kinds)}", *next((pair for pair in lines if pair[0] != pair[1]), ("", ""))


def plot(
    source: Source,
    metric: str,
    by: str | Sequence[str],
    pair: str | Sequence[str] = "seed",
    label: str | None = None,
) -> tuple[plt.Axes, pd.DataFrame]:
    """Draw a metric, and return the Axes and the table of the numbers; the number of parameters decides what is drawn.

    - One parameter: the metric against the parameter, with single runs, joined pairs, mean and standard deviation; the
      table is that of :func:`compare`.
    - Two parameters: a heat map of the means; the table holds them.
    - More parameters: parallel coordinates, one line per run; the table holds the runs, sorted by the metric.
    - A metric that is a list of numbers: learning curves, one colour for each value of `by`; the table holds their
      means by step. The source has to be a folder.

    Args:
        source, metric, by, pair: see :func:`compare`, whose errors and warnings are also those of this function.
        label: label of the axis or the colours that stand for the metric, with its unit; None: the metric's name.
    """
    label = label or metric.replace("_", " ")
    if not isinstance(source, pd.DataFrame):
        folder, source = source, collect(source)
        if metric not in source and any(
            _is_curve(_flat(run).get(metric)) for run in runs.finished(Path(folder))
        ):
            return _curves(
                source, histories(folder, metric), [by] if isinstance(by, str) else list(by), label
            )
    asked = _prepared(source, metric, by, pair)
    by = asked.by
    if len(by) > 2:
        table = asked.frame.sort_values(metric, ignore_index=True)[["run", *by, metric]]
        return plots.parallel_coordinates(table[[*by, metric]].rename(columns={metric: label})), table
    table, grid = _means(asked), _paired(asked)
    if len(by) == 2:
        table = table["mean"].unstack()
        return plots.metric_heat(table, label=label), table
    values = grid.T.set_axis(table.index)
    return plots.metric_along(values, xlabel=by[0].replace("_", " "), ylabel=label), table


def _curves(frame: pd.DataFrame, curves: pd.DataFrame, by: list[str], label: str):
    if unknown := [name for name in by if name not in frame]:
        raise ValueError(f"no parameter {unknown[0]}; there are {_listing(frame.attrs['parameters'])}")
    groups = _groups(_in_order(frame[frame.run.isin(curves.columns)], by), by).run
    by_value = {_said(by, value): curves[list(names)] for value, names in groups}
    table = pd.DataFrame({name: some.mean(axis=1, skipna=False) for name, some in by_value.items()})
    return plots.curves_of_runs(by_value, xlabel="step", ylabel=label), table


def _said(by: Sequence[str], value: object) -> str:
    """Put values of parameters into words: ``k = 4, dropout = 0.3``."""
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(f"{name} = {one}" for name, one in zip(by, values, strict=True))


def _listing(names) -> str:
    return ", ".join(map(str, names)) or "none"


def _some(names, noun: str) -> str:
    """Say how many there are, with the names of the first."""
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{len(names)} {noun}{'s' * (len(names) > 1)} ({', '.join(names[:NAMED])}{more})"


def _say_who_is_left_out(metric: str, names, of: int) -> None:
    if len(names):
        _warn(f"of {of} runs, {_some(names, 'run')} did not record {metric}: left out")


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)
