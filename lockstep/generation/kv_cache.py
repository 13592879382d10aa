"""Key-value caches for several sequences, laid out so that all sequences share each forward pass.

Shapes: B sequences of a forward pass, T tokens of a prompt, P positions, H key-value heads, D width of a head,
V entries of the vocabulary.
"""

from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

BATCH_SIZES = (4, 8, 16, 32, 64)  # sequences of a forward pass: unused slots pad it to the next of these
BLOCK_POSITIONS = 32  # the cache and prompts are padded to whole blocks, so that few shapes occur


class _CacheLayer(CacheLayerMixin):
    """The keys and values of one layer, (B, H, P, D) each.

    During prefill a prompt is written to the slot `prefill_slot`; during a decoding step the newest token of each
    sequence is written to that sequence's own position.
    """

    is_sliding = False

    def __init__(self, cache: "BatchedKVCache") -> None:
        super().__init__()
        self.cache = cache

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate memory for the number of heads, the head width and the dtype of this layer's states (B, H, T, D)."""
        slots, positions = self.cache.capacity
        shape = (slots, key_states.shape[1], positions)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])  # (B, H, P, D)
        self.values = value_states.new_zeros(*shape, value_states.shape[3])  # (B, H, P, D)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store the new states and return the keys and values that attention looks at.

        key_states, value_states: (1, H, T, D) of a prompt, or (B, H, 1, D) of a decoding step.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        cache, keys, values = self.cache, self.keys, self.values
        assert keys is not None
        assert values is not None
        if cache.prefill_slot is not None:
            length = cache.prefill_length
            keys[cache.prefill_slot, :, :length] = key_states[0, :, :length]  # (H, T, D)
            values[cache.prefill_slot, :, :length] = value_states[0, :, :length]  # (H, T, D)
            return key_states, value_states
        batch, attended = len(cache.positions), cache.attended_positions
        slots = torch.arange(batch, device=keys.device)  # (B,)
        keys[slots, :, cache.positions] = key_states[:, :, 0]  # (B, H, D)
        values[slots, :, cache.positions] = value_states[:, :, 0]  # (B, H, D)
        return keys[:batch, :, :attended], values[:batch, :, :attended]  # (B, H, P, D) each

    def resize(self, slots: int, positions: int) -> None:
        """Move the states to an allocation of so many slots and positions, not smaller than the present one."""
        for name in ("keys", "values") if self.is_initialized else ():
            old = getattr(self, name)
            new = old.new_zeros(slots, old.shape[1], positions, old.shape[3])  # (B, H, P, D)
            new[: len(old), :, : old.shape[2]] = old
            setattr(self, name, new)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one slot over another."""
        if self.keys is not None and self.values is not None:
            self.keys[target, :, :length] = self.keys[source, :, :length]  # (H, T, D)
            self.values[target, :, :length] = self.values[source, :, :length]  # (H, T, D)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Length and offset of the keys that a prompt attends to: its own."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """0: positions and masks are passed explicitly, so nothing may be derived from the cache's length."""
        return 0

    def get_max_length(self) -> int:
        """-1: the layer itself sets no limit."""
        return -1


