"""The training step: however the rows lie and wherever the loss comes from, it is the plain loop's loss and gradient."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import BloomConfig, GPT2Config, GraniteConfig, LlamaConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.training import fused_cross_entropy, varlen_attention
from lockstep.training.fast_layers import FastDropout, replace_layers
from lockstep.training.step import TrainingStep, choose_step
from lockstep.training.varlen_attention import group_rows

PAD = 399
CPU = Hardware("cpu", "fp32", 1)
SMALL = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 0}
SHAPES = {
    "gpt2": GPT2Config(n_positions=600, n_embd=32, n_layer=2, n_head=4, **SMALL),
    "llama": LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **SMALL
    ),
}
WAYS = [TrainingStep(layout, fused) for layout in ("line", "bins", "padded") for fused in (False, True)]


def make(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def some_rows(count: int, longest: int = 40) -> list[dict[str, Any]]:
    random = np.random.default_rng(count)
    lengths = random.integers(2, longest, count)
    return [
        {"input_ids": random.integers(0, 400, length), "target_start": int(random.integers(1, length))}
        for length in lengths
    ]


def plain_loss(model: PreTrainedModel, rows: list[dict[str, Any]]) -> torch.Tensor:
    """Sum of -ln p over targets, row by row, from all logits of the row alone."""
    total = torch.zeros(())
    for row in rows:
        ids = torch.tensor(row["input_ids"])
        losses = functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        total = total + losses[row["target_start"] - 1 :].sum()
    return total


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_a_plain_loop(shape: str, way: TrainingStep) -> None:
    model, rows = make(SHAPES[shape]), some_rows(12)
    targets = sum(len(row["input_ids"]) - row["target_start"] for row in rows)
    expected_loss = plain_loss(model, rows) / targets
    expected_loss.backward()
    expected = {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}
    model.zero_grad()
    model.set_attn_implementation(varlen_attention.NAME if way.layout == "line" else "sdpa")
    loss = way.loss(model, collate(rows, PAD, way.layout)) / targets
    loss.backward()
    assert float(loss.detach()) == pytest.approx(float(expected_loss.detach()), abs=1e-5)
    assert expected
    for name, weight in model.named_parameters():
        assert weight.grad == pytest.approx(expected[name], abs=1e-5), name


def test_long_rows_and_short_ones_share_a_line() -> None:
    model, rows = make(SHAPES["gpt2"]), some_rows(6, 600)
    assert (
        max(len(row["input_ids"]) for row in rows) > varlen_attention.SHORT > min(len(row["input_ids"]) for row in rows)
    )
    model.set_attn_implementation(varlen_attention.NAME)
    with torch.no_grad():
        found = TrainingStep("line", True).loss(model, collate(rows, PAD, "line"))
        assert float(found) == pytest.approx(float(plain_loss(model, rows)), rel=1e-6)


def test_a_row_does_not_see_the_rows_beside_it() -> None:
    model, rows = make(SHAPES["gpt2"]), some_rows(5)
    model.set_attn_implementation(varlen_attention.NAME)
    longest = max(range(5), key=lambda index: len(rows[index]["input_ids"]))
    others = [
        row if index == longest else {**row, "input_ids": row["input_ids"][::-1].copy()}
        for index, row in enumerate(rows)
    ]
    with torch.no_grad():
        first, second = (
            model(**{name: batch[name] for name in ("input_ids", "position_ids", "attention_mask")}).logits[0]
            for batch in (collate(rows, PAD, "line"), collate(others, PAD, "line"))
        )
    length = len(rows[longest]["input_ids"])
    assert torch.equal(first[:length], second[:length])
    assert not torch.equal(first[length:], second[length:])


@pytest.mark.parametrize(
    ("lengths", "groups"),
    [
        ((9, 8, 5, 4, 3), [(9, 8, 5), (4, 3)]),
        ((400, 300, 250, 200), [(400, 300), (250, 200)]),
        ((7,), [(7,)]),
    ],
)
def test_rows_of_similar_length_are_grouped(lengths: tuple[int, ...], groups: list[tuple[int, ...]]) -> None:
    assert group_rows(lengths) == groups


def test_the_output_layer_in_chunks_gives_the_loss_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cross_entropy, "SOFTMAX_ROWS", 3)
    monkeypatch.setattr(fused_cross_entropy, "VOCABULARY_TILE", 16)
    monkeypatch.setattr(fused_cross_entropy, "CHUNK_BYTES", {"cpu": 4 * 50 * 7})  # seven rows of 50 logits
    hidden, weight = torch.randn(40, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    target_index, targets = torch.randperm(40)[:31], torch.randint(0, 50, (31,))
    expected = functional.cross_entropy(hidden[target_index] @ weight.t(), targets, reduction="sum")
    wanted = torch.autograd.grad(expected * 0.5, (hidden, weight))
    found = fused_cross_entropy.FusedCrossEntropy.apply(hidden, weight, target_index, targets)
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for gradient, right in zip(torch.autograd.grad(found * 0.5, (hidden, weight)), wanted, strict=True):
        assert torch.allclose(gradient, right, atol=1e-5)


def test_a_hopeless_target_has_a_finite_loss() -> None:
    hidden, weight = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    assert float(
        fused_cross_entropy.FusedCrossEntropy.apply(hidden, weight, torch.tensor([0]), torch.tensor([1])).detach()
    ) == pytest.approx(2000.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_ordinary_models_take_the_fastest_way(shape: str) -> None:
    row = some_rows(1)[0]
    assert choose_step(make(SHAPES[shape]), row, CPU, packing=True) == TrainingStep("line", True)
    assert choose_step(make(SHAPES[shape]), row, CPU, packing=False) == TrainingStep("padded", True)


def test_a_model_without_positions_is_padded() -> None:
    model = make(BloomConfig(hidden_size=32, n_layer=1, n_head=2, **SMALL))
    assert choose_step(model, some_rows(1)[0], CPU, packing=True).layout == "padded"


def test_a_model_that_scales_its_logits_keeps_them() -> None:
    config = GraniteConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        logits_scaling=8.0, **SMALL,
    )  # fmt: skip
    model, rows = make(config), some_rows(5)
    step = choose_step(model, rows[0], CPU, packing=True)
    assert not step.fused
    with torch.no_grad():
        found = float(step.loss(model, collate(rows, PAD, step.layout)))
        assert found == pytest.approx(float(plain_loss(model, rows)), rel=1e-5)


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
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(FastDropout(0.5)(torch.ones(999)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_gpu_keeps_its_own_dropout() -> None:
    model = make(SHAPES["gpt2"])
    replace_layers(model, "cuda")
    assert not any(isinstance(module, FastDropout) for module in model.modules())
    assert any(type(module) is torch.nn.GELU for module in model.modules())


def test_replaced_layers_compute_the_same() -> None:
    model, ids = make(SHAPES["gpt2"]), torch.arange(50)[None]
    with torch.no_grad():
        expected = model(ids).logits
        replace_layers(model, "cpu")
        assert torch.allclose(model(ids).logits, expected, atol=1e-6)
    assert {type(module) for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {FastDropout}


def test_a_bf16_product_reads_no_memory_that_nobody_wrote() -> None:
    states, weight = torch.ones(3, 8, dtype=torch.bfloat16), torch.ones(50, 8, dtype=torch.bfloat16)
    torch.use_deterministic_algorithms(True)  # new memory is filled with NaN then
    try:
        logits = fused_cross_entropy._logits(states, weight)
    finally:
        torch.use_deterministic_algorithms(False)
    assert logits.stride() == (64, 1)
    assert torch.equal(logits.as_strided((3, 14), (64, 1), 50), torch.zeros(3, 14, dtype=torch.bfloat16))
