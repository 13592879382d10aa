"""The verdict on the figures of metrics/evaluate.json in one sentence, and the caveats."""

import math
from typing import Any

# Values of the figures beyond which a caveat follows.
LOW_EOS_RATE = 0.9  # share of answers: fewer end by themselves
HIGH_VERBATIM_RATE = 0.5  # share of answers: at least so many are training answers word for word
MEMORIZED_LOSS = 0.7  # nats per token on training rows (perplexity 2): a lower loss is memorization where also
WIDE_GAP = 1.0  # nats per token: the generalization gap exceeds the base's by more
HIGH_REP_4 = 0.3  # share of word sequences: at least so many are repetition


def verdict(metrics: dict[str, Any]) -> str:
    """Whether fine-tuning made the model better on held-out rows, by how much, and how certain that is.

    metrics: those of metrics/evaluate.json.
    """
    base, tuned, delta = metrics["base"], metrics["tuned"], metrics["delta"]
    rows = "answers" if metrics["kind"] == "qa" else "texts"
    path = f"from {number(base['perplexity'])} to {number(tuned['perplexity'])}"
    bounds = sorted(math.expm1(min(delta[key], 700.0)) for key in ("loss_low", "loss_high"))
    interval = f"95% interval {signed_percent(bounds[0])} to {signed_percent(bounds[1])}"
    if delta["loss_high"] < 0:
        share = f"{percent(delta['rows_improved'])} of {metrics['test_rows']:,} rows improved"
        return f"It got better: perplexity of held-out {rows} fell {path} ({interval}); {share}."
    if delta["loss_low"] > 0:
        return f"It got worse: perplexity of held-out {rows} rose {path} ({interval})."
    return f"No difference can be shown: perplexity of held-out {rows} went {path} ({interval})."


def caveats(metrics: dict[str, Any]) -> list[str]:
    """What a reader must know besides the verdict, in a sentence each. Empty when nothing speaks against the model.

    metrics: those of metrics/evaluate.json.
    """
    tuned, sentences = metrics["tuned"], []
    if (
        tuned["train_loss"] < MEMORIZED_LOSS
        and tuned["generalization_gap"] - metrics["base"]["generalization_gap"] > WIDE_GAP
    ):
        sentences.append(
            f"It knows its training rows by heart: loss {number(tuned['train_loss'])} on them, "
            f"{number(tuned['loss'])} on held-out rows."
        )
    if tuned.get("verbatim_rate", 0) >= HIGH_VERBATIM_RATE:
        sentences.append(f"{percent(tuned['verbatim_rate'])} of its answers are training answers word for word.")
    if metrics["kind"] == "qa" and tuned.get("eos_rate", 1) < LOW_EOS_RATE:
        sentences.append(f"Only {percent(tuned['eos_rate'])} of its answers end by themselves.")
    if tuned.get("rep_4", 0) >= HIGH_REP_4:
        sentences.append(f"It repeats itself: {percent(tuned['rep_4'])} of its word sequences were said before.")
    if metrics.get("vs_retrieval", {}).get("f1_high", 1) < 0:
        sentences.append(
            "Repeating the answer of the most similar training question is closer to the references than it is "
            f"(token F1 {number(metrics['retrieval']['f1'])} against {number(tuned['f1'])})."
        )
    return sentences


def number(value: float) -> str:
    """A value with three significant digits; with an exponent only where it is very large or small."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e7:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def percent(share: float) -> str:
    """A share in per cent, never rounded to 100% or 0%."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f}%"
    return f"{rounded}%"


def signed_percent(share: float) -> str:
    """A relative change in per cent with its sign."""
    return f"{100 * share:+.0f}%".replace("-", "\N{MINUS SIGN}")
