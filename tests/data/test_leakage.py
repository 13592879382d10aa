"""Leakage finds every similar pair across splits, as brute force does."""

import numpy as np
from sketching import jaccard, random_sketches

from lockstep.data.leakage import pairs_across
from lockstep.data.sketches import fingerprint


def test_threshold_of_one_counts_no_near_duplicates_across_splits() -> None:
    questions = ["What is a p-value?", "Explain what a p-value is."]
    sketches = fingerprint(questions, single_words=True).sketches
    assert [side.tolist() for side in pairs_across(sketches, np.array([0, 1]), 0.99)] == [[0], [1]]
    assert [side.tolist() for side in pairs_across(sketches, np.array([0, 1]), 1)] == [[], []]


def test_pairs_across_splits_are_those_of_brute_force() -> None:
    sketches, sets = random_sketches(300, vocabulary=40)
    split = np.arange(300) % 3
    pairs = {
        (i, j)
        for i in range(300)
        for j in range(i + 1, 300)
        if split[i] != split[j] and jaccard(sets[i], sets[j]) >= 0.5
    }
    left, right = pairs_across(sketches, split, 0.5)
    assert len(pairs) >= 40
    assert {tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)} == pairs
