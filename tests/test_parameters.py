"""The rules of parameters, and what a parameters cell declares: read without running it, and strictly."""

from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml

from deepfm_helpers import parameters
from deepfm_helpers.parameters import ListOf, OneOf, Real, Whole
from deepfm_helpers.press import reruns

CHAPTERS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize(
    "good",
    [
        {"dataset": "planted", "seed": 0, "epochs": 200, "k": 1},
        {"seed": 2**31 - 1, "batch_size": 16, "n_seeds": 20},
        {"seed": np.int64(3), "dropout": np.float32(0.5), "hidden": (64, np.int32(32))},
        {"dropout": 0, "penalty": 0.0, "learning_rate": 1e-9, "averaging": 0.999},
        {"hidden": [], "fields": ["uid", "mid", "genre"]},
    ],
)
def test_parameters_in_range_pass(good):
    assert parameters.check_parameters(**good) is None


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        ({"epochs": 0}, ValueError, "parameter epochs = 0: must be a whole number from 1 to 200"),
        ({"epochs": 3.0}, TypeError, "parameter epochs = 3.0: must be a whole number"),
        ({"seed": -1}, ValueError, "parameter seed = -1: must be"),
        ({"seed": 2**31}, ValueError, "to 2,147,483,647"),
        ({"epochs": float("nan")}, TypeError, "parameter epochs = nan"),
        ({"dropout": 1}, ValueError, "parameter dropout = 1: must be a number from 0 to 1, but not 1"),
        ({"learning_rate": 0.0}, ValueError, "must be a number from 0 to 10, but not 0"),
        ({"learning_rate": -1e-3}, ValueError, "parameter learning_rate = -0.001: must be"),
        ({"penalty": float("nan")}, ValueError, "parameter penalty = nan"),
        ({"penalty": float("inf")}, ValueError, "parameter penalty = inf"),
        ({"dropout": True}, TypeError, "must be a number from 0 to 1"),
        ({"dropout": np.bool_(True)}, TypeError, "must be a number from 0 to 1"),
        ({"epochs": True}, TypeError, "YAML reads yes, on and true as True"),
        ({"seed": None}, TypeError, "parameter seed = None: must be a whole number"),
        (
            {"dataset": "ml-20m"},
            ValueError,
            "must be one of ml-100k, ml-1m, ml-latest-small, ml-32m, planted",
        ),
        ({"dataset": 1}, TypeError, "must be one of ml-100k"),
        ({"dataset": False}, TypeError, "YAML reads no, off and false as False: put a text in quotes"),
        ({"seed": "1"}, TypeError, "parameter seed = '1': must be a whole number from 0"),
        ({"seed": "007"}, TypeError, "this is a text: write 7"),
        ({"learning_rate": "1e-3"}, TypeError, "this is a text: write 1.0e-3 in YAML"),
        ({"learning_rate": "2.5E3"}, TypeError, "this is a text: write 2.5e+3 in YAML"),
        ({"k": [4, 8]}, TypeError, "this is a list: the several values of a sweep belong under its grid"),
        ({"k": (4, 8)}, TypeError, "parameter k = (4, 8): must be a whole number"),
        ({"hidden": 64}, TypeError, "for a list with this one value, write [64]"),
        ({"hidden": [64, 0]}, ValueError, "parameter hidden[1] = 0: must be a whole number from 1 to 4,096"),
        ({"hidden": [64, True]}, TypeError, "parameter hidden[1] = True"),
        ({"hidden": [8] * 9}, ValueError, "must be a list of 0 to 8 values, each a whole number"),
        ({"fields": "uid"}, TypeError, "write [uid]"),
        ({"fields": "[uid, mid]"}, TypeError, "put each of its names in quotes, as in ['uid', 'mid']"),
        ({"fields": []}, ValueError, "a list of 1 to"),
        ({"fields": ["uid", "uid"]}, ValueError, "different values"),
        ({"fields": ["uid", "film"]}, ValueError, "parameter fields[1] = 'film': must be one of user_fea3"),
        ({"epoch": 3}, ValueError, "parameter epoch: the table in deepfm_helpers/parameters.py has no rule"),
        ({"epochs": "x" * 999}, TypeError, "xxx...: must be a whole number"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(bad, error, says):
    with pytest.raises(error) as caught:
        parameters.check_parameters(**bad)
    assert says in str(caught.value)


def test_what_yaml_reads_as_advised_is_a_number():
    for text in ("1e-3", "2E3", ".5e1", "1_000", "007"):
        assert not isinstance(yaml.safe_load(f"'{text}'"), (int, float))
        with pytest.raises(TypeError) as caught:
            parameters.check_parameters(learning_rate=text)
        advice = str(caught.value).partition(": write ")[2].split(" ")[0]
        assert yaml.safe_load(advice) == float(text)


def limits(rule) -> tuple[list, list]:
    """Values at the limits of a rule, and values just outside."""
    match rule:
        case OneOf(choices):
            return list(choices), ["other"]
        case Whole(low, high):
            return [low, high], [low - 1, high + 1]
        case Real(low, high, without):
            ends = [low, high]
            inside = [end for end in ends if end not in without]
            return [*inside, (low + high) / 2], [*without, low - 1e-9, high * (1 + 1e-9)]
        case ListOf(each, least, most, distinct):
            inside, outside = limits(each)
            values = (inside * most)[:most] if not distinct else inside[:most]
            return [values, values[:least]], [[one] for one in outside]


@pytest.mark.parametrize("name", parameters.PARAMETERS)
def test_a_rule_accepts_its_own_limits_and_nothing_beyond(name):
    inside, outside = limits(parameters.PARAMETERS[name])
    for value in inside:
        assert parameters.checked(name, value) == value
    for value in outside:
        with pytest.raises(ValueError, match=f"parameter {name}"):
            parameters.checked(name, value)


def test_a_checked_value_is_plain_python():
    for name, value, plain in [
        ("seed", np.int64(3), 3),
        ("dropout", 0, 0.0),
        ("dropout", np.float64(0.5), 0.5),
        ("hidden", np.array([64, 32]), [64, 32]),
        ("hidden", (64, np.int32(32)), [64, 32]),
        ("dataset", np.str_("planted"), "planted"),
    ]:
        found = parameters.checked(name, value)
        assert found == plain
        assert type(found) is type(plain)
        assert not isinstance(found, list) or {type(one) for one in found} == {int}


def test_every_rule_of_the_table_has_a_chapter():
    used = set().union(*(reruns.declared(path) for path in CHAPTERS))
    assert used == set(parameters.PARAMETERS)


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with the given parameters cells, then a cell of code; return its path."""

    def write(*declarations: str, code: str = "", tag: str = "parameters") -> Path:
        cells = [nbformat.v4.new_code_cell(one, metadata={"tags": [tag]}) for one in declarations]
        cells.append(nbformat.v4.new_code_cell(code))
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "tiny.ipynb")
        return tmp_path / "tiny.ipynb"

    return write


@pytest.mark.parametrize(
    ("line", "annotation", "default", "about"),
    [
        ("k: int = 8  # length of the vectors", "int", 8, "length of the vectors"),
        ("k: int = 8", "int", 8, ""),
        ("k = 8  # no type", "", 8, "no type"),
        ("k: int | None = None  # may be left out", "int | None", None, "may be left out"),
        ("k: 'int | None' = 4", "int | None", 4, ""),
        (
            "k: Literal['#1', 'b'] = '#1'  # a # inside a text",
            "Literal['#1', 'b']",
            "#1",
            "a # inside a text",
        ),
        ("k: typing.Literal[1, 2] = 2", "typing.Literal[1, 2]", 2, ""),
        ('k: str = "a # b"  # help', "str", "a # b", "help"),
        ("k: float = -1e-3", "float", -0.001, ""),
        ("k: bool = False", "bool", False, ""),
        ("k: list[int] = [\n    64,  # wide\n    32,\n]  # widths", "list[int]", [64, 32], "widths"),
        ("k: list[Literal['a']] = []", "list[Literal['a']]", [], ""),
        ('"""What to turn."""\nk: int = 8  # help', None, None, None),
    ],
)
def test_a_parameters_cell_is_read_without_running_it(notebook, line, annotation, default, about):
    if annotation is None:
        with pytest.raises(ValueError, match="expected `name: type = value"):
            reruns.declared(notebook(line))
    else:
        assert reruns.declared(notebook(line)) == {"k": ("k", annotation, default, about)}


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("k: int = 2 ** 3", "line 1, 'k: int = 2 ** 3': the default of k is computed"),
        ("seed: int = 1\nk: int = seed", "line 2, 'k: int = seed': the default of k is computed"),
        ("k: int", "k has no default"),
        ("k = None", "None does not say what else k may be"),
        ("k: dict = {}", "the type dict cannot be read; expected int, float"),
        ("k: list[thing] = []", "the type thing cannot be read"),
        ("k: 'int |' = 1", "the type 'int |' cannot be read"),
        ("a, b = 1, 2", "expected `name: type = value"),
        ("import os", "line 1, 'import os': expected"),
        ("k: int = 1\nk: int = 2", "line 2, 'k: int = 2': k stands in an earlier line too"),
        ("k: int = 1\nk: int = (", "parameters cell, line 2"),
        ("%matplotlib inline", "parameters cell, line 1"),
    ],
)
def test_a_parameters_cell_that_cannot_be_read_is_an_error_with_its_line(notebook, cell, says):
    with pytest.raises(ValueError, match=r"tiny\.ipynb, parameters cell") as caught:
        reruns.declared(notebook(cell))
    assert says in str(caught.value)


def test_a_notebook_has_one_parameters_cell_and_is_no_result_of_a_run(notebook, tmp_path):
    with pytest.raises(ValueError, match=r"tiny\.ipynb: cells 1, 2 are tagged parameters"):
        reruns.declared(notebook("k: int = 1", "seed: int = 1"))
    with pytest.raises(ValueError, match=r"tiny\.ipynb is the result of a run"):
        reruns.declared(notebook("k: int = 1", tag="injected-parameters"))
    assert reruns.declared(notebook()) == {}
    with pytest.raises(ValueError, match="has no parameter k; it has none: no cell is tagged parameters"):
        reruns.complete(notebook(), {"k": 3})
    (tmp_path / "text.ipynb").write_text("no notebook")
    (tmp_path / "list.ipynb").write_text("[]")
    for name in ("text.ipynb", "list.ipynb"):
        with pytest.raises(ValueError, match=f"{name} is no notebook"):
            reruns.declared(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        reruns.declared(tmp_path / "none.ipynb")


def test_a_run_gets_all_parameters_in_their_order_as_plain_values(notebook):
    path = notebook(
        "dropout: float = 0  # share\nhidden: list[int] = [64]  # widths\nseed: int = 1  # chance",
        code="print(dropout, hidden, seed)",
    )
    assert reruns.complete(path) == {"dropout": 0.0, "hidden": [64], "seed": 1}
    found = reruns.complete(path, {"seed": np.int64(3), "hidden": (8, 4), "dropout": 0})
    assert list(found.items()) == [("dropout", 0.0), ("hidden", [8, 4]), ("seed", 3)]
    assert [type(value) for value in found.values()] == [float, list, int]


@pytest.mark.parametrize(
    ("cell", "given", "error", "says"),
    [
        ("seed: int = 1", {"sead": 3}, ValueError, "tiny.ipynb has no parameter sead; it has seed"),
        ("seed: int = 1", {False: 3}, ValueError, "tiny.ipynb has no parameter False"),  # YAML's `no: 3`
        ("seed: int = 1", {"seed": "1e3"}, TypeError, "tiny.ipynb: parameter seed = '1e3': must be a whole"),
        ("seed: int = 1", {"seed": -1}, ValueError, "tiny.ipynb: parameter seed = -1: must be"),
        ("seed: int = 1", {"seed": None}, TypeError, "parameter seed = None"),
        ("seed: int = -1", {}, ValueError, "parameter seed = -1"),
        ("seed: str = '1'", {}, TypeError, "parameter seed = '1'"),
        ("speed: int = 1", {}, ValueError, "the table in deepfm_helpers/parameters.py has no rule for it"),
        ("dropout: int = 0", {"dropout": 0.5}, TypeError, "= 0.5: the notebook declares it as int"),
        (
            "dataset: Literal['planted'] = 'planted'",
            {"dataset": "ml-1m"},
            TypeError,
            "parameter dataset = 'ml-1m': the notebook declares it as Literal['planted']",
        ),
    ],
)
def test_a_value_that_the_notebook_does_not_take_is_refused_before_a_run(notebook, cell, given, error, says):
    path = notebook(cell, code="print(seed, speed, dropout, dataset)")
    with pytest.raises(error) as caught:
        reruns.complete(path, given)
    assert says in str(caught.value)


def test_none_is_a_value_where_the_notebook_says_so(notebook):
    path = notebook("k: int | None = None  # none: no vectors", code="print(k)")
    assert reruns.complete(path) == {"k": None}
    assert reruns.complete(path, {"k": 8}) == {"k": 8}
    with pytest.raises(TypeError, match="parameter k = True"):
        reruns.complete(path, {"k": True})


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("print(k)", True),
        ("def f():\n    return [k for _ in range(3)]", True),
        ("f'{k:.2f}'", True),
        ("%timeit f(k)", True),
        ("%%time\nf(k)", True),
        ("check_parameters(k=k)", False),
        ("parameters.check_parameters(k=k, seed=1)", False),
        ("check_parameters(k=k)\nprint(k)", True),
        ("k = 3", False),
        ("model(k=3)", False),
        ("# k\n'k'", False),
    ],
)
def test_a_parameter_that_no_later_cell_uses_is_an_error(notebook, code, used):
    path = notebook("k: int = 8", code=code)
    if used:
        assert reruns.complete(path) == {"k": 8}
    else:
        with pytest.raises(ValueError, match=r"tiny\.ipynb: no cell after the parameters uses k"):
            reruns.complete(path, {"k": 3})


def test_a_later_cell_that_is_no_python_is_an_error_with_its_place(notebook):
    with pytest.raises(ValueError, match=r"tiny\.ipynb, cell 2, line 2"):
        reruns.complete(notebook("k: int = 8", code="print(k)\nprint("))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1e-3", -0.001),
        ("1e-3", 0.001),
        ("True", True),
        ("ml-1m", "ml-1m"),
        ("[1, 2]", [1, 2]),
        ("'3'", "3"),
        ("", ""),
        ("0", 0),
        ("0.5", 0.5),
        ("007", "007"),
        ("00", "00"),
        ("-07.5", "-07.5"),
        ("+".join(["1"] * 3000), "+".join(["1"] * 3000)),
    ],
)
def test_a_value_from_the_command_line_keeps_its_type(text, value):
    read = reruns.parse_value(text)
    assert read == value
    assert type(read) is type(value)