class BatchedKVCache:
    """Sequences in slots 0..n-1 of one allocation; a decoding step is one forward pass for all of them.

    batch_sizes: numbers of sequences that a forward pass may have. context: positions of a sequence at most.
    """

    def __init__(self, model: PreTrainedModel, context: int, batch_sizes: tuple[int, ...] = BATCH_SIZES) -> None:
        self.model, self.context, self.batch_sizes = model, context, batch_sizes
        self.capacity = (batch_sizes[0], min(4 * BLOCK_POSITIONS, context))  # slots, positions
        layers = len(DynamicCache(config=model.config).layers)
        self.layers = [_CacheLayer(self) for _ in range(layers)]
        self.cache = Cache(layers=list(self.layers))
        self.lengths: list[int] = []  # positions filled in each slot
        self.prefill_slot: int | None = None  # None during a decoding step
        self.prefill_length = 0
        self.positions = torch.empty(0, dtype=torch.long)  # (B,) where this step's tokens are written
        self.attended_positions = 0  # positions that this step's attention spans

    def prefill(self, ids: list[int]) -> torch.Tensor:
        """Add a sequence with its prompt in the next free slot; returns the logits (1, V) of its first token."""
        slot, length = len(self.lengths), len(ids)
        self._reserve(slot + 1, length + 1)
        padded = min(_whole_blocks(length), self.context)  # causal attention: padding after a token never changes it
        device = self.model.device
        self.prefill_slot, self.prefill_length = slot, length
        output = self.model(
            torch.tensor([ids + [0] * (padded - length)], device=device),  # (1, T)
            position_ids=torch.arange(padded, device=device)[None],  # (1, T)
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor([length - 1], device=device),  # (1,)
        )
        self.prefill_slot = None
        self.lengths.append(length)
        return output.logits[:, -1].float()  # (1, V)

    def step(self, tokens: list[int]) -> torch.Tensor:
        """Feed one token to each of the n sequences; returns the logits (n, V) of their next tokens."""
        count = len(self.lengths)
        batch = next(size for size in self.batch_sizes if size >= count)
        self._reserve(batch, max(self.lengths) + 1)
        device = self.model.device
        padding = [0] * (batch - count)
        self.positions = torch.tensor(self.lengths + padding, device=device)  # (B,)
        self.attended_positions = min(_whole_blocks(max(self.lengths) + 1), self.context)
        later = torch.arange(self.attended_positions, device=device) > self.positions[:, None]  # (B, P)
        lowest = torch.finfo(torch.float32).min
        mask = torch.zeros(later.shape, device=device).masked_fill(later, lowest)  # (B, P)
        output = self.model(
            torch.tensor([[token] for token in tokens + padding], device=device),  # (B, 1)
            position_ids=self.positions[:, None],  # (B, 1)
            attention_mask=mask[:, None, None].to(self.model.dtype),  # (B, 1, 1, P)
            past_key_values=self.cache,
            use_cache=True,
        )
        self.lengths = [length + 1 for length in self.lengths]
        return output.logits[:count, -1].float()  # (n, V)

    def remove(self, slot: int) -> None:
        """Free a slot; the last sequence moves into it."""
        last = len(self.lengths) - 1
        if slot != last:
            for layer in self.layers:
                layer.move(last, slot, self.lengths[last])
            self.lengths[slot] = self.lengths[last]
        self.lengths.pop()

    def _reserve(self, slots: int, positions: int) -> None:
        """Grow the allocation to at least so many slots and positions."""
        has_slots, has_positions = self.capacity
        while has_slots < slots:
            has_slots = next((size for size in self.batch_sizes if size > has_slots), has_slots + 1)
        while has_positions < positions:
            has_positions = min(2 * has_positions, self.context)
        if (has_slots, has_positions) != self.capacity:
            self.capacity = (has_slots, has_positions)
            for layer in self.layers:
                layer.resize(*self.capacity)


class PerSequenceKVCache:
    """A cache and a forward pass of its own for each sequence: slower, and right for every kind of cache."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.caches: list[DynamicCache] = []

    def prefill(self, ids: list[int]) -> torch.Tensor:
        """As BatchedKVCache.prefill."""
        self.caches.append(DynamicCache(config=self.model.config))
        return self._forward(ids, self.caches[-1])

    def step(self, tokens: list[int]) -> torch.Tensor:
        """As BatchedKVCache.step."""
        logits = [self._forward([token], cache) for token, cache in zip(tokens, self.caches, strict=True)]
        return torch.cat(logits)  # (n, V)

    def remove(self, slot: int) -> None:
        """As BatchedKVCache.remove."""
        last = self.caches.pop()
        if slot < len(self.caches):
            self.caches[slot] = last

    def _forward(self, ids: list[int], cache: DynamicCache) -> torch.Tensor:
        ids_tensor = torch.tensor([ids], device=self.model.device)  # (1, T)
        output = self.model(ids_tensor, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].float()  # (1, V)


KVCache = BatchedKVCache | PerSequenceKVCache


def supports_batched_cache(model: PreTrainedModel) -> bool:
    """Whether every layer attends to all positions, which BatchedKVCache assumes."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


@torch.inference_mode()
def batch_invariant_sizes(model: PreTrainedModel, context: int) -> tuple[int, ...]:
    """The BATCH_SIZES at which a sequence's logits are the same, bit for bit, whatever sequences share its forward
    pass; () where there are none.

    The order of summation in a matrix product may depend on the matrix's shape, the processor and the number of
    threads, so batch invariance is measured here, not assumed. Passes of the one largest size agree with each other
    in any case.
    """
    sizes: tuple[int, ...] = ()
    reference = _probe(model, context, BATCH_SIZES[-1], 1)  # (64, V)
    for size in reversed(BATCH_SIZES):
        if not torch.equal(_probe(model, context, size, 1), reference[:size]):
            break
        sizes = (size, *sizes)
    longest = min(8 * BLOCK_POSITIONS, context) - 2
    beside_short, beside_long = (_probe(model, context, BATCH_SIZES[0], first)[1:] for first in (1, longest))  # (3, V)
    return sizes if torch.equal(beside_short, beside_long) else ()


def _probe(model: PreTrainedModel, context: int, size: int, first_length: int) -> torch.Tensor:
    """Logits (size, V) of the second step of `size` sequences, the first of which has first_length positions before
    it."""
    cache = BatchedKVCache(model, context, (size,))
    cache.lengths = [first_length] + [1 + slot % 2 for slot in range(1, size)]
    ids = [7 * slot % model.config.get_text_config().vocab_size for slot in range(size)]
    cache.step(ids)
    return cache.step(ids)  # (size, V)


def bytes_per_position(model: PreTrainedModel) -> int:
    """Bytes of keys and values that one position of one sequence takes, over all layers."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize


def _whole_blocks(positions: int) -> int:
    """A number of positions rounded up to whole blocks."""
    return -(-positions // BLOCK_POSITIONS) * BLOCK_POSITIONS
