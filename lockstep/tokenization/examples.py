"""Token rows from records: questions with their answers, cut where they are too long, and texts in blocks."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

from lockstep.artifacts.lookup import Lookup
from lockstep.artifacts.records import Question
from lockstep.artifacts.rows import Ids, Row, RowBlock
from lockstep.core.errors import LockstepError
from lockstep.pretrained.plain_encoding import Encoder
from lockstep.prompting.prompt_encoder import PromptEncoder

MIN_QUESTION_SHARE = 4  # a question is never cut to less than max_length / MIN_QUESTION_SHARE tokens

Origin = tuple[str, int]  # file and line of a record


@dataclass(slots=True)
class OverlongRows:
    """Origins of the rows that were longer than max_length, by how they were shortened."""

    question_truncated: list[Origin] = field(default_factory=list)
    answer_truncated: list[Origin] = field(default_factory=list)
    dropped: list[Origin] = field(default_factory=list)

    def extend(self, more: "OverlongRows") -> None:
        """Append the rows of another list."""
        self.question_truncated += more.question_truncated
        self.answer_truncated += more.answer_truncated
        self.dropped += more.dropped


class QuestionTokenizer:
    """Tokenizes questions with their answers.

    loss_on: 'answer' supervises the answer and end-of-text, 'all' the whole row. max_length: in tokens.
    overlong: 'truncate' shortens the question first, and the answer only if that is not enough; 'drop' leaves the row
    out; 'error' raises LockstepError. Truncated and dropped rows are listed in `self.overlong_rows`.
    """

    def __init__(
        self, prompts: PromptEncoder, loss_on: str, max_length: int, overlong: str, lookup: Lookup | None = None
    ):
        self.prompts = prompts
        self.lookup = lookup
        self.loss_on = loss_on
        self.max_length = max_length
        self.overlong = overlong
        self.overlong_rows = OverlongRows()

    def rows(self, questions: list[Question], is_training: bool = True) -> Iterator[Row]:
        """The rows of a batch of questions, in their order.

        is_training: whether they are of the train split, whose own pairs a lookup holds.
        Raises LockstepError for an overlong row if `overlong` is 'error', and where the template leaves no room.
        """
        tails = self.prompts.answer_ids([question.answer for question in questions])
        heads = self._heads(questions, [len(tail) for tail in tails], is_training)
        for question, head, tail in zip(questions, heads, tails, strict=True):
            if len(head) + len(tail) > self.max_length:
                shortened = self._shorten(question, head, tail)
                if shortened is None:
                    continue
                head, tail = shortened
            yield Row(head + tail, len(head) if self.loss_on == "answer" else 1, len(head))

    def _heads(self, questions: list[Question], tails: list[int], is_training: bool) -> list[list[int]]:
        """Ids before each answer: of the question, and of as many pairs looked up as fit before it.

        tails: lengths of the answers in tokens.
        """
        if self.lookup is None:
            return self.prompts.question_ids([question.question for question in questions])
        if is_training:
            asked = self.lookup.training_turns(questions)
        else:
            asked = [(question.question, self.lookup.turns(question.question)) for question in questions]
        return [self._head(text, turns, tail) for (text, turns), tail in zip(asked, tails, strict=True)]

    def _head(self, question: str, turns: list[tuple[str, str]], tail: int) -> list[int]:
        """Ids of a question and of the last of the turns before it, as many as leave room for `tail` tokens."""
        while turns and len(ids := self.prompts.conversation_ids(turns, question)) + tail > self.max_length:
            turns = turns[1:]
        return ids if turns else self.prompts.question_ids([question])[0]

    def _shorten(self, question: Question, head: list[int], tail: list[int]) -> tuple[list[int], list[int]] | None:
        """Head and tail cut to max_length tokens together, or None if the row is dropped.

        head, tail: ids of the prompt, and of the answer with what ends its turn.
        """
        origin = (question.file, question.line)
        if self.overlong == "error":
            raise LockstepError(
                f"{question.file} line {question.line}: the row takes {len(head) + len(tail)} tokens, "
                f"tokenize.max_length is {self.max_length}.",
                "Raise it, or set tokenize.overlong to truncate or drop.",
            )
        if self.overlong == "drop":
            self.overlong_rows.dropped.append(origin)
            return None
        # A prompt is never cut to less than max_length / MIN_QUESTION_SHARE tokens.
        room = max(self.max_length - len(tail), self.max_length // MIN_QUESTION_SHARE)
        head = self.prompts.short_question_ids(question.question, room)
        if len(head) + len(tail) <= self.max_length:
            self.overlong_rows.question_truncated.append(origin)
            return head, tail
        end = self.prompts.end_ids
        room = self.max_length - len(head) - len(end)  # a row always ends in end-of-text
        if room < 0:
            raise LockstepError(
                f"prompt.template alone takes {len(head)} tokens, and tokenize.max_length is {self.max_length}: "
                "there is no room for answers.",
                "Shorten the template, or raise tokenize.max_length.",
            )
        self.overlong_rows.answer_truncated.append(origin)
        return head, tail[: self.prompts.whole_characters(question.answer, room)] + end


def encode_texts(encoder: Encoder, texts: list[str]) -> Ids:
    """Ids of some texts end to end, each followed by end-of-text, (tokens,)."""
    return np.fromiter(chain.from_iterable([*ids, encoder.eos_id] for ids in encoder.encode(texts)), np.int32)


def group_texts(batches: Iterable[Ids], end_of_text: int, block_size: int) -> Iterator[RowBlock]:
    """Rows of block_size tokens from the ids of all texts end to end; the last row holds the remainder.

    batches: ids as encode_texts gives them, (tokens,) each. Each row begins with the last token of the row before it
    (the first row with end-of-text), so that every token of every text, and the end-of-text after each text, is a
    target exactly once.
    """
    rest = np.array([end_of_text], np.int32)  # (1,)
    step = block_size - 1
    for batch in batches:
        ids = np.concatenate([rest, batch])  # (T,)
        rows = (len(ids) - 1) // step
        windows = np.lib.stride_tricks.sliding_window_view(ids, block_size)[::step] if rows else ids[:0, None]
        yield _equal_rows(windows.reshape(-1), rows, block_size)  # windows: (rows, block_size)
        rest = ids[rows * step :]  # (1 up to block_size - 1,)
    if len(rest) > 1:
        yield _equal_rows(rest, 1, len(rest))


def _equal_rows(ids: Ids, rows: int, length: int) -> RowBlock:
    """Rows of one length in which every token but the first is a target. ids: (rows * length,)."""
    ones = np.ones(rows, np.int32)  # (rows,)
    return RowBlock(ids, np.full(rows, length, np.int32), ones, ones)
