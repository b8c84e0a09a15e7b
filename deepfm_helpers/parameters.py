"""The rules for the parameters of notebooks: one table gives the choices or the range of each parameter."""

import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deepfm_helpers.catalogue import DATASETS
from deepfm_helpers.features import FIELDS
from deepfm_helpers.lacking import watch


class Rule:
    """The rule that a parameter has to keep; each subclass is for one kind of value."""

    def wanted(self) -> str:
        """Return the rule in words, for an error message."""
        raise NotImplementedError

    def accepts_type(self, value: object) -> bool:
        """Tell whether ``value`` has the right type; a bool does not count as a number."""
        raise NotImplementedError

    def accepts_value(self, value: object) -> bool:
        """Tell whether ``value``, which has the right type, is allowed."""
        raise NotImplementedError

    def plain(self, value: object) -> object:
        """Return an accepted ``value`` as Python's own int, float, str or list."""
        raise NotImplementedError

    def checked(self, what: str, value: object) -> object:
        """Check ``value``, which an error message calls ``what``, and return its plain form.

        Raises:
            TypeError: the value has the wrong type.
            ValueError: the value is not allowed.
        """
        if not self.accepts_type(value):
            raise TypeError(f"{what} = {shown(value)}: must be {self.wanted()}{self._hint(value)}")
        if not self.accepts_value(value):
            raise ValueError(f"{what} = {shown(value)}: must be {self.wanted()}")
        return self.plain(value)

    def _hint(self, value: object) -> str:
        """Say how a value of the wrong type may have come about, and how to write the right one."""
        if isinstance(value, (bool, np.bool_)):
            words = "yes, on and true" if value else "no, off and false"
            return f"; YAML reads {words} as {value}: put a text in quotes, and write a number in digits"
        if isinstance(value, (list, tuple, np.ndarray)):
            return "; this is a list: the several values of a sweep belong under its grid"
        return ""


class _Number(Rule):
    def accepts_value(self, value: object) -> bool:
        return bool(self.low <= value <= self.high)

    def _hint(self, value: object) -> str:
        return f"; this is a text: {_how_to_write(value)}" if _is_number(value) else super()._hint(value)


@dataclass(frozen=True)
class Whole(_Number):
    """A whole number from ``low`` to ``high``."""

    low: int
    high: int

    def wanted(self) -> str:
        return f"a whole number from {self.low:,} to {self.high:,}"

    def accepts_type(self, value: object) -> bool:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)

    def plain(self, value: object) -> int:
        return int(value)


@dataclass(frozen=True)
class Real(_Number):
    """A number from ``low`` to ``high``, whole or not; ``without`` leaves out one end or both."""

    low: float
    high: float
    without: tuple[float, ...] = ()

    def wanted(self) -> str:
        but = f", but not {' or '.join(f'{end:,g}' for end in self.without)}" if self.without else ""
        return f"a number from {self.low:,g} to {self.high:,g}{but}"

    def accepts_type(self, value: object) -> bool:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)

    def accepts_value(self, value: object) -> bool:
        return super().accepts_value(value) and value not in self.without

    def plain(self, value: object) -> float:
        return float(value)


@dataclass(frozen=True)
class OneOf(Rule):
    """One of the texts ``choices``."""

    choices: tuple[str, ...]

    def wanted(self) -> str:
        return "one of " + ", ".join(self.choices)

    def accepts_type(self, value: object) -> bool:
        return isinstance(value, str)

    def accepts_value(self, value: object) -> bool:
        return value in self.choices

    def plain(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True)
class OneOfOrFolder(OneOf):
    """One of the texts ``choices``, or the path of a folder that holds the file ``holding``.

    A relative path counts from the working directory, and a leading ~ is the home folder; the plain form is absolute.
    """

    holding: str

    def wanted(self) -> str:
        return f"{super().wanted()}, or a folder that holds {self.holding}"

    def is_folder(self, value: object) -> bool:
        """Tell whether a value is no choice but such a folder."""
        return (
            isinstance(value, str)
            and value not in self.choices
            and Path(value).expanduser().joinpath(self.holding).is_file()
        )

    def accepts_value(self, value: object) -> bool:
        return super().accepts_value(value) or self.is_folder(value)

    def plain(self, value: object) -> str:
        return Path(value).expanduser().resolve().as_posix() if self.is_folder(value) else str(value)


