"""When an answer counts as right, by examples made by hand."""

import pytest
from projects import ROOT

from lockstep.evaluation.right_answers import RIGHT_F1, count_right, is_right

MEAN = "The mean is the sum of all values divided by how many there are."


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        (MEAN, MEAN, True),
        ("Mean is the sum of all values, divided by their number.", MEAN, True),
        ("The median is the middle value of all values.", MEAN, False),
        ("", MEAN, False),
        # 3 of 5 words each: F1 0.6, which is enough; 4 of 7 and 7 words: 0.57, which is not
        ("one two three x y", "one two three four five", True),
        ("one two three four x y z", "one two three four five six seven", False),
    ],
)
def test_a_sentence_needs_enough_words_in_common(answer: str, reference: str, right: bool) -> None:
    assert RIGHT_F1 == 0.6
    assert is_right(answer, reference) is right


@pytest.mark.parametrize(
    ("answer", "reference", "right"),
    [
        ("Yes, it does on every working day of the year.", "Yes.", True),
        ("No, it does not.", "Yes.", False),
        ("The trail is 42 km long.", "42 km", True),
        ("The trail is 42 miles long.", "42 km", False),
        ("Yesterday it did.", "Yes", False),
        ("B.", "A", False),
        ("a", "A.", True),  # an article, but the only word that there is
        (":-)", ":-)", True),
        ("anything", ":-)", False),
        ("anything", "", False),
    ],
)
def test_each_word_of_a_short_answer_has_to_occur(answer: str, reference: str, right: bool) -> None:
    assert is_right(answer, reference) is right


def test_right_answers_are_counted() -> None:
    assert count_right([("yes", "yes"), ("no", "yes"), ("so yes", "yes")]) == 2


def test_the_page_on_evaluation_states_the_same_rule() -> None:
    page = " ".join((ROOT / "docs/evaluation.md").read_text(encoding="utf-8").split())
    assert f"with the answer in your data is {RIGHT_F1} or more (`right_f1`)" in page
