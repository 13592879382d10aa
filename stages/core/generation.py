"""The one engine of generated tokens: terminal, web page, API and evaluation all take their answers from here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerFast

REPLACEMENT = "\ufffd"  # what a decoder gives for bytes that are not a whole character yet


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen.

    max_new_tokens: of one answer. temperature: 0 takes the likeliest token. top_p, top_k: with a temperature, draw from
    the likeliest tokens only (1.0 and 0: from all). repetition_penalty: divides positive and multiplies negative logits
    of tokens already there (Keskar et al. 2019, CTRL). stop: texts that end an answer. seed: of the draws.
    """

    max_new_tokens: int = 100
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def but(self, **changes: Any) -> "Sampling":
        """The same with some fields changed."""
        return replace(self, **changes)


@dataclass(slots=True)
class Answer:
    """text: without end-of-text and stop string. tokens: how many were generated.
    finish: 'stop' when the model ended it, 'length' when max_new_tokens or the context did."""

    text: str = ""
    tokens: int = 0
    finish: str = "length"


def choose(logits: torch.Tensor, seen: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """The next token of one answer. logits: (V,) float32. seen: ids the repetition penalty bears on."""
    if sampling.repetition_penalty != 1.0:
        values = logits[seen]
        penalty = sampling.repetition_penalty
        logits = logits.clone()
        logits[seen] = torch.where(values > 0, values / penalty, values * penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    logits = logits / sampling.temperature
    if sampling.top_k:
        lowest = logits.topk(min(sampling.top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    probabilities = logits.softmax(dim=-1)
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(descending=True, stable=True)
        # Keep tokens until their sum reaches top_p, the one that crosses it included.
        ordered[ordered.cumsum(dim=-1) - ordered >= sampling.top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter(0, index, ordered)
    return int(torch.multinomial(probabilities.cpu(), 1, generator=generator))


class Engine:
    """A model that answers. Its tokens are chosen in fp32, one step for all rows of a batch at a time."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 20
        self.ends = _end_ids(model, tokenizer)

    def stream(self, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """The answer to one prompt, in pieces, as it is made. Ends at end-of-text, a stop text or a limit.

        Closing the iterator stops the work.
        """
        answer = Answer()
        yield from self.stream_into(answer, prompt, sampling)

    def stream_into(self, answer: Answer, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        """As stream, leaving the whole text, the count and how it ended in `answer`."""
        ids: list[int] = []
        for step in self._steps([prompt], [sampling]):
            token = step[0]
            answer.tokens += 1
            if token in self.ends:
                answer.finish = "stop"
                break
            ids.append(token)
            text, stopped = self._text(ids, sampling.stop)
            safe = text if stopped else text[: len(text) - _held_back(text, sampling.stop)]
            if len(safe) > len(answer.text) and safe.startswith(answer.text):
                piece = safe[len(answer.text) :]
                answer.text = safe
                yield piece
            if stopped:
                answer.finish = "stop"
                return
        rest = self.tokenizer.decode(ids)[len(answer.text) :]
        if rest:
            answer.text += rest
            yield rest

    def answers(self, prompts: Sequence[list[int]], sampling: Sampling, batch: int = 16) -> list[Answer]:
        """Whole answers to many prompts, in their order; prompts of similar length share a batch of `batch` rows."""
        order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
        done: dict[int, Answer] = {}
        for start in range(0, len(order), batch):
            group = order[start : start + batch]
            for index, answer in zip(group, self._batch([prompts[i] for i in group], sampling), strict=True):
                done[index] = answer
        return [done[index] for index in range(len(prompts))]

    def _batch(self, prompts: list[list[int]], sampling: Sampling) -> list[Answer]:
        ids: list[list[int]] = [[] for _ in prompts]
        answers = [Answer() for _ in prompts]
        for step in self._steps(prompts, [sampling] * len(prompts), answers):
            for row, token in step.items():
                answers[row].tokens += 1
                if token in self.ends:
                    answers[row].finish = "stop"
                    continue
                ids[row].append(token)
                if sampling.stop and self._text(ids[row], sampling.stop)[1]:
                    answers[row].finish = "stop"
        for row, answer in enumerate(answers):
            answer.text = self._text(ids[row], sampling.stop)[0]
        return answers

    @torch.inference_mode()
    def _steps(
        self, prompts: list[list[int]], samplings: list[Sampling], answers: list[Answer] | None = None
    ) -> Iterator[dict[int, int]]:
        """One dict {row: token} per step, for the rows that still go on; prompts are padded on the left.

        A row ends with an end token, at its limit, or when its entry in `answers` says finish 'stop'.
        """
        device = self.model.device
        width = max(len(prompt) for prompt in prompts)
        pad = self.tokenizer.pad_token_id or 0
        ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        generators = [torch.Generator().manual_seed(sampling.seed) for sampling in samplings]
        seen = [list(prompt) for prompt in prompts]
        going = {row for row, prompt in enumerate(prompts) if len(prompt) < self.context}
        cache = DynamicCache(config=self.model.config)
        made = 0
        while going:
            padded = {} if len(prompts) == 1 else {"attention_mask": mask}
            output = self.model(
                ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1, **padded
            )
            logits = output.logits[:, -1].float()  # (B, V)
            made += 1
            step = {
                row: choose(logits[row], torch.tensor(seen[row], device=device), samplings[row], generators[row])
                for row in sorted(going)
            }
            yield step
            for row, token in step.items():
                seen[row].append(token)
                ended = token in self.ends or (answers is not None and answers[row].finish == "stop")
                if ended or made >= samplings[row].max_new_tokens or len(seen[row]) >= self.context:
                    going.discard(row)
            ids = torch.tensor([[step.get(row, pad)] for row in range(len(prompts))], device=device)
            mask = torch.cat([mask, mask.new_ones(len(prompts), 1)], dim=1)
            positions = positions[:, -1:] + 1
            positions.clamp_(max=self.context - 1)

    def _text(self, ids: list[int], stops: tuple[str, ...]) -> tuple[str, bool]:
        """The text of ids, cut at the first stop text, and whether there was one."""
        text = self.tokenizer.decode(ids)
        found = [place for stop in stops if (place := text.find(stop)) >= 0]
        return (text[: min(found)], True) if found else (text, False)


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end must wait: half a character, or what may become a stop text."""
    waiting = len(text) - len(text.rstrip(REPLACEMENT))
    for stop in stops:
        for length in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:length]):
                waiting = max(waiting, length)
                break
    return waiting


def _end_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> set[int]:
    """Every id that ends an answer, from the generation config and the tokenizer."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return {token for token in [*ids, tokenizer.eos_token_id] if token is not None}
