"""Near-duplicates: examples, brute force, and buckets too large to compare all pairs."""

import numpy as np
import pytest
from sketching import jaccard, random_sketches

from lockstep.data.near_duplicates import are_similar, band_shape, bit_signatures, cluster_rows, similarity
from lockstep.data.sketches import SKETCH_SIZE, Sketches, fingerprint, sketch

THRESHOLD = 0.6


def clusters(*texts: str, threshold: float = THRESHOLD) -> list[int]:
    prints = fingerprint(texts, single_words=True)
    return cluster_rows([prints.keys], [(prints.sketches, threshold)]).tolist()


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


def test_rows_with_key_zero_share_nothing() -> None:
    keys = np.array([0, 0, 5, 5], np.uint64)
    assert cluster_rows([keys], []).tolist() == [0, 1, 2, 2]


def test_clusters_join_through_questions_and_answers() -> None:
    questions, answers = np.array([1, 1, 2, 3], np.uint64), np.array([7, 8, 8, 9], np.uint64)
    assert cluster_rows([questions, answers], []).tolist() == [0, 0, 0, 3]


def test_similarity_is_the_jaccard_index_of_short_texts() -> None:
    sketches, sets = random_sketches(60, vocabulary=20)
    left, right = np.triu_indices(60, 1)
    expected = [jaccard(sets[i], sets[j]) for i, j in zip(left, right, strict=True)]
    np.testing.assert_allclose(similarity(sketches, left, right), expected)


def test_similarity_of_long_texts_is_estimated_closely() -> None:
    words = np.arange(1, 3001)
    texts = [words[:2000].tolist(), words[1000:].tolist()]  # a third of all pairs are shared
    sketches = sketch(texts, single_words=False)
    assert sketches.sizes.tolist() == [SKETCH_SIZE, SKETCH_SIZE]
    assert similarity(sketches, np.array([0]), np.array([1]))[0] == pytest.approx(1 / 3, abs=0.12)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.6, 0.75, 0.9, 1.0])
def test_filtering_pairs_by_their_signatures_loses_none(threshold: float) -> None:
    generator = np.random.default_rng(4)
    words = generator.permutation(np.arange(1, 400))
    texts = [words[: generator.integers(1, 300)].tolist() for _ in range(80)]  # long ones are cut to SKETCH_SIZE hashes
    sketches = sketch([*texts, *random_sketches(60, vocabulary=20)[1], []], single_words=True)
    left, right = np.triu_indices(141, 1)
    expected = similarity(sketches, left, right) >= threshold
    assert expected.any()
    assert (are_similar(sketches, bit_signatures(sketches), left, right, threshold) == expected).all()


def test_signatures_say_nothing_about_texts_whose_sketch_is_cut() -> None:
    shared = 64 * np.arange(120)  # all point at bit 0, the others at a bit each
    sides = [np.concatenate([shared, 64 * 200 + np.arange(first, first + 8)]) for first in (1, 9)]
    sketches = Sketches(np.concatenate(sides).astype(np.uint32), np.array([0, SKETCH_SIZE, 2 * SKETCH_SIZE]))
    left, right = np.array([0]), np.array([1])
    assert np.bitwise_count(bit_signatures(sketches)[0] ^ bit_signatures(sketches)[1]) == 16
    assert similarity(sketches, left, right) >= 0.9
    assert are_similar(sketches, bit_signatures(sketches), left, right, 0.9).all()


def test_clustering_finds_what_brute_force_finds() -> None:
    sketches, sets = random_sketches(400, vocabulary=60)
    left, right = (side for side in np.triu_indices(400, 1))
    is_similar = np.array([jaccard(sets[i], sets[j]) >= THRESHOLD for i, j in zip(left, right, strict=True)])
    result = cluster_rows([np.arange(1, 401, dtype=np.uint64)], [(sketches, THRESHOLD)])
    assert is_similar.sum() >= 70
    assert (result[left[is_similar]] == result[right[is_similar]]).all()
    assert len(np.unique(result)) >= 400 - is_similar.sum()


def test_thousands_of_near_duplicates_of_one_question_are_one_cluster() -> None:
    texts = [f"How do I reset the large blue industrial device of type {i}?" for i in range(5000)]
    assert set(clusters(*texts)) == {0}


@pytest.mark.parametrize("threshold", [0.3, 0.6, 0.8, 0.95])
def test_bands_propose_nearly_all_pairs_at_the_threshold(threshold: float) -> None:
    bands, width = band_shape(threshold)
    assert bands * width <= 128
    assert 1 - (1 - threshold**width) ** bands > 0.99
