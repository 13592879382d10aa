"""The split of each cleaned row: duplicates are merged, similar rows share a cluster, and no cluster is divided."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.core.errors import LockstepError
from lockstep.core.paths import CORRECTIONS, SPLITS
from lockstep.core.settings import Split
from lockstep.data.cleaned_rows import LONG_ANSWER, CleanedRows
from lockstep.data.leakage import pairs_across
from lockstep.data.near_duplicates import RowIndices, cluster_rows, merge
from lockstep.data.rewordings import wordings_to_hold_back
from lockstep.data.sketches import Sketches

SAME_ANSWER = 0.9  # Jaccard similarity from which two long answers count as the same
MAX_HELD_OUT_CLUSTER = 30  # rows; larger clusters go to train, as one of them could fill the test split
CANDIDATES = 50  # random splits drawn; the one closest to the wanted fractions of rows is taken
DUPLICATE = -1  # in place of a split: the row repeats an earlier one
MARKED_BAD = -2  # in place of a split: the row was marked bad in chat, by its last verdict
TRAIN = 0
HELD_BACK = len(SPLITS)  # in place of a split: a wording of a train question that is not trained, see rewordings.py

SplitIndices = NDArray[np.int8]  # 0 train, 1 validation, 2 test, as in SPLITS
Fractions = tuple[float, float, float]  # of train, validation and test


@dataclass(frozen=True, slots=True)
class Assignment:
    """What becomes of n cleaned rows; each array is (n,).

    original: the first row equal to this one, or the row itself. cluster: the first row of its cluster.
    split: index into SPLITS, or HELD_BACK, DUPLICATE or MARKED_BAD.
    """

    original: RowIndices
    cluster: RowIndices
    split: SplitIndices

    @property
    def is_kept(self) -> NDArray[np.bool_]:
        """Whether each row is written, (n,)."""
        return self.split >= 0


def assign_splits(cleaned: CleanedRows, kind: str, settings: Split, seed: int) -> Assignment:
    """Find exact duplicates and clusters among n rows, split the clusters, and hold back wordings of train questions.

    Rows of the same question share a cluster, and so do rows of similar questions (split.near_duplicate_threshold) and
    rows of the same long answer. Raises LockstepError when there are too few rows for the splits.
    """
    first, second = cleaned.arrays.first, cleaned.arrays.second
    original, last = _first_and_last_equal(first.keys, second.keys)  # (n,) each
    is_bad = cleaned.arrays.is_bad[last]  # (n,); corrections are read last, so a row's last verdict replaces others
    is_kept = (original == np.arange(len(original))) & ~is_bad  # (n,)
    threshold = settings.near_duplicate_threshold
    keys, sketches = [first.keys], [(first.sketches, threshold)]
    if kind == "qa":
        keys.append(np.where(second.words >= LONG_ANSWER, second.keys, 0))  # (n,)
        sketches.append((second.sketches, max(threshold, SAME_ANSWER)))
    cluster = cluster_rows(keys, sketches)  # (n,)
    split = _split_rows(cluster, is_kept, first.keys, settings, seed, kind)  # (n,)
    while kind == "qa" and len(pairs := _divided_pairs(first.sketches, is_kept, split, threshold)):
        cluster = merge(cluster, pairs[:, 0], pairs[:, 1])  # (n,); at least two clusters become one, so this ends
        split = _split_rows(cluster, is_kept, first.keys, settings, seed, kind)  # (n,)
    if kind == "qa" and settings.reworded:
        split[_held_back(cleaned, cluster, last, np.flatnonzero(is_kept & (split == TRAIN)))] = HELD_BACK
    split = np.where(is_kept, split, np.where(is_bad, MARKED_BAD, DUPLICATE))  # (n,)
    return Assignment(original, cluster, split.astype(np.int8))


def _held_back(cleaned: CleanedRows, cluster: RowIndices, last: RowIndices, train: RowIndices) -> RowIndices:
    """The train rows to hold back, (held back,). What was marked good or put right in chat is always trained.

    cluster, last: (n,), the cluster of each row and the last row equal to it. train: (train rows,).
    """
    arrays = cleaned.arrays
    is_from_chat = np.array([name == CORRECTIONS.as_posix() for name in cleaned.names])  # (files,)
    may_go = ~is_from_chat[arrays.file[last[train]]]  # (train rows,)
    keys = arrays.first.keys[train], arrays.second.keys[train]  # (train rows,) each
    return train[wordings_to_hold_back(cluster[train], *keys, arrays.id[train], may_go)]


def _first_and_last_equal(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[RowIndices, RowIndices]:
    """The first and the last row with the same two keys as each row, (n,) each."""
    pairs = pd.DataFrame({"first": first, "second": second, "row": np.arange(len(first))})
    rows = pairs.groupby(["first", "second"], sort=False)["row"]
    return rows.transform("min").to_numpy(), rows.transform("max").to_numpy()


def _split_rows(
    cluster: RowIndices, is_kept: NDArray[np.bool_], keys: NDArray[np.uint64], settings: Split, seed: int, kind: str
) -> SplitIndices:
    """The split of each row's cluster, (n,)."""
    heads, sizes = np.unique(cluster[is_kept], return_counts=True)  # (clusters,) each
    fractions = (settings.train, settings.validation, settings.test)
    split_of_head = np.full(len(cluster), DUPLICATE, np.int8)  # (n,)
    split_of_head[heads] = split_clusters(settings.method, sizes, keys[heads], fractions, seed, kind)
    return split_of_head[cluster]


