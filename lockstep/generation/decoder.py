"""Answers in the making: each joins with its prompt, takes a token at each step, and leaves; all share the steps."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from lockstep.generation.kv_cache import Memory, SeparateMemory, SharedMemory
from lockstep.generation.sampling import Sampling, choose


@dataclass(slots=True, eq=False)
class Row:
    """One answer in the making.

    length: of the prompt and what was made. token: the newest. made: tokens so far.
    finish: None while it goes on, 'stop' after an end token, 'length' at a limit.
    """

    sampling: Sampling
    generator: torch.Generator
    length: int
    token: int = 0
    made: int = 0
    finish: str | None = None


class Decoder:
    """Rows that advance together. What a row gets does not depend on the rows beside it.

    sizes: as key_values.independent_sizes found them; () makes each row take its own forward pass.
    ends: ids that end an answer. context: positions the model has.
    """

    def __init__(self, model: PreTrainedModel, sizes: tuple[int, ...], ends: frozenset[int], context: int) -> None:
        self.ends, self.context = ends, context
        self.memory: Memory = SharedMemory(model, context, sizes) if sizes else SeparateMemory(model)
        self.rows: list[Row] = []
        self.seen = torch.zeros(1, 0, dtype=torch.long, device=model.device)  # (rows, positions) ids so far

    @torch.inference_mode()
    def join(self, prompt: list[int], sampling: Sampling) -> Row:
        """Add an answer to a prompt shorter than the context; its first token is there at once."""
        row = Row(sampling, torch.Generator().manual_seed(sampling.seed), len(prompt))
        logits = self.memory.add(prompt)
        self.rows.append(row)
        place = len(self.rows) - 1
        self._reserve(len(self.rows), len(prompt) + 1)
        self.seen[place] = prompt[0]  # cells not used yet repeat an id that is there
        self.seen[place, : len(prompt)] = torch.tensor(prompt)
        seen = self.seen[place : place + 1, : len(prompt)]
        self._take(row, place, choose(logits, seen, [sampling], [row.generator])[0])
        return row

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Let finished rows leave, give each other row its next token, and return those rows."""
        for row in [row for row in self.rows if row.finish]:
            self.leave(row)
        if not self.rows:
            return []
        logits = self.memory.step([row.token for row in self.rows])
        seen = self.seen[: len(self.rows), : max(row.length for row in self.rows)]
        tokens = choose(logits, seen, [row.sampling for row in self.rows], [row.generator for row in self.rows])
        self._reserve(len(self.rows), seen.shape[1] + 1)
        for place, (row, token) in enumerate(zip(self.rows, tokens, strict=True)):
            self._take(row, place, token)
        return list(self.rows)

    @torch.inference_mode()
    def leave(self, row: Row) -> None:
        """Free the place of a row; one that is not there (any more) changes nothing."""
        if row not in self.rows:
            return
        place, last = self.rows.index(row), self.rows.pop()
        self.memory.remove(place)
        if last is not row:
            self.rows[place] = last
            self.seen[place] = self.seen[len(self.rows)]

    def _take(self, row: Row, place: int, token: int) -> None:
        row.token = token
        row.made += 1
        self.seen[place, row.length] = token
        row.length += 1
        if token in self.ends:
            row.finish = "stop"
        elif row.made >= row.sampling.max_new_tokens or row.length >= self.context:
            row.finish = "length"

    def _reserve(self, rows: int, positions: int) -> None:
        """Have room for so many ids; new cells repeat their row's first one."""
        has_rows, has_positions = self.seen.shape
        if rows > has_rows or positions > has_positions:
            new = self.seen.new_zeros(max(rows, has_rows), max(2 * positions, has_positions))
            if has_positions:
                new[:has_rows] = self.seen[:, :1]
            new[:has_rows, :has_positions] = self.seen
            self.seen = new
