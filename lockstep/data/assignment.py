"""What becomes of each cleaned row: merged with an earlier one, or put into a split together with its cluster."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lockstep.core.settings import Split
from lockstep.data.cleaned_rows import LONG_ANSWER, Spool
from lockstep.data.leakage import pairs_across
from lockstep.data.near_duplicates import Rows, cluster_rows, merge
from lockstep.data.sketches import Sketches
from lockstep.data.splitting import Labels, split_clusters

NEAR_IDENTICAL = 0.9  # Jaccard similarity from which two long answers are the same but for trifles
MERGED = -1  # label of a row that repeats an earlier one
MARKED_BAD = -2  # label of a row that was marked bad in chat, last of all


@dataclass(frozen=True, slots=True)
class Assignment:
    """Of n rows, each array (n,): the row that it repeats, or itself; the first row of its cluster; its split.

    label: index into SPLITS, or MERGED, or MARKED_BAD.
    """

    original: Rows
    cluster: Rows
    label: NDArray[np.int8]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Whether a row is written."""
        return self.label >= 0


def assign_rows(spool: Spool, kind: str, split: Split, seed: int) -> Assignment:
    """Find exact duplicates and clusters, and split the clusters.

    Rows of the same question share a cluster, as do those of similar questions (split.near_duplicate_threshold) and
    those of the same long answer. Raises LockstepError when there are too few rows for the splits.
    """
    rows = spool.rows
    original, last = _ends_of_equal(rows.first.keys, rows.second.keys)
    bad = rows.bad[last]  # corrections are read last, so a later verdict on the same row replaces an earlier one
    kept = (original == np.arange(len(original))) & ~bad
    keys, sketches = [rows.first.keys], [(rows.first.sketches, split.near_duplicate_threshold)]
    if kind == "qa":
        keys.append(np.where(rows.second.words >= LONG_ANSWER, rows.second.keys, 0))
        sketches.append((rows.second.sketches, max(split.near_duplicate_threshold, NEAR_IDENTICAL)))
    cluster = cluster_rows(keys, sketches)
    label = _labels(cluster, kept, rows.first.keys, split, seed, kind)
    while kind == "qa" and len(
        pairs := _divided_pairs(rows.first.sketches, kept, label, split.near_duplicate_threshold)
    ):
        cluster = merge(cluster, pairs[:, 0], pairs[:, 1])  # two clusters at least become one, so this ends
        label = _labels(cluster, kept, rows.first.keys, split, seed, kind)
    label = np.where(kept, label, np.where(bad, MARKED_BAD, MERGED))
    return Assignment(original, cluster, label.astype(np.int8))


def _labels(
    cluster: Rows, kept: NDArray[np.bool_], keys: NDArray[np.uint64], split: Split, seed: int, kind: str
) -> Labels:
    """The split of each row's cluster, (n,)."""
    heads, sizes = np.unique(cluster[kept], return_counts=True)
    fractions = (split.train, split.validation, split.test)
    by_head = np.full(len(cluster), MERGED, np.int8)
    by_head[heads] = split_clusters(split.method, sizes, keys[heads], fractions, seed, kind)
    return by_head[cluster]


def _divided_pairs(sketches: Sketches, kept: NDArray[np.bool_], label: Labels, threshold: float) -> Rows:
    """Similar rows in different splits, (pairs, 2): those that clustering missed, as it does a few where many rows are
    alike in part.

    Found as `leakage` counts them, so that it finds none later. Pairs within a split are left as they are: only rows
    that a row resembles decide about its split, not what else is in the data.
    """
    rows = np.flatnonzero(kept)
    rows = rows[np.argsort(label[rows], kind="stable")]  # as they will stand in the files
    left, right = pairs_across(sketches.of(rows), label[rows].astype(np.int64), threshold)
    return np.stack([rows[left], rows[right]], axis=1)


def _ends_of_equal(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """The first and the last row with the same two keys, (n,) each."""
    pairs = pd.DataFrame({"first": first, "second": second, "row": np.arange(len(first))})
    rows = pairs.groupby(["first", "second"], sort=False)["row"]
    return rows.transform("min").to_numpy(), rows.transform("max").to_numpy()
