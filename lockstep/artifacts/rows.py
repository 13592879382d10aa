"""Rows of tokens: what the model is trained and scored on.

A row is its token ids and two positions: where training's targets begin and where the answer begins. Positions, not
token ids, decide what counts: everything from `target_start` on is learnt, the end-of-text after an answer included,
padding never.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lockstep.core.errors import LockstepError

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """ids: (length,) token ids. target_start: index of the first token to learn. answer_start: index of the first token
    of the answer, whether or not the question is learnt too. Both are at least 1: nothing comes before ids[0]."""

    ids: list[int]
    target_start: int
    answer_start: int

    @property
    def targets(self) -> int:
        """Number of supervised tokens."""
        return len(self.ids) - self.target_start


@dataclass(frozen=True, slots=True)
class RowBlock:
    """n rows end to end, as many as fit into memory at a time. ids: (tokens,). lengths, target_start, answer_start:
    (n,), as in Row."""

    ids: Ids
    lengths: Ids
    target_start: Ids
    answer_start: Ids

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "RowBlock":
        """The block of some rows."""
        rows = list(rows)
        ids = [token for row in rows for token in row.ids]
        numbers = [(len(row.ids), row.target_start, row.answer_start) for row in rows]
        columns = np.array(numbers, np.int32).reshape(-1, 3).T
        return cls(np.array(ids, np.int32), *(np.ascontiguousarray(column) for column in columns))

    @classmethod
    def joined(cls, blocks: "Sequence[RowBlock]") -> "RowBlock":
        """One block of several, in their order."""
        return cls(*(np.concatenate([getattr(block, name) for block in blocks]) for name in cls.__slots__))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        """(n + 1,) where each row begins in ids, and where the last one ends."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def rows(self) -> Iterator[Row]:
        """The rows one by one."""
        starts = self.starts
        columns = zip(starts[:-1], starts[1:], self.target_start, self.answer_start, strict=True)
        for begin, end, target, answer in columns:
            yield Row(self.ids[begin:end].tolist(), int(target), int(answer))

    def part(self, begin: int, end: int) -> "RowBlock":
        """Rows begin..end-1."""
        ids = self.ids[self.starts[begin] : self.starts[end]]
        return RowBlock(ids, self.lengths[begin:end], self.target_start[begin:end], self.answer_start[begin:end])


def even_blocks(blocks: Iterable[RowBlock], size: int) -> Iterator[RowBlock]:
    """The same rows in blocks of `size`; the last one holds the remainder."""
    rest = RowBlock.of([])
    for block in blocks:
        rest = RowBlock.joined([rest, block])
        for begin in range(0, len(rest) - size + 1, size):
            yield rest.part(begin, begin + size)
        rest = rest.part(len(rest) // size * size, len(rest))
    if len(rest):
        yield rest


def audit(blocks: Iterable[RowBlock], end_of_text: int, kind: str) -> None:
    """Prove, before training, that the labels are right: each row has a target, and (kind 'qa') its last target is
    its one supervised end-of-text. Raises LockstepError naming the first row that is wrong.
    """
    before = 0
    for block in blocks:
        untaught = (block.target_start < 1) | (block.target_start >= block.lengths)
        wrong = untaught | ~_end_once(block, end_of_text) if kind == "qa" else untaught
        if wrong.any():
            place = int(wrong.argmax())
            if untaught[place]:
                raise LockstepError(
                    f"Row {before + place} of the tokenized data has no target.", "Run `make tokenize` again."
                )
            raise LockstepError(
                f"Row {before + place} of the tokenized data does not end in one supervised end-of-text."
            )
        before += len(block)


def _end_once(block: RowBlock, end_of_text: int) -> NDArray[np.bool_]:
    """Of each row, whether it has one supervised end-of-text and nothing after it, (n,)."""
    starts = block.starts
    places = np.flatnonzero(block.ids == end_of_text)
    owner = np.searchsorted(starts, places, side="right") - 1  # the row each end-of-text is in
    supervised = places - starts[owner] >= block.target_start[owner]
    last = places == starts[owner + 1] - 1
    count, ending = (np.bincount(owner[some], minlength=len(block)) for some in (supervised, supervised & last))
    return (count == 1) & (ending == 1)
