"""The one engine that generates tokens: terminal, web page, API and evaluation all take their answers from here."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lockstep.generation import grouped_attention
from lockstep.generation.decoder import Decoder, Sequence
from lockstep.generation.grouped_attention import shares_heads
from lockstep.generation.kv_cache import BATCH_SIZES, batch_invariant_sizes, supports_batched_cache
from lockstep.generation.prepacked_linear import inference_copy
from lockstep.generation.sampling import Sampling

REPLACEMENT = "\ufffd"  # what a tokenizer decodes bytes to that are not a whole character yet
UNLIMITED_CONTEXT = 1 << 20  # positions, where a model's config names no limit


@dataclass(slots=True)
class Answer:
    """A generated text, without end-of-text and stop string.

    tokens: how many were generated. finish_reason: 'stop' when the model ended it, 'length' when max_new_tokens or the
    context did.
    """

    text: str = ""
    tokens: int = 0
    finish_reason: str = "length"


class Engine:
    """A model ready to generate. An answer is the same alone and in a batch, token for token."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = inference_copy(model)
        self.tokenizer = tokenizer
        config = model.config.get_text_config()
        self.context: int = getattr(config, "max_position_embeddings", None) or UNLIMITED_CONTEXT
        self.eos_ids = _eos_ids(model, tokenizer)
        self.batch_sizes: tuple[int, ...] = ()
        if supports_batched_cache(self.model):
            # Plain products and a softmax: unlike fused kernels, their sums do not depend on the number of threads.
            self.model.set_attn_implementation(grouped_attention.NAME if shares_heads(self.model) else "eager")
            self.batch_sizes = batch_invariant_sizes(self.model, self.context)

    def decoder(self) -> Decoder:
        """An empty batch of sequences."""
        return Decoder(self.model, self.batch_sizes, self.eos_ids, self.context)

    def detokenizer(self, answer: Answer, sampling: Sampling) -> "Detokenizer":
        """A detokenizer that fills `answer` and ends at the stop strings of `sampling`."""
        return Detokenizer(self.tokenizer, self.eos_ids, sampling.stop, answer)

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """The answer to one prompt, in text chunks, while it is generated. Closing the iterator stops the work."""
        yield from self.stream_into(Answer(), prompt, sampling)

    def stream_into(self, answer: Answer, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """As stream, keeping the whole text, the number of tokens and the finish reason in `answer`.

        A prompt as long as the context gets an empty answer.
        """
        if len(prompt) >= self.context:
            return
        detokenizer = self.detokenizer(answer, sampling)
        decoder = self.decoder()
        sequence = decoder.add(prompt, sampling)
        while True:
            chunk = detokenizer.push([sequence.token], last=sequence.finish_reason is not None)
            if chunk:
                yield chunk
            if detokenizer.finished:
                return
            decoder.step()

    def generate(self, prompts: list[list[int]], sampling: Sampling, max_batch_size: int = 32) -> list[Answer]:
        """Whole answers to many prompts, in their order, up to max_batch_size (64 at most) at a time.

        Longest prompts come first, so that the sequences of a batch attend to about as many positions.
        """
        answers = [Answer() for _ in prompts]
        waiting = deque(sorted(zip(prompts, answers, strict=True), key=lambda pair: -len(pair[0])))
        running: dict[Sequence, Detokenizer] = {}
        decoder = self.decoder()
        while waiting or running:
            while waiting and len(running) < min(max_batch_size, BATCH_SIZES[-1]):
                prompt, answer = waiting.popleft()
                if len(prompt) < self.context:
                    running[decoder.add(prompt, sampling)] = self.detokenizer(answer, sampling)
            for sequence, detokenizer in list(running.items()):
                detokenizer.push([sequence.token], last=sequence.finish_reason is not None)
                if detokenizer.finished:
                    decoder.remove(sequence)
                    del running[sequence]
            decoder.step()
        return answers


@dataclass(slots=True)
class Detokenizer:
    """Turns the tokens of one answer, as they come, into text chunks. finished: nothing more belongs to the answer."""

    tokenizer: PreTrainedTokenizerFast
    eos_ids: frozenset[int]
    stop: tuple[str, ...]
    answer: Answer
    ids: list[int] = field(default_factory=list)
    finished: bool = False

    def push(self, tokens: Iterable[int], last: bool = False) -> str:
        """The text that has become certain and was not returned before; may be empty.

        last: no token follows, so nothing is held back. The whole text does not depend on how tokens are grouped.
        """
        if self.finished:
            return ""
        text: str | None = None
        for token in tokens:
            self.answer.tokens += 1
            if token in self.eos_ids:
                self.answer.finish_reason, self.finished = "stop", True
            else:
                self.ids.append(token)
                text = self._text_before_stop() if self.stop else None
            if self.finished:
                break
        self.finished = self.finished or last
        text = self._decode() if text is None else text
        certain = text if self.finished else text[: len(text) - _held_back(text, self.stop)]
        if len(certain) <= len(self.answer.text) or not (self.finished or certain.startswith(self.answer.text)):
            return ""
        chunk = certain[len(self.answer.text) :]
        self.answer.text += chunk
        return chunk

    def _text_before_stop(self) -> str:
        """The text so far; where it holds a stop string, the answer is finished and the part before it returned."""
        text = self._decode()
        starts = [start for stop in self.stop if (start := text.find(stop)) >= 0]
        if not starts:
            return text
        self.answer.finish_reason, self.finished = "stop", True
        return text[: min(starts)]

    def _decode(self) -> str:
        text: str = self.tokenizer.decode(self.ids)  # type: ignore[assignment]
        return text


def _held_back(text: str, stop: tuple[str, ...]) -> int:
    """How many characters at the end must wait: half a character, or what may become a stop string."""
    waiting = len(text) - len(text.rstrip(REPLACEMENT))
    for string in stop:
        for length in range(min(len(string) - 1, len(text)), 0, -1):
            if text.endswith(string[:length]):
                waiting = max(waiting, length)
                break
    return waiting


def _eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Every id that ends an answer, from the generation config and the tokenizer."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in [*ids, tokenizer.eos_token_id] if token is not None)
