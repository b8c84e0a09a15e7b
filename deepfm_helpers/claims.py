"""Show sentences that come from a chapter's run: claims, which the run can refute, and sentences with numbers."""

import re
import sys

import numpy as np
from IPython.display import display

CLAIM_MIME = "application/vnd.deepfm.claim+json"

GROUNDS = {
    "run": "checked by this page's run",
    "records": "checked on recorded runs of today's code",
    "algebra": "follows from definitions or from constants on the page: the check only catches a slip in the code",
}
"""What a claim can rest on, each with the words that a reader sees."""

_SHOWN = {"run": "", "records": " (recorded runs)", "algebra": " (by algebra)"}


def claim(statement: str, holds: object, *, on: str = "run") -> None:
    """State something about the data or the model that a run can refute.

    A claim that holds is shown with a check mark and enters the book's ledger of claims; one that does not
    stops the notebook.

    Args:
        statement: a sentence, in Markdown.
        holds: the result of the check, true or false.
        on: what the check rests on: numbers of this "run", numbers of recorded runs ("records"), or "algebra" alone,
            that is, definitions or constants written on the page.

    Raises:
        AssertionError: the claim does not hold.
        TypeError: ``holds`` is not a single truth value but, for example, an array of several.
        ValueError: `on` is not one of `GROUNDS`.
    """
    if on not in GROUNDS:
        raise ValueError(f"claim: on={on!r} is not one of {', '.join(GROUNDS)}")
    if not isinstance(holds, (bool, np.bool_)):
        raise TypeError(f"claim: holds must be True or False, not a {type(holds).__name__}")
    if not holds:
        raise AssertionError(f"this claim does not hold here: {statement}")
    show(statement, on=on, line=sys._getframe(1).f_lineno)


def show(statement: str, *, on: str, line: int, equation: str | None = None) -> None:
    """Show a claim that was found to hold.

    Args:
        statement: a sentence, in Markdown.
        on: what the check rests on, see `GROUNDS`.
        line: the line of the check in its cell, from 1.
        equation: the label of the equation that was checked, if it was one.
    """
    statement = statement if statement.endswith(".") else f"{statement}."
    content = {"statement": statement, "on": on, "line": line}
    anchor = subject = ""
    if equation:
        content["equation"] = equation
        anchor, subject = f' id="{anchor_of(equation)}"', f"{{eq}}`{equation}`: "
    bundle = {
        CLAIM_MIME: content,
        "text/markdown": f'<span class="claim"{anchor} title="{GROUNDS[on]}">✓{_SHOWN[on]}</span> {subject}{statement}',
        "text/plain": f"✓{_SHOWN[on]} {statement}",
    }
    display(bundle, raw=True)


def anchor_of(equation: str) -> str:
    """Return the name of the place in a page where an equation is checked."""
    return f"check-{equation}"


def say(markdown: str) -> None:
    """Show Markdown that was built from computed numbers, so that nobody has to type a number into the prose.

    A hyphen that is the sign of a number becomes a minus.
    """
    markdown = re.sub(r"(?<![\w.`-])-(?=\d)", "−", markdown)
    display({"text/markdown": markdown, "text/plain": markdown}, raw=True)
