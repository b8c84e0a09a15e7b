"""What the parameters of a notebook may be: one table with the choices or the range of each."""

from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """What a parameter may be: one of ``choices``, or a whole number from ``low`` to ``high``."""

    low: int = 0
    high: int = 0
    choices: tuple[str, ...] = ()

    def wanted(self) -> str:
        """The rule in words, for an error message."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        return f"a whole number from {self.low:,} to {self.high:,}"

    def accepts_type(self, value: object) -> bool:
        """Whether ``value`` has the right type; a bool is no number."""
        if self.choices:
            return isinstance(value, str)
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)

    def accepts_value(self, value: object) -> bool:
        """Whether ``value``, of the right type, is allowed."""
        return value in self.choices if self.choices else bool(self.low <= value <= self.high)


PARAMETERS: dict[str, Rule] = {
    "dataset": Rule(choices=("ml-100k", "ml-1m", "planted")),
    "seed": Rule(0, 2**31 - 1),
    "n_seeds": Rule(1, 20),
    "epochs": Rule(1, 200),
    "patience": Rule(1, 200),
    "steps_per_epoch": Rule(1, 100_000),
    "batch_size": Rule(16, 1_000_000),
    "k": Rule(1, 256),
    "n": Rule(1, 1_000),
}
"""The one table of notebook parameters."""


def check_parameters(**values: object) -> None:
    """Check the parameters of a notebook against :data:`PARAMETERS`.

    Raises:
        TypeError: the value has the wrong type (a bool is not a whole number).
        ValueError: the name is not in the table, or the value is not allowed.
    """
    for name, value in values.items():
        if name not in PARAMETERS:
            known = ", ".join(sorted(PARAMETERS))
            raise ValueError(f"parameter {name}: no such parameter; known are {known}")
        rule = PARAMETERS[name]
        for holds, error in ((rule.accepts_type, TypeError), (rule.accepts_value, ValueError)):
            if not holds(value):
                raise error(f"parameter {name} = {value!r}: must be {rule.wanted()}")
