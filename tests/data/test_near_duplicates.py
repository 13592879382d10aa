"""Which rows are near-duplicates: by hand, against brute force, and in buckets too large to compare all pairs."""

import numpy as np
import pytest

from lockstep.data.leakage import pairs_across
from lockstep.data.near_duplicates import alike, band_shape, cluster_rows, marks, similarity
from lockstep.data.sketches import SKETCH, Sketches, fingerprint, sketch

THRESHOLD = 0.6


def questions(*texts: str) -> Sketches:
    return fingerprint(texts, single_words=True).sketches


def clusters(*texts: str, threshold: float = THRESHOLD) -> list[int]:
    prints = fingerprint(texts, single_words=True)
    return cluster_rows([prints.keys], [(prints.sketches, threshold)]).tolist()


def random_sketches(count: int, vocabulary: int, seed: int = 1) -> tuple[Sketches, list[set[int]]]:
    """Sketches of random texts, some of which differ in a word only, and the sets they hold."""
    generator = np.random.default_rng(seed)
    texts = [generator.integers(1, vocabulary, 8).tolist() for _ in range(count)]
    for place in range(0, count - 1, 5):
        texts[place + 1] = [*texts[place][:-1], 7]
    made = sketch(texts, single_words=True)
    return made, [set(part.tolist()) for part in np.split(made.hashes, made.starts[1:-1])]


def jaccard(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is a p-value?", "Can you explain what a p-value is?"),
        ("What is overfitting?", "What do you mean by overfitting?"),
        ("What does overfitting mean?", "Define overfitting."),
        ("How do I reset my password?", "How can I reset my password?"),
        ("What is a random forest?", "What are random forests?"),
        ("What is the difference between bagging and boosting?", "Explain the difference between boosting and bagging"),
        ("Which documents do I need for opening an account?", "What documents are required to open an account?"),
        ("What is regularisation?", "what is regularization"),
        ("\u884c\u3092\u6d88\u3057\u305f\u3044", "\u884c\u3092\u6d88\u3057\u305f\u3044\uff1f"),
    ],
)
def test_question_asked_a_second_way_is_a_near_duplicate(one: str, other: str) -> None:
    assert clusters(one, other) == [0, 0]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is precision?", "What is recall?"),
        ("What is the mean?", "What is the median?"),
        ("What is L1 regularization?", "What is L2 regularization?"),
        ("What are the symptoms of diabetes?", "What are the symptoms of asthma?"),
        ("What is overfitting?", "How do you prevent overfitting?"),
        ("When was Ada Lovelace born?", "Where was Ada Lovelace born?"),
        ("How are you?", "Who are you?"),
        ("What is C++?", "What is C#?"),
    ],
)
def test_different_question_is_not(one: str, other: str) -> None:
    assert clusters(one, other) == [0, 1]


def test_cluster_is_named_by_its_first_row() -> None:
    assert clusters("What is a cat?", "What is a dog?", "Explain what a dog is.", "Define: cat") == [0, 1, 1, 0]


def test_threshold_of_one_joins_equal_questions_only() -> None:
    assert clusters("What is a p-value?", "Explain what a p-value is.", "what is a P value", threshold=1) == [0, 1, 0]


def test_threshold_of_one_counts_no_near_duplicates_across_splits() -> None:
    made = questions("What is a p-value?", "Explain what a p-value is.")
    assert [side.tolist() for side in pairs_across(made, np.array([0, 1]), 0.99)] == [[0], [1]]
    assert [side.tolist() for side in pairs_across(made, np.array([0, 1]), 1)] == [[], []]


def test_rows_with_key_zero_share_nothing() -> None:
    keys = np.array([0, 0, 5, 5], np.uint64)
    assert cluster_rows([keys], []).tolist() == [0, 1, 2, 2]


def test_clusters_join_through_questions_and_answers() -> None:
    asked, answered = np.array([1, 1, 2, 3], np.uint64), np.array([7, 8, 8, 9], np.uint64)
    assert cluster_rows([asked, answered], []).tolist() == [0, 0, 0, 3]


