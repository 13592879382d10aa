"""Several processes: which rows each gets, and what they compute together."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from projects import ROOT

from lockstep.artifacts.prompt import Prompt
from lockstep.core.errors import LockstepError
from lockstep.core.settings import Generation
from lockstep.evaluation import answers
from lockstep.evaluation.answers import generate_answers
from lockstep.modeling.collate import collate
from lockstep.modeling.device import Hardware
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup, connect, current_group
from lockstep.modeling.scoring import score_rows, token_losses
from lockstep.training.distributed_sampler import DistributedBatchSampler, DistributedLoader, collate_share
from lockstep.training.step import TrainingStep

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def ranks(count: int) -> list[ProcessGroup]:
    return [ProcessGroup(number, count, count, number) for number in range(count)]


@pytest.mark.parametrize(("rows", "count"), [(12, 2), (13, 3), (7, 4), (1, 2), (17, 4)])
def test_each_step_has_the_rows_it_would_have_in_one_process(rows: int, count: int) -> None:
    lengths = [5 + 7 * row % 11 for row in range(rows)]
    whole = DistributedBatchSampler(lengths, 4 * count, 42, SINGLE_PROCESS)
    shares = [DistributedBatchSampler(lengths, 4, 42, one) for one in ranks(count)]
    for epoch in (0, 1):
        for batches in (whole, *shares):
            batches.set_epoch(epoch)
        expected = [sorted(batch) for batch in whole]
        assert sorted(chain(*expected)) == list(range(rows))
        assert [sorted(chain(*parts)) for parts in zip(*shares, strict=True)] == expected
        assert {len(batches) for batches in shares} == {len(whole)}


def test_processes_have_about_as_many_tokens_in_each_step() -> None:
    lengths = [20 + row * row for row in range(32)]
    shares = [DistributedBatchSampler(lengths, 8, 42, one) for one in ranks(4)]
    for parts in zip(*shares, strict=True):
        tokens = [sum(lengths[row] for row in part) for part in parts]
        assert [len(part) for part in parts] == [8] * 4
        assert max(tokens) - min(tokens) <= 0.1 * max(tokens)
        assert max(lengths) - min(lengths) > 0.3 * max(tokens)  # what one row more or less would make


def test_epochs_are_shuffled_as_accelerate_shuffles_them_for_one_process() -> None:
    from accelerate.data_loader import prepare_data_loader
    from torch.utils.data import DataLoader, RandomSampler

    rows = list(range(10))
    plain = DataLoader(rows, batch_size=4, sampler=RandomSampler(rows), collate_fn=list)  # type: ignore[arg-type]
    theirs = prepare_data_loader(plain, num_processes=1, process_index=0, use_seedable_sampler=True, data_seed=7)
    ours = DistributedLoader(rows, DistributedBatchSampler([3] * 10, 4, 7, SINGLE_PROCESS), list)  # type: ignore[arg-type]
    for epoch in (0, 1, 3):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        assert list(ours) == list(theirs)


@pytest.mark.parametrize("fused", [True, False])
def test_a_share_without_rows_adds_nothing_and_still_has_gradients(model: Any, fused: bool) -> None:
    batch = collate_share([], lambda rows: collate(rows, 0, "line"))
    assert (batch["tokens"], batch["targets"].numel()) == (0, 0)
    loss = TrainingStep("line", fused).loss(model, batch)
    loss.backward()
    assert loss.item() == 0
    assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())


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


@pytest.mark.parametrize("count", [2, 4])
def test_shared_answers_are_those_of_one_process(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    asked = [answers.TestQuestion(str(n), str(n), f"Which {'old ' * (n % 4)}kettle {n}?", "") for n in range(3)]
    settings = Generation.model_validate({**PARAMS["generation"], "max_new_tokens": 6})
    alone = generate_answers(model, tokenizer, Prompt(), asked, settings)
    exchange = Exchange(monkeypatch)
    results = exchange.results(lambda one: generate_answers(model, tokenizer, Prompt(), asked, settings, one), count)
    assert results == [alone] * count
    assert sorted(index for part in exchange.values for index, _ in part) == [0, 1, 2]


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
