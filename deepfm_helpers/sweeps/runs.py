"""One run of a sweep and its folder: reading run folders back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path


def finished(folder: Path) -> list[dict]:
    """What each finished run of a sweep's folder holds in its run.json, sorted by name; an unreadable one is named."""
    found = []
    for path in sorted(Path(folder).glob("runs/*/run.json")):
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
            if run["name"] != path.parent.name:
                raise ValueError(f"it is of run {run['name']}")
        except (ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{path} is no record of a run and left out: {error}", stacklevel=2)
        else:
            found.append(run)
    return found


def failed(folder: Path) -> dict[str, str]:
    """Why each run failed that has an error.txt and no run.json, by name."""
    errors = sorted(Path(folder).glob("runs/*/error.txt"))
    return {
        path.parent.name: path.read_text(encoding="utf-8")
        for path in errors
        if not path.with_name("run.json").exists()
    }
