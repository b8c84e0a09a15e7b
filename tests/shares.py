"""Which part of a long check is tried: a third that the commit decides, or all of it with ``WHOLE=1``."""

import os
from collections.abc import Sequence

from deepfm_helpers.press.checkout import HERE


def share(names: Sequence[str], commit: str | None = None) -> list[str]:
    """Return every third of the names, beginning where the commit says; all with ``WHOLE`` or without a commit."""
    if commit is None:
        commit = "" if os.environ.get("WHOLE") else HERE.git("rev-parse", "HEAD")
    return list(names[int(commit, 16) % 3 :: 3]) if commit else list(names)
