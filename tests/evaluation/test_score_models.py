"""The scores of a model, and the differences between two."""

from typing import Any

import numpy as np
import pytest
from small_models import loop_loss, random_rows

from lockstep.artifacts.rows import Row
from lockstep.evaluation.answers import TestQuestion as DrawnQuestion
from lockstep.evaluation.score_models import answer_figures, differences, f1_evidence, loss_evidence, score_model
from lockstep.generation.engine import Answer
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import Scores, score_rows, token_losses

CPU = Hardware("cpu", "fp32", 1)
QUESTIONS = [DrawnQuestion(name, name, f"{name}?", "a red kettle") for name in ("one", "two")]


def test_losses_of_test_and_training_rows_are_those_of_a_plain_loop(model: Any, tokenizer: Any) -> None:
    test, train = random_rows(12), random_rows(7)
    scores = score_model(model, tokenizer, rows_of(test), rows_of(test), rows_of(train), CPU, "qa", "base")
    for losses, rows in ((scores.answer.scores, test), (scores.train, train)):
        targets = sum(len(row["input_ids"]) - row["target_start"] for row in rows)
        assert losses.loss == pytest.approx(float(loop_loss(model, rows).detach()) / targets, abs=1e-5)
    assert scores.figures["generalization_gap"] == pytest.approx(
        scores.figures["loss"] - scores.figures["train_loss"], abs=1e-5
    )


def rows_of(rows: list[dict[str, Any]]) -> list[Row]:
    return [Row(row["input_ids"].tolist(), row["target_start"], row["target_start"]) for row in rows]


def test_a_question_s_first_token_is_scored_after_end_of_text(model: Any, tokenizer: Any) -> None:
    rows = rows_of(random_rows(5))
    scores = score_model(model, tokenizer, rows, rows, rows, CPU, "qa", "base")
    assert scores.text.targets.tolist() == [len(row.ids) for row in rows]


@pytest.mark.parametrize("tokens", [1, 7 * 40, 64 * 40])
def test_token_losses_add_up_to_the_scores_of_rows_whatever_the_batch_size(model: Any, tokens: int) -> None:
    rows = random_rows(30)
    losses, scores = token_losses(model, rows, CPU, 0, tokens), score_rows(model, rows, CPU, 0)
    assert [row.sum() for row in losses.nll] == pytest.approx(scores.nll, abs=1e-4)
    assert losses.scores.nll == pytest.approx(scores.nll, abs=1e-4)
    assert (losses.scores.targets == scores.targets).all()
    assert (losses.scores.correct == scores.correct).all()


def test_rows_of_plain_text_count_each_token_and_byte_once(model: Any, tokenizer: Any) -> None:
    text = "The sea is green, and the grass is blue. " * 6
    tokens = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    rows = [Row(tokens[start : start + 16], 1, 1) for start in range(0, len(tokens) - 1, 15)]
    scored = score_model(model, tokenizer, rows, rows, rows, CPU, "text", "tuned")
    assert int(scored.text.targets.sum()) == len(tokens) - 1
    assert scored.text_bytes == len(text.encode())
    assert scored.text.loss == pytest.approx(scored.answer.scores.loss, abs=1e-6)


def test_differences_are_tuned_minus_base_of_the_figures_both_have() -> None:
    delta = differences({"perplexity": 40.0, "loss": 3.0, "only": 1.0}, {"perplexity": 10.0, "loss": 2.5})
    assert delta == {"perplexity": -30.0, "loss": -0.5, "perplexity_improvement": 0.75}


def test_rows_whose_loss_fell_are_counted() -> None:
    base, tuned = (Scores(np.array(nll), np.array([2, 2, 2, 2]), np.zeros(4)) for nll in ([4.0] * 4, [2.0, 3, 3, 5]))
    evidence = loss_evidence(base, tuned, None, 200, 0)
    assert evidence["rows_improved"] == 0.75
    assert evidence["loss_low"] <= (2 + 3 + 3 + 5 - 16) / 8 <= evidence["loss_high"]


def test_answers_to_questions_are_compared_with_references_and_continuations_are_not() -> None:
    answers = [Answer(text=" a red kettle ", finish_reason="stop"), Answer(text="blue", finish_reason="length")]
    figures = answer_figures(QUESTIONS, answers, "qa")
    assert (figures["exact_match"], figures["eos_rate"]) == (0.5, 0.5)
    assert "f1" not in answer_figures(QUESTIONS, answers, "text")
    assert answer_figures([], [], "qa") == {}


def test_the_difference_in_f1_is_after_minus_before() -> None:
    evidence = f1_evidence(QUESTIONS, ["blue", "blue"], ["a red kettle", "a red kettle"], 100, 0)
    assert evidence == {"f1": 1.0, "f1_low": 1.0, "f1_high": 1.0}
    assert f1_evidence([], [], [], 100, 0) == {}