@dataclass(frozen=True)
class ListOf(Rule):
    """A list of ``least`` to ``most`` values that each keep the rule ``each``; with ``distinct``, all differ."""

    each: Rule
    least: int
    most: int
    distinct: bool = False

    def wanted(self) -> str:
        distinct = " different" if self.distinct else ""
        return f"a list of {self.least} to {self.most}{distinct} values, each {self.each.wanted()}"

    def accepts_type(self, value: object) -> bool:
        return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)

    def accepts_value(self, value: object) -> bool:
        return self.least <= len(value) <= self.most and not (self.distinct and len(set(value)) < len(value))

    def checked(self, what: str, value: object) -> list:
        if self.accepts_type(value):
            value = [self.each.checked(f"{what}[{i}]", one) for i, one in enumerate(value)]
        return super().checked(what, value)

    def plain(self, value: object) -> list:
        return value

    def _hint(self, value: object) -> str:
        if isinstance(value, str) and value.lstrip().startswith("["):
            return "; this is one text: put each of its names in quotes, as in ['uid', 'mid']"
        if self.each.accepts_type(value):
            return f"; for a list with this one value, write [{value}]"
        return super()._hint(value)


def shown(value: object) -> str:
    """Return a value as an error message shows it, on one line of at most 100 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def _how_to_write(text: str) -> str:
    """Say how to write the number in a text so that YAML, too, reads a number."""
    mantissa, exponent = text.strip().lower().partition("e")[::2]
    if not exponent:
        return f"write {float(text):.15g}"
    point = "" if "." in mantissa else ".0"
    sign = "" if exponent[0] in "+-" else "+"
    return f"write {mantissa}{point}e{sign}{exponent} in YAML, which wants the point and the sign"


PARAMETERS: dict[str, Rule] = {
    "directions": OneOf(("add", "both")),
    "dataset": OneOf(tuple(DATASETS)),
    "seed": Whole(0, 2**31 - 1),
    "n_seeds": Whole(1, 20),
    "epochs": Whole(1, 200),
    "patience": Whole(1, 200),
    "steps_per_epoch": Whole(1, 100_000),
    "batch_size": Whole(16, 1_000_000),
    "k": Whole(1, 256),
    "n": Whole(1, 1_000),
    "hidden": ListOf(Whole(1, 4_096), least=0, most=8),
    "dropout": Real(0, 1, without=(1,)),
    "penalty": Real(0, 1e6),
    "noise": Real(0, 10, without=(0,)),
    "learning_rate": Real(0, 10, without=(0,)),
    "averaging": Real(0, 1, without=(1,)),
    "fields": ListOf(OneOf(tuple(FIELDS)), least=1, most=len(FIELDS), distinct=True),
}
"""The rule of each parameter, by name, for all notebooks.

:meta hide-value:"""

DESCRIPTION = "dataset.toml"
"""The file that makes a folder a dataset of one's own, see `own.layouts`."""

FOLDERS = {"dataset": OneOfOrFolder(tuple(DATASETS), holding=DESCRIPTION)}
"""The rules that take the place of those in :data:`PARAMETERS` for notebooks that take a folder of one's own.

:meta hide-value:"""


def is_folder(name: str, value: object) -> bool:
    """Tell whether the value of a parameter is a folder of one's own."""
    return name in FOLDERS and FOLDERS[name].is_folder(value)


def told(parameters: Mapping[str, object]) -> dict[str, object]:
    """Return parameters as outputs tell them: of a folder, its name without the way to it."""
    return {name: Path(value).name if is_folder(name, value) else value for name, value in parameters.items()}


def checked(name: str, value: object, *, folders: bool = False) -> object:
    """Check the value of a parameter against :data:`PARAMETERS`, and return it as a plain Python value.

    Args:
        name: the parameter.
        value: its value.
        folders: the rules of :data:`FOLDERS` hold.

    Raises:
        TypeError: the value has the wrong type; neither a bool nor a text with digits counts as a number.
        ValueError: the name is not in the table, or the value is not allowed.
    """
    if name not in PARAMETERS:
        known = ", ".join(sorted(PARAMETERS))
        raise ValueError(
            f"parameter {name}: the table in {__name__.replace('.', '/')}.py has no rule for it; "
            f"add one, or choose from {known}"
        )
    if folders:
        return (PARAMETERS | FOLDERS)[name].checked(f"parameter {name}", value)
    if is_folder(name, value):
        raise ValueError(
            f"parameter {name} = {shown(value)}: this notebook takes no folder; choose {PARAMETERS[name].wanted()}"
        )
    return PARAMETERS[name].checked(f"parameter {name}", value)


def check_parameters(*, folders: bool = False, **values: object) -> None:
    """Check the parameters of a notebook; see :func:`checked` for the errors.

    If the `dataset` lacks columns, the cells from here on that need them are left out, see `lacking`.

    Args:
        folders: the notebook takes a folder of one's own for its `dataset`; programs read this from the call.
        **values: the parameters by name.
    """
    for name, value in values.items():
        checked(name, value, folders=folders)
    if values.get("dataset") in DATASETS:
        watch(values["dataset"], values)
