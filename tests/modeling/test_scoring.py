"""One loss, whatever the batches: compared with a loop over rows that does it by the book."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lockstep.core.errors import LockstepError
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import Scores, score_rows

CPU = Hardware("cpu", "fp32", 1)
PAD = 0


def some_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of random ids, 2 to 40 long, learnt from somewhere on."""
    random = np.random.default_rng(seed)
    lengths = random.integers(2, 40, count)
    return [
        {"input_ids": random.integers(0, 400, length), "target_start": int(random.integers(1, length))}
        for length in lengths
    ]


def by_the_book(model: PreTrainedModel, rows: list[dict[str, Any]]) -> list[torch.Tensor]:
    """-ln p of each target, row by row, from all logits of the row alone."""
    found = []
    for row in rows:
        ids = torch.tensor(row["input_ids"])
        logits = model(ids[None]).logits[0, :-1]
        losses = functional.cross_entropy(logits, ids[1:], reduction="none")
        found.append(losses[row["target_start"] - 1 :])
    return found


@pytest.mark.parametrize("tokens", [1, 7 * 40, 64 * 40])
def test_loss_is_that_of_a_plain_loop_whatever_the_batch_size(model: PreTrainedModel, tokens: int) -> None:
    rows = some_rows(30)
    expected = by_the_book(model, rows)
    scores = score_rows(model, rows, CPU, PAD, tokens)
    assert scores.nll == pytest.approx([float(row.detach().sum()) for row in expected], rel=1e-5)
    assert scores.targets.tolist() == [len(row) for row in expected]
    assert scores.loss == pytest.approx(float(torch.cat(expected).detach().mean()), abs=1e-5)


def test_order_changes_nothing(model: PreTrainedModel) -> None:
    rows = some_rows(30)
    order = np.random.default_rng(1).permutation(30)
    scores, shuffled = score_rows(model, rows, CPU, PAD), score_rows(model, [rows[i] for i in order], CPU, PAD)
    assert shuffled.nll == pytest.approx(scores.nll[order], abs=1e-5)
    assert shuffled.loss == pytest.approx(scores.loss, abs=1e-6)


def test_dropout_is_off_while_scoring_and_the_mode_is_put_back(model: PreTrainedModel) -> None:
    expected = score_rows(model, some_rows(3), CPU, PAD).loss
    model.train()
    assert score_rows(model, some_rows(3), CPU, PAD).loss == expected
    assert model.training


def test_bf16_is_close_to_fp32(model: PreTrainedModel) -> None:
    rows = some_rows(10)
    exact, rough = (score_rows(model, rows, Hardware("cpu", p, 1), PAD).loss for p in ("fp32", "bf16"))
    assert rough == pytest.approx(exact, rel=1e-2)
    assert rough != exact


def test_accuracy_counts_targets_that_had_the_highest_logit(model: PreTrainedModel) -> None:
    ids = [5, 6, 7]
    with torch.no_grad():
        best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
    rows = [
        {"input_ids": np.array([*ids, best]), "target_start": 3},
        {"input_ids": np.array([*ids, best + 1]), "target_start": 3},
    ]
    scores = score_rows(model, rows, CPU, PAD)
    assert scores.correct.tolist() == [1, 0]
    assert scores.accuracy == 0.5


def test_perplexity_and_bits_per_byte_follow_from_the_sum() -> None:
    scores = Scores(np.array([math.log(2) * 3, math.log(2)]), np.array([3, 1]), np.array([0, 1]))
    assert scores.loss == pytest.approx(math.log(2))
    assert scores.perplexity == pytest.approx(2)
    assert scores.bits_per_byte(8) == pytest.approx(0.5)
    assert Scores(np.array([1e9]), np.array([1]), np.array([0])).perplexity < math.inf


def test_nothing_to_score_is_an_error_not_a_number(model: PreTrainedModel) -> None:
    scores = score_rows(model, [], CPU, PAD)
    with pytest.raises(LockstepError, match="no target token"):
        _ = scores.loss
