"""The charts of a run as SVG."""

import re

import pytest

from lockstep.evaluation import charts
from lockstep.evaluation.charts import binned_curve, learning_curves, row_changes, score_bars

EPOCHS = [{"tokens": 0.0, "train_loss": 4.0}, {"tokens": 2000.0, "train_loss": 2.0}]
STEPS = [{"tokens": 1000.0, "loss": 3.0}, {"tokens": 2000.0, "loss": 2.0}]
SCORES = {"f1": 0.5, "rouge_l": 0.25, "chrf": 40.0, "exact_match": 0.0}


def labels(chart: str) -> list[str]:
    """The texts of a chart, in the order in which they are drawn."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", chart)


def test_the_same_figures_give_the_same_bytes_without_a_date() -> None:
    chart = learning_curves(EPOCHS, STEPS)
    assert learning_curves(EPOCHS, STEPS) == chart
    assert "dc:date" not in chart


def test_validation_is_drawn_only_where_there_is_a_split() -> None:
    with_validation = [point | {"validation_loss": 3.0} for point in EPOCHS]
    assert "validation" not in labels(learning_curves(EPOCHS, STEPS))
    assert {"train", "validation", "batches", "2k"} <= set(labels(learning_curves(with_validation, STEPS)))


def test_bars_are_drawn_of_those_that_have_scores_in_per_cent() -> None:
    shown = labels(score_bars({"base": {"loss": 1.0}, "tuned": SCORES}))
    assert "fine-tuned" in shown
    assert not {"base", "nearest question"} & set(shown)
    assert {"50", "25", "40", "0"} <= set(shown)


def test_rows_that_improved_are_counted_against_those_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MAX_ROW_BARS", 4)  # the counts are of all rows, not of the bars
    assert {"6 better", "3 worse"} <= set(labels(row_changes([-1.0] * 6 + [0.0, 0.5, 2.0])))


def test_a_bin_is_named_after_its_bounds() -> None:
    points = [{"first": 1, "last": 1, "base": 2.0, "tuned": 1.0}, {"first": 2, "last": 3, "base": 3.0, "tuned": 1.0}]
    assert {"1", "2\N{EN DASH}3", "position"} <= set(labels(binned_curve(points, "position")))
