"""The paired bootstrap against cases whose answer is known."""

import numpy as np
import pytest

from lockstep.evaluation import bootstrap
from lockstep.evaluation.bootstrap import Interval, paired_bootstrap


def test_equal_scores_differ_by_exactly_nothing() -> None:
    interval = paired_bootstrap([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1, 1, 1], None, 200, 0)
    assert (interval.difference, interval.low, interval.high) == (0, 0, 0)


def test_a_constant_gain_has_no_spread_whatever_the_rows_weigh() -> None:
    weights = np.array([1.0, 5.0, 2.0, 9.0])
    before = np.array([3.0, 1.0, 4.0, 1.0])
    interval = paired_bootstrap(before, before - 0.5 * weights, weights, None, 500, 1)
    assert [interval.difference, interval.low, interval.high] == pytest.approx([-0.5] * 3)
    assert interval.positive == 0


def test_the_difference_divides_sums_once_and_is_no_mean_of_means() -> None:
    interval = paired_bootstrap([0, 0], [1, 9], [1, 99], None, 200, 0)
    assert interval.difference == pytest.approx(10 / 100)


def test_bounds_agree_with_a_loop_that_draws_one_resample_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 10 * 7)  # the resamples take many batches
    gains, weights = np.random.default_rng(3).normal(0.2, 1, 70), np.random.default_rng(4).integers(1, 9, 70)
    clusters = [str(row % 7) for row in range(70)]
    draw = np.random.default_rng(5)
    ratios = []
    for _ in range(1000):
        rows = [row for unit in draw.integers(0, 7, 7) for row in range(unit, 70, 7)]
        ratios.append(sum(gains[row] for row in rows) / sum(weights[row] for row in rows))
    interval = paired_bootstrap(np.zeros(70), gains, weights, clusters, 1000, 5)
    assert [interval.low, interval.high] == pytest.approx(np.quantile(ratios, [0.025, 0.975]))
    assert interval.positive == np.mean([ratio > 0 for ratio in ratios])
    assert interval.difference == pytest.approx(gains.sum() / weights.sum())


def test_memory_is_bounded_by_drawing_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    ratio = bootstrap._ratio

    def watched(gain: np.ndarray, weight: np.ndarray, axis: int) -> np.ndarray:
        sizes.append(gain.size)
        return ratio(gain, weight, axis)

    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 1000)
    monkeypatch.setattr(bootstrap, "_ratio", watched)
    paired_bootstrap(np.zeros(60), np.ones(60), np.ones(60), None, 200, 0)
    assert max(sizes) <= 1000
    assert sum(sizes) == 200 * 60


@pytest.mark.parametrize(("after", "positive"), [(3.0, 1), (1.0, 0), (2.0, 0)])
def test_a_single_group_has_no_spread(after: float, positive: int) -> None:
    interval = paired_bootstrap([2.0, 2.0], [after, after], [2, 2], ["a", "a"], 100, 0)
    assert interval == Interval((after - 2) / 2, (after - 2) / 2, (after - 2) / 2, positive)


def test_bounds_are_those_of_the_normal_law_for_many_rows() -> None:
    gains = np.where(np.arange(4000) % 2, 1.0, -1.0)  # mean 0, standard deviation 1
    interval = paired_bootstrap(np.zeros(4000), gains, np.ones(4000), None, 4000, 0)
    assert [interval.low, interval.high] == pytest.approx([-1.96 / 4000**0.5, 1.96 / 4000**0.5], rel=0.08)


def test_rows_of_one_cluster_count_as_one_observation() -> None:
    gains = np.random.default_rng(1).normal(0, 1, 20)
    once = paired_bootstrap(np.zeros(20), gains, np.ones(20), None, 2000, 2)
    tenfold, clusters = np.repeat(gains, 10), np.repeat(np.arange(20).astype(str), 10)
    naive = paired_bootstrap(np.zeros(200), tenfold, np.ones(200), None, 2000, 2)
    honest = paired_bootstrap(np.zeros(200), tenfold, np.ones(200), clusters, 2000, 2)
    assert honest.high - honest.low == pytest.approx(once.high - once.low, rel=0.1)
    assert naive.high - naive.low < 0.5 * (honest.high - honest.low)


def test_the_same_seed_gives_the_same_bounds() -> None:
    runs = [paired_bootstrap([1, 2, 3], [2, 1, 5], [1, 2, 3], None, 300, seed) for seed in (4, 4, 5)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_nothing_to_draw_from_is_refused() -> None:
    with pytest.raises(ValueError, match="needs rows"):
        paired_bootstrap([], [], [], None, 100, 0)
