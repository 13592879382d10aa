"""Leakage: what the splits share, counted from the files as written, without the clusters or the hashing behind them.

Similar questions are found by prefix filtering (Bayardo, Ma and Srikant 2007): two sets that reach a similarity must
share one of their rarest members. Unlike MinHash this misses no pair, except where more than MAX_NEIGHBOURS rows share
a member; so splitting.py uses it too, to find the pairs that clustering missed before anything is written.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import LineBatch, Question, line_batches
from lockstep.core.parallel import ordered_map
from lockstep.data.near_duplicates import (
    PAIRS_AT_ONCE,
    ROWS_AT_ONCE,
    RowIndices,
    are_similar,
    bit_signatures,
    equal_neighbours,
)
from lockstep.data.sketches import Fingerprints, Sketches, concatenate, fingerprint, sorted_unique

MAX_NEIGHBOURS = 500  # rows after it that a row is compared with, of those that share a shingle
MIN_WORDS = 8  # words from which an answer or a paragraph counts
NO_SKETCH = 1 << 30  # words; a min_words that no text reaches
PARAGRAPH_BREAK = "\n\n"


def leakage(paths: dict[str, Path], kind: str, threshold: float) -> dict[str, int]:
    """Counts of held-out rows that the splits before (train; for test also validation) hold too.

    paths: the file of each split, train first. Of kind 'qa': equal 'questions', equal 'answers' of MIN_WORDS words or
    more, and 'near_duplicates', the pairs whose questions reach the Jaccard similarity `threshold`; at a threshold of 1
    there are none, though differently worded questions may have the same shingles.
    Of kind 'text': equal 'paragraphs' of MIN_WORDS words or more.
    Raises LockstepError when a file is missing or damaged.
    """
    questions, answers, paragraphs = [], [], []
    for path in paths.values():
        batches = list(ordered_map(_fingerprints, line_batches(path)))
        questions.append(concatenate([batch[0] for batch in batches]))
        answers.append(concatenate([batch[1] for batch in batches]))
        paragraphs.append(np.concatenate([batch[2] for batch in batches]))  # (paragraphs of the split,)
    if kind == "text":
        return {"paragraphs": _count_shared(paragraphs)}
    split = np.repeat(np.arange(len(questions)), [len(part.keys) for part in questions])  # (n,)
    return {
        "questions": _count_shared([part.keys for part in questions]),
        "answers": _count_shared([np.where(part.words >= MIN_WORDS, part.keys, 0) for part in answers]),
        "near_duplicates": len(pairs_across(concatenate(questions).sketches, split, threshold)[0]),
    }


def pairs_across(sketches: Sketches, split: RowIndices, threshold: float) -> tuple[RowIndices, RowIndices]:
    """Pairs of rows (left, right) in different splits whose sketches reach the Jaccard similarity `threshold`.

    split: (n,), the split of each row. At a threshold of 1 there are no near-duplicates, as in cluster_rows.
    """
    if threshold >= 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    shingles, owner = _prefixes(sketches, threshold)  # (S,) each
    signatures = bit_signatures(sketches)  # (n,)
    similar: list[NDArray[np.int64]] = []
    for distance, near in equal_neighbours(shingles, MAX_NEIGHBOURS):
        near = near[split[owner[near]] != split[owner[near + distance]]]  # (neighbours in different splits,)
        for begin in range(0, len(near), PAIRS_AT_ONCE):
            batch = near[begin : begin + PAIRS_AT_ONCE]  # (P,)
            left, right = owner[batch], owner[batch + distance]  # (P,) each
            is_similar = are_similar(sketches, signatures, left, right, threshold)  # (P,)
            similar.append(np.stack([left[is_similar], right[is_similar]], axis=1))  # (similar pairs, 2)
    pairs = np.unique(np.concatenate(similar), axis=0) if similar else np.zeros((0, 2), np.int64)  # (pairs, 2)
    return pairs[:, 0], pairs[:, 1]


def _prefixes(sketches: Sketches, threshold: float) -> tuple[NDArray[np.uint32], RowIndices]:
    """The prefix of each of n rows: its rarest shingles, enough that any similar row shares one.

    Returns (the rank of each shingle, its row), both (S,) and ordered by rank, then by row.
    """
    hashes, counts = np.unique(sketches.hashes, return_counts=True)  # (distinct shingles,) each
    rank = np.empty(len(counts), np.uint32)  # (distinct shingles,), the rarest first
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts), dtype=np.uint32)
    shingles, rows = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for begin in range(0, len(sketches.sizes), ROWS_AT_ONCE):
        starts = sketches.starts[begin : begin + ROWS_AT_ONCE + 1]  # (T + 1,)
        sizes = np.diff(starts)  # (T,)
        owner = np.repeat(np.arange(len(sizes)), sizes)  # (H,), the row of each hash
        ranks = rank[np.searchsorted(hashes, sketches.hashes[starts[0] : starts[-1]])]  # (H,)
        ordered = np.sort((owner << 32) | ranks)  # (H,), by row, then by rank
        position = np.arange(len(ordered)) - (starts[:-1] - starts[0])[owner]  # (H,), from the row's rarest shingle
        prefix_sizes = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1  # (T,)
        ordered = ordered[position < prefix_sizes[owner]]  # (shingles in prefixes,)
        shingles.append((ordered & 0xFFFFFFFF).astype(np.uint32))
        rows.append((ordered >> 32) + begin)
    shingle = np.concatenate(shingles)  # (S,)
    order = np.argsort(shingle, kind="stable")  # (S,)
    return shingle[order], np.concatenate(rows)[order]


def _count_shared(keys: list[NDArray[np.uint64]]) -> int:
    """Number of rows whose key, other than 0, an earlier split has. keys: of each split, (rows of the split,)."""
    earlier = np.zeros(1, np.uint64)  # (distinct keys so far,)
    count = 0
    for split_keys in keys:
        count += int(np.isin(split_keys[split_keys != 0], earlier).sum())
        earlier = sorted_unique(np.concatenate([earlier, split_keys]))
    return count


def _fingerprints(batch: LineBatch) -> tuple[Fingerprints, Fingerprints, NDArray[np.uint64]]:
    """Fingerprints of a batch's questions, of its answers, and the keys of its paragraphs, (paragraphs,)."""
    records = list(batch.records())
    pairs = [record for record in records if isinstance(record, Question)]
    texts = [record.text for record in records if not isinstance(record, Question)]
    return (
        fingerprint([pair.question for pair in pairs], single_words=True),
        fingerprint([pair.answer for pair in pairs], single_words=False, min_words=NO_SKETCH),
        paragraph_keys(texts),
    )


def paragraph_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """The key of each paragraph of some texts, (paragraphs,); 0 for a paragraph of fewer than MIN_WORDS words."""
    paragraphs = [paragraph for text in texts for paragraph in text.split(PARAGRAPH_BREAK)]
    prints = fingerprint(paragraphs, single_words=False, min_words=NO_SKETCH)
    return np.where(prints.words >= MIN_WORDS, prints.keys, np.uint64(0))
