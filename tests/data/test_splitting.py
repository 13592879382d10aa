"""Clusters are never divided, and a row's split depends on nothing but its question."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lockstep.core.errors import LockstepError
from lockstep.data.splitting import LARGE_CLUSTER, split_clusters

USUAL = (0.8, 0.1, 0.1)
TOP = 2**64


def at(*places: float) -> np.ndarray:
    """Keys that lie at these places between 0 and 1."""
    return np.array([int(place * TOP) for place in places], np.uint64)


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
    sizes = np.array([LARGE_CLUSTER + 1, LARGE_CLUSTER, 1, 1])
    assert split_clusters("hash", sizes, at(0.95, 0.96, 0.85, 0.1), USUAL, 1).tolist() == [0, 2, 1, 0]


def test_split_of_fraction_zero_stays_empty() -> None:
    keys = at(*np.linspace(0, 0.999, 500))
    for method in ("hash", "random"):
        assert set(split_clusters(method, ones(500), keys, (0.9, 0.0, 0.1), 1).tolist()) == {0, 2}
        assert set(split_clusters(method, ones(500), keys, (1.0, 0.0, 0.0), 1).tolist()) == {0}


def test_too_few_clusters_say_how_many_it_takes() -> None:
    with pytest.raises(LockstepError, match=r"come to 2 without duplicates.*It takes 3"):
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
