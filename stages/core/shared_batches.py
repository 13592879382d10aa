"""The rows of each optimizer step, dealt out to the processes that train together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from stages.core.processes import Processes

NOTHING = {"input_ids": [0], "target_start": 1}  # a row of one token and no target

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]


class SharedBatches:
    """Of each batch of all processes, this one's share, as lists of indices of rows.

    Several processes then see in each step the rows that one would see with batches as many times as large: the same
    shuffle, each row once. The last batch of an epoch may be smaller than there are processes: then some get no row.
    (Accelerate's own sharding would repeat rows there, and give other losses.)
    """

    def __init__(self, rows: int, batch_size: int, seed: int, processes: Processes) -> None:
        self.sampler = SeedableRandomSampler(range(rows), data_seed=seed)
        self.batches = BatchSampler(self.sampler, batch_size * processes.count, drop_last=False)
        self.processes = processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.processes.number :: self.processes.count]

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as for this epoch; Trainer calls it."""
        self.sampler.set_epoch(epoch)


class SharedLoader(DataLoader):
    """Loads the batches of SharedBatches."""

    def __init__(self, rows: Dataset, batches: SharedBatches, collate: Collate, **settings: Any) -> None:
        super().__init__(rows, batch_sampler=batches, collate_fn=lambda share: collated(share, collate), **settings)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle as for this epoch; Trainer calls it."""
        self.batch_sampler.set_epoch(epoch)  # type: ignore[union-attr]


def collated(share: Sequence[dict[str, Any]], collate: Collate) -> dict[str, Any]:
    """A share of rows as tensors. Without rows, one token and no target: the process goes through the step with the
    others and adds nothing."""
    return collate(share) if share else {**collate([NOTHING]), "tokens": 0}
