"""Curves of the loss by the length of an answer, and by the position of a token in it."""

import numpy as np

from lockstep.core.atomic_files import Point, figure
from lockstep.modeling.scoring import TokenLosses

BINS = 8  # of the curve by length


def loss_by_length(base: TokenLosses, tuned: TokenLosses) -> list[Point]:
    """Mean loss of both models, in nats per token, for answers of similar length.

    There are up to BINS bins of about as many rows each. first, last: the shortest and the longest answer of a bin, in
    tokens with end-of-text. rows: how many answers it has.
    """
    before, after = base.scores, tuned.scores
    lengths = before.targets  # (rows,)
    starts = np.unique(np.quantile(lengths, np.arange(BINS) / BINS, method="inverted_cdf"))  # (bins,)
    bins = np.searchsorted(starts, lengths, side="right")  # (rows,)
    points = []
    for number in np.unique(bins):
        inside = bins == number  # (rows,)
        weight = lengths[inside].sum()
        points.append(
            {
                "first": int(lengths[inside].min()),
                "last": int(lengths[inside].max()),
                "base": figure(before.nll[inside].sum() / weight),
                "tuned": figure(after.nll[inside].sum() / weight),
                "rows": int(inside.sum()),
            }
        )
    return points


def loss_by_position(base: TokenLosses, tuned: TokenLosses) -> list[Point]:
    """Mean loss of both models, in nats per token, for the 1st, 2nd-3rd, 4th-7th, 8th-15th, ... token of the answers.

    first, last: the positions of a bin, from 1. targets: how many tokens it has.
    """
    positions = np.concatenate([np.arange(1, len(row) + 1) for row in base.nll])  # (targets of all rows,)
    octaves = np.frexp(positions.astype(np.float64))[1] - 1  # (targets,) floor of log2, exact
    before, after = (np.concatenate(losses.nll).astype(np.float64) for losses in (base, tuned))  # (targets,) each
    points = []
    for octave in np.unique(octaves):
        inside = octaves == octave  # (targets,)
        points.append(
            {
                "first": int(positions[inside].min()),
                "last": int(positions[inside].max()),
                "base": figure(float(before[inside].mean())),
                "tuned": figure(float(after[inside].mean())),
                "targets": int(inside.sum()),
            }
        )
    return points
