"""Sampling of the next token from logits that are written out."""

import pytest
import torch

from lockstep.generation.sampling import Sampling, sample_next

LOGITS = [2.0, 1.0, 0.0, -1.0]  # probabilities 0.64, 0.24, 0.09, 0.03
NOTHING_SEEN = torch.zeros(1, 0, dtype=torch.long)  # (1, 0)


def draws(count: int = 300, **settings: float) -> list[int]:
    """Tokens drawn one after the other from LOGITS at temperature 1."""
    sampling, generator = Sampling(temperature=1.0, **settings), torch.Generator().manual_seed(0)  # type: ignore[arg-type]
    return [sample_next(torch.tensor([LOGITS]), NOTHING_SEEN, [sampling], [generator])[0] for _ in range(count)]


def greedy(logits: list[float], seen: list[int], repetition_penalty: float) -> int:
    sampling = Sampling(repetition_penalty=repetition_penalty)
    return sample_next(torch.tensor([logits]), torch.tensor([seen]), [sampling], [torch.Generator()])[0]


def test_temperature_0_takes_the_likeliest_token() -> None:
    assert greedy(LOGITS, [0], 1.0) == 0


def test_draws_follow_the_probabilities() -> None:
    tokens = draws(2000)
    shares = [tokens.count(token) / len(tokens) for token in range(4)]
    assert shares == pytest.approx(torch.tensor(LOGITS).softmax(dim=-1).tolist(), abs=0.03)


@pytest.mark.parametrize(
    ("settings", "tokens"),
    [
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 1}),
        ({"top_k": 100}, {0, 1, 2, 3}),
        ({"top_p": 0.01}, {0}),
        ({"top_p": 0.7}, {0, 1}),
        ({"top_p": 0.9}, {0, 1, 2}),
    ],
)
def test_top_k_and_top_p_leave_only_the_likeliest_tokens(settings: dict[str, float], tokens: set[int]) -> None:
    assert set(draws(**settings)) == tokens


def test_the_repetition_penalty_divides_positive_and_multiplies_negative_logits() -> None:
    assert greedy([2.0, 1.5], [0], 1.2) == 0  # 2 / 1.2 = 1.67
    assert greedy([2.0, 1.5], [0], 1.5) == 1  # 2 / 1.5 = 1.33
    assert greedy([-1.0, -1.5], [0], 2.0) == 1  # -1 * 2
    assert greedy([2.0, 1.5], [0, 0, 0], 1.2) == 0, "a repeated id is penalized once"


def test_a_seed_gives_the_same_token_beside_any_other_sequences() -> None:
    torch.manual_seed(0)
    logits, sampling = torch.randn(3, 50), Sampling(temperature=1.0, top_p=0.9, seed=7)  # (n, V)
    others = [Sampling(), sampling, Sampling(temperature=2.0, seed=1)]
    seen = torch.zeros(3, 1, dtype=torch.long)  # (n, S)
    together = sample_next(logits, seen, others, [torch.Generator().manual_seed(one.seed) for one in others])
    alone = sample_next(logits[1:2], seen[1:2], [sampling], [torch.Generator().manual_seed(7)])
    assert together[1] == alone[0]
    assert together[0] == int(logits[0].argmax())


def test_replace_changes_some_fields_and_refuses_unknown_ones() -> None:
    assert Sampling(top_k=3).replace(seed=4) == Sampling(top_k=3, seed=4)
    with pytest.raises(TypeError, match="colour"):
        Sampling().replace(colour=1)
