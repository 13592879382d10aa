"""The test questions and the models' answers to them."""

from typing import Any

import pytest
import yaml
from process_groups import Exchange
from projects import ROOT, Project

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question, Text
from lockstep.core.settings import Generation, load_params
from lockstep.evaluation.answers import TestQuestion as DrawnQuestion
from lockstep.evaluation.answers import draw_questions, generate_answers


def question_record(number: int, text: str, answer: str) -> Question:
    return Question(f"{number:016x}", f"{number:016x}", text, answer, "a.csv", number)


def test_questions_are_a_draw_by_id_that_new_rows_do_not_reorder() -> None:
    old = [question_record(number, f"q{number}", "a") for number in (7, 3, 9)]
    assert [drawn.question for drawn in draw_questions(old, 2)] == ["q3", "q7"]
    assert [drawn.question for drawn in draw_questions([*old, question_record(8, "new", "a")], 2)] == ["q3", "q7"]


def test_a_text_gives_a_beginning_from_each_long_paragraph() -> None:
    text = Text("5", "5", f"{'word ' * 30}\n\nshort\n\n{'other ' * 30}", "a.txt", 1)
    drawn = draw_questions([text], 9)
    assert [question.id for question in drawn] == ["5-0", "5-1"]
    assert {(len(question.question.split()), len(question.reference.split())) for question in drawn} == {(12, 18)}


def test_records_that_come_one_by_one_are_drawn_with_their_kind() -> None:
    records = (question_record(number, f"q{number}", "a") for number in (7, 3, 9))
    assert [(drawn.question, drawn.kind) for drawn in draw_questions(records, 2, "known")] == [
        ("q3", "known"),
        ("q7", "known"),
    ]


def test_answers_come_in_the_order_of_their_questions(project: Project, model: Any, tokenizer: Any) -> None:
    texts = ["Which paint does the kettle of stone get today?", "Which?", "What does the bridge get?"]
    questions = [DrawnQuestion(text, text, text, "") for text in texts]
    settings = load_params().generation
    together = generate_answers(model, tokenizer, Prompt(), questions, settings)
    alone = [generate_answers(model, tokenizer, Prompt(), [question], settings)[0] for question in questions]
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    assert len({answer.text for answer in together}) > 1


@pytest.mark.parametrize("count", [2, 4])
def test_shared_answers_are_those_of_one_process(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    questions = [DrawnQuestion(str(n), str(n), f"Which {'old ' * (n % 4)}kettle {n}?", "") for n in range(3)]
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    settings = Generation.model_validate({**params["generation"], "max_new_tokens": 6})
    alone = generate_answers(model, tokenizer, Prompt(), questions, settings)
    exchange = Exchange(monkeypatch)
    results = exchange.results(
        lambda one: generate_answers(model, tokenizer, Prompt(), questions, settings, one), count
    )
    assert results == [alone] * count
    assert sorted(index for part in exchange.values for index, _ in part) == [0, 1, 2]
