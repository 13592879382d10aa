"""Layers that compute the same in less time, put in place of a model's own while it trains; they hold no weights."""

import torch
from torch import nn
from transformers.activations import NewGELUActivation

SHARES = 1 << 16  # a dropout share is a whole number of these


class QuickDropout(nn.Dropout):
    """Dropout whose random numbers are drawn four at a time on a CPU: torch's own draws one and takes longer than the
    products between. The share is right to 1 / 65,536."""

    @torch.compiler.disable
    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if not self.training or self.p == 0:
            return super().forward(states)
        dropped = round(self.p * SHARES)
        drawn = torch.empty((states.numel() + 3) // 4, dtype=torch.int64)
        drawn.random_(-(1 << 63), None)  # all 64 bits
        lots = drawn.view(torch.int16)[: states.numel()].view(states.shape)
        kept = (lots >= dropped - SHARES // 2).to(states.dtype)
        return states * kept.mul_(SHARES / (SHARES - dropped))


def quicken(module: nn.Module, device: str) -> None:
    """Replace, in place: on a CPU dropout by QuickDropout, and GPT-2's GELU of seven steps by torch's in one (equal but
    for rounding)."""
    for name, child in module.named_children():
        if type(child) is nn.Dropout and device == "cpu":
            setattr(module, name, QuickDropout(child.p).train(child.training))
        elif type(child) is NewGELUActivation:
            setattr(module, name, nn.GELU(approximate="tanh"))
        else:
            quicken(child, device)
