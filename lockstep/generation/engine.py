"""The one engine of generated tokens: terminal, web page, API and evaluation all take their answers from here."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.generation.decoder import Decoder, Row
from lockstep.generation.kv_cache import SIZES, can_share, independent_sizes
from lockstep.generation.prepacked_linear import answering_copy
from lockstep.generation.sampling import Sampling as Sampling  # what the engine's users give it

REPLACEMENT = "\ufffd"  # what a decoder gives for bytes that are not a whole character yet


@dataclass(slots=True)
class Answer:
    """text: without end-of-text and stop string. tokens: how many were generated.
    finish: 'stop' when the model ended it, 'length' when max_new_tokens or the context did."""

    text: str = ""
    tokens: int = 0
    finish: str = "length"


class Engine:
    """A model that answers. Its tokens are chosen in fp32; an answer is the same alone and among others."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = answering_copy(model)
        self.tokenizer = tokenizer
        self.context: int = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
        self.ends = _end_ids(model, tokenizer)
        self.sizes: tuple[int, ...] = ()
        if can_share(self.model):
            # Plain products and a softmax: unlike fused kernels, their sums do not depend on the number of threads.
            self.model.set_attn_implementation("eager")
            self.sizes = independent_sizes(self.model, self.context)

    def decoder(self) -> Decoder:
        """An empty batch of answers in the making."""
        return Decoder(self.model, self.sizes, self.ends, self.context)

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """The answer to one prompt, in pieces, as it is made. Ends at end-of-text, a stop text or a limit.

        Closing the iterator stops the work.
        """
        yield from self.stream_into(Answer(), prompt, sampling)

    def stream_into(self, answer: Answer, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """As stream, leaving the whole text, the count and how it ended in `answer`."""
        if len(prompt) >= self.context:
            return
        spelling = self.spelling(answer, sampling)
        decoder = self.decoder()
        row = decoder.join(prompt, sampling)
        while True:
            piece = spelling.add([row.token], last=row.finish is not None)
            if piece:
                yield piece
            if spelling.ended:
                return
            decoder.step()

    def answers(self, prompts: Sequence[list[int]], sampling: Sampling, batch: int = 32) -> list[Answer]:
        """Whole answers to many prompts, in their order; up to `batch` (64 at most) are in the making at a time.

        They are made longest prompt first, so that those made together look back about equally far.
        """
        answers = [Answer() for _ in prompts]
        waiting = deque(sorted(zip(prompts, answers, strict=True), key=lambda pair: -len(pair[0])))
        going: dict[Row, Spelling] = {}
        decoder = self.decoder()
        while waiting or going:
            while waiting and len(going) < min(batch, SIZES[-1]):
                prompt, answer = waiting.popleft()
                if len(prompt) < self.context:
                    going[decoder.join(prompt, sampling)] = self.spelling(answer, sampling)
            for row, spelling in list(going.items()):
                spelling.add([row.token], last=row.finish is not None)
                if spelling.ended:
                    decoder.leave(row)
                    del going[row]
            decoder.step()
        return answers

    def spelling(self, answer: Answer, sampling: Sampling) -> "Spelling":
        """What turns the tokens of an answer into its text."""
        return Spelling(self.tokenizer, self.ends, sampling.stop, answer)


@dataclass(slots=True)
class Spelling:
    """Tokens of one answer, as they come, into pieces of text. ended: nothing more belongs to the answer."""

    tokenizer: PreTrainedTokenizerFast
    ends: frozenset[int]
    stops: tuple[str, ...]
    answer: Answer
    ids: list[int] = field(default_factory=list)
    ended: bool = False

    def add(self, tokens: Iterable[int], last: bool = False) -> str:
        """The text that is certain now and was not given before; may be empty.

        last: no token follows, so nothing is held back. How the tokens are dealt out changes nothing in the whole.
        """
        if self.ended:
            return ""
        text: str | None = None
        for token in tokens:
            self.answer.tokens += 1
            if token in self.ends:
                self.answer.finish, self.ended = "stop", True
            else:
                self.ids.append(token)
                text = self._cut() if self.stops else None
            if self.ended:
                break
        self.ended = self.ended or last
        text = self._decode() if text is None else text
        safe = text if self.ended else text[: len(text) - _held_back(text, self.stops)]
        if len(safe) <= len(self.answer.text) or not (self.ended or safe.startswith(self.answer.text)):
            return ""
        piece = safe[len(self.answer.text) :]
        self.answer.text += piece
        return piece

    def _cut(self) -> str:
        """The text so far; where a stop text is in it, the part before that, and the answer has ended."""
        text = self._decode()
        places = [place for stop in self.stops if (place := text.find(stop)) >= 0]
        if not places:
            return text
        self.answer.finish, self.ended = "stop", True
        return text[: min(places)]

    def _decode(self) -> str:
        text: str = self.tokenizer.decode(self.ids)  # type: ignore[assignment]
        return text


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end must wait: half a character, or what may become a stop text."""
    waiting = len(text) - len(text.rstrip(REPLACEMENT))
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:length]):
                waiting = max(waiting, length)
                break
    return waiting


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Every id that ends an answer, from the generation config and the tokenizer."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*ids, tokenizer.eos_token_id] if token is not None)
