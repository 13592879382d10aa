"""How the next token of an answer is chosen from the model's logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch


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


def choose(
    logits: torch.Tensor, seen: torch.Tensor, samplings: Sequence[Sampling], generators: Sequence[torch.Generator]
) -> list[int]:
    """The next token of each of n answers; none depends on the answers beside it.

    logits: (n, V) float32. seen: (n, S) ids the repetition penalty bears on; an id may be there more than once.
    """
    logits = _penalized(logits, seen, samplings)
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    for row, sampling in enumerate(samplings):
        if sampling.temperature > 0:
            tokens[row] = _draw(logits[row], sampling, generators[row])
    return tokens


def _penalized(logits: torch.Tensor, seen: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    if all(sampling.repetition_penalty == 1.0 for sampling in samplings):
        return logits
    penalty = torch.tensor([[sampling.repetition_penalty] for sampling in samplings], device=logits.device)
    values = logits.gather(1, seen)
    return logits.scatter(1, seen, torch.where(values > 0, values / penalty, values * penalty))


def _draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token of (V,) logits, by chance."""
    logits = logits / sampling.temperature
    if sampling.top_k:
        lowest = logits.topk(min(sampling.top_k, len(logits))).values[-1]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    probabilities = logits.softmax(dim=-1).cpu()  # a GPU adds up in no fixed order
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(descending=True, stable=True)
        before = ordered.cumsum(dim=-1) - ordered  # the likeliest token always stays
        ordered = ordered.masked_fill(before >= sampling.top_p, 0)
        probabilities = torch.zeros_like(probabilities).scatter(0, index, ordered)
    return int(torch.multinomial(probabilities, 1, generator=generator))
