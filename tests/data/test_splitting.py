"""Clusters are never divided, a row's split depends on its question only, and similar rows share a split."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparing import Project, csv_of, faq

from lockstep.core.errors import LockstepError
from lockstep.data import splitting
from lockstep.data.near_duplicates import cluster_rows
from lockstep.data.splitting import MAX_HELD_OUT_CLUSTER, split_clusters

USUAL = (0.8, 0.1, 0.1)
TOP = 2**64
NOTHING_LEAKED = {"questions": 0, "answers": 0, "near_duplicates": 0}
SYLLABLES = "ba ce di fo gu la me ni po ru sa te vi zo ka le mi ra"


def at(*positions: float) -> np.ndarray:
    """Keys at these positions between 0 and 1."""
    return np.array([int(position * TOP) for position in positions], np.uint64)


def ones(count: int) -> np.ndarray:
    return np.ones(count, np.int64)


def test_hash_places_clusters_by_their_key_alone() -> None:
    keys = at(0.0, 0.79, 0.81, 0.89, 0.91, 0.999)
    assert split_clusters("hash", ones(6), keys, USUAL, seed=1).tolist() == [0, 0, 1, 1, 2, 2]


@settings(deadline=None)
@given(st.lists(st.integers(0, TOP - 1), min_size=60, max_size=120, unique=True), st.integers(30, 59))
def test_new_rows_never_move_old_ones(keys: list[int], old: int) -> None:
    everything = np.array([*at(0.5, 0.85, 0.95), *keys], np.uint64)
    before = split_clusters("hash", ones(old), everything[:old], USUAL, 1)
    after = split_clusters("hash", ones(len(everything)), everything, USUAL, 1)
    assert after[:old].tolist() == before.tolist()


def test_split_that_would_be_empty_gets_the_nearest_cluster() -> None:
    keys = at(0.1, 0.2, 0.3, 0.7, 0.75)
    assert split_clusters("hash", ones(5), keys, USUAL, 1).tolist() == [0, 0, 0, 2, 1]


@settings(deadline=None)
@given(st.lists(st.integers(0, TOP - 1), min_size=3, max_size=12, unique=True), st.sampled_from(["hash", "random"]))
def test_no_wanted_split_is_ever_empty(keys: list[int], method: str) -> None:
    labels = split_clusters(method, ones(len(keys)), np.array(keys, np.uint64), USUAL, 1)
    assert set(labels.tolist()) == {0, 1, 2}


def test_five_rows_are_three_one_one() -> None:
    labels = split_clusters("random", ones(5), at(0.1, 0.2, 0.3, 0.4, 0.5), USUAL, 1)
    assert np.bincount(labels).tolist() == [3, 1, 1]


def test_large_cluster_is_trained_on_wherever_its_key_lies() -> None:
    sizes = np.array([MAX_HELD_OUT_CLUSTER + 1, MAX_HELD_OUT_CLUSTER, 1, 1])
    assert split_clusters("hash", sizes, at(0.95, 0.96, 0.85, 0.1), USUAL, 1).tolist() == [0, 2, 1, 0]


def test_split_of_fraction_zero_stays_empty() -> None:
    keys = at(*np.linspace(0, 0.999, 500))
    for method in ("hash", "random"):
        assert set(split_clusters(method, ones(500), keys, (0.9, 0.0, 0.1), 1).tolist()) == {0, 2}
        assert set(split_clusters(method, ones(500), keys, (1.0, 0.0, 0.0), 1).tolist()) == {0}


def test_too_few_clusters_say_how_many_it_takes() -> None:
    with pytest.raises(LockstepError, match=r"come to 2 .*It takes 3: add rows"):
        split_clusters("hash", ones(2), at(0.1, 0.2), USUAL, 1)


def test_random_meets_the_fractions_by_rows_though_clusters_differ() -> None:
    sizes = np.array([40, 25, *[5] * 12, *[1] * 75])
    labels = split_clusters("random", sizes, at(*np.linspace(0, 0.99, len(sizes))), USUAL, seed=3)
    shares = np.bincount(labels, weights=sizes) / sizes.sum()
    assert np.abs(shares - USUAL).max() < 0.025


def test_random_follows_its_seed() -> None:
    draws = [
        split_clusters("random", ones(100), at(*np.linspace(0, 0.99, 100)), USUAL, seed).tolist() for seed in (1, 1, 2)
    ]
    assert draws[0] == draws[1] != draws[2]


# --- similar rows that clustering misses


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


@pytest.fixture
def blind(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in which clustering misses every pair of similar questions."""
    monkeypatch.setattr(splitting, "cluster_rows", lambda keys, sketches: cluster_rows(keys, []))
    return project


