"""The answers and figures that an evaluation writes."""

from pathlib import Path

import pytest

from lockstep.artifacts.records import Question, write_records
from lockstep.core.paths import prepared_split
from lockstep.evaluation.answers import TestQuestion as DrawnQuestion
from lockstep.evaluation.held_out import HeldOut
from lockstep.evaluation.results import answer_lines, with_retrieval
from lockstep.generation.engine import Answer


@pytest.fixture
def held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HeldOut:
    """One test question, and two questions to train on."""
    monkeypatch.chdir(tmp_path)
    train = [("what is the mean", "The sum, divided."), ("what is the mode", "The most frequent value.")]
    path = prepared_split("train")
    path.parent.mkdir(parents=True)
    write_records(path, [Question(f"{i}", f"{i}", *texts, "a.csv", i) for i, texts in enumerate(train)])
    question = DrawnQuestion("9", "9", "tell me the mode", "The most frequent one.")
    return HeldOut("qa", [], [], None, [], [question], 0)


def answers_of(text: str, finish_reason: str) -> list[Answer]:
    return [Answer(text=text, finish_reason=finish_reason)]


def test_the_retrieval_baseline_gives_the_answer_of_the_nearest_training_question(held_out: HeldOut) -> None:
    answered = with_retrieval(held_out, {"tuned": answers_of(" Red. ", "stop")})
    assert answered.texts == {"tuned": ["Red."], "retrieval": ["The most frequent value."]}


def test_a_line_has_all_answers_and_the_scores_of_the_tuned_one(held_out: HeldOut) -> None:
    answers = {"base": answers_of("Red.", "stop"), "tuned": answers_of("The most frequent one.", "length")}
    answered = with_retrieval(held_out, answers)
    [line] = answer_lines("qa", answered)
    assert (line["id"], line["question"], line["reference"]) == ("9", "tell me the mode", "The most frequent one.")
    assert (line["base"], line["retrieval"]) == ("Red.", "The most frequent value.")
    assert (line["ended"], line["f1"], line["chrf"]) == (False, 1.0, 100.0)
    assert (line["kind"], line["right"]) == ("new", True)
    assert set(line) - set(answer_lines("text", answered)[0]) == {"kind", "right"}
