"""A conversation: turns, what of them the model is shown, and the next answer."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt
from lockstep.generation.engine import Answer, Engine, Sampling
from lockstep.pretrained.tokenizer import encode, opening_ids


@dataclass(slots=True)
class Turn:
    """A question and the answer it got."""

    question: str
    answer: str


@dataclass(slots=True)
class Assistant:
    """A loaded model with all that talking to it takes: its prompt and the settings it was exported with."""

    engine: Engine
    prompt: Prompt
    sampling: Sampling
    history_turns: int
    name: str

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's tokenizer."""
        return self.engine.tokenizer


@dataclass(slots=True)
class Conversation:
    """What was said, and how the next answer is made. Many conversations may share one assistant.

    history_turns: earlier turns the model is shown; None = as exported. answer: how the latest answer came out.
    """

    assistant: Assistant
    sampling: Sampling
    turns: list[Turn] = field(default_factory=list)
    history_turns: int | None = None
    answer: Answer = field(default_factory=Answer)

    def ask(self, question: str) -> Generator[str]:
        """The answer in pieces; closing the iterator stops the work. The turn is added when the answer ends, or is
        stopped after its first piece."""
        answer = self.answer = Answer()
        asking = self.assistant.prompt.kind == "qa"
        try:
            pieces = self.assistant.engine.stream_into(answer, self.prompt_ids(question), self.sampling)
            yield from stripped(pieces) if asking else pieces
        finally:
            said = answer.text.strip() if asking else answer.text  # blanks join a text to its continuation
            if said:
                self.turns.append(Turn(question, said))

    def prompt_ids(self, question: str) -> list[int]:
        """Ids of the latest turns and the question. Whole turns are left out, the oldest first, until the answer has
        room in the context; a question too long by itself loses its beginning."""
        count = self.assistant.history_turns if self.history_turns is None else self.history_turns
        turns = self.turns[-count:] if count and self.assistant.prompt.kind == "qa" else []
        return prompt_ids(self.assistant, turns, question, self.sampling.max_new_tokens)


def tokens_cut(assistant: Assistant, question: str, room: int) -> int:
    """Tokens that a question loses at its beginning because it is longer than the context less `room`."""
    opening = max(len(opening_ids(assistant.tokenizer)), assistant.prompt.kind == "text")
    budget = assistant.engine.context - min(room, assistant.engine.context // 2) - opening
    return max(0, len(encode(assistant.tokenizer, [assistant.prompt.question_text(question)])[0]) - budget)


def prompt_ids(assistant: Assistant, turns: list[Turn], question: str, room: int) -> list[int]:
    """Ids the model is shown, leaving `room` tokens for the answer (at most half the context)."""
    tokenizer, prompt = assistant.tokenizer, assistant.prompt
    opening = opening_ids(tokenizer)
    if prompt.kind == "text" and not opening:
        opening = [tokenizer.eos_token_id]  # a text begins after the end of another
    budget = assistant.engine.context - min(room, assistant.engine.context // 2) - len(opening)
    asked = encode(tokenizer, [prompt.question_text(question)])[0]
    history: list[int] = []
    for turn in reversed(turns):
        ids = encode(tokenizer, [prompt.question_text(turn.question), prompt.answer_text(turn.answer)])
        whole = [*ids[0], *ids[1], tokenizer.eos_token_id]
        if len(whole) + len(history) + len(asked) > budget:
            break
        history = whole + history
    return opening + history + asked[-budget:]


def stripped(pieces: Iterator[str]) -> Iterator[str]:
    """Pieces without the blanks before the first word."""
    started = False
    for piece in pieces:
        piece = piece if started else piece.lstrip()
        if piece:
            started = True
            yield piece
