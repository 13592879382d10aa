"""Token rows: what the model is trained and scored on.

A row is its token ids and two positions, the first target and the first token of the answer. Positions, not token ids,
decide what is learnt: every token from `target_start` on, including the end-of-text after an answer, and never padding.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lockstep.core.errors import LockstepError

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One token row.

    ids: token ids. target_start: index of the first token to learn. answer_start: index of the first token of the
    answer, even if the question is learnt too. Both are at least 1, because no token comes before ids[0].
    """

    ids: list[int]
    target_start: int
    answer_start: int

    @property
    def targets(self) -> int:
        """Number of supervised tokens."""
        return len(self.ids) - self.target_start


@dataclass(frozen=True, slots=True)
class RowBlock:
    """n token rows end to end, as many as are in memory at a time.

    ids: (tokens,). lengths, target_start, answer_start: (n,), as in Row.
    """

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
        columns = np.array(numbers, np.int32).reshape(-1, 3).T  # (3, n)
        return cls(np.array(ids, np.int32), *(np.ascontiguousarray(column) for column in columns))

    @classmethod
    def concatenate(cls, blocks: "Sequence[RowBlock]") -> "RowBlock":
        """One block of several blocks, in their order."""
        return cls(*(np.concatenate([getattr(block, name) for block in blocks]) for name in cls.__slots__))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where each row begins in ids, and where the last one ends, (n + 1,)."""
        return np.concatenate([[0], np.cumsum(self.lengths, dtype=np.int64)])

    def rows(self) -> Iterator[Row]:
        """The rows one by one."""
        starts = self.starts
        columns = zip(starts[:-1], starts[1:], self.target_start, self.answer_start, strict=True)
        for begin, end, target, answer in columns:
            yield Row(self.ids[begin:end].tolist(), int(target), int(answer))

    def slice(self, begin: int, end: int) -> "RowBlock":
        """The rows from `begin` to `end` - 1."""
        ids = self.ids[self.starts[begin] : self.starts[end]]  # (tokens of these rows,)
        return RowBlock(ids, self.lengths[begin:end], self.target_start[begin:end], self.answer_start[begin:end])


def even_blocks(blocks: Iterable[RowBlock], size: int) -> Iterator[RowBlock]:
    """The same rows in blocks of `size` rows; the last block holds the remainder."""
    rest = RowBlock.of([])
    for block in blocks:
        rest = RowBlock.concatenate([rest, block])
        for begin in range(0, len(rest) - size + 1, size):
            yield rest.slice(begin, begin + size)
        rest = rest.slice(len(rest) // size * size, len(rest))
    if len(rest):
        yield rest


def audit(blocks: Iterable[RowBlock], end_of_text: int, kind: str) -> None:
    """Check, before training, that the targets are right.

    Each row must have a target, and rows of kind 'qa' must end in the only end-of-text of their answer.
    Raises LockstepError, with the number of the row, for the first row that is wrong.
    """
    rows_before = 0
    for block in blocks:
        no_target = (block.target_start < 1) | (block.target_start >= block.lengths)  # (n,)
        is_wrong = no_target | ~_ends_once(block, end_of_text) if kind == "qa" else no_target  # (n,)
        if is_wrong.any():
            index = int(is_wrong.argmax())
            row = f"Row {rows_before + index} of the tokenized data"
            if no_target[index]:
                raise LockstepError(f"{row} has no target.", "Run `make tokenize` again.")
            raise LockstepError(f"{row} does not end in one supervised end-of-text.")
        rows_before += len(block)


def _ends_once(block: RowBlock, end_of_text: int) -> NDArray[np.bool_]:
    """Whether each row has exactly one end-of-text from the answer on, as its last token, (n,)."""
    starts = block.starts  # (n + 1,)
    positions = np.flatnonzero(block.ids == end_of_text)  # (E,), of each end-of-text in the block
    owner = np.searchsorted(starts, positions, side="right") - 1  # (E,), the row of each
    in_answer = positions - starts[owner] >= block.answer_start[owner]  # (E,)
    is_last = positions == starts[owner + 1] - 1  # (E,)
    targets = np.bincount(owner[in_answer], minlength=len(block))  # (n,)
    last_targets = np.bincount(owner[in_answer & is_last], minlength=len(block))  # (n,)
    return (targets == 1) & (last_targets == 1)
