"""The fused Llama layer against Transformers' own, as autograd derives it."""

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from lockstep.core.settings import Lora
from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.training.fast_layers import replace_layers
from lockstep.training.fused_llama_layer import LlamaLayer, can_fuse
from lockstep.training.lora import add_adapters
from lockstep.training.step import TrainingStep, choose_step

CPU = Hardware("cpu", "fp32", 1)


def llama(**changes: Any) -> Any:
    torch.manual_seed(3)
    shape = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "max_position_embeddings": 512}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "vocab_size": 300}
    return AutoModelForCausalLM.from_config(LlamaConfig(**{**shape, **heads, **changes})).train()


def rows_of(*lengths: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(5, 300, (length,), generator=generator).tolist() for length in lengths]
    return [{"input_ids": tokens, "target_start": 1 + len(tokens) // 3} for tokens in ids]


def loss_and_gradients(
    model: Any, rows: list[dict[str, Any]], step: TrainingStep
) -> tuple[float, dict[str, torch.Tensor]]:
    loss = step.loss(model, collate(rows, 0, step.layout))
    model.zero_grad()
    loss.backward()
    return loss.item(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def calls_of_the_fused_layer(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    original = LlamaLayer.apply
    monkeypatch.setattr(LlamaLayer, "apply", lambda *arguments: (calls.append(1), original(*arguments))[1])
    return calls


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
@pytest.mark.parametrize("lengths", [(40,) * 3, (64, 33, 32, 7, 3, 2), (200, 5)], ids=str)
def test_loss_and_gradients_are_those_of_the_layer_it_replaces(
    monkeypatch: pytest.MonkeyPatch, kv_heads: int, lengths: tuple[int, ...]
) -> None:
    model, rows = llama(num_key_value_heads=kv_heads), rows_of(*lengths)
    step = choose_step(model, rows_of(30)[0], CPU, packing=True)
    assert step.layout == "line"
    expected_loss, expected = loss_and_gradients(model, rows, step)
    calls = calls_of_the_fused_layer(monkeypatch)
    replace_layers(model, "cpu")
    loss, gradients = loss_and_gradients(model, rows, step)
    assert len(calls) == (0 if len(set(lengths)) == 1 else 2)  # equally long rows are a batch of the ordinary kind
    assert loss == pytest.approx(expected_loss, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=2e-4, atol=2e-5 * float(expected[name].abs().max()))


def test_it_is_reproducible_bit_for_bit() -> None:
    model, rows = llama(), rows_of(50, 20, 9)
    step = choose_step(model, rows[0], CPU, packing=True)
    replace_layers(model, "cpu")
    first, second = (loss_and_gradients(model, rows, step)[1] for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("layout", ["padded", "line"])
def test_other_batches_and_long_rows_go_the_ordinary_way(monkeypatch: pytest.MonkeyPatch, layout: Any) -> None:
    model, rows = llama(), rows_of(300, 20)
    choose_step(model, rows_of(30)[0], CPU, packing=True)
    calls = calls_of_the_fused_layer(monkeypatch)
    step = TrainingStep(layout, True)
    expected, _ = loss_and_gradients(model, rows, step)
    replace_layers(model, "cpu")
    assert loss_and_gradients(model, rows, step)[0] == pytest.approx(expected, rel=1e-6)
    assert not calls


def test_layers_with_biases_adapters_or_another_activation_stay_as_they_are() -> None:
    assert can_fuse(llama().model.layers[0])
    assert not can_fuse(llama(attention_bias=True).model.layers[0])
    assert not can_fuse(llama(hidden_act="gelu").model.layers[0])
    adapted = add_adapters(llama(), Lora(rank=2, alpha=4, dropout=0, targets="auto"), "llama")
    assert not can_fuse(adapted.base_model.model.model.layers[0])
