"""Splits the rows of each optimizer step among the processes that train together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from lockstep.modeling.distributed import ProcessGroup

EMPTY_ROW = {"input_ids": [0], "target_start": 1}  # one token and no target

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]


class DistributedBatchSampler:
    """Yields this process's share of each global batch, as a list of row indices.

    lengths: tokens of each row, (rows,). batch_size: rows of one process in one batch.
    The rows of a global batch are assigned from the longest to the shortest, back and forth over the ranks, so that all
    processes have about as many tokens: a step takes as long as the slowest. In each step the processes together see
    the rows that one process would see with a batch size as many times as large: the same shuffle, each row once. The
    last batch of an epoch may have fewer rows than there are processes; some processes get none then.
    (Accelerate's own sharding would repeat rows there, which changes the loss.)
    """

    def __init__(
        self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int, processes: ProcessGroup
    ) -> None:
        self.lengths = lengths
        self.sampler = SeedableRandomSampler(range(len(lengths)), data_seed=seed)
        self.global_batches = BatchSampler(self.sampler, batch_size * processes.world_size, drop_last=False)
        self.processes = processes

    def __len__(self) -> int:
        return len(self.global_batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.global_batches:
            longest_first = sorted(batch, key=lambda row: -int(self.lengths[row]))  # (global batch,) row indices
            ranks = map(self._rank_of, range(len(longest_first)))
            yield [row for row, rank in zip(longest_first, ranks, strict=True) if rank == self.processes.rank]

    def _rank_of(self, index: int) -> int:
        """The rank that gets the row at this index of a sorted global batch: 0, 1, 2, 2, 1, 0, 0, 1, ... for three."""
        index %= 2 * self.processes.world_size
        return min(index, 2 * self.processes.world_size - 1 - index)

    def set_epoch(self, epoch: int) -> None:
        """Use the shuffle of this epoch; Trainer calls it."""
        self.sampler.set_epoch(epoch)


class DistributedLoader(DataLoader):
    """Loads the batches of a DistributedBatchSampler."""

    def __init__(self, rows: Dataset, sampler: DistributedBatchSampler, collate: Collate, **settings: Any) -> None:
        super().__init__(
            rows, batch_sampler=sampler, collate_fn=lambda share: collate_share(share, collate), **settings
        )

    def set_epoch(self, epoch: int) -> None:
        """Use the shuffle of this epoch; Trainer calls it."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def collate_share(share: Sequence[dict[str, Any]], collate: Collate) -> dict[str, Any]:
    """A share of rows as tensors.

    An empty share becomes one token without a target, input_ids (1, 1) and targets (0,): the process goes through the
    step with the others and contributes nothing.
    """
    return collate(share) if share else {**collate([EMPTY_ROW]), "tokens": 0}
