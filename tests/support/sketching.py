"""Sketches of random texts, and brute force to compare them with."""

import numpy as np

from lockstep.data.sketches import Sketches, sketch


def random_sketches(count: int, vocabulary: int, seed: int = 1) -> tuple[Sketches, list[set[int]]]:
    """Sketches of random texts, some of which differ in one word only, and the sets of hashes in them."""
    generator = np.random.default_rng(seed)
    texts = [generator.integers(1, vocabulary, 8).tolist() for _ in range(count)]
    for index in range(0, count - 1, 5):
        texts[index + 1] = [*texts[index][:-1], 7]
    sketches = sketch(texts, single_words=True)
    return sketches, [set(part.tolist()) for part in np.split(sketches.hashes, sketches.starts[1:-1])]


def jaccard(one: set[int], other: set[int]) -> float:
    """The Jaccard similarity of two sets."""
    return len(one & other) / len(one | other)
