"""Fingerprints of texts: a key that equal texts share, and a sketch from which similarity is estimated.

A text's shingles are its words and its pairs of neighbouring words in either order, without stop words and endings, so
"What is a p-value?" and "Can you explain what a p-value is?" have the same shingles. A text's sketch holds the
SKETCH_SIZE smallest of its hashed shingles (a bottom-k sketch): all of them for most questions and answers, a uniform
sample for longer texts.
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

SKETCH_SIZE = 128  # hashed shingles kept of a text, at most
MAX_CACHED_WORDS = 1 << 19  # words whose hashes are remembered
ENGLISH_STOP_WORDS = """
    a an the this that these those is are was were be been being am isnt arent has have had do does did can could would
    should will may might shall must what whats which how hows you your i im my me we our us it its they their of in on
    at to for from by with about as into and or if so there please tell explain describe define give say means meant
    meaning definition understand know want need require required help let exactly briefly short simple use used using
    term terms words concept
"""
STOP_WORDS = frozenset(ENGLISH_STOP_WORDS.split())
MEAN = re.compile(r"^(what do(?:es)? .+) mean(?: by\b|$)")  # a verb here; elsewhere "mean" is a term of statistics
# Scripts written without spaces between words: each character counts as a word.
UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")


class Sketches(NamedTuple):
    """The sketches of n texts, which hold H hashes together, end to end.

    hashes: (H,), ascending within each text. starts: (n + 1,), where each text's hashes begin, and H.
    """

    hashes: NDArray[np.uint32]
    starts: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Number of hashes of each text, (n,)."""
        return np.diff(self.starts)

    def take(self, texts: NDArray[np.int64]) -> "Sketches":
        """The sketches of some texts only. texts: (m,) indices of the texts, in the order wanted."""
        sizes = self.sizes[texts]  # (m,)
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # (m + 1,)
        index = np.arange(starts[-1]) + np.repeat(self.starts[texts] - starts[:-1], sizes)  # (hashes of the m texts,)
        return Sketches(self.hashes[index], starts)


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Fingerprints of n texts.

    keys: (n,), equal for texts that `fold` makes equal. words: (n,), number of words. sketches: of the n texts.
    """

    keys: NDArray[np.uint64]
    words: NDArray[np.uint32]
    sketches: Sketches


def fingerprint(texts: Sequence[str], single_words: bool, min_words: int = 0) -> Fingerprints:
    """Fingerprints of n clean texts.

    single_words: words are shingles too, not only pairs of words: for questions, which are short.
    min_words: texts of fewer words get an empty sketch, because they may agree by chance.
    """
    keys = bytearray()
    word_counts, word_hashes = [], []
    for text in texts:
        folded = fold(text)
        keys += blake2b(folded.encode(), digest_size=8).digest()
        words = (folded if folded.isascii() else UNSPACED.sub(r" \g<0> ", folded)).split()
        word_counts.append(len(words))
        if folded.startswith("what do"):
            words = MEAN.sub(r"\1", folded).split()
        word_hashes.append(_word_hashes(words) if len(words) >= min_words else [])
    return Fingerprints(
        keys=np.frombuffer(bytes(keys), dtype="<u8").astype(np.uint64),  # (n,)
        words=np.array(word_counts, np.uint32),  # (n,)
        sketches=sketch(word_hashes, single_words),
    )


def content_id(text: str) -> int:
    """A 64-bit hash of the exact text, from which a record's id is made."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def sketch(texts: Sequence[Sequence[int]], single_words: bool) -> Sketches:
    """Sketches of n texts of W words together. texts: the hashes of each text's words, in their order."""
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))  # (n,)
    words = np.fromiter(chain.from_iterable(texts), np.uint64, int(sizes.sum()))  # (W,)
    owner = np.repeat(np.arange(len(texts), dtype=np.uint64), sizes)  # (W,), the text of each word
    in_one_text = owner[:-1] == owner[1:]  # (W - 1,)
    first, second = words[:-1][in_one_text], words[1:][in_one_text]  # (pairs,) each
    pairs = mix(np.minimum(first, second) * np.uint64(0x9E3779B97F4A7C15) + np.maximum(first, second))  # (pairs,)
    single = np.ones(len(words), bool) if single_words else (sizes == 1)[owner.astype(np.int64)]  # (W,)
    shingles = np.concatenate(  # (pairs + single words,); the text in the upper 32 bits, the hash in the lower
        [(owner[:-1][in_one_text] << 32) | (pairs >> 32), (owner[single] << 32) | (mix(words[single]) >> 32)]
    )
    shingles = sorted_unique(shingles)  # (S,), by text, then by hash
    owner = (shingles >> 32).astype(np.int64)  # (S,)
    starts = np.searchsorted(owner, np.arange(len(texts) + 1))  # (n + 1,)
    smallest = np.arange(len(owner)) - starts[owner] < SKETCH_SIZE  # (S,)
    sizes = np.minimum(np.diff(starts), SKETCH_SIZE)  # (n,)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)  # (n + 1,)
    return Sketches(shingles[smallest].astype(np.uint32), starts)


def concatenate(parts: Sequence[Fingerprints]) -> Fingerprints:
    """The fingerprints of several sequences of texts, n texts together, in their order."""
    sizes = np.concatenate([part.sketches.sizes for part in parts])  # (n,)
    return Fingerprints(
        keys=np.concatenate([part.keys for part in parts]),  # (n,)
        words=np.concatenate([part.words for part in parts]),  # (n,)
        sketches=Sketches(
            hashes=np.concatenate([part.sketches.hashes for part in parts]),  # (H,)
            starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),  # (n + 1,)
        ),
    )


class _WordHashes(dict[str, int]):
    """A cache of the hash of each word's stem; 0 stands for a stop word."""

    def __missing__(self, word: str) -> int:
        if len(self) >= MAX_CACHED_WORDS:
            self.clear()
        value = self[word] = 0 if word in STOP_WORDS else crc32(stem(word).encode()) or 1
        return value


_CACHE = _WordHashes()


def _word_hashes(words: list[str]) -> list[int]:
    """Hashes of the words that are no stop words; of all words where all are stop words."""
    hashes = [_CACHE[word] for word in words]
    return [value for value in hashes if value] or [crc32(word.encode()) or 1 for word in words]


def stem(word: str) -> str:
    """An English word without its commonest endings, so that 'opening documents' and 'open a document' agree."""
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui":
        word = word[:-1]
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            word = word[: -len(ending)]
            break
    if len(word) > 4 and word[-1] == "e":
        word = word[:-1]
    return word.replace("isation", "ization")


def sorted_unique(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The distinct values of an array (n,) in ascending order, as np.unique gives them, but many times faster."""
    ordered = np.sort(values)  # (n,)
    is_first = np.ones(len(ordered), bool)  # (n,)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64-bit hashes of 64-bit values, (n,): the finalizer of SplitMix64 (Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # (n,)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)  # (n,)
    return values ^ (values >> np.uint64(31))
