"""The figures of each kind of question."""

import pytest

from lockstep.evaluation.answered import Answered, figures_by_kind
from lockstep.evaluation.answers import TestQuestion as DrawnQuestion
from lockstep.evaluation.bootstrap import MIN_GROUPS
from lockstep.generation.engine import Answer


def answered(kinds: list[str], clusters: list[str], tuned: list[str]) -> Answered:
    """Questions that the data answer with 'one two three four'; the base says nothing, the nearest question 'one'."""
    questions = [
        DrawnQuestion(str(number), cluster, f"q{number}", "one two three four", kind)
        for number, (kind, cluster) in enumerate(zip(kinds, clusters, strict=True))
    ]
    texts = {"base": [""] * len(kinds), "tuned": tuned, "retrieval": ["one"] * len(kinds)}
    return Answered(questions, {name: [Answer(text) for text in texts[name]] for name in ("base", "tuned")}, texts)


def test_each_kind_is_counted_by_itself_and_none_that_was_not_asked() -> None:
    right, wrong = "one two three", "five"
    figures = figures_by_kind(
        answered(["known", "new", "known", "new"], list("abcd"), [right, wrong, wrong, right]), 100, 0
    )
    assert list(figures) == ["known", "new"]
    known = figures["known"]
    assert (known["count"], known["clusters"], known["tuned"]["right"], known["tuned"]["right_rate"]) == (2, 2, 1, 0.5)
    assert (known["base"]["right"], known["retrieval"]["right"]) == (0, 0)
    f1_right, f1_nearest = 2 * 3 / 7, 2 * 1 / 5
    assert known["tuned"]["f1"] == pytest.approx(f1_right / 2, abs=1e-5)
    assert known["vs_base"] == {"f1": pytest.approx(f1_right / 2, abs=1e-5)}
    assert known["vs_retrieval"] == {"f1": pytest.approx(f1_right / 2 - f1_nearest, abs=1e-5)}


@pytest.mark.parametrize("clusters", [MIN_GROUPS - 1, MIN_GROUPS])
def test_an_interval_is_told_of_ten_independent_questions_and_not_of_more_that_resemble_each_other(
    clusters: int,
) -> None:
    count = 30
    tuned = ["one two three four" if number % 2 else "" for number in range(count)]
    groups = [str(number % clusters) for number in range(count)]
    difference = figures_by_kind(answered(["new"] * count, groups, tuned), 100, 0)["new"]["vs_base"]
    assert difference["f1"] == 0.5
    if clusters < MIN_GROUPS:
        assert set(difference) == {"f1"}
    else:
        assert difference["f1_low"] < 0.5 < difference["f1_high"]


def test_one_kind_keeps_question_and_answers_together() -> None:
    part = answered(["new", "known", "new"], list("abc"), ["x", "y", "z"]).of_kind("new")
    assert [question.id for question in part.questions] == ["0", "2"]
    assert part.texts["tuned"] == [answer.text for answer in part.answers["tuned"]] == ["x", "z"]
    assert part.references == ["one two three four"] * 2
