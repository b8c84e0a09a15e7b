"""The examples in docstrings and on the API page give what they print."""

import doctest
import importlib
from pathlib import Path

import pytest

from deepfm_helpers.press.checkout import HERE

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
WITH_EXAMPLES = [path for path in sorted(HERE.package.rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_a_module_hold(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(".".join(path.relative_to(HERE.root).with_suffix("").parts))
    failed, tried = doctest.testmod(module, optionflags=OPTIONS)
    assert tried > 0
    assert failed == 0


def test_the_example_of_the_api_page_holds():
    failed, tried = doctest.testfile(
        str(Path(HERE.root, "book", "api.md")), module_relative=False, optionflags=OPTIONS, encoding="utf-8"
    )
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("name", ["recipes", "recommending", "ranking", "anatomy", "saving"])
def test_what_readers_experiment_with_has_an_example(name):
    assert HERE.package / f"{name}.py" in WITH_EXAMPLES
