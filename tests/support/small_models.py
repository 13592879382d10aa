"""Models of two layers and random weights, random rows, and their loss by a plain loop."""

from typing import Any

import numpy as np
import torch
from torch.nn import functional
from transformers import GPT2Config, LlamaConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

PAD = 399
SMALL = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 0}

SHAPES = {
    "gpt2": GPT2Config(n_positions=600, n_embd=32, n_layer=2, n_head=4, **SMALL),
    "llama": LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, **SMALL
    ),
}


def build(config: Any) -> PreTrainedModel:
    """A model with random weights, the same each time, without dropout."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def random_rows(count: int, longest: int = 40) -> list[dict[str, Any]]:
    """Rows of random tokens, 2 to `longest` - 1 long; the targets begin anywhere."""
    random = np.random.default_rng(count)
    lengths = random.integers(2, longest, count)
    return [
        {"input_ids": random.integers(0, 400, length), "target_start": int(random.integers(1, length))}
        for length in lengths
    ]


def loop_loss(model: PreTrainedModel, rows: list[dict[str, Any]]) -> torch.Tensor:
    """Sum of -ln p over the targets, row by row, each from the logits of that row alone."""
    total = torch.zeros(())
    for row in rows:
        ids = torch.tensor(row["input_ids"])
        losses = functional.cross_entropy(model(ids[None]).logits[0, :-1], ids[1:], reduction="none")
        total = total + losses[row["target_start"] - 1 :].sum()
    return total
