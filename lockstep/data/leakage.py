"""What the splits share, counted from the files as written, neither by the clusters nor by the hashing that made them.

Similar questions are found by prefix filtering (Bayardo, Ma and Srikant 2007): two sets that reach a similarity must
share one of their rarest members. Unlike the hashing that clusters rows, this misses none but in the largest crowds;
so it also gives assignment.py the pairs that hashing missed, before anything is written.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lockstep.artifacts.records import Lines, Question, record_lines
from lockstep.core.parallel import ordered_map
from lockstep.data.near_duplicates import PAIRS_AT_ONCE, ROWS_AT_ONCE, Rows, alike, equal_neighbours, marks
from lockstep.data.sketches import Fingerprints, Sketches, ascending, fingerprint, joined

CROWD = 500  # rows that share a shingle; in larger crowds only so many neighbours are compared
LONG = 8  # words from which an answer or a paragraph counts
PARAGRAPHS = "\n\n"  # what stands between two


def leakage(paths: dict[str, Path], kind: str, threshold: float) -> dict[str, int]:
    """Counts over held-out rows that the rows before them (train; for test also validation) hold too.

    paths: file of each split, train first. For kind qa: 'questions' and 'answers' (of LONG words at
    least) that are the same, and 'near_duplicates', pairs whose questions reach the Jaccard similarity `threshold`; at
    1 these don't count, though questions of other words may have the same shingles.
    For kind text: 'paragraphs' of LONG words at least that are the same.
    """
    questions, answers, paragraphs = [], [], []
    for path in paths.values():
        some = list(ordered_map(_fingerprints, record_lines(path)))
        questions.append(joined([part[0] for part in some]))
        answers.append(joined([part[1] for part in some]))
        paragraphs.append(np.concatenate([part[2] for part in some]))
    if kind == "text":
        return {"paragraphs": _shared(paragraphs)}
    split = np.repeat(np.arange(len(questions)), [len(part.keys) for part in questions])
    return {
        "questions": _shared([part.keys for part in questions]),
        "answers": _shared([np.where(part.words >= LONG, part.keys, 0) for part in answers]),
        "near_duplicates": len(pairs_across(joined(questions).sketches, split, threshold)[0]),
    }


def pairs_across(sketches: Sketches, split: Rows, threshold: float) -> tuple[Rows, Rows]:
    """Pairs of rows (left, right) in different splits whose sketches reach the Jaccard similarity `threshold`.

    split: (n,) the split of each row. threshold: at 1 no two rows are near-duplicates, as in cluster_rows.
    """
    if threshold >= 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    rarest, owner = _prefixes(sketches, threshold)
    bits = marks(sketches)
    found: list[NDArray[np.int64]] = []
    for distance, near in equal_neighbours(rarest, CROWD):
        near = near[split[owner[near]] != split[owner[near + distance]]]
        for begin in range(0, len(near), PAIRS_AT_ONCE):
            some = near[begin : begin + PAIRS_AT_ONCE]
            left, right = owner[some], owner[some + distance]
            near_enough = alike(sketches, bits, left, right, threshold)
            found.append(np.stack([left[near_enough], right[near_enough]], axis=1))
    pairs = np.unique(np.concatenate(found), axis=0) if found else np.zeros((0, 2), np.int64)
    return pairs[:, 0], pairs[:, 1]


def _prefixes(sketches: Sketches, threshold: float) -> tuple[NDArray[np.uint32], Rows]:
    """The rarest shingles of each row, as many as a similar row can't all lack: (shingle, row), ordered by both."""
    hashes, counts = np.unique(sketches.hashes, return_counts=True)
    rank = np.empty(len(counts), np.uint32)
    rank[np.argsort(counts, kind="stable")] = np.arange(len(counts), dtype=np.uint32)
    shingles, rows = [np.zeros(0, np.uint32)], [np.zeros(0, np.int64)]
    for begin in range(0, len(sketches.sizes), ROWS_AT_ONCE):
        starts = sketches.starts[begin : begin + ROWS_AT_ONCE + 1]
        sizes = np.diff(starts)
        owner = np.repeat(np.arange(len(sizes)), sizes)
        ranks = rank[np.searchsorted(hashes, sketches.hashes[starts[0] : starts[-1]])]
        ordered = np.sort((owner << 32) | ranks)
        place = np.arange(len(ordered)) - (starts[:-1] - starts[0])[owner]
        needed = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
        ordered = ordered[place < needed[owner]]
        shingles.append((ordered & 0xFFFFFFFF).astype(np.uint32))
        rows.append((ordered >> 32) + begin)
    shingle = np.concatenate(shingles)
    order = np.argsort(shingle, kind="stable")
    return shingle[order], np.concatenate(rows)[order]


def _shared(keys: list[NDArray[np.uint64]]) -> int:
    """Rows of a later split whose key, other than 0, an earlier split has."""
    before = np.zeros(1, np.uint64)
    count = 0
    for some in keys:
        count += int(np.isin(some[some != 0], before).sum())
        before = ascending(np.concatenate([before, some]))
    return count


def _fingerprints(lines: Lines) -> tuple[Fingerprints, Fingerprints, NDArray[np.uint64]]:
    """Of questions, of answers, and the keys of long paragraphs."""
    records = list(lines.records())
    pairs = [record for record in records if isinstance(record, Question)]
    texts = [record.text for record in records if not isinstance(record, Question)]
    return (
        fingerprint([pair.question for pair in pairs], single_words=True),
        fingerprint([pair.answer for pair in pairs], False, least_words=1 << 30),
        paragraph_keys(texts),
    )


def paragraph_keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    """A key of each paragraph of some texts, (paragraphs,); 0 for one of fewer than LONG words."""
    found = fingerprint([part for text in texts for part in text.split(PARAGRAPHS)], False, least_words=1 << 30)
    return np.where(found.words >= LONG, found.keys, np.uint64(0))
