"""The verdict on the figures of metrics/evaluate.json in plain sentences: what is answered right, and what changed."""

import math
from typing import Any

from lockstep.evaluation.bootstrap import MIN_GROUPS

# Values of the figures beyond which a caveat follows.
LOW_EOS_RATE = 0.9  # share of answers: fewer end by themselves
HIGH_VERBATIM_RATE = 0.5  # share of answers: at least so many are training answers word for word
HIGH_REP_4 = 0.3  # share of word sequences: at least so many are repetition
KIND_WORDS = {"known": "training questions in their own words", "reworded": "reworded", "new": "new"}
NEAREST = "the nearest training question"


def evidence(metrics: dict[str, Any]) -> list[str]:
    """How many questions of each kind are answered right, and whether the model beats a search box, in a sentence each.

    metrics: those of metrics/evaluate.json. Empty for texts, and where nothing was asked.
    """
    kinds = metrics.get("questions", {})
    if not kinds:
        return []
    counts = [f"{kinds[kind]['tuned']['right']:,} of {kinds[kind]['count']:,} {KIND_WORDS[kind]}" for kind in kinds]
    counts[0] += "" if next(iter(kinds)) == "known" else " questions"
    alone = [f"{kinds[kind]['alone']['right']:,} {kind}" for kind in kinds if "alone" in kinds[kind]]
    without = [f"Without looking up training pairs it would have {', '.join(alone)} right."] if alone else []
    rule = f"right: token F1 of {metrics['right_f1']} or more with your answer"
    # Looking up a known question finds the row itself, which is always right, so that is no comparison.
    compared = [_against_nearest(kind, kinds[kind]) for kind in ("reworded", "new") if kind in kinds]
    return [f"Right answers: {', '.join(counts)} ({rule}).", *without, *compared]


def _against_nearest(kind: str, figures: dict[str, Any]) -> str:
    """Whether the model beats looking up the nearest training question, on questions of one kind."""
    difference, first, second = figures["vs_retrieval"], figures["tuned"], figures["retrieval"]
    if "f1_low" not in difference:
        questions = f"{figures['count']:,} {kind} questions are" if figures["count"] > 1 else f"One {kind} question is"
        return f"{questions} too few to show whether it beats looking up {NEAREST}."
    begin = f"It can't be shown to beat looking up {NEAREST}"
    if difference["f1_low"] > 0:
        # With no more right answers a higher F1 is a matter of wording.
        beats = first["right"] > second["right"]
        begin = f"It {'beats' if beats else 'comes nearer to your answers than'} looking up {NEAREST}"
    elif difference["f1_high"] < 0:
        begin, first, second = f"Looking up {NEAREST} does better", second, first
        difference = {"f1_low": -difference["f1_high"], "f1_high": -difference["f1_low"]}
    return (
        f"{begin} on {kind} questions: F1 {first['f1']:.2f} against {second['f1']:.2f} "
        f"(difference {signed_interval(difference)}), {first['right']:,} right against {second['right']:,}."
    )


def right_rule(metrics: dict[str, Any]) -> str:
    """The rule by which an answer counts as right, as a clause. metrics: those of metrics/evaluate.json."""
    return (
        f"token F1 of {metrics['right_f1']} or more with your answer; where yours has one or two words, "
        "an answer that holds them"
    )


def verdict(metrics: dict[str, Any]) -> str:
    """Whether fine-tuning made the model better on held-out rows, by how much, and how certain that is.

    Of fewer than MIN_GROUPS independent test rows it claims nothing. Where the loss rose although more answers are
    right, it says both. metrics: those of metrics/evaluate.json.
    """
    delta, is_qa = metrics["delta"], metrics["kind"] == "qa"
    subject = f"perplexity of held-out {'answers' if is_qa else 'texts'}"
    path = f"from {number(metrics['base']['perplexity'])} to {number(metrics['tuned']['perplexity'])}"
    if (count := metrics["test_clusters"]) < MIN_GROUPS:
        what = f"test {'question' if is_qa else 'row'}"
        few = f"{count} independent {what}s are" if count > 1 else f"One {what} is"
        return f"{few} too few to show a difference; {subject} went {path}."
    bounds = sorted(math.expm1(min(delta[key], 700.0)) for key in ("loss_low", "loss_high"))
    path += f" (95% interval {signed_percent(bounds[0])} to {signed_percent(bounds[1])})"
    if mood(metrics) == "better":
        share = f"{percent(delta['rows_improved'])} of {metrics['test_rows']:,} rows improved"
        return f"It got better: {subject} fell {path}; {share}."
    if mood(metrics) == "worse":
        return f"It got worse: {subject} rose {path}."
    if delta["loss_low"] > 0:
        before, after, asked = right_in_all(metrics)
        more = f"More answers are right, {after:,} of {asked:,} where the base has {before:,}"
        return f"{more}, while {subject} rose {path}."
    return f"No difference can be shown: {subject} went {path}."


def mood(metrics: dict[str, Any]) -> str:
    """'better', 'worse' or 'unsure', as the verdict says it. metrics: those of metrics/evaluate.json."""
    before, after, _ = right_in_all(metrics)
    if metrics["test_clusters"] < MIN_GROUPS:
        return "unsure"
    if metrics["delta"]["loss_high"] < 0:
        return "better"
    return "worse" if metrics["delta"]["loss_low"] > 0 and after <= before else "unsure"


def right_in_all(metrics: dict[str, Any]) -> tuple[int, int, int]:
    """Right answers of the base and of the fine-tuned model to the questions of all kinds, and how many were asked."""
    kinds = metrics.get("questions", {}).values()
    base, tuned = (sum(figures[name]["right"] for figures in kinds) for name in ("base", "tuned"))
    return base, tuned, sum(figures["count"] for figures in kinds)


def caveats(metrics: dict[str, Any]) -> list[str]:
    """What a reader must know besides the verdict, in a sentence each. Empty when nothing speaks against the model.

    metrics: those of metrics/evaluate.json.
    """
    tuned, sentences = metrics["tuned"], []
    asked = "answers to new questions" if metrics["kind"] == "qa" else "texts"
    if tuned.get("verbatim_rate", 0) >= HIGH_VERBATIM_RATE:
        source = "training answers" if metrics["kind"] == "qa" else "training"
        sentences.append(f"{percent(tuned['verbatim_rate'])} of its {asked} are {source} word for word.")
    if metrics["kind"] == "qa" and tuned.get("eos_rate", 1) < LOW_EOS_RATE:
        sentences.append(f"Only {percent(tuned['eos_rate'])} of its answers end by themselves.")
    if tuned.get("rep_4", 0) >= HIGH_REP_4:
        sentences.append(f"It repeats itself: {percent(tuned['rep_4'])} of its word sequences were said before.")
    return sentences


def signed_interval(difference: dict[str, float]) -> str:
    """The interval of a difference in F1 as '+0.09 to +0.13'; '–' where none is told, of too few questions."""
    if "f1_low" not in difference:
        return "–"
    bounds = [difference[key] for key in ("f1_low", "f1_high")]
    digits = 3 if any(0 < abs(bound) < 0.005 for bound in bounds) else 2
    return " to ".join(f"{bound:+.{digits}f}" for bound in bounds).replace("-", "\N{MINUS SIGN}")


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
