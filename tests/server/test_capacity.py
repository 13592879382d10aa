"""How many sequences fit into memory, and how many threads the model gets."""

import os

import pytest
from serving import assistant, engine

from lockstep.core.errors import LockstepError
from lockstep.generation.kv_cache import bytes_per_position
from lockstep.server import capacity
from lockstep.server.capacity import batch_size_in_memory, model_threads


@pytest.mark.parametrize(("sequences", "batch_size"), [(3.5, 3), (1, 1), (64, 64), (1000, 64)])
def test_a_quarter_of_the_memory_is_for_the_cache(
    sequences: float, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = int(4 * sequences * bytes_per_position(engine().model) * engine().context)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": memory}.get)
    assert batch_size_in_memory(assistant()) == batch_size


def test_too_little_memory_for_one_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 1000}.get)
    with pytest.raises(LockstepError, match="too little memory"):
        batch_size_in_memory(assistant())


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (16, 15)])
def test_one_core_is_left_to_the_network(cores: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "available_cores", lambda: cores)
    assert model_threads() == threads
