"""The loss by the length of an answer and by the position of a token in it."""

import numpy as np

from lockstep.evaluation.loss_breakdown import loss_by_length, loss_by_position
from lockstep.modeling.scoring import TokenLosses


def losses(*values: list[float]) -> TokenLosses:
    """The losses of rows, a list of targets each."""
    return TokenLosses([np.array(row) for row in values], [np.zeros(len(row), bool) for row in values])


def test_loss_by_position_averages_octaves() -> None:
    points = loss_by_position(losses([1, 2, 4, 8], [3]), losses([0, 0, 2, 0], [2]))
    assert points == [
        {"first": 1, "last": 1, "base": 2.0, "tuned": 1.0, "targets": 2},
        {"first": 2, "last": 3, "base": 3.0, "tuned": 1.0, "targets": 2},
        {"first": 4, "last": 4, "base": 8.0, "tuned": 0.0, "targets": 1},
    ]


def test_loss_by_length_weighs_tokens_and_counts_every_row_once() -> None:
    base = losses([4], [1, 3], [2, 2], [1, 1, 1, 5])
    points = loss_by_length(base, base)
    assert [(point["first"], point["last"], point["rows"], point["base"]) for point in points] == [
        (1, 1, 1, 4.0),
        (2, 2, 2, 2.0),
        (4, 4, 1, 2.0),
    ]
