"""Records -> token rows: questions with their answers, cut where they are too long, and texts in blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question
from lockstep.artifacts.rows import Ids, Row, RowBlock
from lockstep.core.errors import LockstepError
from lockstep.pretrained.plain_encoding import Encoder


@dataclass(slots=True)
class Overlong:
    """Rows that were longer than max_length, as (file, line), by what became of them."""

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

    def __init__(self, encoder: Encoder, prompt: Prompt, loss_on: str, max_length: int, overlong: str):
        self.encoder = encoder
        self.prompt = prompt
        self.loss_on = loss_on
        self.max_length = max_length
        self.overlong = overlong
        self.noted = Overlong()

    def rows(self, questions: list[Question]) -> Iterator[Row]:
        """Rows of a batch of questions, in order. Raises LockstepError on an over-long row if `overlong` is 'error'."""
        asked = self.encoder.encode([self.prompt.question_text(q.question) for q in questions])
        answered = self.encoder.encode([self.prompt.answer_text(q.answer) for q in questions])
        for question, ask, answer in zip(questions, asked, answered, strict=True):
            head, tail = self.encoder.opening + ask, answer + [self.encoder.end]
            if len(head) + len(tail) > self.max_length:
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
                f"tokenize.max_length is {self.max_length}.",
                "Raise it, or set tokenize.overlong to truncate or drop.",
            )
        if self.overlong == "drop":
            self.noted.dropped.append(place)
            return None
        head = self._shorter_question(question.question, self.max_length - len(tail))
        if len(head) + len(tail) <= self.max_length:
            self.noted.question_cut.append(place)
            return head, tail
        room = self.max_length - len(head) - 1  # a row always ends in end-of-text
        if room < 1:
            raise LockstepError(
                f"prompt.template alone takes {len(head)} tokens, and tokenize.max_length is {self.max_length}: "
                "there is no room for answers.",
                "Shorten the template, or raise tokenize.max_length.",
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
        """The question's ids cut at its end to fit `room` tokens, but never to less than a quarter of max_length."""
        start, _ = self.prompt.question_span(question)
        spans = self.encoder.offsets(self.prompt.question_text(question))
        inside = [end for begin, end in spans if start <= begin and end <= start + len(question)]
        room = max(room, self.max_length // 4)
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


def text_blocks(pieces: Iterable[Ids], end_of_text: int, block_size: int) -> Iterator[RowBlock]:
    """What text_ids gave, piece after piece, cut into rows of block_size; the last row holds the remainder.

    Each row begins with the last token of the row before it (the first with end-of-text), so that every token of
    every text, and the end-of-text after each, is a target exactly once.
    """
    rest = np.array([end_of_text], np.int32)
    step = block_size - 1
    for piece in pieces:
        ids = np.concatenate([rest, piece])
        count = (len(ids) - 1) // step
        windows = np.lib.stride_tricks.sliding_window_view(ids, block_size)[::step] if count else ids[:0, None]
        yield _whole_rows(windows.reshape(-1), count, block_size)
        rest = ids[count * step :]
    if len(rest) > 1:
        yield _whole_rows(rest, 1, len(rest))


def _whole_rows(ids: Ids, count: int, length: int) -> RowBlock:
    """Rows of one length in which everything but the first token is learnt."""
    ones = np.ones(count, np.int32)
    return RowBlock(ids, np.full(count, length, np.int32), ones, ones)
