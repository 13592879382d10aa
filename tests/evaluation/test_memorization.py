"""How much of a model's answers is copied from training."""

from lockstep.artifacts.records import Question, Text
from lockstep.evaluation.memorization import verbatim_metrics


def question_record(number: int, text: str, answer: str) -> Question:
    return Question(f"{number:016x}", f"{number:016x}", text, answer, "a.csv", number)


def test_answers_that_equal_training_answers_are_counted_and_those_that_are_wrong() -> None:
    trained = [question_record(1, "what", "One answer."), question_record(2, "who", "Another answer")]
    answers = {"tuned": ["one answer", "another answer!"], "base": ["none", ""]}
    figures = verbatim_metrics(answers, ["one answer", "the right one"], trained)
    assert figures["tuned"] == {"verbatim_rate": 1.0, "verbatim_wrong_rate": 0.5, "verbatim_8gram_rate": 0.0}
    assert figures["base"]["verbatim_rate"] == 0


def test_copied_passages_of_a_text_are_counted() -> None:
    learnt = "one two three four five six seven eight nine ten"
    trained = [Text("0", "0", f"before {learnt} after", "a.txt", 1)]
    figures = verbatim_metrics({"tuned": [learnt, "quite another " * 5]}, ["", ""], trained)
    assert figures["tuned"]["verbatim_rate"] == 0.5
    assert 0 < figures["tuned"]["verbatim_8gram_rate"] < 1
