"""Rows of tokens: what the model is trained and scored on.

A row is its token ids and two positions: where training's targets begin and where the answer begins. Positions, not
token ids, decide what counts: everything from `target_start` on is learnt, the end-of-text after an answer included,
padding never.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from lockstep.pretrained.plain_encoding import Encoder
from lockstep.core.errors import LockstepError
from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question

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


@dataclass(slots=True)
class Overlong:
    """Rows that were longer than max_tokens, as (file, line), by what became of them."""

    question_cut: list[tuple[str, int]] = field(default_factory=list)
    answer_cut: list[tuple[str, int]] = field(default_factory=list)
    dropped: list[tuple[str, int]] = field(default_factory=list)

    def add(self, more: "Overlong") -> None:
        """Take in those of rows that follow."""
        self.question_cut += more.question_cut
        self.answer_cut += more.answer_cut
        self.dropped += more.dropped


class QuestionRows:
    """Turns questions and answers into rows.

    loss_on: 'answer' supervises the answer and end-of-text, 'all' the whole row.
    overlong: 'truncate' shortens the question first, and the answer only where it does not fit even so;
    'drop' leaves the row out; 'error' raises LockstepError. Each is noted in `self.noted`.
    """

    def __init__(self, encoder: Encoder, prompt: Prompt, loss_on: str, max_tokens: int, overlong: str):
        self.encoder = encoder
        self.prompt = prompt
        self.loss_on = loss_on
        self.max_tokens = max_tokens
        self.overlong = overlong
        self.noted = Overlong()

    def rows(self, questions: list[Question]) -> Iterator[Row]:
        """Rows of a batch of questions, in order. Raises LockstepError on an over-long row if `overlong` is 'error'."""
        asked = self.encoder.encode([self.prompt.question_text(q.question) for q in questions])
        answered = self.encoder.encode([self.prompt.answer_text(q.answer) for q in questions])
        for question, ask, answer in zip(questions, asked, answered, strict=True):
            head, tail = self.encoder.opening + ask, answer + [self.encoder.end]
            if len(head) + len(tail) > self.max_tokens:
                fitted = self._fit(question, head, tail)
                if fitted is None:
                    continue
                head, tail = fitted
            yield Row(head + tail, len(head) if self.loss_on == "answer" else 1, len(head))

    def _fit(self, question: Question, head: list[int], tail: list[int]) -> tuple[list[int], list[int]] | None:
        place = (question.file, question.line)
        if self.overlong == "error":
            raise LockstepError(
                f"{question.file} line {question.line}: the row takes {len(head) + len(tail)} tokens, "
                f"tokenize.max_tokens is {self.max_tokens}.",
                "Raise it, or set tokenize.overlong to truncate or drop.",
            )
        if self.overlong == "drop":
            self.noted.dropped.append(place)
            return None
        head = self._shorter_question(question.question, self.max_tokens - len(tail))
        if len(head) + len(tail) <= self.max_tokens:
            self.noted.question_cut.append(place)
            return head, tail
        room = self.max_tokens - len(head) - 1  # a row always ends in end-of-text
        if room < 1:
            raise LockstepError(
                f"prompt.template alone takes {len(head)} tokens, and tokenize.max_tokens is {self.max_tokens}: "
                "there is no room for answers.",
                "Shorten the template, or raise tokenize.max_tokens.",
            )
        self.noted.answer_cut.append(place)
        return head, tail[: self._whole_characters(self.prompt.answer_text(question.answer), room)] + tail[-1:]

    def _whole_characters(self, text: str, tokens: int) -> int:
        """At most `tokens` tokens, so many that the text is not cut inside a character."""
        spans = self.encoder.offsets(text)
        while 0 < tokens < len(spans) and spans[tokens][0] < spans[tokens - 1][1]:
            tokens -= 1
        return tokens

    def _shorter_question(self, question: str, room: int) -> list[int]:
        """The question's ids cut at its end to fit `room` tokens, but never to less than a quarter of max_tokens."""
        start, _ = self.prompt.question_span(question)
        spans = self.encoder.offsets(self.prompt.question_text(question))
        inside = [end for begin, end in spans if start <= begin and end <= start + len(question)]
        room = max(room, self.max_tokens // 4)
        surplus = max(0, len(self.encoder.opening) + len(spans) - room)
        keep = max(0, len(inside) - surplus)
        while True:
            shorter = question[: inside[keep - 1] - start] if keep else ""
            ids = self.encoder.opening + self.encoder.encode([self.prompt.question_text(shorter)])[0]
            if ids and (len(ids) <= room or not keep):
                return ids
            if not keep:  # nothing is left, not even of the template: the first target needs a token before it
                return self.encoder.encode([self.prompt.question_text(question[:1])])[0]
            keep -= 1


def text_ids(encoder: Encoder, texts: list[str]) -> Ids:
    """Ids of some texts end to end, each followed by end-of-text."""
    return np.fromiter(chain.from_iterable([*ids, encoder.end] for ids in encoder.encode(texts)), np.int32)


def text_blocks(pieces: Iterable[Ids], end_of_text: int, chunk_tokens: int) -> Iterator[RowBlock]:
    """What text_ids gave, piece after piece, cut into rows of chunk_tokens; the last row holds the remainder.

    Each row begins with the last token of the row before it (the first with end-of-text), so that every token of
    every text, and the end-of-text after each, is a target exactly once.
    """
    rest = np.array([end_of_text], np.int32)
    step = chunk_tokens - 1
    for piece in pieces:
        ids = np.concatenate([rest, piece])
        count = (len(ids) - 1) // step
        windows = np.lib.stride_tricks.sliding_window_view(ids, chunk_tokens)[::step] if count else ids[:0, None]
        yield _whole_rows(windows.reshape(-1), count, chunk_tokens)
        rest = ids[count * step :]
    if len(rest) > 1:
        yield _whole_rows(rest, 1, len(rest))


def _whole_rows(ids: Ids, count: int, length: int) -> RowBlock:
    """Rows of one length in which everything but the first token is learnt."""
    ones = np.ones(count, np.int32)
    return RowBlock(ids, np.full(count, length, np.int32), ones, ones)


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
