"""What is kept in memory of a text: a key that equal texts share, and a sketch that similar texts mostly share.

A text's shingles are its words and pairs of neighbouring words, in either order, without stop words and endings, so
that "What is a p-value?" and "Can you explain what a p-value is?" have the same. Its sketch is the SKETCH smallest of
its hashed shingles: all of them for most questions and answers, a fair sample for longer texts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from typing import NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from lockstep.data.cleaning import fold

SKETCH = 128  # hashed shingles kept of a text
CACHED_WORDS = 1 << 19
STOP_WORDS = """
    a an the this that these those is are was were be been being am isnt arent has have had do does did can could would
    should will may might shall must what whats which how hows you your i im my me we our us it its they their of in on
    at to for from by with about as into and or if so there please tell explain describe define give say means meant
    meaning definition understand know want need require required help let exactly briefly short simple use used using
    term terms words concept
"""
IGNORED = frozenset(STOP_WORDS.split())
MEAN = re.compile(r"^(what do(?:es)? .+) mean(?: by\b|$)")  # a verb here; elsewhere it is a word of statistics
# Scripts written without blanks between words: each character counts as a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Sketches(NamedTuple):
    """Sketches of n texts, end to end. hashes: uint32, ascending in each text. starts: int64 (n + 1,)."""

    hashes: NDArray[np.uint32]
    starts: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Hashes of each text, (n,)."""
        return np.diff(self.starts)

    def of(self, texts: NDArray[np.int64]) -> "Sketches":
        """The sketches of these texts alone, in this order. texts: their places."""
        sizes = self.sizes[texts]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Sketches(self.hashes[np.arange(starts[-1]) + np.repeat(self.starts[texts] - starts[:-1], sizes)], starts)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Of n texts: keys, uint64 (n,), the same for texts that fold to the same; words, uint32 (n,); sketches."""

    keys: NDArray[np.uint64]
    words: NDArray[np.uint32]
    sketches: Sketches


def fingerprint(texts: Sequence[str], single_words: bool, least_words: int = 0) -> Fingerprints:
    """Fingerprints of clean texts.

    single_words: count words among the shingles, not only pairs: for questions, which are short.
    least_words: shorter texts get no shingles, as they may agree by chance.
    """
    keys = bytearray()
    counts, kept = [], []
    for text in texts:
        folded = fold(text)
        keys += blake2b(folded.encode(), digest_size=8).digest()
        words = (folded if folded.isascii() else UNSPACED.sub(r" \g<0> ", folded)).split()
        counts.append(len(words))
        if folded.startswith("what do"):
            words = MEAN.sub(r"\1", folded).split()
        kept.append(_word_hashes(words) if len(words) >= least_words else [])
    return Fingerprints(
        np.frombuffer(bytes(keys), dtype="<u8").astype(np.uint64),
        np.array(counts, np.uint32),
        sketch(kept, single_words),
    )


def content_id(text: str) -> int:
    """A short hash of the exact text, the base of a record's id."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def sketch(texts: Sequence[Sequence[int]], single_words: bool) -> Sketches:
    """Sketches of texts that are given as hashes of their words."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    words = np.fromiter(chain.from_iterable(texts), np.uint64, int(sizes.sum()))
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), sizes)
    beside = owner[:-1] == owner[1:]
    first, second = words[:-1][beside], words[1:][beside]
    pairs = mix(np.minimum(first, second) * np.uint64(0x9E3779B97F4A7C15) + np.maximum(first, second))
    alone = np.ones(len(words), bool) if single_words else (sizes == 1)[owner.astype(np.int64)]
    shingles = np.concatenate(
        [(owner[:-1][beside] << 32) | (pairs >> 32), (owner[alone] << 32) | (mix(words[alone]) >> 32)]
    )
    shingles = ascending(shingles)  # by text, then by hash
    owner = (shingles >> 32).astype(np.int64)
    starts = np.searchsorted(owner, np.arange(len(texts) + 1))
    kept = np.arange(len(owner)) - starts[owner] < SKETCH
    sizes = np.minimum(np.diff(starts), SKETCH)
    return Sketches(shingles[kept].astype(np.uint32), np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def joined(parts: Sequence[Fingerprints]) -> Fingerprints:
    """One Fingerprints of several, in their order."""
    sizes = np.concatenate([part.sketches.sizes for part in parts])
    return Fingerprints(
        np.concatenate([part.keys for part in parts]),
        np.concatenate([part.words for part in parts]),
        Sketches(
            np.concatenate([part.sketches.hashes for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        ),
    )


class _Words(dict[str, int]):
    """The hash of a word without its ending, 0 for a stop word; remembered, as texts repeat their words."""

    def __missing__(self, word: str) -> int:
        if len(self) >= CACHED_WORDS:
            self.clear()
        value = self[word] = 0 if word in IGNORED else crc32(stem(word).encode()) or 1
        return value


_WORDS = _Words()


def _word_hashes(words: list[str]) -> list[int]:
    """Without stop words, unless there is nothing else."""
    found = [_WORDS[word] for word in words]
    return [value for value in found if value] or [crc32(word.encode()) or 1 for word in words]


def stem(word: str) -> str:
    """An English word without its commonest endings: 'opening documents' and 'open a document' meet."""
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui":
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] == "e":
        word = word[:-1]
    return word.replace("isation", "ization")


def ascending(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The different values in ascending order: what np.unique gives, many times faster."""
    ordered = np.sort(values)
    fresh = np.ones(len(ordered), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return ordered[fresh]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread 64-bit values evenly: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
