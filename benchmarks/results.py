"""The measured rows: what a row holds, how repeats become one row, the file that keeps the rows, the printed table."""

import json
import math
import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from statistics import median, stdev

from benchmarks import origin

FILE = Path(__file__).with_name("results.json")
FIELDS = {
    "task": str,
    "system": str,
    "data": str,
    "metric": str,
    "value": float,
    "spread": float,
    "n": int,
    "seconds": float,
    "machine": dict,
    "date": str,
    "fingerprint": str,
    "digest": str,
}
MAY_LACK = {"date": None, "fingerprint": None, "digest": None}
"""Fields that may be missing, and what stands for them: all in older rows, the fingerprint in rows without a file."""

PACKAGES = ("tensorflow", "keras", "numpy", "pandas")


def row(
    task: str,
    system: str,
    data: str,
    metric: str,
    values: Sequence[float],
    seconds: float,
    machine: dict,
) -> dict:
    """Make one measured row.

    Args:
        task, system, data, metric: what was measured; the name of a metric with a unit holds the unit.
        values: the repeats.
        seconds: time that one repeat takes.
        machine: see `machine`.

    Returns:
        The checked row. Its `value` is the median of the repeats, `spread` their standard deviation, 0 for a single
        one; it has the date, the fingerprint of the data and a digest of the code, see `origin`.

    Raises:
        LookupError: no program measures the system.
        ValueError: see `checked`.
    """
    values = [float(v) for v in values]
    spread = stdev(values) if len(values) > 1 else 0.0
    measured = (float(median(values)), spread, len(values), float(seconds), machine)
    made = (date.today().isoformat(), origin.fingerprint(data), origin.digest(task, system))
    return checked(dict(zip(FIELDS, (task, system, data, metric, *measured, *made), strict=True)))


def ratio_row(
    task: str, system: str, other: str, data: str, metric: str,
    ours: Sequence[float], theirs: Sequence[float], machine: dict,
) -> dict:  # fmt: skip
    """Make the row of the ratio of `metric` between one system and the other, taken round by round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return row(task, f"{system} / {other}", data, f"{metric}_ratio", ratios, 0.0, machine)


def checked(one: dict) -> dict:
    """Check a row and return it.

    Raises:
        ValueError: a field is missing, unknown, of the wrong type, empty, or not a finite number.
    """
    if set(one) != set(FIELDS):
        raise ValueError(f"a row has the fields {', '.join(FIELDS)}, not {', '.join(one)}")
    for name, kind in FIELDS.items():
        value = one[name]
        if value is None and name in MAY_LACK:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{name} = {value!r} is not of type {kind.__name__}")
        if kind is str and not value:
            raise ValueError(f"{name} is empty")
        if kind is float and not math.isfinite(value):
            raise ValueError(f"{name} = {value} is not a finite number")
    if one["n"] < 1 or one["spread"] < 0 or one["seconds"] < 0:
        raise ValueError("n must be 1 or more, spread and seconds 0 or more")
    return one


def read(file: Path = FILE) -> list[dict]:
    """Read the stored rows and check them; without the file there are none."""
    return [checked(MAY_LACK | one) for one in json.loads(file.read_text("utf-8"))] if file.exists() else []


def store(rows: Iterable[dict], file: Path = FILE) -> None:
    """Add rows to the file in place of those that it holds of the same task, system and data.

    The file is replaced in one step, so that it is whole even if this process is killed.
    """
    rows = [checked(one) for one in rows]
    new = {_what(one) for one in rows}
    _write([one for one in read(file) if _what(one) not in new] + rows, file)


def renew(task: str, systems: Iterable[str], file: Path = FILE) -> None:
    """Give the stored rows of systems the digest of today's code, which has made one of them again."""
    today = {system: origin.digest(task, system) for system in systems}
    rows = read(file)
    for one in rows:
        if one["task"] == task and one["system"] in today and one["digest"]:
            one["digest"] = today[one["system"]]
    _write(rows, file)


def _write(rows: list[dict], file: Path) -> None:
    part = file.with_name(file.name + ".part")
    text = json.dumps(sorted(rows, key=lambda one: one["task"]), indent=1, ensure_ascii=False)
    part.write_text(text + "\n", "utf-8")
    os.replace(part, file)


def _what(one: dict) -> tuple[str, str, str]:
    return one["task"], one["system"], one["data"]


def machine() -> dict:
    """Describe the machine by processor, cores, memory and versions, on which figures depend, and not by its name."""
    return {
        "processor": _first(r"model name\s*:\s*(.+)", "/proc/cpuinfo") or platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(int(_first(r"MemTotal:\s+(\d+)", "/proc/meminfo") or 0) / 2**20) or None,
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _first(pattern: str, file: str) -> str | None:
    found = re.search(pattern, Path(file).read_text("utf-8")) if Path(file).exists() else None
    return found[1].strip() if found else None


def table(rows: Iterable[dict]) -> str:
    """Return the rows as aligned text, with the ratios last in each task."""
    head = ("task", "data", "system", "metric", "value", "± sd", "n", "seconds")
    rows = sorted(rows, key=lambda one: (one["task"], one["data"], " / " in one["system"]))
    cells = [head] + [
        (
            one["task"], one["data"], one["system"], one["metric"], _short(one["value"]),
            _short(one["spread"]), str(one["n"]), _short(one["seconds"]),
        )
        for one in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            c.ljust(w) if i < 4 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
