"""The state of a training run that Transformers' Trainer does not keep: running loss, learning curves, best weights.

It is saved in each checkpoint, beside what Trainer saves there.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lockstep.core.atomic_files import read_json, write_json
from lockstep.core.errors import LockstepError
from lockstep.modeling.distributed import ProcessGroup
from lockstep.training.checkpoints import link_file
from lockstep.training.learning_curves import Curves

COUNTERS = "counters.json"
BEST = "best.safetensors"  # weights of the epoch with the lowest validation loss


class LossMeter:
    """This process's training loss: summed -ln p and targets since the last point of the learning curve, and the tokens
    of the whole run, earlier starts included."""

    def __init__(self, device: str) -> None:
        self.nll = torch.zeros((), dtype=torch.float32 if device == "mps" else torch.float64)  # (), nats
        self.targets = 0
        self.tokens = 0

    def add(self, nll: torch.Tensor, targets: int, tokens: int) -> None:
        """Add one batch. The sum stays on the device, so that no step waits for the CPU."""
        self.nll = self.nll.to(nll.device) + nll.detach()
        self.targets += targets
        self.tokens += tokens

    def take_mean(self, processes: ProcessGroup) -> tuple[float, int]:
        """Mean loss per target since the last call, and tokens so far, over all processes; all of them must call it.

        Raises LockstepError when the loss is not finite.
        """
        nll, targets, tokens = processes.all_reduce_sum([float(self.nll), self.targets, self.tokens]).tolist()
        require_finite(nll)
        self.nll.zero_()
        self.targets = 0
        return nll / max(targets, 1), int(tokens)

    def state_dict(self) -> dict[str, Any]:
        """The sums as plain numbers."""
        return {"nll": float(self.nll), "targets": self.targets, "tokens": self.tokens}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what state_dict returned."""
        self.nll.fill_(state["nll"])
        self.targets, self.tokens = state["targets"], state["tokens"]


def require_finite(loss: float) -> None:
    """Raise LockstepError when the training loss is NaN or infinite."""
    if not math.isfinite(loss):
        raise LockstepError("The training loss is not a number any more.", "Lower train.learning_rate.")


@dataclass(frozen=True, slots=True)
class RunState:
    """The state that a run adds to Trainer's. Every process has one; only the first writes files.

    folder: where the run's checkpoints are.
    """

    folder: Path
    meter: LossMeter
    curves: Curves
    processes: ProcessGroup

    @property
    def best_weights(self) -> Path:
        """The file with the best epoch's weights; it exists where the run keeps them."""
        return self.folder / BEST

    def save(self, checkpoint: Path) -> None:
        """Write the state into a checkpoint folder. All processes must call it, after Trainer has written its files: it
        returns only once every process has called it.

        Raises LockstepError when the loss is not finite, as no run could continue from there.
        """
        counters = self.processes.all_gather(self.meter.state_dict())
        for process in counters:
            require_finite(process["nll"])
        if self.processes.is_main:
            write_json(checkpoint / COUNTERS, counters)
            self.curves.write(checkpoint)
            if self.best_weights.exists():
                link_file(self.best_weights, checkpoint / BEST)

    def load(self, checkpoint: Path) -> None:
        """Continue from what save wrote. Raises LockstepError when a file is missing or broken."""
        self.meter.load_state_dict(read_json(checkpoint / COUNTERS, "make train")[self.processes.rank])
        self.curves.read(checkpoint)
        # A run killed between an evaluation and the save after it has left the best weights of a later epoch.
        if self.processes.is_main:
            self.best_weights.unlink(missing_ok=True)
            if (checkpoint / BEST).exists():
                link_file(checkpoint / BEST, self.best_weights)
