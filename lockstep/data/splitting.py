"""Which split each cluster of rows goes to. A cluster is never divided."""

import numpy as np
from numpy.typing import NDArray

from lockstep.core.errors import LockstepError
from lockstep.core.paths import SPLITS

LARGE_CLUSTER = 30  # rows; larger ones are always trained on, as one of them could fill the test split
CANDIDATES = 50  # random splits drawn, of which the one closest to the wanted fractions of rows is taken

Sizes = NDArray[np.int64]
Labels = NDArray[np.int8]  # 0 train, 1 validation, 2 test, as in SPLITS


def split_clusters(
    method: str,
    sizes: Sizes,
    keys: NDArray[np.uint64],
    fractions: tuple[float, float, float],
    seed: int,
    kind: str = "qa",
) -> Labels:
    """The split of each of n clusters, (n,).

    method: 'hash' or 'random'. sizes: rows in each cluster, (n,). keys: hash of each cluster's first question, (n,).
    fractions: of train, validation and test; seed is used by 'random' alone. kind: 'qa' or 'text', for the message.
    Raises LockstepError when there are fewer clusters than splits to fill.
    """
    wanted = [index for index, fraction in enumerate(fractions) if fraction > 0]
    if len(sizes) < len(wanted):
        names = ", ".join(SPLITS[index] for index in wanted)
        what = "Your rows come to" if kind == "qa" else "The passages of your texts come to"
        how = "add rows" if kind == "qa" else "add texts, lower data.passage_chars"
        raise LockstepError(
            f"{what} {len(sizes)} without duplicates and near-duplicates, too few for {names}.",
            f"It takes {len(wanted)}: {how}, raise split.near_duplicate_threshold, "
            "or set a fraction under split: to 0.",
        )
    if len(wanted) == 1:
        return np.zeros(len(sizes), np.int8)
    return _by_hash(sizes, keys, fractions) if method == "hash" else _by_chance(sizes, fractions, seed)


def _by_hash(sizes: Sizes, keys: NDArray[np.uint64], fractions: tuple[float, float, float]) -> Labels:
    """A cluster's key, as a number from 0 to 1, says its split, whatever other clusters there are.

    Only where a split would stay empty does the cluster nearest to it move there.
    """
    places = keys / 2.0**64
    ends = np.cumsum(fractions)
    labels = np.searchsorted(ends[:-1], places, side="right").astype(np.int8)
    labels[np.array(fractions)[labels] == 0] = 0  # a place rounded to the edge of an empty interval
    labels[sizes > LARGE_CLUSTER] = 0
    for index in (0, 1, 2):
        if fractions[index] > 0 and not (labels == index).any():
            begin, end = ends[index] - fractions[index], ends[index]
            distance = np.maximum(np.maximum(begin - places, places - end), 0)
            spare = np.bincount(labels, minlength=3)[labels] > 1
            distance[~spare] = np.inf
            labels[np.lexsort((keys, distance))[0]] = index
    return labels


def _by_chance(sizes: Sizes, fractions: tuple[float, float, float], seed: int) -> Labels:
    """scikit-learn's ShuffleSplit over the clusters, drawn CANDIDATES times."""
    from sklearn.model_selection import ShuffleSplit

    counts = _counts(len(sizes), fractions)
    best, least = np.zeros(len(sizes), np.int8), np.inf
    splitter = ShuffleSplit(CANDIDATES, train_size=counts[0], test_size=counts[1] + counts[2], random_state=seed)
    for _, held_out in splitter.split(sizes):
        labels = np.zeros(len(sizes), np.int8)
        labels[held_out[: counts[1]]] = 1
        labels[held_out[counts[1] :]] = 2
        rows = np.bincount(labels, weights=sizes, minlength=3) / sizes.sum()
        miss = float(np.abs(rows - fractions).sum())
        if miss < least - 1e-12:
            best, least = labels, miss
    return best


def _counts(clusters: int, fractions: tuple[float, float, float]) -> tuple[int, int, int]:
    """How many clusters go to each split: rounded, and one at least where the fraction is above 0."""
    held_out = [max(1, round(clusters * fraction)) if fraction else 0 for fraction in fractions[1:]]
    while clusters - sum(held_out) < 1:
        held_out[int(np.argmax(held_out))] -= 1
    return clusters - sum(held_out), held_out[0], held_out[1]
