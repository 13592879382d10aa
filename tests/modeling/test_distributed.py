"""Several processes: which rows each gets, and what they compute together."""

from typing import Any

import numpy as np
import pytest
import torch
import yaml
from process_groups import Exchange, ranks
from projects import ROOT

from lockstep.core.errors import LockstepError
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup, connect, current_group
from lockstep.modeling.scoring import score_rows, token_losses

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def test_each_process_has_as_many_rounds_and_each_item_is_one_process_s() -> None:
    rounds = [list(one.rounds("abcde")) for one in ranks(2)]
    assert rounds == [[("a", True), ("c", True), ("e", True)], [("b", True), ("d", True), ("a", False)]]
    assert list(SINGLE_PROCESS.rounds("ab")) == [("a", True), ("b", True)]
    assert list(SINGLE_PROCESS.rounds("")) == []


def test_shared_scores_are_those_of_one_process(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"input_ids": list(range(1, 4 + n)), "target_start": 1 + n % 3} for n in range(7)]
    hardware = Hardware("cpu", "fp32", 1)
    parts: list[Any] = []
    monkeypatch.setattr(
        ProcessGroup, "all_reduce_sum", lambda self, values: parts.append(np.array(values, float)) or parts[-1]
    )
    for one in ranks(2):
        score_rows(model, rows, hardware, 0, tokens=12, processes=one)
    monkeypatch.undo()
    alone = score_rows(model, rows, hardware, 0, tokens=12)
    assert np.array_equal(parts[0] + parts[2], alone.nll)
    assert np.array_equal(parts[1] + parts[3], [alone.targets, alone.correct])


@pytest.mark.parametrize("count", [2, 5])  # 5: more than there are batches, so that some have none
def test_shared_token_losses_are_those_of_one_process(model: Any, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    rows = [{"input_ids": list(range(1, 4 + n)), "target_start": 1 + n % 3} for n in range(7)]
    hardware = Hardware("cpu", "fp32", 1)
    alone = token_losses(model, rows, hardware, 0, tokens=20)
    exchange = Exchange(monkeypatch)
    for shared in exchange.results(lambda one: token_losses(model, rows, hardware, 0, 20, one), count):
        assert [row.tolist() for row in shared.nll] == [row.tolist() for row in alone.nll]
        assert [row.tolist() for row in shared.correct] == [row.tolist() for row in alone.correct]
    assert sorted(index for part in exchange.values for index in part) == list(range(7))


def test_rank_and_world_size_come_from_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_group(4) == SINGLE_PROCESS
    for name, value in {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert current_group(8) == current_group("auto") == ProcessGroup(5, 8, 4, 1)
    with pytest.raises(LockstepError, match=r"^8 processes.*train\.num_processes is 1\. Set it to 8 or auto"):
        current_group(1)


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("cuda", "mps"):
        with pytest.raises(LockstepError, match=r"need 2 devices, but it has 1\. Set train\.num_processes to 1"):
            connect(ranks(2)[0], name)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(LockstepError, match="FSDP.*device is cpu"):
        connect(ranks(2)[0], "cpu")
