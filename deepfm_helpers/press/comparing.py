"""Compare recorded values with those of a fresh run, number by number."""

from __future__ import annotations

import math
from collections.abc import Iterator

SUMS = 1e-6
"""How far two sums of the same floats may differ, relative to their size, in any order of adding."""

ZERO = 1e-9
"""How far a sum may be from zero that would be zero without rounding."""


def unlike(
    stored: object, fresh: object, within: float | None = None, name: str = "record", sums: float = SUMS
) -> Iterator[str]:
    """Yield every place, in words, where a recorded value and that of a fresh run are not the same.

    Numbers may differ by ``within``. Without it whole numbers may not differ, and floats by ``sums`` of their size.
    """
    if isinstance(stored, dict) and isinstance(fresh, dict):
        for key in stored.keys() - fresh.keys():
            yield f"{name}[{key!r}] is stored, and this run has no such value"
        for key in fresh.keys() - stored.keys():
            yield f"{name}[{key!r}] of this run is not stored"
        for key in stored.keys() & fresh.keys():
            yield from unlike(stored[key], fresh[key], within, f"{name}[{key!r}]", sums)
    elif isinstance(stored, list) and isinstance(fresh, list) and len(stored) == len(fresh):
        for i, pair in enumerate(zip(stored, fresh, strict=True)):
            yield from unlike(*pair, within, f"{name}[{i}]", sums)
    elif not _same(stored, fresh, within, sums):
        given = "" if within is None else f" (within {within})"
        yield f"{name}: stored {stored!r}, in this run {fresh!r}{given}"


def _same(stored: object, fresh: object, within: float | None, sums: float) -> bool:
    if not (_is_number(stored) and _is_number(fresh)):
        return type(stored) is type(fresh) and stored == fresh
    if within is not None:
        return abs(stored - fresh) <= within
    if isinstance(stored, int) and isinstance(fresh, int):
        return stored == fresh
    return math.isclose(stored, fresh, rel_tol=sums, abs_tol=ZERO)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
