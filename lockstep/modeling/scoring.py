"""The loss of a model on rows of tokens, and the losses of their single tokens.

There is one definition of a loss: the sum of -ln p over the target tokens, divided once by their number.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lockstep.core.errors import LockstepError
from lockstep.modeling.collate import batches_by_length, collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup

MODEL_INPUTS = ("input_ids", "position_ids", "attention_mask")
SCORING_TOKENS = 4096  # tokens of one batch at most, padding included, and only as many
LOGITS_BYTES = {"cpu": 256 << 20}  # as have logits of so many bytes in fp32,
OTHER_LOGITS_BYTES = 1 << 30  # or of so many on another device


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of some rows, an entry per row.

    nll: (rows,) float64, the sum of -ln p over the row's targets, in nats. targets: (rows,) int64, their number.
    correct: (rows,) int64, the number of targets that had the highest logit.
    """

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


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """The scores of the single target tokens of some rows: for each row an array over its targets, in their order.

    nll: (targets,) float32 each, -ln p in nats. correct: (targets,) bool each, whether it had the highest logit.
    """

    nll: list[np.ndarray]
    correct: list[np.ndarray]

    @property
    def scores(self) -> Scores:
        """The sums over each row."""
        return Scores(
            np.array([row.sum(dtype=np.float64) for row in self.nll]),
            np.array([len(row) for row in self.nll], dtype=np.int64),
            np.array([row.sum() for row in self.correct], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class _ScoredBatch:
    """One batch, scored. rows: the indices of its R rows. owner: (N,) int64, which of the R each target belongs to.
    nll: (N,) float32, in nats. correct: (N,) bool."""

    rows: list[int]
    owner: np.ndarray
    nll: np.ndarray
    correct: np.ndarray


def target_logits(model: Any, batch: dict[str, Any]) -> torch.Tensor:
    """The logits (N, V) at the target positions of a batch of collate.collate, and at no other position.

    model: a causal language model, or one wrapped for several processes. A hook gives its output layer the hidden
    states of the targets only, which keeps whatever else the model does to its logits, and works for a wrapped model.
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
    processes: ProcessGroup = SINGLE_PROCESS,
) -> Scores:
    """Score every row of `input_ids` and `target_start` (see collate.collate).

    tokens: largest size of a batch. It, the order of rows and the padding change nothing but the last bits.
    processes: those that share the batches; each returns the scores of all rows, the same as one alone.
    """
    nll = np.zeros(len(rows))  # (rows,)
    targets = np.zeros(len(rows), dtype=np.int64)  # (rows,)
    correct = np.zeros(len(rows), dtype=np.int64)  # (rows,)
    for batch in _scored_batches(model, rows, hardware, pad_id, tokens, processes):
        count = len(batch.rows)
        nll[batch.rows] = np.bincount(batch.owner, weights=batch.nll, minlength=count)  # sums in float64
        correct[batch.rows] = np.bincount(batch.owner, weights=batch.correct, minlength=count)
        targets[batch.rows] = np.bincount(batch.owner, minlength=count)
    nll, counts = processes.all_reduce_sum(nll), processes.all_reduce_sum([targets, correct]).astype(np.int64)
    return Scores(nll, *counts)


def token_losses(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    hardware: Hardware,
    pad_id: int,
    tokens: int = SCORING_TOKENS,
    processes: ProcessGroup = SINGLE_PROCESS,
) -> TokenLosses:
    """Score every target token of the rows. The arguments are those of score_rows."""
    own: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # row index -> nll and correct, of this process's rows
    for batch in _scored_batches(model, rows, hardware, pad_id, tokens, processes):
        for number, index in enumerate(batch.rows):
            own[index] = batch.nll[batch.owner == number], batch.correct[batch.owner == number]
    every = {index: row for part in processes.all_gather(own) for index, row in part.items()}
    return TokenLosses([every[index][0] for index in range(len(rows))], [every[index][1] for index in range(len(rows))])


def _scored_batches(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    hardware: Hardware,
    pad_id: int,
    tokens: int,
    processes: ProcessGroup,
) -> Iterator[_ScoredBatch]:
    """Score the rows in batches of similar length, without dropout, and yield this process's share of the batches.

    Every process runs the model equally often, as the processes of a model in shards need each other for each batch.
    The mode without gradients stays on between two batches, so the caller should compute nothing in torch there.
    """
    was_training = model.training
    model.eval()
    budget = LOGITS_BYTES.get(hardware.device, OTHER_LOGITS_BYTES)
    tokens = min(tokens, budget // (4 * model.config.get_text_config().vocab_size))
    # A model in shards keeps the buffers it gathers them in: training could not write to those of inference mode.
    with torch.no_grad() if processes.world_size > 1 else torch.inference_mode(), hardware.autocast():
        for indices, mine in processes.rounds(batches_by_length([len(row["input_ids"]) for row in rows], tokens)):
            batch = collate([rows[index] for index in indices], pad_id, layout="padded")
            owner = (batch["target_index"] // batch["input_ids"].shape[1]).numpy()  # (N,)
            batch = to_device(batch, model.device)
            logits = target_logits(model, batch)  # (N, V)
            nll = functional.cross_entropy(logits.float(), batch["targets"], reduction="none")  # (N,)
            correct = logits.argmax(dim=-1) == batch["targets"]  # (N,)
            if mine:
                yield _ScoredBatch(indices, owner, nll.cpu().numpy(), correct.cpu().numpy())
    model.train(was_training)
