"""Make the stored records of MovieLens-1M that the chapters read, or list the stale ones.

``python -m deepfm_helpers.sweeps.recording`` makes the runs of the sweep files in ``book/`` and stores what they
recorded. Finished runs are not made again, so the command can be interrupted at any time. With ``--stale`` it makes
nothing and lists the records that were not made with today's code, data and versions. With ``--confirm`` it makes one
run of each record that is stale only because of other code, and keeps the record if that run comes out as it is stored.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packaging.requirements import Requirement

from deepfm_helpers.files import InUse, write_whole
from deepfm_helpers.page import RUNTIME, versions
from deepfm_helpers.press.checkout import HERE, BuildFailed, Checkout
from deepfm_helpers.records import Recorded, recorded
from deepfm_helpers.sweeps import again, engine, plans, runs

FILES = ("records.yml", "gallery.yml")
"""The sweep files: one for the numbers that chapters quote, one for the gallery."""

SAME = ("fingerprint", "digest", "versions", "threads")
"""What all runs of a record have in common."""

OTHER_CODE = "was made by other code"
"""The only reason for which a stale record can be confirmed."""

OTHER_DATA = "was made from other data"

SETTING = runs.Setting(timeout=7200, warm=True)
"""How the runs of records are made."""


def store(here: Checkout, sweep: Path) -> list[Path]:
    """Store what the finished runs of a sweep recorded, one file per notebook, in ``deepfm_helpers/records``.

    Returns:
        The paths of the files.

    Raises:
        ValueError: the runs of a notebook differ in data, code, versions or threads, or recorded nothing.
    """
    by_notebook: dict[str, list[dict]] = {}
    for run in runs.finished(sweep):
        by_notebook.setdefault(run["notebook"], []).append(run)
    stored = {
        here.package / "records" / f"{name}.json": _text(_record(name, made))
        for name, made in by_notebook.items()
    }
    for path, text in stored.items():
        write_whole(path, text)
    return list(stored)


def _record(name: str, made: Sequence[dict]) -> dict:
    """Make one record: what is common to the runs, and columns of what differs."""
    if differ := [key for key in SAME if any(run[key] != made[0][key] for run in made)]:
        raise ValueError(f"{name}: its runs differ in {', '.join(differ)}; make them again in another folder")
    parameters = [run["parameters"] for run in made]
    common = {n: v for n, v in parameters[0].items() if all(p[n] == v for p in parameters)}
    names = dict.fromkeys(metric for run in made for metric in run["metrics"])
    if not names:
        raise ValueError(f"{name} recorded nothing")
    return {
        "notebook": name,
        "parameters": common,
        "varied": {n: [p[n] for p in parameters] for n in parameters[0] if n not in common},
        "metrics": {n: [_shortened(run["metrics"].get(n)) for run in made] for n in names},
        "seconds": [round(run["seconds"], 1) for run in made],
        "date": max(run["date"] for run in made),
        **{key: made[0][key] for key in SAME},
    }


def _shortened(value: object) -> object:
    """Return ``value`` with every float rounded to six significant digits, about the precision of float32."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value


