"""Run the chapters on MovieLens-1M and store what they recorded, for the chapters to read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import nbformat

from deepfm_helpers.files import write_whole
from deepfm_helpers.page import versions
from deepfm_helpers.press.checkout import Checkout
from deepfm_helpers.press.jobs import Job, run_all


def make_records(here: Checkout, names: Iterable[str], data, seeds: list[int], workers: int) -> None:
    """Run the notebooks that record something on ``data``, once per seed; store what they recorded in ``records/``."""
    chosen = [path for path in here.select(names) if names or _records_something(path)]
    jobs = [
        Job(path, here.built / "record" / f"{path.stem}-{seed}.ipynb", {"dataset": data.name, "seed": seed})
        for path in chosen
        for seed in seeds
    ]
    for job, metrics, seconds in run_all(jobs, workers):
        if metrics:
            add_to_record(
                here,
                job,
                metrics,
                seconds,
                {"fingerprint": data.provenance.fingerprint, "versions": versions()},
            )
        else:
            print(f"    {job.notebook.stem} recorded nothing", flush=True)


def _records_something(path: Path) -> bool:
    cells = nbformat.read(path, as_version=4).cells
    return any(cell.cell_type == "code" and "record(" in cell.source for cell in cells)


def add_to_record(here: Checkout, job: Job, metrics: dict, seconds: float, made_with: dict) -> None:
    """Put one run into its notebook's record; runs of other data or other versions leave it."""
    name = job.notebook.stem
    path = here.package / "records" / f"{name}.json"
    head = {"notebook": name, "dataset": job.parameters["dataset"], **made_with}
    old = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    runs = old.get("runs", []) if all(old.get(key) == value for key, value in head.items()) else []
    runs = [run for run in runs if run["parameters"] != job.parameters]
    runs.append({"parameters": job.parameters, "metrics": metrics, "seconds": round(seconds, 1)})
    runs.sort(key=lambda run: run["parameters"]["seed"])
    text = json.dumps(_shortened(head | {"runs": runs}), indent=1, sort_keys=True, ensure_ascii=False)
    write_whole(path, text + "\n")


def _shortened(value: object) -> object:
    """``value`` with every float cut to six significant digits, which is what a float32 model can mean."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value
