"""Clusters of rows that must share one split: exact duplicates and near-duplicates.

MinHash signatures with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3) propose candidate pairs. Each candidate is then compared by its sketches, so that a candidate alone
joins no clusters.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.core.parallel import ordered_map
from lockstep.data.sketches import SKETCH_SIZE, Sketches, mix

RowIndices = NDArray[np.int64]

PERMUTATIONS = 128  # MinHash values of a text
MIN_RECALL = 0.999  # share of the pairs exactly at the threshold that the bands must propose
QUICK_HASHES = 32  # hashes of a long text from which most pairs are rejected, before its whole sketch is compared
BUCKET_NEIGHBOURS = 32  # rows after it in a band's bucket that a row is compared with, besides the first
ROWS_AT_ONCE = 1 << 13  # rows whose hashes are in memory as 64-bit values
PAIRS_AT_ONCE = 1 << 17  # pairs compared in one call
PAIRS_PER_MERGE = 1 << 14  # similar pairs after which clusters are merged: pairs within one need no comparison
SEED = 1  # of the MinHash permutations


def cluster_rows(keys: list[NDArray[np.uint64]], sketches: list[tuple[Sketches, float]]) -> RowIndices:
    """The cluster of each of n rows, (n,): the index of the cluster's first row.

    keys: arrays (n,); rows with an equal key, other than 0, share a cluster.
    sketches: sketches of n texts, each with the Jaccard similarity from which two rows share a cluster; at 1 the
    sketches are not compared.
    """
    rows = len(keys[0])
    clusters = np.arange(rows)  # (n,)
    for key in keys:
        clusters = merge(clusters, *_equal_pairs(key))
    for text_sketches, threshold in sketches:
        if threshold < 1:
            clusters = _merge_similar(clusters, text_sketches, threshold)
    return clusters


def merge(clusters: RowIndices, left: RowIndices, right: RowIndices) -> RowIndices:
    """The clusters, (n,), after joining the clusters of rows left[i] and right[i]. left, right: (pairs,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return clusters
    rows = len(clusters)
    edges = coo_array((np.ones(len(left), np.int8), (clusters[left], clusters[right])), shape=(rows, rows))  # (n, n)
    _, labels = connected_components(edges, directed=False)  # (n,)
    _, first = np.unique(labels, return_index=True)  # (components,), the first row of each
    return first[labels[clusters]]


def similarity(
    sketches: Sketches, left: RowIndices, right: RowIndices, max_hashes: int = SKETCH_SIZE
) -> NDArray[np.float64]:
    """Jaccard similarity of texts left[i] and right[i], (P,) for P pairs.

    It is exact where both texts have fewer than `max_hashes` shingles, else estimated from the `max_hashes` smallest
    hashes of their union (bottom-k sketches, Cohen and Kaplan 2007).
    """
    pairs = np.arange(len(left))  # (P,)
    sides = []
    for side in (left, right):
        sizes = np.minimum(sketches.sizes[side], max_hashes)  # (P,)
        owner = np.repeat(pairs, sizes)  # (hashes of the side,), the pair of each hash
        within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # (hashes of the side,)
        hashes = sketches.hashes[sketches.starts[side][owner] + within]  # (hashes of the side,)
        sides.append((owner.astype(np.uint64) << np.uint64(32)) | hashes)  # (hashes of the side,)
    merged = np.sort(np.concatenate(sides))  # (M,), the hashes of both sides, by pair, then by hash
    is_shared = np.zeros(len(merged), bool)  # (M,), marks the first of two equal hashes
    is_shared[:-1] = merged[:-1] == merged[1:]
    in_union = np.ones(len(merged), bool)  # (M,), marks each distinct hash once
    in_union[1:] = ~is_shared[:-1]
    owner = (merged[in_union] >> np.uint64(32)).astype(np.int64)  # (U,), the pair of each hash of a union
    is_shared = is_shared[in_union]  # (U,)
    starts = np.searchsorted(owner, pairs)  # (P,)
    is_counted = np.arange(len(owner)) - starts[owner] < max_hashes  # (U,)
    union_sizes = np.bincount(owner[is_counted], minlength=len(left))  # (P,)
    shared_sizes = np.bincount(owner[is_counted & is_shared], minlength=len(left))  # (P,)
    return shared_sizes / np.maximum(union_sizes, 1)


def are_similar(
    sketches: Sketches, signatures: NDArray[np.uint64], left: RowIndices, right: RowIndices, threshold: float
) -> NDArray[np.bool_]:
    """Whether the similarity of texts left[i] and right[i] reaches the threshold, (P,) for P pairs.

    signatures: (n,), from bit_signatures. A cheap filter comes first: if two sets reach the threshold, they differ in
    few members, so their 64-bit signatures differ in few bits. The sketch of a long text does not hold all its members,
    so its pairs are filtered by QUICK_HASHES hashes instead, with a threshold lower by four standard deviations: of the
    pairs just at the threshold one in 100,000 is lost.
    """
    sizes = sketches.sizes  # (n,)
    total = sizes[left] + sizes[right]  # (P,)
    differing_bits = np.bitwise_count(signatures[left] ^ signatures[right])  # (P,), at most the differing members
    is_cut = np.maximum(sizes[left], sizes[right]) >= SKETCH_SIZE  # (P,), not all members are known
    is_candidate = is_cut | (differing_bits * (1 + threshold) <= (1 - threshold) * total + 1e-6)  # (P,)
    cut = np.flatnonzero(is_cut)  # (long pairs,)
    lowered = threshold - 4 * (threshold * (1 - threshold) / QUICK_HASHES) ** 0.5
    is_candidate[cut] = similarity(sketches, left[cut], right[cut], QUICK_HASHES) >= lowered
    result = np.zeros(len(left), bool)  # (P,)
    result[is_candidate] = similarity(sketches, left[is_candidate], right[is_candidate]) >= threshold
    return result


def bit_signatures(sketches: Sketches) -> NDArray[np.uint64]:
    """A 64-bit signature of each text, (n,): bit i is set if one of its hashes is i modulo 64."""
    signatures = np.zeros(len(sketches.starts) - 1, np.uint64)  # (n,)
    nonempty = np.flatnonzero(sketches.sizes)  # (texts with hashes,)
    for begin in range(0, len(nonempty), ROWS_AT_ONCE):
        texts = nonempty[begin : begin + ROWS_AT_ONCE]  # (T,)
        taken = sketches.take(texts)
        bits = np.uint64(1) << (taken.hashes & np.uint32(63)).astype(np.uint64)  # (hashes of T texts,)
        signatures[texts] = np.bitwise_or.reduceat(bits, taken.starts[:-1])  # (T,)
    return signatures


def _merge_similar(clusters: RowIndices, sketches: Sketches, threshold: float) -> RowIndices:
    """The clusters, (n,), after joining those of similar texts."""
    texts = np.flatnonzero(sketches.sizes)  # (texts with hashes,)
    if not len(texts):
        return clusters
    keys = _set_keys(sketches)  # (n,)
    clusters = merge(clusters, *_equal_pairs(keys))  # (n,)
    texts = texts[np.unique(keys[texts], return_index=True)[1]]  # (T,), one text of each set
    bands = _band_keys(sketches, texts, threshold)  # (T, bands)
    signatures = bit_signatures(sketches)  # (n,)
    for band in bands.T:
        similar: list[NDArray[np.int64]] = []
        for left, right in _candidate_pairs(band):
            pairs = np.stack([texts[left], texts[right]])  # (2, P)
            pairs = pairs[:, clusters[pairs[0]] != clusters[pairs[1]]]  # (2, P of different clusters)
            similar.append(pairs[:, are_similar(sketches, signatures, pairs[0], pairs[1], threshold)])
            if sum(pairs.shape[1] for pairs in similar) >= PAIRS_PER_MERGE:
                clusters, similar = merge(clusters, *np.concatenate(similar, axis=1)), []
        if similar:
            clusters = merge(clusters, *np.concatenate(similar, axis=1))  # (n,)
    return clusters


def _equal_pairs(keys: NDArray[np.uint64]) -> tuple[RowIndices, RowIndices]:
    """Pairs (left, right) that link all rows of an equal key other than 0. keys: (n,)."""
    order = np.argsort(keys, kind="stable")  # (n,)
    ordered = keys[order]  # (n,)
    is_equal = (ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)  # (n - 1,)
    return order[:-1][is_equal], order[1:][is_equal]


def _set_keys(sketches: Sketches) -> NDArray[np.uint64]:
    """A key of each text's whole set of hashes, (n,): the sum of the mixed hashes; 0 for an empty set."""
    keys = np.empty(len(sketches.starts) - 1, np.uint64)  # (n,)
    for begin in range(0, len(keys), ROWS_AT_ONCE):
        starts = sketches.starts[begin : begin + ROWS_AT_ONCE + 1]  # (T + 1,)
        totals = np.zeros(starts[-1] - starts[0] + 1, np.uint64)  # (hashes of T texts + 1,)
        np.cumsum(mix(sketches.hashes[starts[0] : starts[-1]].astype(np.uint64) + np.uint64(1)), out=totals[1:])
        keys[begin : begin + ROWS_AT_ONCE] = np.diff(totals[starts - starts[0]])  # (T,)
    return keys


def band_shape(threshold: float) -> tuple[int, int]:
    """(bands, MinHash values of a band): the widest bands that propose MIN_RECALL of the pairs at the threshold.

    A pair of similarity s is proposed with probability 1 - (1 - s^width)^bands (Leskovec et al., section 3.4.2).
    """
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= MIN_RECALL:
            return bands, width
    return PERMUTATIONS, 1


def _band_keys(sketches: Sketches, texts: RowIndices, threshold: float) -> NDArray[np.uint32]:
    """A key of each text in each band, (T, bands): texts with an equal key are candidates. texts: (T,)."""
    bands, width = band_shape(threshold)
    keys = np.empty((len(texts), bands), np.uint32, order="F")  # (T, bands)
    begin = 0
    for batch in ordered_map(partial(_hash_bands, bands=bands, width=width), _hash_batches(sketches, texts)):
        keys[begin : begin + len(batch)] = batch  # (batch, bands)
        begin += len(batch)
    return keys


def _hash_batches(sketches: Sketches, texts: RowIndices) -> Iterator[tuple[NDArray[np.uint32], RowIndices]]:
    """ROWS_AT_ONCE texts at a time: (their hashes end to end, where each text's hashes end)."""
    for begin in range(0, len(texts), ROWS_AT_ONCE):
        batch = sketches.take(texts[begin : begin + ROWS_AT_ONCE])
        yield batch.hashes, batch.starts[1:]


def _hash_bands(batch: tuple[NDArray[np.uint32], RowIndices], bands: int, width: int) -> NDArray[np.uint32]:
    """Band keys of a batch of texts, (texts, bands): a sum of each band's MinHash values with odd factors.

    batch: as _hash_batches gives it.
    """
    from rensa import RMinHash

    hashes, ends = batch  # (H,), (texts,)
    factors = np.random.default_rng(SEED).integers(1, 2**63, width, dtype=np.uint64) * np.uint64(2)  # (width,)
    factors += np.uint64(1)
    offsets = np.concatenate([[0], ends]).astype(np.uint64)  # (texts + 1,)
    digests = RMinHash.digest_matrix_from_flat_token_hashes(hashes.astype(np.uint64), offsets, PERMUTATIONS, SEED)
    values = np.array(digests.to_rows(), np.uint64)  # (texts, PERMUTATIONS)
    values = values[:, : bands * width].reshape(len(ends), bands, width)  # (texts, bands, width)
    return ((values * factors).sum(axis=2) >> np.uint64(32)).astype(np.uint32)


def _candidate_pairs(band: NDArray[np.uint32]) -> Iterator[tuple[RowIndices, RowIndices]]:
    """Pairs (left, right) of texts in one bucket, at most PAIRS_AT_ONCE at a time. band: (T,), a key of each text.

    A text is paired with its neighbours in the bucket and with the bucket's first text, so the number of pairs grows
    linearly with the texts.
    """
    order = np.argsort(band, kind="stable")  # (T,)
    ordered = band[order]  # (T,)
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])  # (T,), of its bucket
    shared = np.flatnonzero(~is_first | np.concatenate([~is_first[1:], [False]]))  # (B,), in buckets of two or more
    order, ordered, is_first = order[shared], ordered[shared], is_first[shared]  # (B,) each
    heads = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))  # (B,), the first text of its bucket
    for distance, near in equal_neighbours(ordered, BUCKET_NEIGHBOURS):
        for begin in range(0, len(near), PAIRS_AT_ONCE):
            left = near[begin : begin + PAIRS_AT_ONCE]  # (P,)
            yield order[left], order[left + distance]
    far = np.flatnonzero(np.arange(len(order)) - heads > BUCKET_NEIGHBOURS)  # (texts far from their bucket's first,)
    for begin in range(0, len(far), PAIRS_AT_ONCE):
        right = far[begin : begin + PAIRS_AT_ONCE]  # (P,)
        yield order[heads[right]], order[right]


def equal_neighbours(ordered: NDArray[Any], max_distance: int) -> Iterator[tuple[int, RowIndices]]:
    """(distance, indices i where ordered[i] equals ordered[i + distance]), for distances from 1 up to max_distance.

    ordered: (n,), ascending. Distances from which on no values are equal are left out.
    """
    near = np.arange(len(ordered))  # (n,)
    for distance in range(1, max_distance + 1):
        near = near[: np.searchsorted(near, len(ordered) - distance)]  # (indices with a neighbour at the distance,)
        near = near[ordered[near] == ordered[near + distance]]  # (equal neighbours,)
        if not len(near):
            return
        yield distance, near
