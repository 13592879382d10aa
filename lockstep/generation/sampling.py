"""How the next token of a sequence is sampled from the model's logits.

Shapes: n sequences, V entries of the vocabulary, S ids of each sequence so far.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the tokens of an answer are sampled.

    max_new_tokens: of one answer. temperature: 0 takes the likeliest token. top_p, top_k: with a temperature, draw from
    the likeliest tokens only (1.0 and 0: from all). repetition_penalty: divides positive and multiplies negative logits
    of tokens already there (Keskar et al. 2019, CTRL). stop: strings that end an answer. seed: of the draws.
    """

    max_new_tokens: int = 100
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: tuple[str, ...] = ()
    seed: int = 0

    def replace(self, **changes: Any) -> "Sampling":
        """A copy with some fields changed. Raises TypeError for a field that does not exist."""
        return dataclasses.replace(self, **changes)


def sample_next(
    logits: torch.Tensor, seen: torch.Tensor, samplings: Sequence[Sampling], generators: Sequence[torch.Generator]
) -> list[int]:
    """The next token of each of n sequences; none depends on the sequences beside it.

    logits: (n, V) float32. seen: (n, S) ids that the repetition penalty applies to; repeated ids count once.
    """
    logits = _penalize_repetition(logits, seen, samplings)  # (n, V)
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    for index, sampling in enumerate(samplings):
        if sampling.temperature > 0:
            tokens[index] = _draw(logits[index], sampling, generators[index])
    return tokens


def _penalize_repetition(logits: torch.Tensor, seen: torch.Tensor, samplings: Sequence[Sampling]) -> torch.Tensor:
    if all(sampling.repetition_penalty == 1.0 for sampling in samplings):
        return logits
    penalty = torch.tensor([[one.repetition_penalty] for one in samplings], device=logits.device)  # (n, 1)
    values = logits.gather(1, seen)  # (n, S)
    return logits.scatter(1, seen, torch.where(values > 0, values / penalty, values * penalty))  # (n, V)


def _draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """One token drawn from the distribution of logits (V,). top_p: nucleus sampling (Holtzman et al. 2020)."""
    logits = logits / sampling.temperature  # (V,)
    if sampling.top_k:
        lowest = logits.topk(min(sampling.top_k, len(logits))).values[-1]  # ()
        logits = logits.masked_fill(logits < lowest, -torch.inf)  # (V,)
    probabilities = logits.softmax(dim=-1).cpu()  # (V,), on the CPU because a GPU sums in no fixed order
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(descending=True, stable=True)  # (V,) each
        before = ordered.cumsum(dim=-1) - ordered  # (V,), 0 for the likeliest token, which so always stays
        ordered = ordered.masked_fill(before >= sampling.top_p, 0)  # (V,)
        probabilities = torch.zeros_like(probabilities).scatter(0, index, ordered)  # (V,)
    return int(torch.multinomial(probabilities, 1, generator=generator))
