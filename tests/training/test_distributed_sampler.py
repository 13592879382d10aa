"""The rows of each step, dealt out to several processes: the same ones as for one, about as many tokens for each."""

from itertools import chain
from typing import Any

import pytest
from process_groups import ranks

from lockstep.modeling.collate import collate
from lockstep.modeling.distributed import SINGLE_PROCESS
from lockstep.training.distributed_sampler import DistributedBatchSampler, DistributedLoader, collate_share
from lockstep.training.step import TrainingStep


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