def _divided_pairs(sketches: Sketches, is_kept: NDArray[np.bool_], split: SplitIndices, threshold: float) -> RowIndices:
    """Similar rows in different splits, (pairs, 2): the few that clustering misses where many rows are partly alike.

    They are found in the way `leakage` counts them, so that it counts none later. Pairs within a split stay as they
    are: a row's split depends only on the rows similar to it, not on what else is in the data.
    """
    rows = np.flatnonzero(is_kept)  # (m,)
    rows = rows[np.argsort(split[rows], kind="stable")]  # (m,), in the order of the files to be written
    left, right = pairs_across(sketches.take(rows), split[rows].astype(np.int64), threshold)  # (pairs,) each
    return np.stack([rows[left], rows[right]], axis=1)


def split_clusters(
    method: str,
    sizes: NDArray[np.int64],
    keys: NDArray[np.uint64],
    fractions: Fractions,
    seed: int,
    kind: str = "qa",
) -> SplitIndices:
    """The split of each of C clusters, (C,).

    method: 'hash' or 'random'. sizes: (C,), rows of each cluster. keys: (C,), hash of each cluster's first question.
    seed: used by 'random' only. kind: 'qa' or 'text', for the message.
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
        return np.zeros(len(sizes), np.int8)  # (C,)
    return _split_by_hash(sizes, keys, fractions) if method == "hash" else _split_randomly(sizes, fractions, seed)


def _split_by_hash(sizes: NDArray[np.int64], keys: NDArray[np.uint64], fractions: Fractions) -> SplitIndices:
    """The split of each cluster, (C,), by its key as a number from 0 to 1, whatever other clusters there are.

    Only where a split would stay empty does the cluster nearest to it move there.
    """
    positions = keys / 2.0**64  # (C,)
    ends = np.cumsum(fractions)  # (3,), where the interval of each split ends
    split = np.searchsorted(ends[:-1], positions, side="right").astype(np.int8)  # (C,)
    split[np.array(fractions)[split] == 0] = 0  # a position rounded to the edge of an empty interval
    split[sizes > MAX_HELD_OUT_CLUSTER] = 0
    for index in (0, 1, 2):
        if fractions[index] > 0 and not (split == index).any():
            begin, end = ends[index] - fractions[index], ends[index]
            distance = np.maximum(np.maximum(begin - positions, positions - end), 0)  # (C,)
            can_move = np.bincount(split, minlength=3)[split] > 1  # (C,), its split keeps another cluster
            distance[~can_move] = np.inf
            split[np.lexsort((keys, distance))[0]] = index
    return split


def _split_randomly(sizes: NDArray[np.int64], fractions: Fractions, seed: int) -> SplitIndices:
    """The split of each cluster, (C,): the best of CANDIDATES draws of scikit-learn's ShuffleSplit."""
    from sklearn.model_selection import ShuffleSplit

    counts = _cluster_counts(len(sizes), fractions)
    best, least_error = np.zeros(len(sizes), np.int8), np.inf  # (C,)
    splitter = ShuffleSplit(CANDIDATES, train_size=counts[0], test_size=counts[1] + counts[2], random_state=seed)
    for _, held_out in splitter.split(sizes):
        split = np.zeros(len(sizes), np.int8)  # (C,)
        split[held_out[: counts[1]]] = 1
        split[held_out[counts[1] :]] = 2
        shares = np.bincount(split, weights=sizes, minlength=3) / sizes.sum()  # (3,), of the rows
        error = float(np.abs(shares - fractions).sum())
        if error < least_error - 1e-12:
            best, least_error = split, error
    return best


def _cluster_counts(clusters: int, fractions: Fractions) -> tuple[int, int, int]:
    """Number of clusters of each split: rounded, and at least one where the fraction is above 0."""
    held_out = [max(1, round(clusters * fraction)) if fraction else 0 for fraction in fractions[1:]]
    while clusters - sum(held_out) < 1:
        held_out[int(np.argmax(held_out))] -= 1
    return clusters - sum(held_out), held_out[0], held_out[1]
