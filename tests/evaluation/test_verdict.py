"""The verdict on an evaluation, its evidence and its caveats."""

from typing import Any

import pytest

from lockstep.evaluation.verdict import (
    caveats,
    evidence,
    mood,
    number,
    percent,
    right_rule,
    signed_interval,
    signed_percent,
    verdict,
)

MINUS = "\N{MINUS SIGN}"


def metrics_with(**tuned: float) -> dict[str, Any]:
    """The figures of a model that got better, with some of the tuned model's changed."""
    base = {"perplexity": 60.0, "generalization_gap": 0.0, "train_loss": 4.0, "loss": 4.0}
    delta = {"loss_low": -0.8, "loss_high": -0.6, "rows_improved": 0.9}
    return {
        "base": base,
        "tuned": {**base, "perplexity": 30.0, **tuned},
        "delta": delta,
        "leakage": 0,
        "test_rows": 20,
        "test_clusters": 10,
        "kind": "qa",
        "right_f1": 0.6,
    }


def kind_figures(count: int, base: int, tuned: int, low: float = 0.09, high: float = 0.13) -> dict[str, Any]:
    figures = {"count": count, "base": {"right": base}, "tuned": {"right": tuned, "f1": 0.37}}
    return figures | {"retrieval": {"right": 9, "f1": 0.26}, "vs_retrieval": {"f1_low": low, "f1_high": high}}


def with_questions(base: int = 1, new: dict[str, Any] | None = None) -> dict[str, Any]:
    kinds = {"known": kind_figures(50, base, 46), "reworded": kind_figures(50, 0, 35), "new": kind_figures(100, 0, 31)}
    return metrics_with() | {"questions": kinds | ({"new": new} if new else {})}


def worse(metrics: dict[str, Any]) -> dict[str, Any]:
    metrics["delta"] |= {"loss_low": 0.1, "loss_high": 0.2}
    metrics["tuned"]["perplexity"] = 70.0
    return metrics


def test_right_answers_are_counted_by_kind_with_the_rule() -> None:
    first, reworded, new = evidence(with_questions())
    assert first == (
        "Right answers: 46 of 50 training questions in their own words, 35 of 50 reworded, 31 of 100 new "
        "(right: token F1 of 0.6 or more with your answer)."
    )
    assert reworded.startswith("It beats looking up the nearest training question on reworded questions:")
    assert new == (
        "It beats looking up the nearest training question on new questions: F1 0.37 against 0.26 "
        "(difference +0.09 to +0.13), 31 right against 9."
    )


def test_a_baseline_that_does_better_or_may_do_so_is_told() -> None:
    unsure = evidence(with_questions(new=kind_figures(100, 0, 31, -0.002, 0.04)))[-1]
    assert unsure.startswith("It can't be shown to beat looking up")
    assert f"(difference {MINUS}0.002 to +0.040)" in unsure
    nearer = evidence(with_questions(new=kind_figures(100, 0, 9)))[-1]
    assert nearer.startswith("It comes nearer to your answers than looking up the nearest training question on new")
    assert nearer.endswith("9 right against 9.")
    better = evidence(with_questions(new=kind_figures(100, 0, 3, -0.13, -0.05)))[-1]
    assert better == (
        "Looking up the nearest training question does better on new questions: F1 0.26 against 0.37 "
        "(difference +0.05 to +0.13), 9 right against 3."
    )


def test_of_too_few_questions_no_comparison_is_told() -> None:
    few = kind_figures(7, 0, 3) | {"vs_retrieval": {"f1": 0.4}}
    assert evidence(with_questions(new=few))[-1] == (
        "7 new questions are too few to show whether it beats looking up the nearest training question."
    )
    assert signed_interval(few["vs_retrieval"]) == "\N{EN DASH}"


def test_only_kinds_that_were_asked_are_told_and_of_texts_none() -> None:
    metrics = with_questions()
    metrics["questions"] = {"new": metrics["questions"]["new"]}
    assert evidence(metrics)[0].startswith("Right answers: 31 of 100 new questions (right:")
    assert len(evidence(metrics)) == 2
    assert evidence(metrics_with() | {"kind": "text"}) == []


def test_the_rule_names_short_answers_too() -> None:
    assert "0.6" in right_rule(metrics_with())
    assert "one or two words" in right_rule(metrics_with())


def test_the_verdict_gives_the_change_and_its_interval() -> None:
    metrics = metrics_with()
    assert verdict(metrics) == (
        "It got better: perplexity of held-out answers fell from 60.0 to 30.0 (95% interval −55% to −45%); "
        "90% of 20 rows improved."
    )
    assert mood(metrics) == "better"
    metrics["delta"] |= {"loss_low": -0.1, "loss_high": 0.1}
    assert verdict(metrics).startswith("No difference can be shown")
    assert mood(metrics) == "unsure"
    assert verdict(worse(metrics)).startswith("It got worse")
    assert mood(metrics) == "worse"


def test_a_loss_that_rose_while_more_answers_are_right_is_told_with_both_facts() -> None:
    metrics = worse(with_questions())
    assert verdict(metrics) == (
        "More answers are right, 112 of 200 where the base has 1, while perplexity of held-out answers rose "
        "from 60.0 to 70.0 (95% interval +11% to +22%)."
    )
    assert mood(metrics) == "unsure"
    assert verdict(worse(with_questions(base=120))).startswith("It got worse")


@pytest.mark.parametrize(
    ("kind", "clusters", "beginning"),
    [
        ("qa", 9, "9 independent test questions are too few to show a difference; perplexity of held-out answers went"),
        ("qa", 1, "One test question is too few to show a difference; "),
        ("text", 2, "2 independent test rows are too few to show a difference; perplexity of held-out texts went"),
    ],
)
def test_of_fewer_than_ten_independent_rows_nothing_is_claimed(kind: str, clusters: int, beginning: str) -> None:
    for metrics in (metrics_with(), worse(metrics_with())):
        sentence = verdict(metrics | {"test_clusters": clusters, "kind": kind})
        assert sentence.startswith(beginning)
        assert "interval" not in sentence
        assert mood(metrics | {"test_clusters": clusters, "kind": kind}) == "unsure"


@pytest.mark.parametrize(
    ("tuned", "caveat"),
    [
        ({"verbatim_rate": 0.8}, "80% of its answers to new questions are training answers"),
        ({"eos_rate": 0.25}, "Only 25% of its answers end"),
        ({"rep_4": 0.5}, "repeats itself"),
    ],
)
def test_a_figure_that_speaks_against_the_model_is_a_caveat(tuned: dict[str, float], caveat: str) -> None:
    assert caveats(metrics_with()) == []
    assert caveat in " ".join(caveats(metrics_with(**tuned)))


def test_a_low_loss_on_training_rows_is_no_evidence_of_recitation() -> None:
    metrics = with_questions()
    metrics["tuned"] |= {"train_loss": 0.1, "generalization_gap": 3.0}
    assert "heart" not in " ".join([*evidence(metrics), *caveats(metrics), verdict(metrics)])


def test_numbers_are_short_and_shares_never_rounded_to_certainty() -> None:
    assert [number(value) for value in (0, 1234.5, 31.85, 0.0123, 1e-6)] == ["0", "1,234", "31.9", "0.0123", "1.00e-06"]
    assert [percent(value) for value in (1, 0.999, 0.5, 0.001, 0)] == ["100%", "99.9%", "50%", "0.1%", "0%"]


def test_a_change_has_its_sign() -> None:
    assert [signed_percent(share) for share in (0.25, -0.5, 0)] == ["+25%", "\N{MINUS SIGN}50%", "+0%"]
