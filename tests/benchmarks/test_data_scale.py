"""Data at scale: each step runs, and exponents are the slopes that they claim to be."""

from pathlib import Path

import pytest

from benchmarks import data_scale


def test_exponents_are_the_slope_over_sizes() -> None:
    assert data_scale.exponent([10, 100, 1000], [3, 30, 300]) == pytest.approx(1)
    assert data_scale.exponent([10, 100], [1, 100]) == pytest.approx(2)
    lines = [
        {"kind": "questions", "step": "prepare", "amount": amount, "seconds": seconds, "processor_seconds": amount}
        for amount, seconds in ((1000, 900), (10, 10), (100, 90))
    ]
    assert data_scale.exponents(lines) == {"questions: prepare": {"all": 0.98, "largest": 1.0, "processor": 1.0}}


@pytest.mark.slow
@pytest.mark.parametrize("size", [data_scale.Size("questions", 60), data_scale.Size("texts", 60_000)], ids=str)
def test_each_step_runs(tmp_path: Path, size: data_scale.Size) -> None:
    data = data_scale.make_project(tmp_path, size)
    costs = {step: data_scale.measure(step, tmp_path, data) for step in data_scale.STEPS}
    assert costs["prepare"]["rows"]["train"] > 0
    assert costs["tokenize"]["tokens"] > 1000
    assert all(cost["seconds"] > 0 for cost in costs.values())
