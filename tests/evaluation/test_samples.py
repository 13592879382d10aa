"""metrics/samples.md: the table of the kinds of questions, and answers side by side."""

from typing import Any

from lockstep.evaluation.samples import samples_markdown

OVERLAP = {"f1": 0.5, "right": 1}
KIND = {"count": 2, "base": {"f1": 0.1, "right": 0}, "tuned": OVERLAP, "retrieval": {"f1": 0.4, "right": 2}}
FIGURES = {"known": KIND | {"vs_retrieval": {"f1": 0.1, "f1_low": -0.2, "f1_high": 0.3}}}
FIGURES |= {"new": KIND | {"vs_retrieval": {"f1": 0.1}}}
METRICS: dict[str, Any] = {"kind": "qa", "right_f1": 0.6, "questions": FIGURES}


def sample(**changes: str) -> dict[str, Any]:
    return {"kind": "new", "question": "Why?", "reference": "Because.", "base": "no", "tuned": "because"} | changes


def test_a_table_of_the_kinds_comes_before_the_answers_of_each() -> None:
    lines = [sample(kind="known", question=f"k{i}") for i in range(3)] + [sample(question="n0")]
    page = samples_markdown(lines, METRICS, 2)
    assert "| known | 2 | 0 | 1 | 2 | 0.500 | \N{MINUS SIGN}0.20 to +0.30 |" in page
    assert "| new | 2 | 0 | 1 | 2 | 0.500 | \N{EN DASH} |" in page
    assert "token F1 of 0.6 or more" in page
    parts = [
        "| known",
        "- **known**: ",
        "## Known questions",
        "### 1. k0",
        "### 2. k1",
        "## New questions",
        "### 1. n0",
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "k2" not in page


def test_answers_are_marked_by_the_rule_and_their_repetition_is_cut() -> None:
    page = samples_markdown([sample(base="so it is " * 9)], METRICS, 1)
    assert "**Fine-tuned (right):** because" in page
    assert "**Base (not right):** so it is so it is … (goes on repeating)" in page


def test_texts_have_neither_table_nor_marks() -> None:
    page = samples_markdown([{key: text for key, text in sample().items() if key != "kind"}], {"kind": "text"}, 1)
    assert "right" not in page
    assert "**Fine-tuned:** because" in page


def test_markup_in_answers_stays_text_in_markdown() -> None:
    lines = [{"question": "<b>#1</b>", "reference": "*x*", "base": "", "tuned": "a|b"}]
    page = samples_markdown(lines, {"kind": "text"}, 1)
    assert "\\<b\\>\\#1\\</b\\>" in page
    assert "\\*x\\*" in page
    assert "*(nothing)*" in page


def test_no_samples_say_which_setting_leaves_them_out() -> None:
    assert "evaluate.show is 0" in samples_markdown([], {"kind": "qa", "questions": {}}, 2)
    assert "No beginning" in samples_markdown([], {"kind": "text"}, 2)
