"""Loss, counted in one way only: sums of -ln p over target tokens, divided once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from stages.core.batches import IGNORED, batches_by_length, collate
from stages.core.errors import LockstepError
from stages.core.hardware import Hardware

SCORING_TOKENS = 4096  # tokens of one batch, padding included


@dataclass(frozen=True, slots=True)
class Scores:
    """Per row: nll, the sum of -ln p of its targets in nats, (rows,) float64; targets and correct, (rows,) int64,
    the number of targets and of those that had the highest logit."""

    nll: np.ndarray
    targets: np.ndarray
    correct: np.ndarray

    @property
    def loss(self) -> float:
        """Mean -ln p of a target token over all rows, in nats. Raises LockstepError when there is no target."""
        total = int(self.targets.sum())
        if not total:
            raise LockstepError("There is nothing to score: the rows have no target token.")
        return float(self.nll.sum() / total)

    @property
    def perplexity(self) -> float:
        """exp(loss): 1 is certain and right; the vocabulary's size is a blind guess."""
        return math.exp(min(self.loss, 700.0))

    @property
    def accuracy(self) -> float:
        """Share of targets that had the highest logit."""
        return float(self.correct.sum() / self.targets.sum())

    def bits_per_byte(self, text_bytes: int) -> float:
        """Bits the model needs for one byte of the scored text: comparable across tokenizers."""
        return float(self.nll.sum() / math.log(2) / text_bytes)


def target_logits(model: PreTrainedModel, batch: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, V) and following tokens (N,) of a batch of batches.collate; the token is IGNORED where it is no target.

    Logits are computed where the batch needs them only.
    """
    inputs = {name: value for name, value in batch.items() if name != "shift_labels"}
    logits = model(**inputs, use_cache=False).logits  # (B, C, V)
    return logits.flatten(0, 1), batch["shift_labels"].flatten()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def score_rows(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    hardware: Hardware,
    pad_id: int,
    tokens: int = SCORING_TOKENS,
) -> Scores:
    """Score every row of `input_ids` and `target_start` (see batches.collate).

    tokens: size of a batch. It, the order of rows and the padding change nothing but the last bits.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    nll = np.zeros(len(lengths))
    targets = np.zeros(len(lengths), dtype=np.int64)
    correct = np.zeros(len(lengths), dtype=np.int64)
    was_training = model.training
    model.eval()
    with torch.inference_mode(), hardware.autocast():
        for indices in batches_by_length(lengths, tokens):
            batch = collate([rows[index] for index in indices], pad_id, packing=False)
            logits, following = target_logits(model, to_device(batch, model.device))
            losses = functional.cross_entropy(logits.float(), following, reduction="none", ignore_index=IGNORED)
            shape = batch["shift_labels"].shape
            nll[indices] = losses.view(shape).cpu().double().sum(dim=1).numpy()
            correct[indices] = (logits.argmax(dim=-1) == following).view(shape).sum(dim=1).cpu().numpy()
            targets[indices] = (batch["shift_labels"] != IGNORED).sum(dim=1).numpy()
    model.train(was_training)
    return Scores(nll, targets, correct)
