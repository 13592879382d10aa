"""Checks that the evaluation makes on itself, each time it runs: a figure that can't be trusted stops the stage."""

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

CHECKED_ROWS = 5
# Nats per target token: what the order of sums costs, and what eight bits of mantissa cost besides.
TOLERANCE = {"fp32": 1e-4, "bf16": 5e-2}


def alone(model: PreTrainedModel, row: dict[str, Any]) -> tuple[float, int]:
    """-ln p in nats, summed over a row's targets, and their number: the plain definition, one token after the other, in
    fp32, with no batch, padding, packing or mask."""
    ids = [int(token) for token in row["input_ids"]]
    logits = model(torch.tensor([ids], device=model.device)).logits[0].detach().cpu().double()
    log_p = torch.log_softmax(logits, dim=-1)
    start = int(row["target_start"])
    return -sum(float(log_p[place - 1, ids[place]]) for place in range(start, len(ids))), len(ids) - start


def check_scores(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    scores: Scores,
    hardware: Hardware,
    pad_id: int,
    name: str,
) -> dict[str, float]:
    """Score a few rows of every length alone and compare: with the same rows batched in fp32, and with `scores`, what
    is reported for all rows. Returns the largest difference of each in nats per target token.

    Raises LockstepError where one is above TOLERANCE: padding was counted, or rows saw each other.
    """
    order = np.argsort([len(row["input_ids"]) for row in rows], kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, CHECKED_ROWS).round().astype(int))]
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        plain = [alone(model, rows[index]) for index in chosen]
    model.train(was_training)
    some = [rows[index] for index in chosen]
    batched = score_rows(model, some, replace(hardware, precision="fp32"), pad_id, tokens=1 << 30)
    reported = Scores(scores.nll[chosen], scores.targets[chosen], scores.correct[chosen])
    errors = {}
    for kind, found, precision in (("batched", batched, "fp32"), ("reported", reported, hardware.precision)):
        errors[kind] = max(
            abs(nll / targets - ours / count)
            for (nll, targets), ours, count in zip(plain, found.nll, found.targets, strict=True)
        )
        if not errors[kind] <= TOLERANCE[precision]:
            raise LockstepError(
                f"The evaluation of the {name} model contradicts itself: rows scored alone and in a batch differ by "
                f"{errors[kind]:.2g} nats per token, {TOLERANCE[precision]:g} is allowed in {precision}.",
                "A defect, or a faulty device: set device.precision to fp32, then device.name to cpu, to find which.",
            )
    return {kind: figure(error) for kind, error in errors.items()}


def check_leakage(leaks: dict[str, int]) -> int:
    """The sum of the counts in data/prepared/leakage.json. Raises LockstepError when it is not 0."""
    total = sum(leaks.values())
    if total:
        found = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in leaks.items() if count)
        raise LockstepError(
            f"Held-out rows were seen in training: {found}. Figures on them would flatter the model.",
            "Run `make prepare` to split the data again.",
        )
    return total
