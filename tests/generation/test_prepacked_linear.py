"""Prepacked linear layers: the same function as the layers they replace, on a copy."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from serving import tiny
from torch import nn

from lockstep.generation.prepacked_linear import PrepackedLinear, can_prepack, inference_copy

pytestmark = pytest.mark.skipif(not can_prepack(tiny()[0]), reason="this PyTorch has no oneDNN")


@pytest.mark.parametrize("bias", [True, False])
def test_a_prepacked_layer_computes_what_the_plain_one_does(bias: bool) -> None:
    torch.manual_seed(0)
    plain, x = nn.Linear(48, 32, bias=bias), torch.randn(5, 3, 48)  # x: (5, 3, in)
    packed = PrepackedLinear(plain.weight, plain.bias)
    assert torch.allclose(packed(x), plain(x), atol=1e-5)


@torch.inference_mode()
def test_the_copy_gives_the_models_logits_and_shares_its_other_weights() -> None:
    model, ids = tiny()[0], torch.tensor([[5, 6, 7]])  # (1, 3)
    clone = inference_copy(model)
    assert torch.allclose(clone(ids).logits, model.eval()(ids).logits, atol=1e-4)
    assert clone.transformer.wte.weight is model.transformer.wte.weight
    assert any(isinstance(module, PrepackedLinear) for module in clone.modules())
    assert not any(isinstance(module, PrepackedLinear) for module in model.modules())


def test_only_fp32_is_prepacked() -> None:
    half: Any = SimpleNamespace(device=torch.device("cpu"), dtype=torch.bfloat16)
    assert not can_prepack(half)
