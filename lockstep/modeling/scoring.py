"""Loss, counted in one way only: sums of -ln p over target tokens, divided once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lockstep.core.errors import LockstepError
from lockstep.modeling.collate import batches_by_length, collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import ALONE, Processes

MODEL_INPUTS = ("input_ids", "position_ids", "attention_mask")
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


def target_logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """Logits (N, V) at the target positions of a batch of batches.collate, computed nowhere else.

    model: a causal language model, or one wrapped for several processes. A hook hands its output layer the hidden
    states of the targets only: that keeps whatever else the model does to its logits, and works wrapped too.
    """
    inputs = {name: value for name, value in batch.items() if name in MODEL_INPUTS}

    def only_targets(layer: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        hidden = arguments[0].flatten(0, 1)  # (B * L, H)
        return (hidden.index_select(0, batch["target_index"])[None], *arguments[1:])

    head = getattr(model, "module", model).get_output_embeddings()
    hook = head.register_forward_pre_hook(only_targets)
    try:
        return model(**inputs, use_cache=False).logits[0]
    finally:
        hook.remove()


def to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """The batch with its tensors on a device."""
    return {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}


def score_rows(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    hardware: Hardware,
    pad_id: int,
    tokens: int = SCORING_TOKENS,
    processes: Processes = ALONE,
) -> Scores:
    """Score every row of `input_ids` and `target_start` (see batches.collate).

    tokens: size of a batch. It, the order of rows and the padding change nothing but the last bits.
    processes: those that share the batches; each returns the scores of all rows, the same as one alone.
    """
    lengths = [len(row["input_ids"]) for row in rows]
    nll = np.zeros(len(lengths))
    targets = np.zeros(len(lengths), dtype=np.int64)
    correct = np.zeros(len(lengths), dtype=np.int64)
    was_training = model.training
    model.eval()
    # A model in shards keeps the buffers it gathers them in: training could not write to those of inference mode.
    with torch.no_grad() if processes.count > 1 else torch.inference_mode(), hardware.autocast():
        for indices, mine in processes.rounds(batches_by_length(lengths, tokens)):
            batch = collate([rows[index] for index in indices], pad_id, layout="padded")
            width = batch["input_ids"].shape[1]
            owner = (batch["target_index"] // width).numpy()  # (N,) the row of each target
            batch = to_device(batch, model.device)
            logits = target_logits(model, batch)
            losses = functional.cross_entropy(logits.float(), batch["targets"], reduction="none")
            hits = logits.argmax(dim=-1) == batch["targets"]
            if not mine:
                continue
            count = len(indices)
            nll[indices] = np.bincount(owner, weights=losses.cpu().double().numpy(), minlength=count)
            correct[indices] = np.bincount(owner, weights=hits.cpu().numpy(), minlength=count)
            targets[indices] = np.bincount(owner, minlength=count)
    model.train(was_training)
    nll, counts = processes.sums(nll), processes.sums([targets, correct]).astype(np.int64)
    return Scores(nll, *counts)
