"""Process groups without processes: the ranks of a group, and a stand-in for what they exchange."""

from typing import Any

import pytest

from lockstep.modeling.distributed import ProcessGroup


def ranks(count: int) -> list[ProcessGroup]:
    return [ProcessGroup(number, count, count, number) for number in range(count)]


class Exchange:
    """Stands for the network: each process runs alone up to its first all_gather, and a second time with all values."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: list[Any] = []
        self.complete = False
        monkeypatch.setattr(ProcessGroup, "all_gather", self.all_gather)

    def all_gather(self, value: Any) -> list[Any]:
        if not self.complete:
            self.values.append(value)
            raise InterruptedError
        return self.values

    def results(self, work: Any, count: int) -> list[Any]:
        """What the work returns on each rank."""
        for one in ranks(count):
            with pytest.raises(InterruptedError):
                work(one)
        self.complete = True
        return [work(one) for one in ranks(count)]
