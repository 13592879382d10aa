"""A batch of sequences being decoded. A sequence joins with its prompt, gains one token per step, and leaves when
finished."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lockstep.generation.kv_cache import BatchedKVCache, KVCache, PerSequenceKVCache
from lockstep.generation.sampling import Sampling, sample_next


@dataclass(slots=True, eq=False)
class Sequence:
    """A prompt and the tokens generated after it.

    length: tokens of the prompt and of the answer so far. token: the newest one. num_generated: tokens of the answer
    so far. finish_reason: None while decoding goes on, 'stop' after an end-of-sequence token, 'length' at a limit.
    """

    sampling: Sampling
    generator: torch.Generator
    length: int
    token: int = 0
    num_generated: int = 0
    finish_reason: str | None = None


class Decoder:
    """Sequences that advance together. The tokens of a sequence do not depend on the sequences beside it.

    batch_sizes: as kv_cache.batch_invariant_sizes returns them; with () each sequence takes a forward pass of its own.
    eos_ids: ids that end an answer. context: positions that the model has.
    """

    def __init__(
        self, model: PreTrainedModel, batch_sizes: tuple[int, ...], eos_ids: frozenset[int], context: int
    ) -> None:
        self.eos_ids, self.context = eos_ids, context
        self.cache: KVCache = BatchedKVCache(model, context, batch_sizes) if batch_sizes else PerSequenceKVCache(model)
        self.sequences: list[Sequence] = []  # in the order of the cache's slots
        self.token_ids = torch.zeros(1, 0, dtype=torch.long, device=model.device)  # (slots, positions) prompts, answers

    @torch.inference_mode()
    def add(self, prompt: list[int], sampling: Sampling) -> Sequence:
        """Add a sequence whose prompt is shorter than the context; its first token is generated at once."""
        sequence = Sequence(sampling, torch.Generator().manual_seed(sampling.seed), len(prompt))
        logits = self.cache.prefill(prompt)  # (1, V)
        self.sequences.append(sequence)
        slot = len(self.sequences) - 1
        self._reserve(len(self.sequences), len(prompt) + 1)
        self.token_ids[slot] = prompt[0]  # unused positions repeat an id that is there, see sample_next
        self.token_ids[slot, : len(prompt)] = torch.tensor(prompt)  # (len(prompt),)
        seen = self.token_ids[slot : slot + 1, : len(prompt)]  # (1, len(prompt))
        self._append(slot, sample_next(logits, seen, [sampling], [sequence.generator])[0])
        return sequence

    @torch.inference_mode()
    def step(self) -> list[Sequence]:
        """Remove finished sequences, generate the next token of each other one, and return those."""
        for sequence in [sequence for sequence in self.sequences if sequence.finish_reason]:
            self.remove(sequence)
        if not self.sequences:
            return []
        logits = self.cache.step([sequence.token for sequence in self.sequences])  # (n, V)
        seen = self.token_ids[: len(self.sequences), : max(one.length for one in self.sequences)]  # (n, S)
        samplings = [sequence.sampling for sequence in self.sequences]
        tokens = sample_next(logits, seen, samplings, [sequence.generator for sequence in self.sequences])
        self._reserve(len(self.sequences), seen.shape[1] + 1)
        for slot, token in enumerate(tokens):
            self._append(slot, token)
        return list(self.sequences)

    @torch.inference_mode()
    def remove(self, sequence: Sequence) -> None:
        """Free the slot of a sequence; nothing happens where it has left already."""
        if sequence not in self.sequences:
            return
        slot, last = self.sequences.index(sequence), self.sequences.pop()
        self.cache.remove(slot)
        if last is not sequence:
            self.sequences[slot] = last
            self.token_ids[slot] = self.token_ids[len(self.sequences)]  # (positions,)

    def _append(self, slot: int, token: int) -> None:
        sequence = self.sequences[slot]
        sequence.token = token
        sequence.num_generated += 1
        self.token_ids[slot, sequence.length] = token
        sequence.length += 1
        if token in self.eos_ids:
            sequence.finish_reason = "stop"
        elif sequence.num_generated >= sequence.sampling.max_new_tokens or sequence.length >= self.context:
            sequence.finish_reason = "length"

    def _reserve(self, slots: int, positions: int) -> None:
        """Have room for the ids of so many slots and positions; new positions repeat the first id of their slot."""
        has_slots, has_positions = self.token_ids.shape
        if slots > has_slots or positions > has_positions:
            # (slots, positions)
            new = self.token_ids.new_zeros(max(slots, has_slots), max(2 * positions, has_positions))
            if has_positions:
                new[:has_slots] = self.token_ids[:, :1]  # (has_slots, 1)
            new[:has_slots, :has_positions] = self.token_ids
            self.token_ids = new
