"""What the figures of metrics/evaluate.json say, in one sentence, and what speaks against it."""

import math
from typing import Any

SELDOM_STOPS = 0.9  # share of answers that end by themselves below which it is worth a line
COPIES = 0.5  # share of answers that are training answers word for word, from which it is worth a line
BY_HEART = 0.7  # nats per token on training rows below which the model could recite them (perplexity 2),
WIDE_GAP = 1.0  # where held-out rows cost so much more than they do, the base's own difference taken off
REPEATS = 0.3  # share of repeated word sequences from which it is worth a line


def verdict(metrics: dict[str, Any]) -> str:
    """Whether fine-tuning made the model better on held-out rows, by how much, and how sure that is."""
    base, tuned, delta = metrics["base"], metrics["tuned"], metrics["delta"]
    what = "answers" if metrics["kind"] == "qa" else "texts"
    path = f"from {number(base['perplexity'])} to {number(tuned['perplexity'])}"
    bounds = sorted(math.expm1(min(delta[key], 700.0)) for key in ("loss_low", "loss_high"))
    sure = f"95% interval {signed_percent(bounds[0])} to {signed_percent(bounds[1])}"
    if delta["loss_high"] < 0:
        rows = f"{percent(delta['rows_improved'])} of {metrics['test_rows']:,} rows improved"
        return f"It got better: perplexity of held-out {what} fell {path} ({sure}); {rows}."
    if delta["loss_low"] > 0:
        return f"It got worse: perplexity of held-out {what} rose {path} ({sure})."
    return f"No difference can be shown: perplexity of held-out {what} went {path} ({sure})."


def caveats(metrics: dict[str, Any]) -> list[str]:
    """What a reader must know besides the verdict, a sentence each; none when all is well."""
    tuned, found = metrics["tuned"], []
    if (
        tuned["train_loss"] < BY_HEART
        and tuned["generalization_gap"] - metrics["base"]["generalization_gap"] > WIDE_GAP
    ):
        found.append(
            f"It knows its training rows by heart: loss {number(tuned['train_loss'])} on them, "
            f"{number(tuned['loss'])} on held-out rows."
        )
    if tuned.get("verbatim_rate", 0) >= COPIES:
        found.append(f"{percent(tuned['verbatim_rate'])} of its answers are training answers word for word.")
    if metrics["kind"] == "qa" and tuned.get("eos_rate", 1) < SELDOM_STOPS:
        found.append(f"Only {percent(tuned['eos_rate'])} of its answers end by themselves.")
    if tuned.get("rep_4", 0) >= REPEATS:
        found.append(f"It repeats itself: {percent(tuned['rep_4'])} of its word sequences were said before.")
    if metrics.get("vs_retrieval", {}).get("f1_high", 1) < 0:
        found.append(
            "Repeating the answer of the most similar training question is closer to the references than it is "
            f"(token F1 {number(metrics['retrieval']['f1'])} against {number(tuned['f1'])})."
        )
    return found


def number(value: float) -> str:
    """Three significant digits, without an exponent where it can be avoided."""
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e7:
        digits = max(0, 2 - math.floor(math.log10(abs(value))))
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def percent(share: float) -> str:
    """A share as per cent; never rounded up to 100 or down to 0."""
    rounded = round(100 * share)
    if (rounded == 100 and share < 1) or (rounded == 0 and share > 0):
        return f"{100 * share:.1f}%"
    return f"{rounded}%"


def signed_percent(share: float) -> str:
    """A relative change as per cent with its sign."""
    return f"{100 * share:+.0f}%".replace("-", "\N{MINUS SIGN}")
