"""The training step: in every layout, fused or not, its loss and gradients are those of a plain loop."""

import pytest
import torch
from small_models import PAD, SHAPES, SMALL, build, loop_loss, random_rows
from transformers import BloomConfig, GraniteConfig

from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.training import varlen_attention
from lockstep.training.step import TrainingStep, choose_step

CPU = Hardware("cpu", "fp32", 1)
STEPS = [TrainingStep(layout, fused) for layout in ("line", "bins", "padded") for fused in (False, True)]


@pytest.mark.parametrize("step", STEPS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_a_plain_loop(shape: str, step: TrainingStep) -> None:
    model, rows = build(SHAPES[shape]), random_rows(12)
    targets = sum(len(row["input_ids"]) - row["target_start"] for row in rows)
    expected_loss = loop_loss(model, rows) / targets
    expected_loss.backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    model.set_attn_implementation(varlen_attention.NAME if step.layout == "line" else "sdpa")
    loss = step.loss(model, collate(rows, PAD, step.layout)) / targets
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected_loss.detach()), abs=1e-5)
    assert expected
    for name, weight in model.named_parameters():
        assert weight.grad == pytest.approx(expected[name], abs=1e-5), name


@pytest.mark.parametrize("shape", SHAPES)
def test_ordinary_models_get_the_fastest_step(shape: str) -> None:
    row = random_rows(1)[0]
    assert choose_step(build(SHAPES[shape]), row, CPU, packing=True) == TrainingStep("line", True)
    assert choose_step(build(SHAPES[shape]), row, CPU, packing=False) == TrainingStep("padded", True)


def test_a_model_without_positions_is_padded() -> None:
    model = build(BloomConfig(hidden_size=32, n_layer=1, n_head=2, **SMALL))
    assert choose_step(model, random_rows(1)[0], CPU, packing=True).layout == "padded"


def test_a_model_that_scales_its_logits_is_not_fused() -> None:
    config = GraniteConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        logits_scaling=8.0, **SMALL,
    )  # fmt: skip
    model, rows = build(config), random_rows(5)
    step = choose_step(model, rows[0], CPU, packing=True)
    assert not step.fused
    with torch.no_grad():
        loss = float(step.loss(model, collate(rows, PAD, step.layout)))
        assert loss == pytest.approx(float(loop_loss(model, rows)), rel=1e-5)
