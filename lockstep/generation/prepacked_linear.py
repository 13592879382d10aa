"""Linear layers for inference on a CPU, with weights packed so that sequences of a batch hardly affect each other.

A model of BF16_WEIGHTS weights or more has its layers in bf16 where the CPU multiplies bf16 in hardware: reading the
weights is what a token takes, and half as many bytes are read. The output layer stays in fp32, as bf16 has too few
digits to tell the likeliest token from the second.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from lockstep.modeling.device import cpu_has_bf16

BF16_WEIGHTS = 50_000_000  # weights of a model; a smaller one is as fast in fp32
STEP_ROWS = 16  # rows of a product in bf16 while sequences are decoded
PACKING_BATCH = 8  # rows of x that oneDNN optimises the layout for; any number may be multiplied


class PrepackedLinear(nn.Module):
    """x (..., in) -> x W^T + b (..., out), with W in oneDNN's own blocked layout.

    For a few rows of x this is faster than the default product, and the bits of a row of the result hardly ever depend
    on how many other rows are multiplied with it.

    weight: (out, in). bias: (out,) or None. dtype: of the product; x and the result have their own.
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        weight = weight.detach().to(dtype).contiguous()  # (out, in)
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, PACKING_BATCH)  # opaque
        self.bias = None if bias is None else bias.detach().to(dtype)  # (out,)
        self.dtype = dtype

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_step = x.dim() == 3 and x.shape[1] == 1 and x.shape[0] > 1  # a token of each of several sequences
        if self.dtype == torch.float32 or not is_step:
            return self._product(x)
        # In bf16 the order of a sum depends on the number of rows, so that number is always the same.
        rows = functional.pad(x[:, 0], (0, 0, 0, -len(x) % STEP_ROWS))  # (rows, in), whole blocks
        blocks = [self._product(block) for block in rows.split(STEP_ROWS)]  # (STEP_ROWS, out) each
        return torch.cat(blocks)[: len(x), None]  # (B, 1, out)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        product = torch.ops.mkldnn._linear_pointwise(x.to(self.dtype), self.packed, self.bias, "none", [], "")
        return product.to(x.dtype)  # (..., out)


def inference_copy(model: PreTrainedModel) -> PreTrainedModel:
    """A copy that shares the weights, in evaluation mode and, on a CPU with oneDNN, with prepacked linear layers.

    The model itself stays as it is: it can still be trained and saved.
    """
    shared = {id(tensor): tensor for tensor in [*model.parameters(), *model.buffers()]}
    clone = copy.deepcopy(model, shared).eval()
    if can_prepack(model):
        is_large = sum(weight.numel() for weight in model.parameters()) >= BF16_WEIGHTS
        dtype = torch.bfloat16 if is_large and cpu_has_bf16() else torch.float32
        _prepack(clone, dtype, clone.get_output_embeddings())
    return clone


def can_prepack(model: PreTrainedModel) -> bool:
    """Whether this PyTorch can prepack weights and the model gains from it: fp32 on a CPU."""
    available = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    return available and model.device.type == "cpu" and model.dtype == torch.float32


def _prepack(module: nn.Module, dtype: torch.dtype, output_layer: nn.Module | None) -> None:
    """Replace the linear layers below a module; the output layer stays in fp32."""
    for name, child in module.named_children():
        if type(child) is nn.Linear:
            child_dtype = torch.float32 if child is output_layer else dtype
            setattr(module, name, PrepackedLinear(child.weight, child.bias, child_dtype))
        elif type(child) is Conv1D:  # GPT-2 keeps its weights transposed, (in, out)
            layer: Any = child
            setattr(module, name, PrepackedLinear(layer.weight.t(), layer.bias, dtype))
        else:
            _prepack(child, dtype, output_layer)
