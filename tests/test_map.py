"""The structure of the code: the maps that the packages and the API page print are the real ones."""

import ast
import re
from pathlib import Path

import pytest

import deepfm_helpers
from deepfm_helpers import own, press, sweeps
from deepfm_helpers.press.checkout import HERE
from deepfm_helpers.press.digests import imported
from deepfm_helpers.sweeps import cli

FLOORS = {
    "reader": (deepfm_helpers, HERE.package),
    "own": (own, HERE.package / "own"),
    "press": (press, HERE.package / "press"),
    "sweeps": (sweeps, HERE.package / "sweeps"),
}
HIDDEN = {"__init__", "__main__"}


def lines_of_map(package) -> list[list[str]]:
    """The map in the docstring of a package: a line for modules that may use those of the lines above."""
    block = re.search(r"::\n\n((?:    .*\n)+)", package.__doc__).group(1)
    return [re.findall(r"\w+", line.partition("#")[0]) for line in block.splitlines()]


@pytest.mark.parametrize("floor", FLOORS)
def test_the_map_of_a_floor_holds_each_module_once(floor):
    package, folder = FLOORS[floor]
    modules = {path.stem for path in folder.glob("*.py")} - HIDDEN
    named = [name for line in lines_of_map(package) for name in line]
    assert sorted(named) == sorted(modules)


@pytest.mark.parametrize("floor", FLOORS)
def test_a_module_uses_only_modules_that_stand_above_it_on_the_map(floor):
    package, folder = FLOORS[floor]
    above = set()
    for line in lines_of_map(package):
        for name in line:
            used = {p.stem for p in imported(HERE, folder / f"{name}.py") if p.parent == folder} - HIDDEN
            assert used <= above, f"{name} uses {', '.join(sorted(used - above))}"
        above |= set(line)


def test_a_floor_never_uses_one_above_it():
    for path in HERE.package.glob("*.py"):
        assert not [p for p in imported(HERE, path) if {"own", "press", "sweeps"} & set(p.parts)], path.name
    for path in (HERE.package / "own").glob("*.py"):
        assert not [p for p in imported(HERE, path) if {"press", "sweeps"} & set(p.parts)], path.name
    for path in (HERE.package / "press").glob("*.py"):
        assert not [p for p in imported(HERE, path) if "sweeps" in p.parts], path.name


def test_a_chapter_never_uses_the_press_or_another_chapter():
    for path in HERE.select():
        text = path.read_text(encoding="utf-8")
        assert "deepfm_helpers.press" not in text
        assert "deepfm_helpers.sweeps" not in text or path.stem == "13_reruns"


def test_the_sections_of_the_api_page_are_in_the_order_of_the_maps():
    groups = re.split(r"^## ", (HERE.root / "book" / "api.md").read_text(), flags=re.M)[1:]
    reader = [name for line in lines_of_map(deepfm_helpers) for name in line]
    order = [*reader, *(f"own.{name}" for line in lines_of_map(own) for name in line)]
    order += [f"press.{name}" for line in lines_of_map(press) for name in line]
    order += [f"sweeps.{name}" for line in lines_of_map(sweeps) for name in line]
    for group in groups:
        sections = [
            sorted(re.findall(r"automodule:: deepfm_helpers\.([\w.]+)", section), key=order.index)
            for section in re.split(r"^### ", group, flags=re.M)
        ]
        shown = [name for section in sections for name in section]
        assert shown == sorted(shown, key=order.index), group.splitlines()[0]


def test_the_commands_of_the_readme_exist():
    text = (HERE.root / "README.md").read_text(encoding="utf-8")
    text += (HERE.root / "book" / "how_to_use.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"^(\w+):", (HERE.root / "Makefile").read_text(), re.M))
    asked = set(re.findall(r"`?make (\w+)", text))
    assert {"book", "test", "lab"} <= asked <= targets | {"alone", "by"}
    for module in set(re.findall(r"python -m (deepfm_helpers[\w.]*)", text)):
        path = HERE.root.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
        assert "__main__" in ast.unparse(ast.parse(_source(path))), module


def test_the_commands_of_deepfm_in_the_book_exist():
    pages = [HERE.root / "README.md", *(HERE.root / "book").glob("*.md"), *HERE.select()]
    asked = {
        name for page in pages for name in re.findall(r"\bdeepfm (\w+)", page.read_text(encoding="utf-8"))
    }
    known = re.search(r"\{([\w,]+)\}", cli.command_line().format_usage()).group(1).split(",")
    assert asked <= set(known)
    assert {"run", "sweep", "collect", "compare", "plot"} <= asked


def _source(path: Path) -> str:
    file = path.with_suffix(".py")
    return (file if file.is_file() else path / "__main__.py").read_text(encoding="utf-8")
