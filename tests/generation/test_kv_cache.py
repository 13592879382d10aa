"""The KV caches against a forward pass over the whole sequence, and the measurement of batch invariance."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from serving import engine
from transformers import MistralConfig

from lockstep.generation import kv_cache
from lockstep.generation.kv_cache import (
    BatchedKVCache,
    PerSequenceKVCache,
    batch_invariant_sizes,
    bytes_per_position,
    supports_batched_cache,
)

CACHES: list[Callable[[], Any]] = [
    lambda: BatchedKVCache(engine().model, 512),
    lambda: PerSequenceKVCache(engine().model),
]


def logits_without_cache(ids: list[int]) -> torch.Tensor:
    """(1, V)"""
    return engine().model(torch.tensor([ids])).logits[:, -1].float()


@pytest.mark.parametrize("make_cache", CACHES)
@torch.inference_mode()
def test_logits_are_those_of_a_pass_over_the_whole_sequence(make_cache: Callable[[], Any]) -> None:
    cache, sequences = make_cache(), [[3, 4, 5], list(range(1, 140)), [7] * 5]  # 139 positions: the cache grows
    for ids in sequences:
        assert torch.allclose(cache.prefill(ids), logits_without_cache(ids), atol=1e-4)
    for token in (11, 12):
        sequences = [[*ids, token] for ids in sequences]
        expected = torch.cat([logits_without_cache(ids) for ids in sequences])  # (3, V)
        assert torch.allclose(cache.step([token] * 3), expected, atol=1e-4)


@pytest.mark.parametrize("make_cache", CACHES)
@torch.inference_mode()
def test_the_last_sequence_moves_into_a_freed_slot(make_cache: Callable[[], Any]) -> None:
    cache = make_cache()
    for ids in ([3, 4, 5], [6, 7], [8, 9, 10, 11]):
        cache.prefill(ids)
    cache.remove(0)
    expected = torch.cat([logits_without_cache([8, 9, 10, 11, 2]), logits_without_cache([6, 7, 1])])  # (2, V)
    assert torch.allclose(cache.step([2, 1]), expected, atol=1e-4)


def test_batch_sizes_at_which_sequences_affect_each_other_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(model: object, context: int, size: int, first_length: int) -> torch.Tensor:
        return torch.full((size, 3), 0.5 if size < 16 else 0.25)

    monkeypatch.setattr(kv_cache, "_probe", probe)
    assert batch_invariant_sizes(engine().model, 512) == (16, 32, 64)


def test_no_batch_size_is_used_where_a_longer_neighbour_changes_the_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    def probe(model: object, context: int, size: int, first_length: int) -> torch.Tensor:
        return torch.full((size, 3), float(first_length))

    monkeypatch.setattr(kv_cache, "_probe", probe)
    assert batch_invariant_sizes(engine().model, 512) == ()


def test_sliding_windows_need_a_cache_for_each_sequence() -> None:
    from transformers import MistralForCausalLM

    shape = {"num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2, "num_key_value_heads": 1}
    config = MistralConfig(vocab_size=8, intermediate_size=8, sliding_window=4, **shape)
    assert supports_batched_cache(engine().model)
    assert not supports_batched_cache(MistralForCausalLM(config))


def test_a_position_takes_keys_and_values_of_every_layer() -> None:
    assert bytes_per_position(engine().model) == 2 * 2 * 32 * 4  # keys and values, layers, width, bytes of fp32
