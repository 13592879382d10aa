"""Rows that belong together: exact duplicates, and clusters of near-duplicates that must share one split.

MinHash signatures with locality-sensitive hashing (Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive
Datasets, chapter 3) propose pairs; each pair is then compared by its sketches, so a proposal alone joins nothing.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lockstep.core.parallel import ordered_map
from lockstep.data.sketches import SKETCH, Sketches, mix

Rows = NDArray[np.int64]

PERMUTATIONS = 128  # MinHash values of a text
CATCH = 0.999  # share of the pairs exactly at the threshold that the bands must propose
FEW = 32  # hashes of a long text that tell most pairs apart before all of its sketch is compared
NEIGHBOURS = 32  # in a band's bucket a row is compared with this many rows after it, and with the first
ROWS_AT_ONCE = 1 << 13
PAIRS_AT_ONCE = 1 << 17
MERGED_AT_ONCE = 1 << 14  # pairs found alike before clusters are joined: pairs within one need no comparing
SEED = 1


def cluster_rows(keys: list[NDArray[np.uint64]], sketches: list[tuple[Sketches, float]]) -> Rows:
    """The cluster of each row, (n,): the index of the first row in it.

    keys: arrays (n,); rows with the same key, other than 0, share a cluster.
    sketches: of n texts each, and the Jaccard similarity from which two of them share a cluster; at 1 they don't count.
    """
    rows = len(keys[0])
    clusters = np.arange(rows)
    for key in keys:
        clusters = merge(clusters, *_equal(key))
    for some, threshold in sketches:
        if threshold < 1:
            clusters = _merge_similar(clusters, some, threshold)
    return clusters


def merge(clusters: Rows, left: Rows, right: Rows) -> Rows:
    """Clusters after joining those of left[i] and right[i] for each i."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(left):
        return clusters
    rows = len(clusters)
    edges = coo_array((np.ones(len(left), np.int8), (clusters[left], clusters[right])), shape=(rows, rows))
    _, labels = connected_components(edges, directed=False)
    _, first = np.unique(labels, return_index=True)  # the label of a cluster's first row stands for it
    return first[labels[clusters]]


def similarity(sketches: Sketches, left: Rows, right: Rows, most: int = SKETCH) -> NDArray[np.float64]:
    """Jaccard similarity of the texts left[i] and right[i], (len(left),): exact where both have less than `most`
    shingles, else estimated from the `most` smallest hashes of their union (Cohen and Kaplan 2007, bottom-k sketches).
    """
    pairs = np.arange(len(left))
    sides = []
    for side in (left, right):
        sizes = np.minimum(sketches.sizes[side], most)
        owner = np.repeat(pairs, sizes)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + sketches.starts[side][owner]
        sides.append((owner.astype(np.uint64) << np.uint64(32)) | sketches.hashes[place])
    merged = np.sort(np.concatenate(sides))
    shared = np.zeros(len(merged), bool)
    shared[:-1] = merged[:-1] == merged[1:]
    union = np.ones(len(merged), bool)
    union[1:] = ~shared[:-1]  # each hash once
    owner = (merged[union] >> np.uint64(32)).astype(np.int64)
    both = shared[union]
    starts = np.searchsorted(owner, pairs)
    among = np.arange(len(owner)) - starts[owner] < most
    counted = np.bincount(owner[among], minlength=len(left))
    return np.bincount(owner[among & both], minlength=len(left)) / np.maximum(counted, 1)


def alike(sketches: Sketches, bits: NDArray[np.uint64], left: Rows, right: Rows, threshold: float) -> NDArray[np.bool_]:
    """Whether the similarity of left[i] and right[i] reaches the threshold, (len(left),). bits: marks(sketches).

    Most pairs are told apart by their marks: sets that are as similar as that differ in few members, so in few bits. Of
    long texts not all members are known; most pairs of them are told apart by FEW hashes, which are similar by no less
    than four standard deviations below the threshold (of a pair just at it, one in 100,000 is lost that way).
    """
    sizes = sketches.sizes
    total = sizes[left] + sizes[right]
    differing = np.bitwise_count(bits[left] ^ bits[right])  # at most as many as members that only one of them has
    cut = np.maximum(sizes[left], sizes[right]) >= SKETCH  # not all members are known
    close = cut | (differing * (1 + threshold) <= (1 - threshold) * total + 1e-6)
    long = np.flatnonzero(cut)
    least = threshold - 4 * (threshold * (1 - threshold) / FEW) ** 0.5
    close[long] = similarity(sketches, left[long], right[long], FEW) >= least
    found = np.zeros(len(left), bool)
    found[close] = similarity(sketches, left[close], right[close]) >= threshold
    return found


def marks(sketches: Sketches) -> NDArray[np.uint64]:
    """64 bits of each text, (n,): those that its hashes point at."""
    bits = np.zeros(len(sketches.starts) - 1, np.uint64)
    held = np.flatnonzero(sketches.sizes)
    for begin in range(0, len(held), ROWS_AT_ONCE):
        rows = held[begin : begin + ROWS_AT_ONCE]
        some = sketches.of(rows)
        pointed = np.uint64(1) << (some.hashes & np.uint32(63)).astype(np.uint64)
        bits[rows] = np.bitwise_or.reduceat(pointed, some.starts[:-1])
    return bits


