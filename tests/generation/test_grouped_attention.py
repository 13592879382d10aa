"""Grouped attention against Transformers' own, which repeats keys and values."""

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from lockstep.generation import grouped_attention
from lockstep.generation.grouped_attention import shares_heads
from lockstep.generation.kv_cache import BatchedKVCache


def llama(kv_heads: int) -> torch.nn.Module:
    torch.manual_seed(5)
    shape = {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "vocab_size": 300}
    config = LlamaConfig(**shape, num_attention_heads=6, num_key_value_heads=kv_heads, max_position_embeddings=128)
    return AutoModelForCausalLM.from_config(config).eval()


def logits(model: torch.nn.Module, implementation: str) -> list[torch.Tensor]:
    """Of two prompts, and of two steps of both sequences together."""
    model.set_attn_implementation(implementation)
    cache = BatchedKVCache(model, 128)
    with torch.inference_mode():
        found = [cache.prefill(list(range(5, 45))), cache.prefill([7, 8, 9])]
        return [*found, cache.step([11, 12]), cache.step([13, 14])]


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 6])
def test_logits_of_prompts_and_steps_are_the_same(kv_heads: int) -> None:
    model = llama(kv_heads)
    pairs = zip(logits(model, "eager"), logits(model, grouped_attention.NAME), strict=True)
    for expected, found in pairs:
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_only_models_whose_heads_share_keys_need_it() -> None:
    assert [shares_heads(llama(kv_heads)) for kv_heads in (2, 6)] == [True, False]
    assert not shares_heads(AutoModelForCausalLM.from_config(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=9)))
