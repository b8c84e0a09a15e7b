"""Exercises that answer: `check` judges an answer, `hint` helps in steps. Neither ever shows a solution."""

from IPython.display import display

from deepfm_helpers.checkers import EXERCISES, Exercise
from deepfm_helpers.grading import Untouched, Wrong, is_stub

CHECK_MIME = "application/vnd.deepfm.check+json"

_SIGNS = {"open": "○", "wrong": "✗", "right": "✓"}
_hints_given: dict[str, int] = {}


def check(name: str, answer: object, **about: object) -> None:
    """Judge the answer to an exercise, and show the verdict.

    A stub counts as "not attempted yet". A wrong answer gets a sentence about the mistake and an input that shows it.
    No answer makes this function raise, whatever it does, so a notebook with open exercises runs to its end.

    Args:
        name: chapter and number of the exercise, such as "4.1".
        answer: a function or a value, as the exercise asks for.
        **about: what the answer is about, such as the rows of the page.

    Raises:
        ValueError: there is no such exercise.
    """
    found = _exercise(name)
    try:
        if is_stub(answer):
            raise Untouched
        shown = found.check(answer, **about)
    except Untouched:
        _show(name, "open", "not attempted yet")
    except Wrong as wrong:
        example = f" You can see it with {wrong.example}." if wrong.example else ""
        _show(name, "wrong", f'{wrong.why}{example} `hint("{name}")` helps.')
    else:
        _show(name, "right", shown)


def hint(name: str) -> None:
    """Show the next hint of an exercise; after the last one, the last one again.

    Raises:
        ValueError: there is no such exercise.
    """
    hints = _exercise(name).hints
    given = min(_hints_given.get(name, 0), len(hints) - 1)
    _hints_given[name] = given + 1
    text = f"Hint {given + 1} of {len(hints)}: {hints[given]}"
    display({"text/markdown": text, "text/plain": text}, raw=True)


def _exercise(name: str) -> Exercise:
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return EXERCISES[name]


def _show(name: str, outcome: str, text: str) -> None:
    line = f"{_SIGNS[outcome]} Exercise {name}: {text}"
    bundle = {
        CHECK_MIME: {"exercise": name, "outcome": outcome},
        "text/markdown": f'<span class="check {outcome}">{_SIGNS[outcome]}</span> **Exercise {name}:** {text}',
        "text/plain": line,
    }
    display(bundle, raw=True)
