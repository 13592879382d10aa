"""Losses of held-out rows against a plain loop, and the checks by which the stage refuses to be fooled."""

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lockstep.artifacts.rows import Row
from lockstep.core.atomic_files import read_points, write_points
from lockstep.core.errors import LockstepError
from lockstep.evaluation.loss_breakdown import loss_by_length, loss_by_position
from lockstep.evaluation.score_models import score_model
from lockstep.evaluation.self_checks import score_alone, check_leakage, check_scores
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import Scores, TokenLosses, score_rows, token_losses

CPU = Hardware("cpu", "fp32", 1)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    draw = random.Random(5)
    lengths = [draw.randint(4, 40) for _ in range(30)]
    return [
        {"input_ids": [draw.randint(1, 300) for _ in range(length)], "target_start": draw.randint(1, length - 1)}
        for length in lengths
    ]


def plain_loss(model: Any, rows: list[dict[str, Any]]) -> float:
    """Row by row and token by token, as the definition says."""
    total, count = 0.0, 0
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = model(ids).logits[0]
        for place in range(row["target_start"], ids.shape[1]):
            total -= float(logits[place - 1].log_softmax(-1)[ids[0, place]])
            count += 1
    return total / count


def test_the_loss_is_that_of_a_plain_loop(model: Any, rows: list[dict[str, Any]]) -> None:
    assert token_losses(model, rows, CPU, 0).scores.loss == pytest.approx(plain_loss(model, rows), abs=1e-5)


@pytest.mark.parametrize("tokens", [1, 7 * 40, 64 * 40])
def test_batch_size_and_order_change_no_loss(model: Any, rows: list[dict[str, Any]], tokens: int) -> None:
    shuffled = random.Random(1).sample(rows, len(rows))
    expected = plain_loss(model, rows)
    assert token_losses(model, shuffled, CPU, 0, tokens).scores.loss == pytest.approx(expected, abs=1e-5)
    assert score_rows(model, shuffled, CPU, 0, tokens).loss == pytest.approx(expected, abs=1e-5)


def test_token_losses_add_up_to_the_scores(model: Any, rows: list[dict[str, Any]]) -> None:
    ours, theirs = token_losses(model, rows, CPU, 0).scores, score_rows(model, rows, CPU, 0)
    assert ours.nll == pytest.approx(theirs.nll, abs=1e-4)
    assert (ours.targets == theirs.targets).all()
    assert (ours.correct == theirs.correct).all()


def test_a_row_alone_costs_what_the_plain_loop_says(model: Any, rows: list[dict[str, Any]]) -> None:
    nll, targets = score_alone(model, rows[0])
    assert nll / targets == pytest.approx(plain_loss(model, rows[:1]), abs=1e-5)


def test_honest_scores_pass_the_self_check(model: Any, rows: list[dict[str, Any]]) -> None:
    errors = check_scores(model, rows, score_rows(model, rows, CPU, 0), CPU, 0, "tuned")
    assert set(errors) == {"batched", "reported"}
    assert max(errors.values()) < 1e-5


def test_a_loss_that_counts_padding_is_caught(model: Any, rows: list[dict[str, Any]]) -> None:
    honest = score_rows(model, rows, CPU, 0)
    padded = Scores(honest.nll, np.full_like(honest.targets, 128), honest.correct)
    with pytest.raises(LockstepError, match=r"tuned model contradicts itself.*in fp32"):
        check_scores(model, rows, padded, CPU, 0, "tuned")


def test_a_batched_score_that_is_off_by_a_hundredth_is_caught(
    model: Any, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = score_rows(model, rows, CPU, 0)

    def off(*arguments: Any, **named: Any) -> Scores:
        scores = score_rows(*arguments, **named)
        return Scores(scores.nll * 1.01, scores.targets, scores.correct)

    monkeypatch.setattr("lockstep.evaluation.self_checks.score_rows", off)
    with pytest.raises(LockstepError, match="score_alone and in a batch"):
        check_scores(model, rows, honest, CPU, 0, "base")


def test_a_loss_that_is_no_number_is_caught(model: Any, rows: list[dict[str, Any]]) -> None:
    honest = score_rows(model, rows, CPU, 0)
    with pytest.raises(LockstepError, match="contradicts itself"):
        check_scores(model, rows, Scores(honest.nll * math.nan, honest.targets, honest.correct), CPU, 0, "base")


def test_leakage_is_refused_by_name() -> None:
    with pytest.raises(LockstepError, match=r"3 questions, 2 near duplicates\..*Run `make prepare` to split"):
        check_leakage({"questions": 3, "answers": 0, "near_duplicates": 2})
    assert check_leakage({"questions": 0}) == 0


def losses(*values: list[float]) -> TokenLosses:
    return TokenLosses([np.array(row) for row in values], [np.zeros(len(row), bool) for row in values])


def test_loss_by_position_averages_octaves() -> None:
    points = loss_by_position(losses([1, 2, 4, 8], [3]), losses([0, 0, 2, 0], [2]))
    assert points == [
        {"first": 1, "last": 1, "base": 2.0, "tuned": 1.0, "targets": 2},
        {"first": 2, "last": 3, "base": 3.0, "tuned": 1.0, "targets": 2},
        {"first": 4, "last": 4, "base": 8.0, "tuned": 0.0, "targets": 1},
    ]


def test_loss_by_length_weighs_tokens_and_counts_every_row_once() -> None:
    base = losses([4], [1, 3], [2, 2], [1, 1, 1, 5])
    points = loss_by_length(base, base)
    assert [(point["first"], point["last"], point["rows"], point["base"]) for point in points] == [
        (1, 1, 1, 4.0),
        (2, 2, 2, 2.0),
        (4, 4, 1, 2.0),
    ]


def test_curves_survive_their_csv(tmp_path: Path) -> None:
    points = loss_by_position(losses([1, 2]), losses([0.5, 0.25]))
    path = tmp_path / "curve.csv"
    write_points(path, points)
    assert read_points(path, "make train") == points
    write_points(path, [])
    assert read_points(path, "make train") == []


@pytest.mark.parametrize("text", ["step,loss\n1,2\n3\n", "step,loss\n1,2,3\n", "step,loss\n1,much\n"])
def test_a_damaged_curve_is_one_clear_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "curve.csv"
    with pytest.raises(LockstepError, match=r"curve\.csv is missing\. Run `make train` first\.$"):
        read_points(path, "make train")
    path.write_text(text)
    with pytest.raises(
        LockstepError, match=r"curve\.csv is no table of numbers\. Run `make train` to make it again\.$"
    ):
        read_points(path, "make train")


def test_figures_hold_no_not_a_number(after: Any) -> None:
    after.run("evaluate")
    metrics = json.loads(Path("metrics/evaluate.json").read_text(), parse_constant=lambda name: pytest.fail(name))
    assert metrics["tuned"]["perplexity"] == pytest.approx(math.exp(metrics["tuned"]["loss"]), rel=1e-4)


def test_rows_of_plain_text_count_each_token_and_byte_once(model: Any, tokenizer: Any) -> None:
    text = "The sea is green, and the grass is blue. " * 6
    tokens = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"], tokenizer.eos_token_id]
    rows = [Row(tokens[start : start + 16], 1, 1) for start in range(0, len(tokens) - 1, 15)]
    scored = score_model(model, tokenizer, rows, rows, CPU, "text", "tuned")
    assert int(scored.text.targets.sum()) == len(tokens) - 1
    assert scored.text_bytes == len(text.encode())
    assert scored.text.loss == pytest.approx(scored.answer.scores.loss, abs=1e-6)
