"""Keys and values of several answers in the making, in one block of memory, so that they share each forward pass."""

from typing import Any

import torch
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

SIZES = (4, 8, 16, 32, 64)  # rows of a forward pass: free rows pad it to the next of these
PIECE = 32  # positions; memory and prompts grow in whole pieces, so that few shapes occur


class _Layer(CacheLayerMixin):
    """One layer's keys and values, (rows, heads, positions, width of a head).

    A prompt is written to the row `joining`; otherwise each row's newest token goes to its own position.
    """

    is_sliding = False

    def __init__(self, memory: "SharedMemory") -> None:
        super().__init__()
        self.memory = memory

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take memory of the shape this layer's states have."""
        rows, positions = self.memory.capacity
        shape = (rows, key_states.shape[1], positions)
        self.keys = key_states.new_zeros(*shape, key_states.shape[3])
        self.values = value_states.new_zeros(*shape, value_states.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep the new states and return all that attention looks at."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        memory, keys, values = self.memory, self.keys, self.values
        assert keys is not None
        assert values is not None
        if memory.joining is not None:
            length = memory.joining_length
            keys[memory.joining, :, :length] = key_states[0, :, :length]
            values[memory.joining, :, :length] = value_states[0, :, :length]
            return key_states, value_states
        rows = torch.arange(len(memory.at), device=keys.device)
        keys[rows, :, memory.at] = key_states[:, :, 0]
        values[rows, :, memory.at] = value_states[:, :, 0]
        return keys[: len(memory.at), :, : memory.width], values[: len(memory.at), :, : memory.width]

    def resize(self, rows: int, positions: int) -> None:
        """Move to memory of another size."""
        for name in ("keys", "values") if self.is_initialized else ():
            old = getattr(self, name)
            new = old.new_zeros(rows, old.shape[1], positions, old.shape[3])
            new[: len(old), :, : old.shape[2]] = old
            setattr(self, name, new)

    def move(self, source: int, target: int, length: int) -> None:
        """Put a row into another's place."""
        if self.keys is not None and self.values is not None:
            self.keys[target, :, :length] = self.keys[source, :, :length]
            self.values[target, :, :length] = self.values[source, :, :length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """A prompt that joins looks at itself only."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Positions and masks are always given, so nothing is to be counted on from here."""
        return 0

    def get_max_length(self) -> int:
        """No end of its own."""
        return -1


class SharedMemory:
    """Rows 0..n-1 that take each step in one forward pass.

    sizes: numbers of rows a pass may have. context: positions of a row at most.
    """

    def __init__(self, model: PreTrainedModel, context: int, sizes: tuple[int, ...] = SIZES) -> None:
        self.model, self.context, self.sizes = model, context, sizes
        self.capacity = (sizes[0], min(4 * PIECE, context))  # rows, positions
        layers = len(DynamicCache(config=model.config).layers)
        self.layers = [_Layer(self) for _ in range(layers)]
        self.cache = Cache(layers=list(self.layers))
        self.lengths: list[int] = []
        self.joining: int | None = None
        self.joining_length = 0
        self.at = torch.empty(0, dtype=torch.long)
        self.width = 0

    def add(self, ids: list[int]) -> torch.Tensor:
        """Let a row join with its prompt; returns the logits (1, V) of its first token."""
        row, length = len(self.lengths), len(ids)
        self._reserve(row + 1, length + 1)
        padded = min(-(-length // PIECE) * PIECE, self.context)  # what follows a token never changes it
        device = self.model.device
        self.joining, self.joining_length = row, length
        output = self.model(
            torch.tensor([ids + [0] * (padded - length)], device=device),
            position_ids=torch.arange(padded, device=device)[None],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=torch.tensor([length - 1], device=device),
        )
        self.joining = None
        self.lengths.append(length)
        return output.logits[:, -1].float()

    def step(self, tokens: list[int]) -> torch.Tensor:
        """Feed one token to each row; returns the logits (n, V) of the next ones."""
        count = len(self.lengths)
        rows = next(size for size in self.sizes if size >= count)
        self._reserve(rows, max(self.lengths) + 1)
        device = self.model.device
        spare = [0] * (rows - count)
        self.at = torch.tensor(self.lengths + spare, device=device)
        self.width = min(-(-(max(self.lengths) + 1) // PIECE) * PIECE, self.context)
        hidden = torch.arange(self.width, device=device) > self.at[:, None]
        mask = torch.zeros(hidden.shape, device=device).masked_fill(hidden, torch.finfo(torch.float32).min)
        output = self.model(
            torch.tensor([[token] for token in tokens + spare], device=device),
            position_ids=self.at[:, None],
            attention_mask=mask[:, None, None].to(self.model.dtype),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.lengths = [length + 1 for length in self.lengths]
        return output.logits[:count, -1].float()

    def remove(self, row: int) -> None:
        """Let a row leave; the last one takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            for layer in self.layers:
                layer.move(last, row, self.lengths[last])
            self.lengths[row] = self.lengths[last]
        self.lengths.pop()

    def _reserve(self, rows: int, positions: int) -> None:
        """Have memory for so many rows and positions."""
        has_rows, has_positions = self.capacity
        while has_rows < rows:
            has_rows = next((size for size in self.sizes if size > has_rows), has_rows + 1)
        while has_positions < positions:
            has_positions = min(2 * has_positions, self.context)
        if (has_rows, has_positions) != self.capacity:
            self.capacity = (has_rows, has_positions)
            for layer in self.layers:
                layer.resize(*self.capacity)


class SeparateMemory:
    """Rows that each take a forward pass of their own: slower, for models whose memory is of another kind."""

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.caches: list[DynamicCache] = []

    def add(self, ids: list[int]) -> torch.Tensor:
        """As SharedMemory.add."""
        self.caches.append(DynamicCache(config=self.model.config))
        return self._forward(ids, self.caches[-1])

    def step(self, tokens: list[int]) -> torch.Tensor:
        """As SharedMemory.step."""
        return torch.cat([self._forward([token], cache) for token, cache in zip(tokens, self.caches, strict=True)])

    def remove(self, row: int) -> None:
        """As SharedMemory.remove."""
        last = self.caches.pop()
        if row < len(self.caches):
            self.caches[row] = last

    def _forward(self, ids: list[int], cache: DynamicCache) -> torch.Tensor:
        ids_tensor = torch.tensor([ids], device=self.model.device)
        output = self.model(ids_tensor, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[:, -1].float()


Memory = SharedMemory | SeparateMemory


def can_share(model: PreTrainedModel) -> bool:
    """Whether every layer looks at all positions, so that SharedMemory fits."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers)


@torch.inference_mode()
def independent_sizes(model: PreTrainedModel, context: int) -> tuple[int, ...]:
    """The SIZES at which a row's logits are the same, bit for bit, whatever rows are beside it; () where none are.

    Products are summed up in an order that may depend on a matrix's shape, the processor and the number of threads:
    so it is measured here instead of believed. Passes of one fixed height (the largest) agree with each other anyway.
    """
    found: tuple[int, ...] = ()
    reference = _probe(model, context, SIZES[-1], 1)
    for size in reversed(SIZES):
        if not torch.equal(_probe(model, context, size, 1), reference[:size]):
            break
        found = (size, *found)
    longest = min(8 * PIECE, context) - 2
    beside_short, beside_long = (_probe(model, context, SIZES[0], first)[1:] for first in (1, longest))
    return found if torch.equal(beside_short, beside_long) else ()


def _probe(model: PreTrainedModel, context: int, size: int, first_length: int) -> torch.Tensor:
    """Logits (size, V) of a second step of so many rows; the first row has first_length positions before it."""
    memory = SharedMemory(model, context, (size,))
    memory.lengths = [first_length] + [1 + row % 2 for row in range(1, size)]
    ids = [7 * row % model.config.get_text_config().vocab_size for row in range(size)]
    memory.step(ids)
    return memory.step(ids)


def bytes_per_position(model: PreTrainedModel) -> int:
    """Bytes of keys and values that one position of one row takes."""
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return 2 * config.num_hidden_layers * heads * width * model.dtype.itemsize
