"""Prompts and answers -> token ids. A template's special tokens are single ids; what users type is plain text."""

from dataclasses import dataclass, field

from lockstep.artifacts.prompt import Prompt
from lockstep.pretrained.plain_encoding import Encoder

Ids = list[int]


@dataclass(slots=True)
class PromptEncoder:
    """Encodes the turns of a prompt. It can be pickled for worker processes."""

    encoder: Encoder
    prompt: Prompt
    _leads: dict[bool, tuple[Ids, str]] = field(init=False)
    _trail: tuple[str, Ids] = field(init=False)
    _end: tuple[str, Ids] = field(init=False)

    def __post_init__(self) -> None:
        self._leads = {is_first: self._lead(is_first) for is_first in (True, False)}
        self._trail = self._split_after(self.prompt.after_question)
        text, ids = self._split_after(self.prompt.after_answer if self.prompt.kind == "qa" else "")
        self._end = text, [*ids, self.encoder.eos_id]

    def question_ids(self, questions: list[str], is_first: bool = True) -> list[Ids]:
        """Ids of everything up to the answer, for each question. is_first: whether it begins the conversation."""
        lead, trail = self._leads[is_first][0], self._trail[1]
        return [[*lead, *ids, *trail] for ids in self.encoder.encode([self._body(q, is_first) for q in questions])]

    def conversation_ids(self, turns: list[tuple[str, str]], question: str) -> Ids:
        """Ids of some turns, each a question and its answer, and of the question after them, up to its answer."""
        questions = [*(asked for asked, _ in turns), question]
        parts = [*self.question_ids(questions[:1]), *self.question_ids(questions[1:], is_first=False)]
        answers = [*self.answer_ids([answer for _, answer in turns]), []]
        return [token for part, answer in zip(parts, answers, strict=True) for token in [*part, *answer]]

    def cut_question_ids(self, question: str, is_first: bool, max_tokens: int) -> Ids:
        """question_ids of one question, which loses its beginning where they are more than max_tokens.

        The template's special tokens stay, even where they alone are more.
        """
        lead, trail = self._leads[is_first][0], self._trail[1]
        [ids] = self.encoder.encode([self._body(question, is_first)])
        room = max(0, max_tokens - len(lead) - len(trail))
        return [*lead, *ids[max(0, len(ids) - room) :], *trail]

    def answer_ids(self, answers: list[str]) -> list[Ids]:
        """Ids of each answer and of what ends its turn, end-of-text last."""
        text, end = self._end
        return [[*ids, *end] for ids in self.encoder.encode([self.prompt.before_answer + a + text for a in answers])]

    def short_question_ids(self, question: str, max_tokens: int) -> Ids:
        """Ids of a first question cut at its end to at most max_tokens; the template stays, even where it is longer.

        Never empty: where the template has no token, the question keeps its first character.
        """
        start, body = len(self._leads[True][1]), self._body(question, True)
        spans = self.encoder.offsets(body)
        token_ends = [end for begin, end in spans if start <= begin and end <= start + len(question)]
        fixed = len(self._leads[True][0]) + len(self._trail[1])
        keep = max(0, len(token_ends) - max(0, fixed + len(spans) - max_tokens))
        while True:
            [ids] = self.question_ids([question[: token_ends[keep - 1] - start] if keep else ""])
            if ids and (len(ids) <= max_tokens or not keep):
                return ids
            if not keep:  # not even the template has a token, but the first target needs a token before it
                return self.question_ids([question[:1]])[0]
            keep -= 1

    def whole_characters(self, answer: str, max_tokens: int) -> int:
        """The largest number of an answer's tokens, up to max_tokens, after which no character is cut in two."""
        spans = self.encoder.offsets(self.prompt.before_answer + answer + self._end[0])
        tokens = min(max_tokens, len(spans))
        while 0 < tokens < len(spans) and spans[tokens][0] < spans[tokens - 1][1]:
            tokens -= 1
        return tokens

    @property
    def end_ids(self) -> Ids:
        """What ends a turn after the answer's own text: end-of-text last."""
        return self._end[1]

    def _body(self, question: str, is_first: bool) -> str:
        """The text around a question that has no special token in it, and is encoded with it."""
        return self._leads[is_first][1] + question + self._trail[0]

    def _lead(self, is_first: bool) -> tuple[Ids, str]:
        """Ids before a question up to the last special token, and the text between that and the question."""
        pieces = self.prompt.pieces(self.prompt.before_question(is_first))
        text = pieces.pop() if pieces and pieces[-1] not in self.prompt.special_tokens else ""
        opens = is_first and not self.prompt.special_tokens  # a chat template names the opening token itself
        opening = self.encoder.opening_ids if opens else []
        if self.prompt.kind == "text":
            opening = opening or [self.encoder.eos_id]  # a text begins after the end of another
        return [*opening, *self._ids(pieces)], text

    def _split_after(self, text: str) -> tuple[str, Ids]:
        """The text up to the first special token, and the ids from there on."""
        pieces = self.prompt.pieces(text)
        head = pieces.pop(0) if pieces and pieces[0] not in self.prompt.special_tokens else ""
        return head, self._ids(pieces)

    def _ids(self, pieces: list[str]) -> Ids:
        """Ids of parts of the template."""
        ids: Ids = []
        for piece in pieces:
            special = self.encoder.tokenizer.token_to_id(piece) if piece in self.prompt.special_tokens else None
            ids += [special] if special is not None else self.encoder.encode([piece])[0]
        return ids
