"""The retrieval baseline finds the most similar training question."""

import pytest

from lockstep.evaluation import retrieval_baseline
from lockstep.evaluation.retrieval_baseline import nearest_questions


def test_the_nearest_question_shares_the_rare_words() -> None:
    trained = ["what is the mean of a sample", "what is the variance", "what is a list"]
    assert nearest_questions(trained, ["tell me what variance means", "a list what is", "zebra"]) == [1, 2, 0]
    assert nearest_questions(["?", "!"], ["what"]) == [0]


def test_the_number_of_questions_compared_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train = [f"what is the {word}" for word in ("mean", "mode", "median", "range", "mean")]
    queries = ["median please", "range", "mean", "mode"]
    monkeypatch.setattr(retrieval_baseline, "QUERIES_AT_ONCE", 3)
    assert nearest_questions(train, queries) == [2, 3, 0, 1]


def test_without_training_questions_there_is_no_baseline() -> None:
    with pytest.raises(ValueError, match="no training question"):
        nearest_questions([], ["what"])
