"""The verdict on an evaluation and its caveats."""

from typing import Any

import pytest

from lockstep.evaluation.verdict import caveats, number, percent, signed_percent, verdict


def metrics_with(**tuned: float) -> dict[str, Any]:
    """The figures of a model that got better, with some of the tuned model's changed."""
    base = {"perplexity": 60.0, "generalization_gap": 0.0, "train_loss": 4.0, "loss": 4.0}
    delta = {"loss_low": -0.8, "loss_high": -0.6, "rows_improved": 0.9}
    return {
        "base": base,
        "tuned": {**base, "perplexity": 30.0, **tuned},
        "delta": delta,
        "leakage": 0,
        "test_rows": 10,
        "kind": "qa",
    }


def test_the_verdict_gives_the_change_and_its_interval() -> None:
    metrics = metrics_with()
    assert verdict(metrics) == (
        "It got better: perplexity of held-out answers fell from 60.0 to 30.0 (95% interval −55% to −45%); "
        "90% of 10 rows improved."
    )
    metrics["delta"] |= {"loss_low": -0.1, "loss_high": 0.1}
    assert verdict(metrics).startswith("No difference can be shown")
    metrics["delta"] |= {"loss_low": 0.1, "loss_high": 0.2}
    assert verdict(metrics).startswith("It got worse")


@pytest.mark.parametrize(
    ("tuned", "caveat"),
    [
        ({"train_loss": 0.1, "generalization_gap": 3.0}, "by heart"),
        ({"verbatim_rate": 0.8}, "80% of its answers are training answers"),
        ({"eos_rate": 0.25}, "Only 25% of its answers end"),
        ({"rep_4": 0.5}, "repeats itself"),
    ],
)
def test_a_figure_that_speaks_against_the_model_is_a_caveat(tuned: dict[str, float], caveat: str) -> None:
    assert caveats(metrics_with()) == []
    assert caveat in " ".join(caveats(metrics_with(**tuned)))


def test_losing_to_the_retrieval_baseline_is_a_caveat() -> None:
    metrics = metrics_with(f1=0.2) | {"retrieval": {"f1": 0.4}, "vs_retrieval": {"f1_high": -0.1}}
    assert "most similar training question" in caveats(metrics)[0]


def test_numbers_are_short_and_shares_never_rounded_to_certainty() -> None:
    assert [number(value) for value in (0, 1234.5, 31.85, 0.0123, 1e-6)] == ["0", "1,234", "31.9", "0.0123", "1.00e-06"]
    assert [percent(value) for value in (1, 0.999, 0.5, 0.001, 0)] == ["100%", "99.9%", "50%", "0.1%", "0%"]


def test_a_change_has_its_sign() -> None:
    assert [signed_percent(share) for share in (0.25, -0.5, 0)] == ["+25%", "\N{MINUS SIGN}50%", "+0%"]
