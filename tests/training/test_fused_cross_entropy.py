"""Fused linear layer and cross-entropy against PyTorch's own."""

import pytest
import torch
from small_models import PAD, SHAPES, build, random_rows
from torch.nn import functional

from lockstep.modeling.collate import collate
from lockstep.training import fused_cross_entropy
from lockstep.training.fused_cross_entropy import FusedCrossEntropy, loss_for_logits, plain_output


def test_in_chunks_and_tiles_the_loss_and_gradients_are_those_of_cross_entropy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_cross_entropy, "SOFTMAX_ROWS", 3)
    monkeypatch.setattr(fused_cross_entropy, "VOCABULARY_TILE", 16)
    monkeypatch.setattr(fused_cross_entropy, "CHUNK_BYTES", {"cpu": 4 * 50 * 7})  # seven rows of 50 logits
    hidden, weight = torch.randn(40, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    target_index, targets = torch.randperm(40)[:31], torch.randint(0, 50, (31,))
    expected = functional.cross_entropy(hidden[target_index] @ weight.t(), targets, reduction="sum")
    expected_gradients = torch.autograd.grad(expected * 0.5, (hidden, weight))
    loss = FusedCrossEntropy.apply(hidden, weight, target_index, targets)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    for gradient, expected_gradient in zip(
        torch.autograd.grad(loss * 0.5, (hidden, weight)), expected_gradients, strict=True
    ):
        assert torch.allclose(gradient, expected_gradient, atol=1e-5)


def test_a_target_of_probability_zero_has_a_finite_loss() -> None:
    hidden, weight = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    assert float(
        FusedCrossEntropy.apply(hidden, weight, torch.tensor([0]), torch.tensor([1])).detach()
    ) == pytest.approx(2000.0)


def test_the_padding_beside_logits_is_initialized() -> None:
    states, weight = torch.ones(3, 8, dtype=torch.bfloat16), torch.ones(50, 8, dtype=torch.bfloat16)
    torch.use_deterministic_algorithms(True)  # new memory is filled with NaN then
    try:
        logits = fused_cross_entropy._logits(states, weight)
    finally:
        torch.use_deterministic_algorithms(False)
    assert logits.stride() == (64, 1)
    assert torch.equal(logits.as_strided((3, 14), (64, 1), 50), torch.zeros(3, 14, dtype=torch.bfloat16))


def test_an_output_layer_with_bias_is_not_fused() -> None:
    model = build(SHAPES["gpt2"])
    assert plain_output(model) is model.get_output_embeddings()
    model.set_output_embeddings(torch.nn.Linear(32, 400, bias=True))
    assert plain_output(model) is None


def test_the_output_layer_returns_the_loss_within_the_block_and_logits_after_it() -> None:
    model = build(SHAPES["gpt2"])
    batch = collate(random_rows(3), PAD, "padded")
    head = plain_output(model)
    assert head is not None
    with torch.no_grad():
        with loss_for_logits(head, batch["target_index"], batch["targets"]):
            assert model(batch["input_ids"]).logits.shape == (1, 1, 1)
        assert model(batch["input_ids"]).logits.shape[-1] == 400
