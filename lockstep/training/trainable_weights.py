"""The trainable weights of a model: counted, gathered from shards, saved to a file and put back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lockstep.core.atomic_files import sync_file, sync_folder
from lockstep.modeling.model import count_parameters


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Numbers of weights.

    parameters: those of the finished model. trained_parameters: those that training changes: all of them, or LoRA's
    adapters, which are merged into the finished model.
    """

    parameters: int
    trained_parameters: int

    @classmethod
    def of(cls, model: Any, method: str) -> "ModelSize":
        """The size of a model that is trained by this method, 'full' or 'lora'."""
        trained = count_trained(model)
        return cls(count_parameters(model) - (trained if method == "lora" else 0), trained)

    def __str__(self) -> str:
        share = self.trained_parameters / self.parameters
        trained = f", {share:.2%} of them trained," if self.trained_parameters < self.parameters else ""
        return f"{self.parameters / 1e6:.1f} million weights{trained}"


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Name -> parameter of everything that is not frozen; tied parameters once."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def count_trained(model: Any) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in trained_weights(model).values())


def gather_weights(model: Any) -> dict[str, torch.Tensor]:
    """Name -> complete tensor of each trainable weight, gathered where processes hold shards (FSDP)."""
    return {name: full_tensor(weight.detach()).contiguous() for name, weight in trained_weights(model).items()}


def full_tensor(weight: torch.Tensor) -> torch.Tensor:
    """A weight as one tensor; on the CPU if it was sharded over several processes."""
    return weight.full_tensor().cpu() if hasattr(weight, "full_tensor") else weight


def save_weights(model: Any, path: Path, writing: bool = True) -> None:
    """Write the trainable weights as one safetensors file, atomically.

    writing: whether this process writes. All processes that hold shards must call it, as gathering needs them.
    """
    gathered = gather_weights(model)
    if not writing:
        return
    partial = path.with_name(path.name + ".partial")
    save_file(gathered, partial)
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """Read what save_weights wrote: name -> tensor."""
    return load_file(path)


def put_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Copy the result of gather_weights or load_weights into a model."""
    with torch.no_grad():
        for name, weight in trained_weights(model).items():
            weight.copy_(weights[name])
