"""Fixtures that several test files share."""

import os
from pathlib import Path

import pytest

from deepfm_helpers import fetching
from deepfm_helpers.press.warm import WarmParent

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data():
    """Return a function from "ml-1m" or "ml-100k" to its folder; without it the test is skipped.

    With DEEPFM_REQUIRE_REAL_DATA set it fails instead.
    """
    root = fetching.data_folder() or SHARED_DATA

    def folder(name: str) -> Path:
        if not (path := fetching.within(root, name)):
            missing = pytest.fail if os.environ.get("DEEPFM_REQUIRE_REAL_DATA") else pytest.skip
            missing(f"no {name} in {root}: set DEEPFM_DATA")
        return path

    return folder


@pytest.fixture(scope="session")
def warm_how():
    """Further arguments for `kernels.run`, with which a kernel need not import TensorFlow; none, if it has to."""
    with WarmParent() as parent:
        yield {"manager": parent.manager} if parent.manager else {}
