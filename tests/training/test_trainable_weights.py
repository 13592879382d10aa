"""The trainable weights: counted, written to a file and put back."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from lockstep.core.settings import Lora
from lockstep.training.lora import add_adapters
from lockstep.training.trainable_weights import ModelSize, load_weights, put_weights, save_weights, trained_weights

RANK_4 = Lora(rank=4, alpha=8, dropout=0.0, targets="auto")


def test_the_size_of_a_model_leaves_out_adapters_that_will_be_merged(model: Any) -> None:
    full = ModelSize.of(model, "full")
    assert full.trained_parameters == full.parameters == sum(weight.numel() for weight in model.parameters())
    adapted = ModelSize.of(add_adapters(model, RANK_4, "base"), "lora")
    assert adapted == ModelSize(full.parameters, 4 * 1024)


def test_a_size_is_printed_with_the_share_that_is_trained() -> None:
    assert str(ModelSize(124_000_000, 124_000_000)) == "124.0 million weights"
    assert str(ModelSize(124_000_000, 310_000)) == "124.0 million weights, 0.25% of them trained,"


def test_trained_weights_are_read_back_and_frozen_ones_are_not_written(model: Any, tmp_path: Path) -> None:
    adapted = add_adapters(model, RANK_4, "base")
    save_weights(adapted, tmp_path / "best.safetensors")
    before = {name: weight.detach().clone() for name, weight in trained_weights(adapted).items()}
    assert load_file(tmp_path / "best.safetensors").keys() == before.keys()
    assert all("lora" in name for name in before)
    with torch.no_grad():
        for weight in adapted.parameters():
            weight.add_(1)
    put_weights(adapted, load_weights(tmp_path / "best.safetensors"))
    assert all(torch.equal(weight, before[name]) for name, weight in trained_weights(adapted).items())


def test_a_process_that_does_not_write_leaves_no_file(model: Any, tmp_path: Path) -> None:
    save_weights(model, tmp_path / "best.safetensors", writing=False)
    assert list(tmp_path.iterdir()) == []
