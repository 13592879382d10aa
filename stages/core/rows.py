"""Rows of tokens: what the model is trained and scored on.

A row is its token ids and two positions: where training's targets begin and where the answer begins. Positions, not
token ids, decide what counts: everything from `target_start` on is learnt, the end-of-text after an answer included,
padding never.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerFast

from stages.core.errors import LockstepError
from stages.core.prompt import Prompt
from stages.core.records import Question, Text
from stages.core.tokenizer import encode, opening_ids


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


@dataclass(slots=True)
class Overlong:
    """Rows that were longer than max_tokens, as (file, line), by what became of them."""

    question_cut: list[tuple[str, int]] = field(default_factory=list)
    answer_cut: list[tuple[str, int]] = field(default_factory=list)
    dropped: list[tuple[str, int]] = field(default_factory=list)


class QuestionRows:
    """Turns questions and answers into rows.

    loss_on: 'answer' supervises the answer and end-of-text, 'all' the whole row.
    overlong: 'truncate' shortens the question first, and the answer only where it does not fit even so;
    'drop' leaves the row out; 'error' raises LockstepError. Each is noted in `self.noted`.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, prompt: Prompt, loss_on: str, max_tokens: int, overlong: str
    ):
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.loss_on = loss_on
        self.max_tokens = max_tokens
        self.overlong = overlong
        self.opening = opening_ids(tokenizer)
        self.noted = Overlong()

    def rows(self, questions: list[Question]) -> Iterator[Row]:
        """Rows of a batch of questions, in order. Raises LockstepError on an over-long row if `overlong` is 'error'."""
        asked = encode(self.tokenizer, [self.prompt.question_text(q.question) for q in questions])
        answered = encode(self.tokenizer, [self.prompt.answer_text(q.answer) for q in questions])
        for question, ask, answer in zip(questions, asked, answered, strict=True):
            head, tail = self.opening + ask, answer + [self.tokenizer.eos_token_id]
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

    def _offsets(self, text: str) -> list[tuple[int, int]]:
        """Of each token of a text, the characters it stands for or is a part of: first, and one after the last."""
        return self.tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )["offset_mapping"]

    def _whole_characters(self, text: str, tokens: int) -> int:
        """At most `tokens` tokens, so many that the text is not cut inside a character."""
        spans = self._offsets(text)
        while 0 < tokens < len(spans) and spans[tokens][0] < spans[tokens - 1][1]:
            tokens -= 1
        return tokens

    def _shorter_question(self, question: str, room: int) -> list[int]:
        """The question's ids cut at its end to fit `room` tokens, but never to less than a quarter of max_tokens."""
        start, _ = self.prompt.question_span(question)
        spans = self._offsets(self.prompt.question_text(question))
        inside = [end for begin, end in spans if start <= begin and end <= start + len(question)]
        room = max(room, self.max_tokens // 4)
        surplus = max(0, len(self.opening) + len(spans) - room)
        keep = max(0, len(inside) - surplus)
        while True:
            shorter = question[: inside[keep - 1] - start] if keep else ""
            ids = self.opening + encode(self.tokenizer, [self.prompt.question_text(shorter)])[0]
            if ids and (len(ids) <= room or not keep):
                return ids
            if not keep:  # nothing is left, not even of the template: the first target needs a token before it
                return encode(self.tokenizer, [self.prompt.question_text(question[:1])])[0]
            keep -= 1


def text_rows(
    tokenizer: PreTrainedTokenizerFast, texts: Iterable[Text], chunk_tokens: int, batch: int = 64
) -> Iterator[Row]:
    """Texts joined with end-of-text and cut into rows of chunk_tokens; the last row holds the remainder.

    Each row begins with the last token of the row before it (the first with end-of-text), so that every token of
    every text, and the end-of-text after each, is a target exactly once.
    """
    end = tokenizer.eos_token_id
    rest = [end]
    for group in _batches(texts, batch):
        for ids in encode(tokenizer, [text.text for text in group]):
            rest += ids
            rest.append(end)
        position = 0
        while len(rest) - position >= chunk_tokens:
            yield Row(rest[position : position + chunk_tokens], 1, 1)
            position += chunk_tokens - 1
        rest = rest[position:]
    if len(rest) > 1:
        yield Row(rest, 1, 1)


def audit(rows: Iterable[Row], end_of_text: int, kind: str) -> None:
    """Prove, before training, that the labels are right: each row has a target, and (kind 'qa') its last target is
    its one supervised end-of-text. Raises LockstepError naming the first row that is wrong.
    """
    for number, row in enumerate(rows):
        if not 1 <= row.target_start < len(row.ids):
            raise LockstepError(f"Row {number} of the tokenized data has no target.", "Run `make tokenize` again.")
        if kind == "qa" and (row.ids[-1] != end_of_text or row.ids[row.target_start :].count(end_of_text) != 1):
            raise LockstepError(f"Row {number} of the tokenized data does not end in one supervised end-of-text.")


def _batches(items: Iterable[Text], size: int) -> Iterator[list[Text]]:
    group: list[Text] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
