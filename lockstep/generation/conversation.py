"""A conversation: its turns, the part of them that the model is shown, and the next answer."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.lookup import Lookup
from lockstep.artifacts.prompt import Prompt
from lockstep.generation.engine import Answer, Engine
from lockstep.generation.sampling import Sampling
from lockstep.pretrained.tokenizer import encoder_of
from lockstep.prompting.prompt_encoder import PromptEncoder


@dataclass(slots=True)
class Turn:
    """A question and its answer; for a model of plain texts, a text and its continuation."""

    question: str
    answer: str


@dataclass(slots=True)
class Assistant:
    """A loaded model with all that is needed to talk to it: its prompt, the settings it was exported with, and the
    training pairs it looks up, if it does."""

    engine: Engine
    prompt: Prompt
    sampling: Sampling
    history_turns: int
    name: str
    lookup: Lookup | None = None
    prompts: PromptEncoder = field(init=False)

    def __post_init__(self) -> None:
        self.prompts = PromptEncoder(encoder_of(self.engine.tokenizer), self.prompt)

    @property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The model's tokenizer."""
        return self.engine.tokenizer


@dataclass(slots=True)
class Conversation:
    """Turns with one assistant, which many conversations may share.

    history_turns: earlier turns the model is shown; None = as exported. answer: the latest one, while it is generated
    too.
    """

    assistant: Assistant
    sampling: Sampling
    turns: list[Turn] = field(default_factory=list)
    history_turns: int | None = None
    answer: Answer = field(default_factory=Answer)

    def ask(self, question: str) -> Generator[str]:
        """The answer in text chunks; closing the generator stops the work. The turn is added when the answer ends, or
        is stopped after its first chunk."""
        answer = self.answer = Answer()
        is_qa = self.assistant.prompt.kind == "qa"
        try:
            chunks = self.assistant.engine.stream_into(answer, self.prompt_ids(question), self.sampling)
            yield from without_leading_blanks(chunks) if is_qa else chunks
        finally:
            text = answer.text.strip() if is_qa else answer.text  # blanks join a text to its continuation
            if text:
                self.turns.append(Turn(question, text))

    def prompt_ids(self, question: str) -> list[int]:
        """Ids of the turns that the model is shown and of the question, see prompt_ids."""
        turns = recent_turns(self.assistant, self.turns, self.history_turns)
        return prompt_ids(self.assistant, turns, question, self.sampling.max_new_tokens)


def recent_turns(assistant: Assistant, turns: list[Turn], history_turns: int | None) -> list[Turn]:
    """The latest history_turns turns (None: as many as exported); none for a model of plain texts."""
    count = assistant.history_turns if history_turns is None else history_turns
    return turns[-count:] if count and assistant.prompt.kind == "qa" else []


def prompt_ids(assistant: Assistant, turns: list[Turn], question: str, max_new_tokens: int) -> list[int]:
    """Ids the model is shown, with room for max_new_tokens after them (half the context at most).

    Pairs that are looked up come first, then the turns. Whole ones are left out, the first of them first, until the
    answer has room; a question too long by itself loses its beginning.
    """
    prompts, budget = assistant.prompts, _prompt_budget(assistant, max_new_tokens)
    shown = assistant.lookup.turns(question) if assistant.lookup else []
    shown += [(turn.question, turn.answer) for turn in turns]
    for first in range(len(shown) + 1):
        if len(ids := prompts.conversation_ids(shown[first:], question)) <= budget:
            return ids
    return prompts.cut_question_ids(question, True, budget)


def num_truncated_tokens(assistant: Assistant, question: str, max_new_tokens: int) -> int:
    """Tokens that prompt_ids cuts off at the beginning of a question."""
    [ids] = assistant.prompts.question_ids([question])
    return max(0, len(ids) - _prompt_budget(assistant, max_new_tokens))


def _prompt_budget(assistant: Assistant, max_new_tokens: int) -> int:
    """Tokens that history and question may have beside the answer after them."""
    context = assistant.engine.context
    return context - min(max_new_tokens, context // 2)


def without_leading_blanks(chunks: Iterator[str]) -> Iterator[str]:
    """Text chunks without the blanks before the first word."""
    started = False
    for chunk in chunks:
        text = chunk if started else chunk.lstrip()
        if text:
            started = True
            yield text
