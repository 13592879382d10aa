"""Linear layers of a model that only answers, laid out so that rows of a batch do not disturb each other."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D


class PackedLinear(nn.Module):
    """x (..., in) -> x W^T + b (..., out), with W in oneDNN's own blocked layout.

    For a few rows this is faster than the default product, and a row's bits hardly ever depend on how many other rows
    are multiplied with it.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), PACKED_ROWS)
        self.bias = None if bias is None else bias.detach()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(rows, self.packed, self.bias, "none", [], "")


PACKED_ROWS = 8  # rows the layout is made for; any number may be multiplied


def answering_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that shares the weights, in evaluation mode and, on a CPU with oneDNN, with packed linear layers.

    The model itself stays as it is: it can still be trained and saved.
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    clone = copy.deepcopy(model, shared).eval()
    if can_pack(model):
        _pack(clone)
    return clone


def can_pack(model: PreTrainedModel) -> bool:
    """Whether this PyTorch can pack, and the model is of the kind that gains: fp32 on the CPU."""
    there = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return there and model.device.type == "cpu" and model.dtype == torch.float32


def _pack(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PackedLinear(child.weight, child.bias))
        elif type(child) is Conv1D:  # GPT-2 keeps its weights the other way round
            layer: Any = child
            setattr(module, name, PackedLinear(layer.weight.t(), layer.bias))
        else:
            _pack(child)
