"""Faster layers with the same results, put in place of a model's own while it trains. They hold no weights."""

import torch
from torch import nn
from transformers.activations import NewGELUActivation

from lockstep.training.fused_llama_layer import can_fuse, fuse

LEVELS = 1 << 16  # a dropout rate is rounded to a multiple of 1 / LEVELS


class FastDropout(nn.Dropout):
    """Dropout for CPUs that draws four 16-bit random numbers at a time; the rate is exact to 1 / 65,536.

    Torch's own draws one at a time there, and takes longer than the matrix products around it.
    """

    @torch.compiler.disable
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return super().forward(states)
        threshold = round(self.p * LEVELS)
        words = torch.empty((states.numel() + 3) // 4, dtype=torch.int64)  # (ceil(numel / 4),)
        words.random_(-(1 << 63), None)  # all 64 bits
        levels = words.view(torch.int16)[: states.numel()].view(states.shape)  # as states, uniform
        mask = (levels >= threshold - LEVELS // 2).to(states.dtype)  # as states, 0 where dropped
        return states * mask.mul_(LEVELS / (LEVELS - threshold))  # as states


def replace_layers(module: nn.Module, device: str) -> None:
    """Replace layers in place: on a CPU, dropout by FastDropout and a Llama layer by fused_llama_layer's; everywhere,
    GPT-2's GELU of seven operations by torch's single one, which is equal up to rounding."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout and device == "cpu":
            setattr(module, name, FastDropout(child.p).train(child.training))
        elif type(child) is NewGELUActivation:
            setattr(module, name, nn.GELU(approximate="tanh"))
        elif device == "cpu" and can_fuse(child):
            fuse(child)
        else:
            replace_layers(child, device)
