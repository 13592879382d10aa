"""The checks that every evaluation makes on itself find the defects they are for."""

import math
from typing import Any

import numpy as np
import pytest
from small_models import loop_loss, random_rows

from lockstep.core.errors import LockstepError
from lockstep.evaluation.self_checks import check_leakage, check_scores, score_alone
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import Scores, score_rows

CPU = Hardware("cpu", "fp32", 1)


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    return random_rows(30)


def test_a_row_scored_alone_has_the_loss_of_a_plain_loop(model: Any, rows: list[dict[str, Any]]) -> None:
    nll, targets = score_alone(model, rows[0])
    assert nll == pytest.approx(float(loop_loss(model, rows[:1]).detach()), rel=1e-5)
    assert targets == len(rows[0]["input_ids"]) - rows[0]["target_start"]


def test_right_scores_pass(model: Any, rows: list[dict[str, Any]]) -> None:
    errors = check_scores(model, rows, score_rows(model, rows, CPU, 0), CPU, 0, "tuned")
    assert set(errors) == {"batched", "reported"}
    assert max(errors.values()) < 1e-5


def test_a_loss_that_counts_padding_is_caught(model: Any, rows: list[dict[str, Any]]) -> None:
    right = score_rows(model, rows, CPU, 0)
    padded = Scores(right.nll, np.full_like(right.targets, 128), right.correct)
    with pytest.raises(LockstepError, match=r"tuned model .*in fp32"):
        check_scores(model, rows, padded, CPU, 0, "tuned")


def test_a_batched_score_that_is_off_by_a_hundredth_is_caught(
    model: Any, rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = score_rows(model, rows, CPU, 0)

    def one_percent_off(*arguments: Any, **named: Any) -> Scores:
        scores = score_rows(*arguments, **named)
        return Scores(scores.nll * 1.01, scores.targets, scores.correct)

    monkeypatch.setattr("lockstep.evaluation.self_checks.score_rows", one_percent_off)
    with pytest.raises(LockstepError, match=r"base model .*device\.precision"):
        check_scores(model, rows, right, CPU, 0, "base")


def test_a_loss_that_is_no_number_is_caught(model: Any, rows: list[dict[str, Any]]) -> None:
    right = score_rows(model, rows, CPU, 0)
    with pytest.raises(LockstepError, match=r"base model .*device\.precision"):
        check_scores(model, rows, Scores(right.nll * math.nan, right.targets, right.correct), CPU, 0, "base")


def test_leakage_is_refused_by_name() -> None:
    with pytest.raises(LockstepError, match=r"3 questions, 2 near duplicates\..*`make recheck repro`"):
        check_leakage({"questions": 3, "answers": 0, "near_duplicates": 2})
    assert check_leakage({"questions": 0}) == 0


def test_in_bf16_a_row_may_differ_by_a_share_of_its_loss_and_by_no_more(model: Any, rows: list[dict[str, Any]]) -> None:
    hardware = Hardware("cpu", "bf16", 1)
    scores = score_rows(model, rows, Hardware("cpu", "fp32", 1), 0)  # about six nats per token, of random weights
    for factor, is_refused in ((1.08, False), (0.92, False), (1.2, True), (0.8, True)):
        moved = Scores(scores.nll * factor, scores.targets, scores.correct)
        if is_refused:
            with pytest.raises(LockstepError, match="contradicts itself"):
                check_scores(model, rows, moved, hardware, 0, "tuned")
        else:
            check_scores(model, rows, moved, hardware, 0, "tuned")
