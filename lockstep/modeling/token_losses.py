"""The loss of every single target token: what curves by length and position, and paired comparisons, are made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import PreTrainedModel

from lockstep.modeling.collate import batches_by_length, collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import ALONE, Processes
from lockstep.modeling.scoring import SCORING_TOKENS, Scores, target_logits, to_device


@dataclass(frozen=True, slots=True)
class TokenLosses:
    """Of each row, an array over its targets in their order: nll, -ln p in nats, float32; correct, bool."""

    nll: list[np.ndarray]
    correct: list[np.ndarray]

    @property
    def scores(self) -> Scores:
        """The rows' sums."""
        return Scores(
            np.array([row.sum(dtype=np.float64) for row in self.nll]),
            np.array([len(row) for row in self.nll], dtype=np.int64),
            np.array([row.sum() for row in self.correct], dtype=np.int64),
        )


def token_losses(
    model: PreTrainedModel,
    rows: Sequence[dict[str, Any]],
    hardware: Hardware,
    pad_id: int,
    tokens: int = SCORING_TOKENS,
    processes: Processes = ALONE,
) -> TokenLosses:
    """As scoring.score_rows, but token by token. rows: `input_ids` and `target_start` each."""
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # of the rows of this process
    was_training = model.training
    model.eval()
    with torch.inference_mode(), hardware.autocast():
        for indices in processes.share(batches_by_length([len(row["input_ids"]) for row in rows], tokens)):
            batch = collate([rows[index] for index in indices], pad_id, layout="padded")
            owner = (batch["target_index"] // batch["input_ids"].shape[1]).numpy()  # (N,) the row of each target
            batch = to_device(batch, model.device)
            logits = target_logits(model, batch)  # (N, V)
            losses = functional.cross_entropy(logits.float(), batch["targets"], reduction="none").cpu().numpy()
            hits = (logits.argmax(dim=-1) == batch["targets"]).cpu().numpy()
            for place, index in enumerate(indices):
                found[index] = losses[owner == place], hits[owner == place]
    model.train(was_training)
    every = {index: row for part in processes.gathered(found) for index, row in part.items()}
    return TokenLosses([every[index][0] for index in range(len(rows))], [every[index][1] for index in range(len(rows))])