def _text(record: dict) -> str:
    """Return a record as JSON with a line for each of its columns."""

    def text(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)

    def columns(values: dict) -> str:
        return "{\n" + ",\n".join(f"  {text(n)}: {text(v)}" for n, v in sorted(values.items())) + "\n }"

    lines = [
        f" {text(key)}: {columns(value) if key in ('varied', 'metrics') and value else text(value)}"
        for key, value in sorted(record.items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def make(here: Checkout, names: Sequence[str], folder: Path, **how) -> list[Path]:
    """Make the runs of the sweep files, of all their notebooks or of some, and store what they recorded.

    Raises:
        BuildFailed: a run failed, and nothing of its file is stored; or no file has runs of these notebooks.
        PlanError, SweepStopped, InUse, ValueError, OSError: see `plans`, `engine.run` and `store`.
    """
    chosen = {path.resolve() for path in here.select(names)}
    sweeps = {name: plans.Plan.read(here.root / "book" / name) for name in FILES}
    sweeps = {name: plan.only(lambda run: run.notebook in chosen) for name, plan in sweeps.items()}
    if not any(plan.runs for plan in sweeps.values()):
        raise BuildFailed(f"{' and '.join(FILES)} have no runs of {', '.join(names)}")
    stored = []
    for name, plan in sweeps.items():
        if plan.runs:
            stored += _made(here, plan, folder / Path(name).stem, **how)
    return stored


def _made(here: Checkout, plan: plans.Plan, sweep: Path, **how) -> list[Path]:
    outcome = engine.run(plan, sweep, **how)
    if outcome.failed:
        name, error = next(iter(outcome.failed.items()))
        raise BuildFailed(
            f"{len(outcome.failed)} of {len(plan.runs)} runs failed, such as {name}: {runs.in_one_line(error)}"
        )
    return store(here, sweep)


def stale(here: Checkout, names: Sequence[str] = ()) -> dict[str, list[str]]:
    """List the records that are not what the sweep files would record today, each with the reasons in words.

    Without the names of notebooks, all records are looked at. A record is compared with the digest of the notebook's
    code, the fingerprint of the data (if the data is on this machine), the locked versions of the packages, and the
    runs that are asked for.
    """
    wanted: dict[str, dict[str, plans.Run]] = {}
    for name in FILES:
        plan = plans.Plan.read(here.root / "book" / name, fingerprint_of=plans.fingerprint_at_hand)
        for run in plan.runs:
            wanted.setdefault(run.notebook.stem, {})[run.name] = run
    stored = {path.stem for path in (here.package / "records").glob("*.json")}
    chosen = stored | wanted.keys()
    if names:
        chosen &= {path.stem for path in here.select(names)}
    reasons = {
        name: _unlike(here, recorded(name), [*wanted.get(name, {}).values()])
        if name in stored
        else ["is not stored"]
        for name in sorted(chosen)
    }
    return {name: found for name, found in reasons.items() if found}


def _unlike(here: Checkout, record: Recorded, runs: Sequence[plans.Run]) -> list[str]:
    """List in words how a record differs from what its runs would record today."""
    if not runs:
        return [f"no run of it is asked for in {' or '.join(FILES)}"]
    found = []
    if record.digest is None:
        found.append("has no digest of its code")
    elif record.digest != runs[0].digest:
        found.append(OTHER_CODE)
    if runs[0].fingerprint not in (None, record.fingerprint):
        found.append(OTHER_DATA)
    found += _other_versions(record, _locked(here, record.versions["python"]), "locked")
    made = [run["parameters"] for run in record.runs]
    if missing := [run.parameters for run in runs if run.parameters not in made]:
        seeds = ", ".join(map(str, sorted({parameters["seed"] for parameters in missing})))
        found.append(f"lacks {len(missing)} of the {len(runs)} runs that are asked for (seed {seeds})")
    return found


def _other_versions(record: Recorded, wanted: Mapping[str, str], which: str) -> list[str]:
    """List in words the versions of a record that are not the wanted ones, which are the locked or installed ones."""
    words = [
        f"{name} {record.versions.get(name, 'unknown')} ({which}: {version})"
        for name, version in wanted.items()
        if record.versions.get(name) != version
    ]
    return [f"was made with {', '.join(words)}"] if words else []


def _locked(here: Checkout, python: str) -> dict[str, str]:
    """Return the locked versions of the packages that can change a result, for a version of Python."""
    found = {}
    for line in (here.root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if re.match(r"[\w.-]+==", line):
            pin = Requirement(line.rstrip(" \\"))
            if pin.name in RUNTIME and (
                not pin.marker or pin.marker.evaluate({"python_full_version": python})
            ):
                found[pin.name] = str(pin.specifier).removeprefix("==")
    return found


def confirm(
    here: Checkout, names: Sequence[str], folder: Path, *, say: Callable[[str], None] = print, **how
) -> list[str]:
    """Make the shortest run of each record that is stale only because of other code; keep what comes out as stored.

    Parameters and seed fix a run. So code that makes one run of a record again makes the others, and the record gets
    the digest of that code. The numbers stay as they are, with the date, the seconds and the versions of the runs that
    made them. A run comes out as stored if `again.differences` finds nothing.

    Finished runs are not made again: after an interruption the same call goes on, and a confirmed record is not stale.

    Args:
        here: the checkout.
        names: notebooks whose records are looked at; all if there are none.
        folder: where the runs are kept.
        say: function that gets a line about each step, run and record.
        how: further arguments of `engine.run`.

    Returns:
        The names of the records that are still stale: they differ, their run failed, or they are stale for another
        reason, which no run can confirm.

    Raises:
        BuildFailed: no notebook has one of the names.
        PlanError, SweepStopped, InUse, OSError: see `plans` and `engine.run`.
    """
    left = stale(here, names)
    records = {name: recorded(name) for name, reasons in left.items() if reasons == [OTHER_CODE]}
    shortest = {n: min(record.runs, key=lambda run: run["seconds"]) for n, record in records.items()}
    plan = _planned(here, shortest)
    for run in plan.runs:
        left[run.notebook.stem] = _made_otherwise(records[run.notebook.stem], run)
    plan = plan.only(lambda run: not left[run.notebook.stem])
    for name, reasons in left.items():
        if reasons:
            say(f"{name}: {'; '.join(reasons)}; one run cannot confirm this record")
    failed = engine.run(plan, folder, say=say, **how).failed if plan.runs else {}
    for run in plan.runs:
        name = run.notebook.stem
        place, stored = runs.folder_of(folder, run.name), shortest[name]
        if run.name in failed:
            left[name] = [f"{name}: its run failed: {runs.in_one_line(failed[run.name])}"]
        else:
            left[name] = again.differences(stored, place, name)
        if left[name]:
            say("\n".join(left[name]))
            continue
        _renew(here, run)
        apart = len(again.differences(stored, place, name, tolerant=False))
        within = f", {apart} of its numbers only within their tolerances" if apart else ""
        say(f"{name}: confirmed, seed {run.parameters['seed']} came out as it is stored{within}")
    return [name for name, reasons in left.items() if reasons]


def _planned(here: Checkout, recorded_runs: Mapping[str, Mapping]) -> plans.Plan:
    """Return the plan of one recorded run for each notebook."""
    asked = [
        {"notebook": str(here.notebooks / f"{name}.ipynb"), "points": [run["parameters"]]}
        for name, run in recorded_runs.items()
    ]
    return plans.Plan.of(*asked) if asked else plans.Plan((), ())


def _made_otherwise(record: Recorded, run: plans.Run) -> list[str]:
    """List in words how the data and the versions of a record are not those of a run that would be made here."""
    found = [] if record.fingerprint == run.fingerprint else [OTHER_DATA]
    return found + _other_versions(record, versions(), "installed")


def _renew(here: Checkout, run: plans.Run) -> None:
    """Give a record the digest of today's code, which has made one of its runs again."""
    path = here.package / "records" / f"{run.notebook.stem}.json"
    write_whole(path, _text(json.loads(path.read_text(encoding="utf-8")) | {"digest": run.digest}))


def main(arguments: Sequence[str] | None = None, here: Checkout = HERE) -> int:
    """Run the command line; return 0 only if all went well."""
    parser = argparse.ArgumentParser(
        prog="python -m deepfm_helpers.sweeps.recording", description=__doc__.split("\n")[0]
    )
    parser.add_argument("notebooks", nargs="*", metavar="NN", help="which ones, such as 04; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time (default 2)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument(
        "--stale", action="store_true", help="make nothing: list the records that are out of date"
    )
    instead.add_argument(
        "--confirm",
        action="store_true",
        help="make one run of each record of older code; keep the records whose run comes out as stored",
    )
    o = parser.parse_args(arguments)
    folder = here.built / "record"
    how = {"workers": o.jobs, "setting": SETTING, "retry_failed": True}
    try:
        if o.stale:
            return _print_stale(here, o.notebooks)
        if o.confirm:
            return _print_left(confirm(here, o.notebooks, folder / "again", **how))
        made = make(here, o.notebooks, folder, **how)
    except (BuildFailed, InUse, engine.SweepStopped, ValueError, TypeError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what is finished stays", file=sys.stderr)
        return 130
    for path in made:
        print(path.relative_to(here.root).as_posix())
    return 0


def _print_stale(here: Checkout, names: Sequence[str]) -> int:
    """Print the stale records, of all notebooks or of some; return 1 if there are any."""
    found = stale(here, names)
    for name, reasons in found.items():
        print(f"{name}: {'; '.join(reasons)}")
    print(
        f"{len(found)} records were not made with today's code, data and versions"
        if found
        else "all records are up to date"
    )
    return 1 if found else 0


def _print_left(left: Sequence[str]) -> int:
    """Print what to do for the records that were not confirmed; return 1 if there are any."""
    print(
        f'make all their runs anew: `make record NB="{" ".join(left)}"`'
        if left
        else "all records are up to date"
    )
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
