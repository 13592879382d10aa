"""The weights that training changes, in one file: those of the epoch that was best so far."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from lockstep.core.atomic_files import sync_file, sync_folder


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Name -> weights, shared ones once, of all that is not frozen."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def count_trained(model: Any) -> int:
    """Number of weights that training changes."""
    return sum(weight.numel() for weight in trained_weights(model).values())


def gather_weights(model: Any) -> dict[str, torch.Tensor]:
    """The weights that training changes, whole where processes hold shards of them."""
    return {name: whole(weight.detach()).contiguous() for name, weight in trained_weights(model).items()}


def whole(weight: torch.Tensor) -> torch.Tensor:
    """A weight that may lie in shards in several processes (FSDP), in one piece on the CPU."""
    return weight.full_tensor().cpu() if hasattr(weight, "full_tensor") else weight


def save_weights(model: Any, path: Path, writing: bool = True) -> None:
    """Write the weights that training changes as one safetensors file, whole or not at all.

    writing: whether this is the process that writes; those that hold shards of the weights all have to come here.
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
    """What save_weights wrote."""
    return load_file(path)


def put_weights(model: Any, weights: dict[str, torch.Tensor]) -> None:
    """Give a model the weights that training changed, of gather_weights or load_weights."""
    with torch.no_grad():
        for name, weight in trained_weights(model).items():
            weight.copy_(weights[name])
