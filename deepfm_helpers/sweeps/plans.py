"""Turn a sweep file or a dict into a list of runs, each with all its parameters, checked and named."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from deepfm_helpers import datasets, fetching
from deepfm_helpers.own import data as own
from deepfm_helpers.page import versions
from deepfm_helpers.parameters import is_folder, told
from deepfm_helpers.press import reruns
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.digests import digest, digest_of_run

LIMIT = 10_000
"""More runs than this are most likely a mistake; a reader who means it gives a higher limit."""

KEYS = ("notebook", "fixed", "grid", "seeds", "points", "sample")


class PlanError(ValueError):
    """Raised for a sweep that cannot be run as it is asked for; the message says why, where, and what is allowed."""


@dataclass(frozen=True)
class Run:
    """One notebook with one set of parameters; `name` is its stem with a hash of all that can change a result."""

    name: str
    notebook: Path
    parameters: dict[str, object]
    digest: str
    fingerprint: str | None


@dataclass(frozen=True)
class Plan:
    """The runs of a sweep, in order and each once, with what was asked for."""

    runs: tuple[Run, ...]
    asked: tuple[dict, ...]

    @classmethod
    def read(
        cls, path: str | Path, changes: Mapping[str, Sequence] | None = None, limit: int = LIMIT, **how
    ) -> Plan:
        """Make the plan of a sweep file, which is YAML, with ``---`` between several sweeps.

        The path of a notebook counts from the working directory, from the file's folder or from this book's, whichever
        leads to a file first. The path of a folder of data counts from the working directory.

        Args:
            path: the file.
            changes: parameter -> values, which replace those in the file.
            limit: largest number of runs that is allowed.
            how: `fingerprint_of`, see :meth:`of`.

        Raises:
            PlanError: the file cannot be read, or see :meth:`of`.
        """
        path = Path(path)
        try:
            asked = list(yaml.load_all(path.read_text(encoding="utf-8"), _Strict))
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
        except yaml.YAMLError as error:
            raise PlanError(f"{path}: not readable as YAML: {_in_one_line(error)}") from None
        except PlanError as error:
            raise PlanError(f"{path}: {error}") from None
        beside = path.resolve().parent
        return cls.of(*asked, changes=changes, limit=limit, beside=beside, where=str(path), **how)

    @classmethod
    def of(
        cls,
        *asked: Mapping,
        changes: Mapping[str, Sequence] | None = None,
        limit: int = LIMIT,
        beside: Path | None = None,
        where: str = "sweep",
        fingerprint_of: Callable[[str | None], str | None] | None = None,
    ) -> Plan:
        """Make the plan of sweeps that are given as dicts, with the keys of a sweep file.

        - ``notebook``: path of the notebook.
        - ``fixed``: parameters that have one value in all runs.
        - ``grid``: parameter → list of values; every combination is a run.
        - ``seeds``: values of ``seed`` for every combination: a list, or a text such as ``1-5, 8``.
        - ``points``: further single runs, each a dict of parameters.
        - ``sample``: further runs drawn at random: their ``number``, the ``seed`` of the draw (by default 1) and
          ``ranges``, parameter → [low, high] (whole numbers if both ends are) or [low, high, log].

        Args:
            asked: the dicts.
            changes, limit: see :meth:`read`.
            beside: a folder from which the path of a notebook may count.
            where: name of the sweeps in error messages.
            fingerprint_of: function of a dataset's name that returns its fingerprint; by default :func:`fingerprint`,
                which fetches data that is not on this machine.

        Raises:
            PlanError: a key is unknown, there is nothing to run, a parameter is given twice, the notebook does not have
                it, a value is not allowed, or there are more runs than `limit`.
        """
        if not asked or not any(asked):
            raise PlanError(f"{where}: is empty; a sweep needs at least the key notebook")
        runs: dict[str, Run] = {}
        total = 0
        for number, sweep in enumerate(asked, start=1):
            place = where if len(asked) == 1 else f"{where}, sweep {number}"
            try:
                total += _count(sweep)
                if total > limit:
                    raise PlanError(f"{total:,} runs are more than {limit:,}; to run them, raise the limit")
                notebook = _notebook(sweep, beside)
                for run in _runs(
                    notebook, _points(_changed(sweep, changes or {})), fingerprint_of or fingerprint
                ):
                    runs.setdefault(run.name, run)
            except (PlanError, TypeError, ValueError) as error:
                raise PlanError(f"{place}: {error}") from None
        return cls(tuple(runs.values()), tuple(dict(sweep) for sweep in asked))

    def only(self, wanted: Callable[[Run], bool]) -> Plan:
        """Return the plan of the runs for which `wanted` is true."""
        return replace(self, runs=tuple(run for run in self.runs if wanted(run)))

    def labels(self) -> dict[str, str]:
        """Return for each run, by name, what tells it from the others: the parameters that differ, and the notebook."""
        of_notebook: dict[Path, list[Run]] = {}
        for run in self.runs:
            of_notebook.setdefault(run.notebook, []).append(run)
        labels = {}
        for notebook, alike in of_notebook.items():
            values = {name: {repr(run.parameters.get(name)) for run in alike} for name in alike[0].parameters}
            varied = [name for name, different in values.items() if len(different) > 1]
            for run in alike:
                words = [f"{name}={_shown(told(run.parameters).get(name))}" for name in varied]
                stem = [notebook.stem] if len(of_notebook) > 1 or not words else []
                labels[run.name] = " ".join(stem + words)
        return {run.name: labels[run.name] for run in self.runs}

    def resolved(self) -> dict:
        """Return what was asked for and the runs that follow from it, for the sweep's folder."""
        runs = [
            {"name": run.name, "notebook": run.notebook.stem, "parameters": told(run.parameters)}
            for run in self.runs
        ]
        return {"asked": list(self.asked), "versions": versions(), "runs": runs}


