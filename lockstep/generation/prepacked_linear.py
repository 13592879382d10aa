"""Linear layers for inference on a CPU, with weights packed so that sequences of a batch hardly affect each other."""

import copy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

PACKING_BATCH = 8  # rows of x that oneDNN optimises the layout for; any number may be multiplied


class PrepackedLinear(nn.Module):
    """x (..., in) -> x W^T + b (..., out), with W in oneDNN's own blocked layout.

    For a few rows of x this is faster than the default product, and the bits of a row of the result hardly ever depend
    on how many other rows are multiplied with it.

    weight: (out, in). bias: (out,) or None.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), PACKING_BATCH)  # opaque
        self.bias = None if bias is None else bias.detach()  # (out,)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, "none", [], "")  # (..., out)


def inference_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that shares the weights, in evaluation mode and, on a CPU with oneDNN, with prepacked linear layers.

    The model itself stays as it is: it can still be trained and saved.
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    clone = copy.deepcopy(model, shared).eval()
    if can_prepack(model):
        _prepack(clone)
    return clone


def can_prepack(model: PreTrainedModel) -> bool:
    """Whether this PyTorch can prepack weights and the model gains from it: fp32 on a CPU."""
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return available and model.device.type == "cpu" and model.dtype == torch.float32


def _prepack(module: nn.Module) -> None:
    """Replace the linear layers below a module."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            setattr(module, name, PrepackedLinear(child.weight, child.bias))
        elif type(child) is Conv1D:  # GPT-2 keeps its weights transposed, (in, out)
            layer: Any = child
            setattr(module, name, PrepackedLinear(layer.weight.t(), layer.bias))
        else:
            _prepack(child)
