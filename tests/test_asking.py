"""Questions before a run and answers after it, as a notebook shows them."""

import math
import re

import numpy as np
import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from deepfm_helpers import asking
from deepfm_helpers.asking import predict, reveal


@pytest.fixture(autouse=True)
def shown(monkeypatch):
    """The bundles that a call displays, in a notebook in which nothing was asked yet."""

    class Kept(DisplayPublisher):
        def publish(self, data, *args, **kwargs) -> None:
            bundles.append(data)

    bundles = []
    monkeypatch.setattr(asking, "_asked", {})
    shell = InteractiveShell.instance()
    shell.display_pub = Kept(parent=shell)
    yield bundles
    InteractiveShell.clear_instance()


def attributes(bundle) -> dict[str, str]:
    head, _, rest = bundle["text/markdown"].partition("\n\n")
    assert rest == f"{bundle['text/plain']}\n\n</div>"
    return dict(re.findall(r'([\w-]+)="([^"]*)"', head))


def test_a_question_of_choice_is_a_list_and_its_answer_a_sentence_for_each_choice(shown):
    predict("a-step", "Where is $x$?", ["below 5", "at 5", "above 5"])
    why = {"above 5": "It rose.", "at 5": "By luck.", "below 5": "It fell."}
    reveal("a-step", "at 5", why)
    question, answer = shown
    assert question["text/plain"] == "**Your guess?** Where is $x$?\n\n- below 5\n- at 5\n- above 5"
    assert attributes(question) == {"class": "ask", "data-ask": "a-step", "data-unit": ""}
    assert answer["text/plain"] == (
        "**The answer of this run:** at 5\n\n- **below 5:** It fell.\n- **at 5:** By luck.\n- **above 5:** It rose."
    )
    assert attributes(answer) == {"class": "ask-answer", "data-ask": "a-step", "data-answer": "1"}


@pytest.mark.parametrize(
    ("choices", "answer", "why"),
    [(["a", "b"], "b", {"a": "No.", "b": "Yes."}), (None, 2, {-math.inf: "So."})],
)
def test_an_answer_says_what_has_given_it(shown, choices, answer, why):
    predict("which", "Which?", choices)
    reveal("which", answer, why, of="the recorded runs")
    assert shown[1]["text/plain"].startswith(f"**The answer of the recorded runs:** {answer}")
    assert attributes(shown[1])["data-of"] == "the recorded runs"


@pytest.mark.parametrize(("then", "told"), [(1, None), (0, "0"), (3, "3")])
def test_the_page_learns_how_much_text_after_the_answer_waits(shown, then, told):
    predict("which", "Which?", ["a", "b"])
    predict("how-many", "How many?")
    reveal("which", "a", {"a": "Yes.", "b": "No."}, then=then)
    reveal("how-many", 2, {-math.inf: "So many."}, then=then)
    assert [attributes(answer).get("data-then") for answer in shown[2:]] == [told, told]


@pytest.mark.parametrize("then", [-1, 0.5, None])
def test_what_is_no_number_of_paragraphs_is_refused(shown, then):
    predict("how-many", "How many?")
    with pytest.raises(ValueError, match="give a number of paragraphs, from 0 on"):
        reveal("how-many", 2, {-math.inf: ""}, then=then)
    assert len(shown) == 1


def test_a_number_is_answered_by_stretches_of_guesses(shown):
    predict("gain", "How much?", unit="stars")
    reveal("gain", np.float64(-0.0123449), {0.5: "Much.", -math.inf: "A loss.", 0: "Some."}, within=0.001)
    question, answer = shown
    assert question["text/plain"] == "**Your guess?** How much?\n\n*a number (stars)*"
    assert attributes(question)["data-unit"] == "stars"
    assert answer["text/plain"] == (
        "**The answer of this run:** −0.01234 stars\n\n"
        "- **below 0:** A loss.\n- **from 0 to 0.5:** Some.\n- **0.5 or more:** Much."
    )
    assert attributes(answer) == {
        "class": "ask-answer", "data-ask": "gain", "data-answer": "-0.01234", "data-within": "0.001",
        "data-begins": "-inf 0 0.5",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "told"),
    [(1_000_209, "1,000,209"), (np.int64(1_000_209), "1,000,209"), (24_350.4, "24,350"), (0.87246, "0.8725")],
)
def test_a_number_is_told_with_the_digits_that_mean_something(shown, answer, told):
    predict("n", "How many?")
    reveal("n", answer, {-math.inf: "So many."})
    assert shown[1]["text/plain"] == f"**The answer of this run:** {told}\n\n- So many."
    assert float(attributes(shown[1])["data-answer"]) == pytest.approx(answer, rel=1e-3)


def test_a_cell_can_be_executed_again(shown):
    for choices in (["a", "b"], ["b", "c"]):
        predict("again", "Which?", choices)
    reveal("again", "c", {"b": "No.", "c": "Yes."})
    assert attributes(shown[-1])["data-answer"] == "1"


@pytest.mark.parametrize(
    ("name", "choices", "unit", "says"),
    [
        ("Two words", ["a", "b"], "", "use small letters, digits and hyphens"),
        ('x"', ["a", "b"], "", "use small letters"),
        ("x", ["a"], "", "give two or more"),
        ("x", [], "", "give two or more"),
        ("x", ["a", "b", "a"], "", "no two of them alike"),
        ("x", ["a", "b"], "stars", "a unit belongs to a number"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused(shown, name, choices, unit, says):
    with pytest.raises(ValueError, match=says):
        predict(name, "?", choices, unit=unit)
    assert shown == []


def test_an_answer_without_a_question_says_what_to_run(shown):
    with pytest.raises(ValueError, match=r"'y' \(nothing was asked so far\): run the cell with predict\('y'"):
        reveal("y", 1, {-math.inf: ""})
    predict("x", "?")
    with pytest.raises(ValueError, match="asked so far: x"):
        reveal("y", 1, {-math.inf: ""})


@pytest.mark.parametrize(
    ("answer", "why", "more", "says"),
    [
        ("c", {"a": "", "b": ""}, {}, "no choice 'c'; its choices: a, b"),
        ("a", {"a": ""}, {}, "one sentence per choice; look at b"),
        ("a", {"a": "", "b": "", "c": ""}, {}, "look at c"),
        ("a", {"a": "", "b": ""}, {"within": 0.1}, "belongs to a number"),
    ],
)
def test_a_choice_needs_one_of_its_choices_and_a_sentence_for_each(shown, answer, why, more, says):
    predict("x", "?", ["a", "b"])
    with pytest.raises(ValueError, match=says):
        reveal("x", answer, why, **more)
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("answer", "why", "within", "says"),
    [
        (math.nan, {-math.inf: ""}, 0, "cannot be nan"),
        ("much", {-math.inf: ""}, 0, "cannot be 'much'"),
        (1.0, {}, 0, "begins at -math.inf"),
        (1.0, {0: ""}, 0, r"`why` has \[0\]"),
        (1.0, {-math.inf: ""}, -1, "within = -1"),
    ],
)
def test_a_number_needs_a_number_and_a_sentence_for_every_guess(shown, answer, why, within, says):
    predict("x", "?")
    with pytest.raises(ValueError, match=says):
        reveal("x", answer, why, within=within)
    assert len(shown) == 1


def test_a_share_stands_before_its_sign_without_a_space(shown):
    predict("share", "How much?", unit="%")
    reveal("share", 6.25, {-math.inf: "Some."})
    question, answer = shown
    assert question["text/plain"].endswith("*a number (%)*")
    assert answer["text/plain"].startswith("**The answer of this run:** 6.25%\n")
