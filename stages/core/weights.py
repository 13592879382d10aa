"""The weights that training changes, in one file: those of the epoch that was best so far."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from stages.core.files import sync_file, sync_folder


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    """Name -> weights, shared ones once, of all that is not frozen."""
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def count_trained(model: Any) -> int:
    """Number of weights that training changes."""
    return sum(weight.numel() for weight in trained_weights(model).values())


def save_weights(model: Any, path: Path) -> None:
    """Write the weights that training changes as one safetensors file, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: weight.detach().contiguous() for name, weight in trained_weights(model).items()}, partial)
    sync_file(partial)
    partial.replace(path)
    sync_folder(path.parent)


def load_weights(model: Any, path: Path) -> None:
    """Read what save_weights wrote into the same model."""
    saved = load_file(path)
    with torch.no_grad():
        for name, weight in trained_weights(model).items():
            weight.copy_(saved[name])
