"""Layers replaced for training: the same results, and the same statistics of dropout."""

import pytest
import torch
from small_models import SHAPES, build

from lockstep.training.fast_layers import FastDropout, replace_layers


def test_fast_dropout_drops_its_share_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    states = torch.ones(300_001, requires_grad=True)
    kept = FastDropout(0.3)(states)
    kept.sum().backward()
    assert float((kept == 0).float().mean()) == pytest.approx(0.3, abs=0.005)
    assert float(kept.mean().detach()) == pytest.approx(1, abs=0.01)
    assert torch.equal(states.grad, kept.detach())
    assert torch.equal(FastDropout(0.3).eval()(states), states)


def test_fast_dropout_repeats_with_the_seed() -> None:
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(FastDropout(0.5)(torch.ones(999)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_gpu_keeps_its_own_dropout() -> None:
    model = build(SHAPES["gpt2"])
    replace_layers(model, "cuda")
    assert not any(isinstance(module, FastDropout) for module in model.modules())
    assert any(type(module) is torch.nn.GELU for module in model.modules())


def test_replaced_layers_compute_the_same() -> None:
    model, ids = build(SHAPES["gpt2"]), torch.arange(50)[None]
    with torch.no_grad():
        expected = model(ids).logits
        replace_layers(model, "cpu")
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)
    assert {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {FastDropout}
