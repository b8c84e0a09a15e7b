"""Judge an answer to an exercise: call what a reader wrote without letting it do harm, and say what is wrong with it.

A checker compares an answer with a property or with a slow reference, on inputs that it draws, and raises `Wrong` with
a sentence about the mistake and the smallest input that shows it. It never says what the right answer is.
"""

import copy
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import pandas as pd

SECONDS = 10.0
"""How long a call of a reader's function may take."""


class Wrong(Exception):
    """An answer that is not right.

    Args:
        why: a sentence about the mistake.
        example: an input that shows it, in words, or nothing.
    """

    def __init__(self, why: str, example: str = ""):
        super().__init__(why)
        self.why, self.example = why, example


class Untouched(Exception):
    """The answer is still the stub."""


def is_stub(answer: object) -> bool:
    """Whether an answer, or what an answer returns, is what a stub holds, an Ellipsis or nothing."""
    return answer is None or answer is ...


def call(function: Callable, *arguments: object) -> object:
    """Return what a reader's function makes of copies of the arguments.

    Raises:
        Untouched: it returns what a stub returns.
        Wrong: it is no function, raises an error, or takes more than `SECONDS`.
    """
    if is_stub(function):
        raise Untouched
    if not callable(function):
        raise Wrong(f"The answer has to be a function, and is {kind(function)}.")
    example = _with(arguments)
    try:
        with _at_most(SECONDS):
            found = function(*copy.deepcopy(arguments))
    except _TooLong:
        raise Wrong(f"The function had no answer after {SECONDS:g} seconds.", example) from None
    except Exception as error:  # whatever a reader's code may raise
        raise Wrong(f"The function raised {type(error).__name__}: {error}.", example) from None
    if is_stub(found):
        raise Untouched
    return found


def calls(function: Callable, cases: Iterable[tuple]) -> Iterator[tuple[tuple, object]]:
    """Yield each case of arguments with what a reader's function makes of it.

    Raises:
        Untouched: the function returns what a stub returns, in all cases.
        Wrong: it returns nothing in one case and something in another; or see :func:`call`.
    """
    cases = list(cases)
    for arguments in cases:
        try:
            found = call(function, *arguments)
        except Untouched:
            if all(_is_untouched(function, other) for other in cases):
                raise
            raise Wrong(
                "The function has an answer to other inputs, but none here.", _with(arguments)
            ) from None
        yield arguments, found


def _is_untouched(function: Callable, arguments: tuple) -> bool:
    try:
        call(function, *arguments)
    except Untouched:
        return True
    except Wrong:
        return False
    return False


def compare(
    function: Callable,
    cases: Iterable[tuple],
    right: Callable,
    mistakes: Mapping[str, Callable] | None = None,
    *,
    within: float = 1e-6,
) -> None:
    """Compare a reader's function with the right one, on cases of arguments, the smallest case first.

    Args:
        function: the reader's function.
        cases: arguments for a call each.
        right: a reference that takes the same arguments.
        mistakes: a sentence about a mistake -> a function that makes it. The sentence is said to a reader whose
            function agrees with this one in all cases.
        within: how far a number may be off, relative to the size of the right ones.

    Raises:
        Untouched: see :func:`calls`.
        Wrong: a call fails, or gives something else than the reference.
    """
    cases = list(cases)
    for arguments, found in calls(function, cases):
        wanted = right(*arguments)
        try:
            judge(found, wanted, example=_with(arguments), within=within)
        except Wrong as wrong:
            for why, mistaken in (mistakes or {}).items():
                if all(_agree(function, mistaken, other, within) for other in cases):
                    raise Wrong(why, wrong.example) from None
            raise


def _agree(function: Callable, other: Callable, arguments: tuple, within: float) -> bool:
    """Whether two functions make the same of the arguments."""
    try:
        found, expected = call(function, *arguments), other(*arguments)
    except (Wrong, Untouched):
        return False
    return kind(found) == kind(expected) and _near(found, expected, within)


def judge(
    found: object,
    right: object,
    mistakes: Mapping[str, object] | None = None,
    example: str = "",
    *,
    within: float = 1e-6,
) -> None:
    """Compare a value with the right one.

    Args:
        found: what the reader has.
        right: a number, a truth value, a text, or an array of numbers.
        mistakes: a sentence about a mistake -> the value that it leads to.
        example: the input that led to `found`, in words.
        within: how far a number may be off, relative to the size of the right ones.

    Raises:
        Untouched: `found` is what a stub holds.
        Wrong: `found` is of another kind or shape, or not near enough.
    """
    if is_stub(found):
        raise Untouched
    if kind(found) != kind(right):
        raise Wrong(f"Expected is {kind(right)}; yours is {kind(found)}.", example)
    if _near(found, right, within):
        return
    for why, value in (mistakes or {}).items():
        if kind(value) == kind(found) and _near(found, value, within) and not _near(value, right, within):
            raise Wrong(why, example)
    shown = f" Yours is {_short(found)}." if np.ndim(found) == 0 or np.size(found) <= 6 else ""
    raise Wrong(f"This is {kind(right)}, but not the right one.{shown}", example)


def kind(value: object) -> str:
    """Say in words what kind of value this is, with its shape if it is an array."""
    if isinstance(value, str):
        return "a text"
    if callable(value):
        return "a function"
    if isinstance(value, (pd.Series, pd.DataFrame)):
        value = value.to_numpy()
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return f"a {type(value).__name__} of uneven rows"
    if array.size == 0 and not isinstance(value, np.ndarray):
        return f"a {type(value).__name__}"
    if array.dtype == bool:
        return "True or False" if array.ndim == 0 else f"an array of truth values, of shape {array.shape}"
    if array.dtype.kind in "iuf":
        return "a number" if array.ndim == 0 else f"an array of numbers, of shape {array.shape}"
    return f"a {type(value).__name__}"


def _near(found: object, right: object, within: float) -> bool:
    found, right = np.asarray(found), np.asarray(right)
    if right.dtype.kind not in "iuf":
        return bool(np.array_equal(found, right))
    size = np.nanmax(np.abs(right), initial=1e-9)
    return np.allclose(found, right, rtol=0, atol=within * size, equal_nan=True)


def _with(arguments: tuple) -> str:
    return ", ".join(_short(argument) for argument in arguments)


def _short(value: object) -> str:
    if isinstance(value, (pd.DataFrame, pd.Series)):
        columns = value.items() if isinstance(value, pd.DataFrame) else [("", value)]
        text = "; ".join(f"{name} {column.tolist()}".strip() for name, column in columns)
        return text if len(text) <= 160 else f"{len(value):,} rows"
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        return kind(value)
    if array.dtype.kind == "f":
        array = array.round(4)
    text = str(array.tolist()) if array.dtype.kind in "iufb" else repr(value)
    return text if len(text) <= 120 else f"{kind(value)}"


class _TooLong(BaseException):
    """Not an Exception, so that a reader's `except Exception` cannot catch it."""


@contextmanager
def _at_most(seconds: float):
    """Interrupt what takes longer, where the system can: it has alarms, and this is the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