def templated(pairs: int, seed: int) -> list[tuple[str, str]]:
    """Questions of one form, thousands in a bucket; two and two share the first of three names and are similar."""
    draw = random.Random(seed)

    def name() -> str:
        return "".join(draw.choices(SYLLABLES.split(), k=3))

    shared = [name() for _ in range(pairs)] * 2
    names = [(first, name(), name()) for first in shared]
    draw.shuffle(names)
    stem = "Which laboratory method measures the mineral content of samples from"
    return [(f"{stem} {' '.join(words)}?", f"Method {number}.") for number, words in enumerate(names)]


def rephrased(rows: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The same questions in other words, answered otherwise."""
    return [(question.replace("What", "Tell me: what"), f"Say {number}.") for number, (question, _) in enumerate(rows)]


def split_of_questions(project: Project) -> dict[str, str]:
    """Question -> split."""
    return {row["question"]: split for split in ("train", "validation", "test") for row in project.rows(split)}


def divided(project: Project, rows: list[tuple[str, str]]) -> list[str]:
    """Questions that lie in another split than their rephrased form."""
    split = split_of_questions(project)
    return [one for (one, _), (other, _) in zip(rows, rephrased(rows), strict=True) if split[one] != split[other]]


@pytest.mark.parametrize("method", ["hash", "random"])
def test_questions_of_one_form_leak_into_no_other_split(project: Project, method: str) -> None:
    project.put("data.csv", csv_of(templated(1000, seed=2)))
    project.set("split", method=method)
    metrics = project.run()
    assert metrics["leakage"] == NOTHING_LEAKED
    assert metrics["rows_kept"] == 2000


@pytest.mark.parametrize("method", ["hash", "random"])
def test_pairs_that_clustering_missed_share_a_split(blind: Project, method: str) -> None:
    rows = faq(150)
    blind.put("data.csv", csv_of([*rows, *rephrased(rows)]))
    blind.set("split", method=method)
    metrics = blind.run()
    assert (metrics["leakage"], divided(blind, rows)) == (NOTHING_LEAKED, [])
    assert min(metrics["rows"][split] for split in ("train", "validation", "test")) > 10


def test_exact_duplicates_only_means_that_similar_rows_may_part(blind: Project) -> None:
    rows = faq(150)
    blind.put("data.csv", csv_of([*rows, *rephrased(rows)]))
    blind.set("split", near_duplicate_threshold=1)
    assert blind.run()["clusters"] == 300
    assert divided(blind, rows) != []


def test_rows_joined_late_are_trained_on_where_they_are_too_many(blind: Project) -> None:
    chain = [
        (f"How do I reset the large blue industrial device of type {i}?", f"Press {i}.")
        for i in range(3 * MAX_HELD_OUT_CLUSTER)
    ]
    blind.put("data.csv", csv_of([*faq(100), *chain]))
    metrics = blind.run()
    split = split_of_questions(blind)
    assert {split[question] for question, _ in chain} == {"train"}
    assert metrics["leakage"] == NOTHING_LEAKED
    assert metrics["largest_cluster"] > MAX_HELD_OUT_CLUSTER


def test_unrelated_rows_with_pairs_of_their_own_move_no_old_row(blind: Project) -> None:
    old, new = faq(150), faq(150, begin=150)
    blind.put("data.csv", csv_of([*old, *rephrased(old)]))
    blind.run()
    before = split_of_questions(blind)
    blind.put("data.csv", csv_of([*rephrased(new), *old, *new, *rephrased(old)]))
    blind.run()
    after = split_of_questions(blind)
    assert {question: after[question] for question in before} == before
    assert divided(blind, new) == []


def test_rows_left_out_join_no_others(blind: Project) -> None:
    sides = [(f"What about amber{i} birch{i}?", f"What about cedar{i} delta{i}?") for i in range(60)]
    blind.put("data.csv", csv_of([(question, "Yes.") for pair in sides for question in pair]))
    between = [
        {"question": f"{left[:-1]} {right.removeprefix('What about ')}", "answer": "No.", "verdict": "bad"}
        for left, right in sides
    ]
    Path("data/raw/corrections.jsonl").write_text("\n".join(map(json.dumps, between)))
    blind.set("data", corrections=True)
    blind.set("split", near_duplicate_threshold=0.4)  # the row marked bad is that similar to both, which share nothing
    metrics = blind.run()
    assert (metrics["marked_bad"], metrics["rows_kept"], metrics["clusters"]) == (60, 120, 120)
