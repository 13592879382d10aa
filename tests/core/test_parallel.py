"""A function over a stream of items: in order, without reading far ahead, and with an error where a worker dies."""

import os
from collections.abc import Iterator

import pytest

from lockstep.core import parallel
from lockstep.core.errors import LockstepError
from lockstep.core.parallel import ordered_map


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All items go to workers, of which there is one."""
    monkeypatch.setattr(parallel, "FIRST_ITEMS", 0)
    monkeypatch.setattr(parallel, "available_cores", lambda: 1)


def test_results_come_in_the_order_of_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "available_cores", lambda: 2)
    assert list(ordered_map(abs, range(-20, 5))) == [abs(item) for item in range(-20, 5)]


def test_a_few_items_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "ProcessPoolExecutor", None)
    assert list(ordered_map(abs, [-1] * parallel.FIRST_ITEMS)) == [1] * parallel.FIRST_ITEMS
    assert list(ordered_map(abs, [])) == []


def test_only_a_few_items_are_read_before_their_results_are_wanted(workers: None) -> None:
    read = []

    def items() -> Iterator[int]:
        for item in range(100):
            read.append(item)
            yield item

    results = ordered_map(abs, items())
    assert next(results) == 0
    assert len(read) <= 4
    results.close()  # type: ignore[attr-defined]


def test_an_error_of_the_function_comes_through(workers: None) -> None:
    results = ordered_map(int, ["1", "x"])
    assert next(results) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(results)


def test_a_worker_that_dies_is_one_clear_line(workers: None) -> None:
    with pytest.raises(LockstepError, match="killed.* run again"):
        list(ordered_map(os._exit, [1]))
