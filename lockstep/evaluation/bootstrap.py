"""How sure a difference between two models is: a paired bootstrap over the test rows.

Rows are drawn with replacement, the same ones for both models, many times (Efron and Tibshirani 1993; Koehn 2004).
Rows that resemble each other are drawn together, for they are no independent evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
AT_ONCE = 1 << 22  # draws held in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference, and the bounds that hold it with CONFIDENCE. positive: share of resamples where it is above 0."""

    difference: float
    low: float
    high: float
    positive: float

    @property
    def is_sure(self) -> bool:
        """Whether 0 lies outside."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    weights: Sequence[float] | np.ndarray,
    groups: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> Interval:
    """The interval of sum(after) / sum(weights) - sum(before) / sum(weights).

    before, after, weights: (rows,) sums of one row for each model and what they are divided by: -ln p and targets, or a
    score and 1. groups: (rows,) names of what is drawn as a whole; None draws single rows. Percentile bounds.
    Raises ValueError when there is no row or no weight.
    """
    gain = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)
    weight = np.asarray(weights, dtype=float)
    if groups is not None:
        owner = np.unique(np.asarray(groups), return_inverse=True)[1]
        gain, weight = np.bincount(owner, gain), np.bincount(owner, weight)
    if not weight.sum() > 0:
        raise ValueError("a bootstrap needs rows with weight")
    drawn = _resampled(gain, weight, resamples, np.random.default_rng(seed))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(gain.sum() / weight.sum()), float(low), float(high), float((drawn > 0).mean()))


def _resampled(gain: np.ndarray, weight: np.ndarray, resamples: int, random: np.random.Generator) -> np.ndarray:
    """(resamples,) the ratio sum(gain) / sum(weight) over units drawn with replacement."""
    units = len(gain)
    ratios: list[np.ndarray] = []
    step = max(1, AT_ONCE // units)
    for start in range(0, resamples, step):
        chosen = random.integers(0, units, (min(step, resamples - start), units))
        total = weight[chosen].sum(axis=1)
        ratios.append(gain[chosen].sum(axis=1) / np.where(total > 0, total, 1))
    return np.concatenate(ratios)
