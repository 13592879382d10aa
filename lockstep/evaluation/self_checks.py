"""Checks that every evaluation makes on itself: it stops rather than report a figure that can't be trusted."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from lockstep.core.atomic_files import figure
from lockstep.core.errors import LockstepError
from lockstep.modeling.device import Hardware
from lockstep.modeling.scoring import Scores, score_rows

CHECKED_ROWS = 5  # rows scored alone, of lengths spread evenly over all
# Nats per target token. fp32 differs by the order of sums; bf16 also by its eight bits of mantissa, which move an
# unlikely token, of a row that the model is sure to know otherwise, by more nats than a likely one.
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}
SHARE_OF_LOSS = {"fp32": 0.0, "bf16": 0.1}  # of the row's loss that it may differ by too


def score_alone(model: PreTrainedModel, row: dict[str, Any]) -> tuple[float, int]:
    """The sum of -ln p over a row's targets, in nats, and their number, by the definition.

    The row goes through the model in fp32 without batch, padding, packing or mask, and its tokens are added one by one.
    """
    ids = [int(token) for token in row["input_ids"]]
    logits = model(torch.tensor([ids], device=model.device)).logits[0].detach().cpu().double()  # (L, V)
    log_p = torch.log_softmax(logits, dim=-1)  # (L, V)
    start = int(row["target_start"])
    return -sum(float(log_p[position - 1, ids[position]]) for position in range(start, len(ids))), len(ids) - start


def check_scores(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    scores: Scores,
    hardware: Hardware,
    pad_id: int,
    name: str,
) -> dict[str, float]:
    """Score a few rows of different lengths alone, and compare with their scores in batches.

    Their scores alone are compared with those of one batch in fp32 ('batched'), and with their share of `scores`, the
    scores of all rows that will be reported ('reported'). Returns the largest difference of each, in nats per target
    token.

    name: the model's name, for the message. Raises LockstepError where a difference is above TOLERANCE, as when padding
    is counted or rows attend to each other.
    """
    order = np.argsort([len(row["input_ids"]) for row in rows], kind="stable")  # (rows,) the shortest first
    chosen = order[np.unique(np.linspace(0, len(order) - 1, CHECKED_ROWS).round().astype(int))]  # (checked rows,)
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        plain = [score_alone(model, rows[index]) for index in chosen]
    model.train(was_training)
    chosen_rows = [rows[index] for index in chosen]
    batched = score_rows(model, chosen_rows, replace(hardware, precision="fp32"), pad_id, tokens=1 << 30)
    reported = Scores(scores.nll[chosen], scores.targets[chosen], scores.correct[chosen])
    errors = {}
    for kind, ours, precision in (("batched", batched, "fp32"), ("reported", reported, hardware.precision)):
        expected = np.array([nll / targets for nll, targets in plain])  # (checked rows,)
        differences = np.abs(expected - ours.nll / ours.targets)  # (checked rows,)
        allowed = TOLERANCE[precision] + SHARE_OF_LOSS[precision] * expected  # (checked rows,)
        errors[kind] = float(differences.max())
        if not (differences <= allowed).all():
            worst = int(np.argmax(np.nan_to_num(differences - allowed, nan=np.inf)))
            raise LockstepError(
                f"The evaluation of the {name} model contradicts itself: a row scored alone and in a batch differs by "
                f"{differences[worst]:.2g} nats per token, {allowed[worst]:.2g} is allowed in {precision}.",
                "A defect, or a faulty device: set device.precision to fp32, then device.name to cpu, to find which.",
            )
    return {kind: figure(error) for kind, error in errors.items()}


def check_leakage(leaks: dict[str, int]) -> int:
    """The sum of prepare's counts of leakage. Raises LockstepError, with the counts, when it is not 0.

    prepare leaves none, so this is for a data/prepared that something else wrote.
    """
    total = sum(leaks.values())
    if total:
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in leaks.items() if count)
        raise LockstepError(
            f"Held-out rows were seen in training: {counts}. Figures on them would flatter the model.",
            "Run `make recheck repro`: data/prepared is not as prepare writes it.",
        )
    return total
