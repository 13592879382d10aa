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


@torch.inference_mode()
@pytest.mark.parametrize("count", [2, 3, 16, 17, 64])
def test_a_sequence_of_a_decoding_step_gets_the_same_bits_in_bf16_whatever_is_beside_it(count: int) -> None:
    torch.manual_seed(0)
    weight, x = torch.randn(96, 64), torch.randn(64, 1, 64)  # (out, in); (B, 1, in)
    packed = PrepackedLinear(weight, None, torch.bfloat16)
    expected = (x.bfloat16() @ weight.bfloat16().t()).float()  # (B, 1, out)
    assert packed(x[:count]).shape == (count, 1, 96)
    assert torch.allclose(packed(x), expected, rtol=0.02, atol=0.05)
    assert torch.equal(packed(x[:count]), packed(x)[:count])


@torch.inference_mode()
def test_a_large_model_has_bf16_layers_where_the_processor_multiplies_them(monkeypatch: pytest.MonkeyPatch) -> None:
    import lockstep.generation.prepacked_linear as module

    def dtypes(has_bf16: bool, least: int) -> set[torch.dtype]:
        monkeypatch.setattr(module, "cpu_has_bf16", lambda: has_bf16)
        monkeypatch.setattr(module, "BF16_WEIGHTS", least)
        clone = inference_copy(tiny()[0])
        layers = {name: layer for name, layer in clone.named_modules() if isinstance(layer, PrepackedLinear)}
        assert layers["lm_head"].dtype == torch.float32
        return {layer.dtype for name, layer in layers.items() if name != "lm_head"}

    assert dtypes(True, 1) == {torch.bfloat16}
    assert dtypes(False, 1) == dtypes(True, 10**9) == {torch.float32}
