"""Endless repetition is cut in what people see, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.evaluation.shown_answers import GOES_ON, cut_repetition


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The mean of the mean of the mean of the mean of", "The mean of the mean of"),
        ("A loss is a sum. A loss is a sum. A loss is a sum. A loss", "A loss is a sum. A loss is a sum."),
        ("It is a sum. Or not. It is a sum. Or so. It is a sum. Or not.", "It is a sum. Or not. It is a sum. Or so."),
        ("First a b c d e a b c d e a b c", "First a b c d e a b c d e"),
        ("no no no no no no no", "no no"),
    ],
)
def test_what_comes_a_third_time_is_cut(text: str, shown: str) -> None:
    assert cut_repetition(text) == shown + GOES_ON


@pytest.mark.parametrize(
    "text",
    [
        "",
        "One.",
        "A very, very, very large set.",
        "yes no yes no",
        "Step one. Step one. Done.",
        "Yes. No. Yes. No. Yes. So.",
    ],
)
def test_other_answers_stay_whole(text: str) -> None:
    assert cut_repetition(text) == text


def test_variations_of_what_was_said_are_cut_after_the_second_sentence() -> None:
    said = "The goal of a search is to find a good key. The key is a good goal of a search."
    more = " A good search is to find the key. The goal is to find a good search. A key of a search is a good goal"
    assert cut_repetition(said + more) == said + GOES_ON
    assert cut_repetition(said + " The search is to find it.") == said + " The search is to find it."
    assert cut_repetition(said + more + " and then stop here.") == said + more + " and then stop here."


def test_an_answer_that_finds_its_way_again_stays_whole() -> None:
    text = "It says that it says that it says that it says that the sample mean is normal."
    assert cut_repetition(text) == text


@given(st.text(max_size=60) | st.lists(st.sampled_from("ab.\n "), max_size=40).map("".join))
def test_what_is_shown_is_the_beginning_of_the_answer(text: str) -> None:
    shown = cut_repetition(text)
    assert shown == text or text.startswith(shown.removesuffix(GOES_ON))
