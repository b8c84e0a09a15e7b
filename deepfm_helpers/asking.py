"""Ask readers for a guess before a cell runs, and answer after it: in the rendered page, and in Jupyter.

`predict` stands in the cell before, `reveal` in a cell after the run. Both show Markdown. On the rendered page
``book/_static/asking.js`` makes the question answerable. Until there is a guess, or until the reader asks for it, it
holds back what tells the answer: the outputs and the text between the two, cells whose code states a claim, and, after
the answer, the next cells and the paragraph that reads them. In Jupyter, without JavaScript and in print nothing is
held back.

A cell tagged ``remove-input``, before the run::

    predict("after-step", "Where is the score after the step?", ["below 5", "at 5", "above 5"])

and one after it::

    reveal("after-step", "below 5" if score < 5 else "at 5" if score == 5 else "above 5", {
        "below 5": "The five moves add up, and the two vectors move towards each other as well.",
        "at 5": "The gradient promises how the loss falls for a small step, and not that a step ends at zero.",
        "above 5": f"The five moves together raise the score to {score:.2f}.",
    })
"""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from numbers import Real

from IPython.display import display

_asked: dict[str, tuple[str, ...] | str] = {}  # name of a question -> its choices, or the unit of a number


def predict(name: str, question: str, choices: Sequence[str] | None = None, *, unit: str = "") -> None:
    """Ask for a guess: one of several choices or, without `choices`, a number.

    Args:
        name: name of the question in this notebook: small letters, digits and hyphens.
        question: a question, in Markdown.
        choices: two or more answers, in Markdown on one line each.
        unit: for a number, what it counts, such as "stars".

    Raises:
        ValueError: the name cannot stand in a page, there are fewer than two choices or two alike, or choices have a
            unit.
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ValueError(
            f"predict: name = {name!r}: use small letters, digits and hyphens, such as after-step"
        )
    if choices is None:
        _asked[name] = unit
        asks = f"*a number{f' ({unit})' if unit else ''}*"
    else:
        choices = tuple(choices)
        if len(set(choices)) < max(2, len(choices)):
            raise ValueError(
                f"predict: {name} has the choices {choices}: give two or more, no two of them alike"
            )
        if unit:
            raise ValueError(f"predict: {name} has choices and the unit {unit!r}: a unit belongs to a number")
        _asked[name] = choices
        asks = "\n".join(f"- {choice}" for choice in choices)
    _show("ask", f"**Your guess?** {question}\n\n{asks}", ask=name, unit=unit)


def reveal(
    name: str,
    answer: str | float,
    why: Mapping[str | float, str],
    *,
    within: float = 0,
    of: str = "this run",
    then: int = 1,
) -> None:
    """Answer a question of `predict` with what the run has found, and say something about every guess.

    The sentences hold whatever the answer of this run is: on other data it may be another one. If the answer or a
    sentence holds digits that a training has made, tag the cell ``nbval-ignore-output``, as any cell that shows such
    digits; a choice that a training has made needs no tag.

    Args:
        name: name of the question.
        answer: one of its choices, or a finite number.
        why: for choices, a sentence about each of them. For a number, a sentence for each stretch of guesses, by the
            number at which the stretch begins; the first begins at ``-math.inf``. In Markdown, on one line each.
        within: for a number, how far a guess may be from it and still be right, in its unit.
        of: what has given the answer, such as "the recorded runs".
        then: how many paragraphs after the answer tell it, too, and wait for the guess with all that stands before
            them; 0 if the text goes on to something else. Nothing beyond a heading or another question waits.

    Raises:
        ValueError: nothing of this name was asked, the answer is not possible, a guess has no sentence, or `then` is
            not a number from 0 on.
    """
    if not (isinstance(then, int) and then >= 0):
        raise ValueError(f"reveal: {name}: then = {then!r}; give a number of paragraphs, from 0 on")
    if name not in _asked:
        asked = f"asked so far: {', '.join(_asked)}" if _asked else "nothing was asked so far"
        raise ValueError(
            f"reveal: no question {name!r} ({asked}): run the cell with predict({name!r}, …) first"
        )
    asked = _asked[name]
    about = ({} if of == "this run" else {"of": of}) | ({} if then == 1 else {"then": then})
    if isinstance(asked, tuple):
        if answer not in asked:
            raise ValueError(f"reveal: {name} has no choice {answer!r}; its choices: {', '.join(asked)}")
        if wrong := set(asked) ^ set(why):
            raise ValueError(
                f"reveal: {name} needs one sentence per choice; look at {', '.join(sorted(map(str, wrong)))}"
            )
        if within:
            raise ValueError(f"reveal: {name} has choices; within = {within} belongs to a number")
        said = [f"- **{choice}:** {why[choice]}" for choice in asked]
        _show(
            "ask-answer", "\n".join([f"**The answer of {of}:** {answer}\n", *said]),
            ask=name, answer=asked.index(answer), **about,
        )  # fmt: skip
        return
    if not isinstance(answer, Real) or not math.isfinite(answer):
        raise ValueError(f"reveal: {name} asks for a number; its answer cannot be {answer!r}")
    if not within >= 0:
        raise ValueError(f"reveal: {name}: within = {within}; give a number from 0 on")
    begins = sorted(why)
    if not begins or begins[0] != -math.inf:
        raise ValueError(
            f"reveal: {name}: the first stretch of guesses begins at -math.inf; `why` has {begins}"
        )
    told = [_number(begin) for begin in begins]
    said = [f"- {_stretch(told, i)}{why[begin]}" for i, begin in enumerate(begins)]
    unit = asked if asked == "%" else f" {asked}".rstrip()
    head = f"**The answer of {of}:** {_number(answer)}{unit}"
    _show(
        "ask-answer", "\n".join([f"{head}\n", *said]),
        ask=name, answer=_plain(answer), within=_plain(within), begins=" ".join(map(_plain, begins)), **about,
    )  # fmt: skip


def _stretch(told: Sequence[str], i: int) -> str:
    """Return the head of the sentence for the guesses from one number to the next."""
    if len(told) == 1:
        return ""
    if i == 0:
        return f"**below {told[1]}:** "
    return f"**{told[i]} or more:** " if i == len(told) - 1 else f"**from {told[i]} to {told[i + 1]}:** "


def _plain(x: float) -> str:
    """Return a number for the script, with the digits that a reader sees."""
    return _number(x).replace("−", "-").replace(",", "")


def _number(x: float) -> str:
    """Return a number for readers: whole from 1,000 on, below with four digits that count."""
    text = f"{x:,.0f}" if 1e3 <= abs(x) < math.inf else f"{x:.4g}"
    return text.replace("-", "−")


def _show(kind: str, markdown: str, **data: object) -> None:
    attributes = "".join(f' data-{key}="{escape(str(value))}"' for key, value in data.items())
    wrapped = f'<div class="{kind}"{attributes}>\n\n{markdown}\n\n</div>'
    display({"text/markdown": wrapped, "text/plain": markdown}, raw=True)