def _merge_similar(clusters: Rows, sketches: Sketches, threshold: float) -> Rows:
    texts = np.flatnonzero(sketches.sizes)
    if not len(texts):
        return clusters
    sets = _set_keys(sketches)
    clusters = merge(clusters, *_equal(sets))
    texts = texts[np.unique(sets[texts], return_index=True)[1]]  # the same set needs no second look
    bands, bits = _band_keys(sketches, texts, threshold), marks(sketches)
    for band in bands.T:
        links: list[NDArray[np.int64]] = []
        for left, right in _candidates(band):
            pairs = np.stack([texts[left], texts[right]])
            pairs = pairs[:, clusters[pairs[0]] != clusters[pairs[1]]]
            links.append(pairs[:, alike(sketches, bits, pairs[0], pairs[1], threshold)])
            if sum(link.shape[1] for link in links) >= MERGED_AT_ONCE:
                clusters, links = merge(clusters, *np.concatenate(links, axis=1)), []
        if links:
            clusters = merge(clusters, *np.concatenate(links, axis=1))
    return clusters


def _equal(keys: NDArray[np.uint64]) -> tuple[Rows, Rows]:
    """Pairs that link all rows of the same key, but 0."""
    order = np.argsort(keys, kind="stable")
    same = (keys[order][1:] == keys[order][:-1]) & (keys[order][1:] != 0)
    return order[:-1][same], order[1:][same]


def _set_keys(sketches: Sketches) -> NDArray[np.uint64]:
    """A key of each text's whole set of hashes, (n,); 0 for an empty one."""
    keys = np.empty(len(sketches.starts) - 1, np.uint64)
    for begin in range(0, len(keys), ROWS_AT_ONCE):
        starts = sketches.starts[begin : begin + ROWS_AT_ONCE + 1]
        totals = np.zeros(starts[-1] - starts[0] + 1, np.uint64)
        np.cumsum(mix(sketches.hashes[starts[0] : starts[-1]].astype(np.uint64) + np.uint64(1)), out=totals[1:])
        keys[begin : begin + ROWS_AT_ONCE] = np.diff(totals[starts - starts[0]])
    return keys


def band_shape(threshold: float) -> tuple[int, int]:
    """(bands, values a band): the widest bands that still propose CATCH of the pairs at the threshold."""
    for width in range(PERMUTATIONS, 1, -1):
        bands = PERMUTATIONS // width
        if 1 - (1 - threshold**width) ** bands >= CATCH:
            return bands, width
    return PERMUTATIONS, 1


def _band_keys(sketches: Sketches, texts: Rows, threshold: float) -> NDArray[np.uint32]:
    """One key a band of each text, (len(texts), bands): texts that share one are candidates."""
    bands, width = band_shape(threshold)
    keys = np.empty((len(texts), bands), np.uint32, order="F")
    begin = 0
    for some in ordered_map(partial(_keys_of, bands=bands, width=width), _hash_pieces(sketches, texts)):
        keys[begin : begin + len(some)] = some
        begin += len(some)
    return keys


def _hash_pieces(sketches: Sketches, texts: Rows) -> Iterator[tuple[NDArray[np.uint32], Rows]]:
    """The hashes of ROWS_AT_ONCE texts after the other, end to end, and where each text's end."""
    for begin in range(0, len(texts), ROWS_AT_ONCE):
        some = sketches.of(texts[begin : begin + ROWS_AT_ONCE])
        yield some.hashes, some.starts[1:]


def _keys_of(piece: tuple[NDArray[np.uint32], Rows], bands: int, width: int) -> NDArray[np.uint32]:
    """Keys of a piece's texts, (texts, bands): a sum of each band's MinHash values, with odd factors."""
    from rensa import RMinHash

    hashes, ends = piece
    factors = np.random.default_rng(SEED).integers(1, 2**63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = np.concatenate([[0], ends]).astype(np.uint64)
    digests = RMinHash.digest_matrix_from_flat_token_hashes(hashes.astype(np.uint64), offsets, PERMUTATIONS, SEED)
    values = np.array(digests.to_rows(), np.uint64)[:, : bands * width].reshape(len(ends), bands, width)
    return ((values * factors).sum(axis=2) >> np.uint64(32)).astype(np.uint32)


def _candidates(band: NDArray[np.uint32]) -> Iterator[tuple[Rows, Rows]]:
    """Pairs of rows in one bucket, some at a time: neighbours, and each with the first, so that work stays linear."""
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    fresh = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    crowded = np.flatnonzero(~fresh | np.concatenate([~fresh[1:], [False]]))  # rows that are not alone
    order, ordered, fresh = order[crowded], ordered[crowded], fresh[crowded]
    heads = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    for distance, near in equal_neighbours(ordered, NEIGHBOURS):
        for begin in range(0, len(near), PAIRS_AT_ONCE):
            some = near[begin : begin + PAIRS_AT_ONCE]
            yield order[some], order[some + distance]
    far = np.flatnonzero(np.arange(len(order)) - heads > NEIGHBOURS)
    for begin in range(0, len(far), PAIRS_AT_ONCE):
        some = far[begin : begin + PAIRS_AT_ONCE]
        yield order[heads[some]], order[some]


def equal_neighbours(ordered: NDArray[Any], furthest: int) -> Iterator[tuple[int, Rows]]:
    """(distance, places i where ordered[i] equals ordered[i + distance]) of ascending values, while there are any."""
    near = np.arange(len(ordered))
    for distance in range(1, furthest + 1):
        near = near[: np.searchsorted(near, len(ordered) - distance)]
        near = near[ordered[near] == ordered[near + distance]]
        if not len(near):
            return
        yield distance, near
