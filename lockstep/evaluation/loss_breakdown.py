"""Loss by the length of an answer and by the place in it, for plots."""

import numpy as np

from lockstep.core.atomic_files import Point, figure
from lockstep.modeling.scoring import TokenLosses

BINS = 8  # of the curve by length


def loss_by_length(base: TokenLosses, tuned: TokenLosses) -> list[Point]:
    """Mean loss (nats per token) of the answers whose length, in tokens with end-of-text, lies between first and last;
    up to BINS bins of about as many rows each."""
    before, after = base.scores, tuned.scores
    lengths = before.targets
    starts = np.unique(np.quantile(lengths, np.arange(BINS) / BINS, method="inverted_cdf"))
    bins = np.searchsorted(starts, lengths, side="right")
    points = []
    for number in np.unique(bins):
        inside = bins == number
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
    """Mean loss (nats per token) of the 1st, 2nd-3rd, 4th-7th, 8th-15th, ... token of the answers."""
    places = np.concatenate([np.arange(1, len(row) + 1) for row in base.nll])
    octaves = np.frexp(places.astype(np.float64))[1] - 1  # floor of the logarithm to base 2, exactly
    before, after = (np.concatenate(losses.nll).astype(np.float64) for losses in (base, tuned))
    points = []
    for octave in np.unique(octaves):
        inside = octaves == octave
        points.append(
            {
                "first": int(places[inside].min()),
                "last": int(places[inside].max()),
                "base": figure(float(before[inside].mean())),
                "tuned": figure(float(after[inside].mean())),
                "targets": int(inside.sum()),
            }
        )
    return points