def _shown(value: object) -> str:
    return str(value).replace(" ", "")


def _in_one_line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return problem + (f", line {mark.line + 1}, column {mark.column + 1}" if mark else "")


class _Strict(yaml.SafeLoader):
    """A YAML loader that refuses a key that is given twice."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if not isinstance(key, str):
                hint = " (YAML reads on, off, yes and no as true and false)" if isinstance(key, bool) else ""
                raise PlanError(f"line {node.start_mark.line + 1}: the key {key!r} is no name{hint}")
            if keys.count(key) > 1:
                raise PlanError(f"line {node.start_mark.line + 1}: {key} is given twice")
        return super().construct_mapping(node, deep)


def _mapping(sweep: Mapping, key: str) -> dict:
    value = sweep.get(key) or {}
    if not isinstance(value, Mapping):
        raise PlanError(f"{key} is {value!r}; it needs names with values")
    return dict(value)


def _count(sweep: Mapping) -> int:
    """Count the runs that a sweep asks for without making them; check its keys and the kinds of their values."""
    if not isinstance(sweep, Mapping):
        raise PlanError(f"is {sweep!r}; a sweep has the keys {', '.join(KEYS)}")
    if unknown := [str(key) for key in sweep if key not in KEYS]:
        raise PlanError(f"unknown key {', '.join(unknown)}; a sweep has {', '.join(KEYS)}")
    grid = _mapping(sweep, "grid")
    for name, values in grid.items():
        if not isinstance(values, list | tuple):
            raise PlanError(f"grid: {name} is {values!r}; it needs a list of values (or belongs to fixed)")
        if not values:
            raise PlanError(f"grid: {name} has no values, so there is nothing to run")
    if "grid" in sweep and not grid:
        raise PlanError("grid is empty, so there is nothing to run")
    points = sweep.get("points") or []
    if not isinstance(points, list | tuple) or not all(isinstance(point, Mapping) for point in points):
        raise PlanError("points: give a list, each entry with names and values")
    seeds = _seeds(sweep["seeds"]) if "seeds" in sweep else [None]
    combinations = math.prod(len(values) for values in grid.values()) if grid or _alone(sweep) else 0
    number = _mapping(sweep, "sample").get("number")
    return (combinations + len(points) + (number if isinstance(number, int) else 0)) * len(seeds)


def _alone(sweep: Mapping) -> bool:
    """Tell whether the fixed parameters make a run of their own, because nothing else makes one."""
    return not (sweep.get("points") or sweep.get("sample"))


def _seeds(asked: object) -> list:
    if isinstance(asked, int) and not isinstance(asked, bool):
        return [asked]
    if isinstance(asked, list | tuple):
        seeds = list(asked)
    else:
        seeds = []
        for part in str(asked).split(","):
            found = re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)
            if not found:
                raise PlanError(f"seeds: {asked!r} is neither a list nor a text such as 1-5, 8")
            first, last = int(found[1]), int(found[2] or found[1])
            if last - first >= 1_000_000:
                raise PlanError(f"seeds: {part.strip()} are more than a million")
            seeds += range(first, last + 1)
    if not seeds:
        raise PlanError(f"seeds: {asked!r} holds no seed, so there is nothing to run")
    if twice := [seed for seed, number in Counter(seeds).items() if number > 1]:
        raise PlanError(f"seeds: {', '.join(map(str, sorted(twice)))} is given twice")
    return seeds


def _changed(sweep: Mapping, changes: Mapping[str, Sequence]) -> dict:
    """Return the sweep with the values of `changes` in place of its own."""
    if not changes:
        return dict(sweep)
    changed = dict(sweep)
    fixed, grid = _mapping(sweep, "fixed"), _mapping(sweep, "grid")
    for name, values in changes.items():
        if any(name in point for point in [*(sweep.get("points") or []), _ranges(sweep)]):
            raise PlanError(f"{name} cannot be set: points or sample of the sweep give it values")
        fixed.pop(name, None)
        grid.pop(name, None)
        if name == "seed":
            changed["seeds"] = list(values)
        elif len(values) == 1:
            fixed[name] = values[0]
        else:
            grid[name] = list(values)
    return {key: value for key, value in (changed | {"fixed": fixed, "grid": grid}).items() if value}


def _points(sweep: Mapping) -> list[dict]:
    """Return the parameters that each run of a sweep sets, in order."""
    fixed, grid = _mapping(sweep, "fixed"), _mapping(sweep, "grid")
    if both := set(fixed) & set(grid):
        raise PlanError(f"{', '.join(sorted(both))} stands in fixed and in grid")
    points = []
    if grid or _alone(sweep):
        points += [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    points += [dict(point) for point in sweep.get("points") or []]
    points += _drawn(sweep)
    seeds = [{"seed": seed} for seed in _seeds(sweep["seeds"])] if "seeds" in sweep else [{}]
    for name in ("fixed", "grid", "points"):
        given = sweep.get(name) or []
        if "seeds" in sweep and any(
            "seed" in part for part in ([given] if isinstance(given, Mapping) else given)
        ):
            raise PlanError(f"seed stands in {name}, and there are seeds")
    return [fixed | point | seed for point in points for seed in seeds]


def _ranges(sweep: Mapping) -> dict:
    return _mapping(_mapping(sweep, "sample"), "ranges")


def _drawn(sweep: Mapping) -> list[dict]:
    sample = _mapping(sweep, "sample")
    if not sample:
        return []
    if unknown := set(sample) - {"number", "seed", "ranges"}:
        raise PlanError(f"sample: unknown key {', '.join(sorted(unknown))}; it has number, seed and ranges")
    number, ranges = sample.get("number"), _ranges(sweep)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise PlanError(f"sample: number is {number!r}; it needs a whole number from 1")
    if not ranges:
        raise PlanError("sample: ranges is missing; give each parameter [low, high] or [low, high, log]")
    rng = np.random.default_rng(sample.get("seed", 1))
    draws = {name: _draw(rng, name, bounds, number) for name, bounds in ranges.items()}
    return [dict(zip(draws, values, strict=True)) for values in zip(*draws.values(), strict=True)]


def _draw(rng: np.random.Generator, name: str, bounds: object, number: int) -> list:
    wanted = f"sample: {name} is {bounds!r}; it needs [low, high] or [low, high, log]"
    if not isinstance(bounds, list | tuple) or len(bounds) not in (2, 3):
        raise PlanError(wanted)
    low, high, *scale = bounds
    numbers = all(isinstance(b, int | float) and not isinstance(b, bool) for b in (low, high))
    if not numbers or scale not in ([], ["log"]) or not low < high or (scale and low <= 0):
        raise PlanError(wanted + ", with low below high, and above 0 on the scale log")
    whole = isinstance(low, int) and isinstance(high, int)
    if scale:
        values = np.exp(rng.uniform(math.log(low), math.log(high), number))
        values = np.clip(values.round() if whole else values, low, high)
    else:
        values = rng.integers(low, high, number, endpoint=True) if whole else rng.uniform(low, high, number)
    return [int(v) if whole else float(f"{v:.4g}") for v in values]  # four digits can be read and typed


def _notebook(sweep: Mapping, beside: Path | None) -> Path:
    name = sweep.get("notebook")
    if not isinstance(name, str):
        raise PlanError(
            "the key notebook is missing" if name is None else f"notebook is {name!r}, not a path"
        )
    places = [Path.cwd(), *([beside] if beside else []), HERE.root]
    for place in places:
        if (place / name).is_file():
            return (place / name).resolve()
    raise PlanError(f"no notebook {name} in {', '.join(map(str, dict.fromkeys(places)))}")


def _runs(notebook: Path, points: list[dict], fingerprint_of: Callable) -> list[Run]:
    code = digest_of_run(HERE, notebook)
    installed = versions()
    runs = []
    for parameters in reruns.complete_all(notebook, points):
        of_data = fingerprint_of(parameters.get("dataset"))
        hashed = digest(notebook.stem, code, told(parameters), of_data, installed)
        runs.append(Run(f"{notebook.stem}-{hashed}", notebook, parameters, code, of_data))
    return runs


@cache
def fingerprint(dataset: str | None) -> str | None:
    """Return the fingerprint of a dataset, which is fetched if needed, or of the tables in a folder.

    A notebook that names no dataset has None.
    """
    if dataset is None:
        return None
    found = own.read(dataset) if is_folder("dataset", dataset) else datasets.load(dataset)
    return found.provenance.fingerprint


def fingerprint_at_hand(dataset: str | None) -> str | None:
    """Return the same as :func:`fingerprint`, but None for data that would have to be fetched."""
    folders = [folder for folder in (fetching.data_folder(), fetching.cache_folder()) if folder]
    fetched = dataset in fetching.PUBLISHED.datasets
    here = not fetched or any(fetching.within(folder, dataset) for folder in folders)
    return fingerprint(dataset) if here else None
