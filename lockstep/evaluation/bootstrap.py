"""How certain a difference between two models is: a paired bootstrap over the test rows, drawn by SciPy.

Rows are drawn with replacement, the same ones for both models, many times (Efron and Tibshirani 1993; Koehn 2004).
Rows that resemble each other are drawn together, because they are not independent evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
MIN_GROUPS = 10  # independent groups; of fewer no interval is told, for they can't stand for others
DRAWS_AT_ONCE = 1 << 22  # draws held in memory at a time


@dataclass(frozen=True, slots=True)
class Interval:
    """A difference with its confidence interval at level CONFIDENCE.

    positive: share of the resamples whose difference is above 0.
    """

    difference: float
    low: float
    high: float
    positive: float


def paired_bootstrap(
    before: Sequence[float] | np.ndarray,
    after: Sequence[float] | np.ndarray,
    weights: Sequence[float] | np.ndarray,
    groups: Sequence[str] | None,
    resamples: int,
    seed: int,
) -> Interval:
    """The percentile interval of sum(after) / sum(weights) - sum(before) / sum(weights).

    before, after, weights: (rows,) the sum of one row for each model, and what the sums are divided by: -ln p and the
    number of targets, or a score and 1. groups: (rows,) names of the groups that are drawn as a whole; None draws
    single rows. Raises ValueError when there is no row or no weight.
    """
    gain = np.asarray(after, dtype=float) - np.asarray(before, dtype=float)  # (rows,)
    weight = np.asarray(weights, dtype=float)  # (rows,)
    if groups is not None:
        owner = np.unique(np.asarray(groups), return_inverse=True)[1]  # (rows,) index of the row's group
        gain, weight = np.bincount(owner, gain), np.bincount(owner, weight)  # (groups,) each
    if not weight.sum() > 0:
        raise ValueError("a bootstrap needs rows with weight")
    difference = float(gain.sum() / weight.sum())
    if len(gain) == 1:  # each resample would be the same; SciPy refuses fewer than two
        return Interval(difference, difference, difference, float(difference > 0))
    from scipy import stats  # takes most of a second to load

    drawn = stats.bootstrap(
        (gain, weight),
        _ratio,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=resamples,
        batch=max(1, DRAWS_AT_ONCE // len(gain)),
        rng=np.random.default_rng(seed),
    )
    low, high = drawn.confidence_interval
    return Interval(difference, float(low), float(high), float((drawn.bootstrap_distribution > 0).mean()))


def _ratio(gain: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
    """sum(gain) / sum(weight) along the axis; 0 where only rows or groups without weight were drawn."""
    total = weight.sum(axis=axis)  # (resamples,)
    return gain.sum(axis=axis) / np.where(total > 0, total, 1)  # (resamples,)
