"""No result is typed into prose: it comes from the run by `say(f"…")` or a claim, or the sentence goes without it.

`FORMS` says what looks like a result. What looks like one and is none (a number of an example done by hand, a setting,
a quotation) is declared in ``prose_numbers.toml``, by page and reason, with the words around it.
"""

import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
DECLARED = tomllib.loads(Path(__file__).with_name("prose_numbers.toml").read_text(encoding="utf-8"))
ANYWHERE = DECLARED.pop("anywhere")
GENERATED = {"ledger", "mutants"}  # from the claims of the chapters, and by mutants.py
PAGES = {
    path.stem: path
    for path in sorted([*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.md")])
    if path.stem not in GENERATED
}

_DIGITS = r"(?<![\w.,/-])\d+(?:,\d{3})*(?:\.\d+)?"
_WORDS = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand half dozen several"
)
_WORD = rf"\b(?:{'|'.join(_WORDS.split())})"
_ANY = rf"(?:{_DIGITS}|{_WORD})"
_MORE = (
    r"(?:as|that|those|the|too|larger|smaller|longer|shorter|higher|lower|bigger|more|less|fewer|faster|slower|"
    r"better|worse)"
)
FORMS = {
    "a decimal": r"(?<![\w.,/])\d+\.\d+(?!\.?\d)",
    "a count with thousands": r"(?<![\w.,])\d{1,3}(?:,\d{3})+\b",
    "a percentage": rf"{_ANY} ?(?:\\?%|per ?cent\b|percentage points?\b)",
    "a time or a size": rf"{_ANY}[ -](?:(?:micro|milli)?seconds?|minutes?|hours?|m?s|µs|[kMGT]i?B|bytes)\b",
    "a factor": rf"{_ANY} times {_MORE}\b|\b(?:twice|half) as\b|\bfactor of {_ANY}|\b\w+fold\b(?<!manifold)",
    "a small part": r"\b(?:hundred|thousand|million)ths?\b|\b(?:half|third|quarter|fifth|tenth)s?(?: of)? an? star\b",
}
"""Result-like: what the numbers of a run look like in a sentence, in digits or in words."""


@cache
def prose_of(path: Path) -> list[str]:
    """Return the texts of a page, each on one line: of a chapter its Markdown, captions and alternative texts.

    Code and the addresses of links are left out; mathematics stays.
    """
    if path.suffix == ".md":
        texts = [path.read_text(encoding="utf-8")]
    else:
        texts = []
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                texts.append(cell.source)
            shown = cell.metadata.get("mystnb", {})
            texts += [shown.get("figure", {}).get("caption", ""), shown.get("image", {}).get("alt", "")]
    return [_plain(text) for text in texts if text]


def _plain(text: str) -> str:
    for what in (r"^```.*?^```", r"`[^`]*`", r"(?<=\])\([^)]*\)", r"https?://\S+", r"^\(.*\)=$"):
        text = re.sub(what, "", text, flags=re.DOTALL | re.MULTILINE)
    return " ".join(text.split())


def results_in(text: str) -> Iterator[re.Match]:
    """Yield what looks like a result in a text on one line."""
    for form in FORMS.values():
        yield from re.finditer(form, text, re.IGNORECASE)


def places(phrases: list[str], text: str) -> Iterator[tuple[str, range]]:
    """Yield each phrase with each stretch of the text that it covers."""
    for phrase in phrases:
        for found in re.finditer(re.escape(phrase), text):
            yield phrase, range(*found.span())


@pytest.mark.parametrize("page", PAGES)
def test_no_result_is_typed_into_the_prose_of_a_page(page):
    declared = [phrase for phrases in DECLARED.get(page, {}).values() for phrase in phrases]
    phrases = declared + [phrase for more in ANYWHERE.values() for phrase in more]
    typed, needed = [], set()
    for text in prose_of(PAGES[page]):
        covered = list(places(phrases, text))
        for found in results_in(text):
            excuses = {p for p, where in covered if found.start() in where and found.end() - 1 in where}
            needed |= excuses
            if not excuses:
                typed.append(f"… {text[max(0, found.start() - 60) : found.end() + 30]} …: {found[0]}")
    assert not typed, "say it from the run, or declare why it is no result:\n" + "\n".join(typed)
    unneeded = [phrase for phrase in declared if phrase not in needed]
    assert not unneeded, f"no longer on the page, or needs no excuse: {unneeded}"


def test_every_exception_belongs_to_a_page_and_has_a_reason():
    assert set(DECLARED) <= set(PAGES)
    reasons = [reason for page in [ANYWHERE, *DECLARED.values()] for reason in page]
    assert all(len(reason.split()) > 1 for reason in reasons)
    everywhere = [text for path in PAGES.values() for text in prose_of(path)]
    for phrase in [phrase for phrases in ANYWHERE.values() for phrase in phrases]:
        assert sum(phrase in text for text in everywhere) > 1, f"{phrase}: declare it for its page"


@pytest.mark.parametrize(
    ("text", "results"),
    [
        ("The error falls to 0.84 stars.", ["0.84"]),
        ("It takes 12 seconds, or two minutes on a laptop, and 3 GB.", ["12 seconds", "two minutes", "3 GB"]),
        ("About 2% of 1,682 films, six times as many as before.", ["1,682", "2%", "six times as"]),
        ("Twice as fast, by a factor of two, tenfold.", ["Twice as", "factor of two", "tenfold"]),
        ("They differ by half a hundredth, or a tenth of a star.", ["hundredth", "tenth of a star"]),
        ("In 1998 we ran it three times, with a tenth of the rows, on Python 3.12.1: 5 stars.", []),
        ("See `0.84`, [the log](a-0.84.md) and https://x.org/0.84.", []),
    ],
)
def test_a_result_is_found_in_digits_and_in_words(text, results):
    assert sorted(found[0] for found in results_in(_plain(text))) == sorted(results)