def test_similarity_is_the_jaccard_index_of_short_texts() -> None:
    made, sets = random_sketches(60, vocabulary=20)
    left, right = np.triu_indices(60, 1)
    expected = [jaccard(sets[i], sets[j]) for i, j in zip(left, right, strict=True)]
    np.testing.assert_allclose(similarity(made, left, right), expected)


def test_similarity_of_long_texts_is_estimated_closely() -> None:
    words = np.arange(1, 3001)
    texts = [words[:2000].tolist(), words[1000:].tolist()]  # a third of all pairs are shared
    made = sketch(texts, single_words=False)
    assert made.sizes.tolist() == [SKETCH, SKETCH]
    assert similarity(made, np.array([0]), np.array([1]))[0] == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_telling_pairs_apart_by_their_marks_loses_none(threshold: float) -> None:
    generator = np.random.default_rng(4)
    every = generator.permutation(np.arange(1, 400))
    texts = [every[: generator.integers(1, 300)].tolist() for _ in range(80)]  # long ones are cut to SKETCH hashes
    made = sketch([*texts, *random_sketches(60, vocabulary=20)[1], []], single_words=True)
    left, right = np.triu_indices(141, 1)
    expected = similarity(made, left, right) >= threshold
    assert expected.any()
    assert (alike(made, marks(made), left, right, threshold) == expected).all()


def test_marks_say_nothing_about_texts_whose_sketch_is_cut() -> None:
    shared = 64 * np.arange(120)  # all point at bit 0, the others at a bit each
    sides = [np.concatenate([shared, 64 * 200 + np.arange(first, first + 8)]) for first in (1, 9)]
    made = Sketches(np.concatenate(sides).astype(np.uint32), np.array([0, SKETCH, 2 * SKETCH]))
    left, right = np.array([0]), np.array([1])
    assert np.bitwise_count(marks(made)[0] ^ marks(made)[1]) == 16
    assert similarity(made, left, right) >= 0.9
    assert alike(made, marks(made), left, right, 0.9).all()


def test_sketch_does_not_depend_on_the_texts_around_it() -> None:
    alone, among = questions("Where do otters sleep?"), questions("One more?", "Where do otters sleep?", "And another")
    assert alone.hashes.tolist() == among.hashes[among.starts[1] : among.starts[2]].tolist()


def test_clustering_finds_what_brute_force_finds() -> None:
    made, sets = random_sketches(400, vocabulary=60)
    left, right = (side for side in np.triu_indices(400, 1))
    alike = np.array([jaccard(sets[i], sets[j]) >= THRESHOLD for i, j in zip(left, right, strict=True)])
    found = cluster_rows([np.arange(1, 401, dtype=np.uint64)], [(made, THRESHOLD)])
    assert alike.sum() >= 70
    assert (found[left[alike]] == found[right[alike]]).all()
    assert len(np.unique(found)) >= 400 - alike.sum()


def test_pairs_across_splits_are_those_of_brute_force() -> None:
    made, sets = random_sketches(300, vocabulary=40)
    split = np.arange(300) % 3
    pairs = {
        (i, j)
        for i in range(300)
        for j in range(i + 1, 300)
        if split[i] != split[j] and jaccard(sets[i], sets[j]) >= 0.5
    }
    left, right = pairs_across(made, split, 0.5)
    assert len(pairs) >= 40
    assert {tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist(), strict=True)} == pairs


def test_thousands_of_near_duplicates_of_one_question_are_one_cluster() -> None:
    texts = [f"How do I reset the large blue industrial device of type {i}?" for i in range(5000)]
    assert set(clusters(*texts)) == {0}


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.95])
def test_bands_propose_nearly_all_pairs_at_the_threshold(threshold: float) -> None:
    bands, width = band_shape(threshold)
    assert bands * width <= 128
    assert 1 - (1 - threshold**width) ** bands > 0.99
