"""The rows of each optimizer step, dealt out to the processes that train together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from accelerate.data_loader import SeedableRandomSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset

from lockstep.modeling.distributed import Processes

NOTHING = {"input_ids": [0], "target_start": 1}  # a row of one token and no target

Collate = Callable[[Sequence[dict[str, Any]]], dict[str, Any]]


class SharedBatches:
    """Of each batch of all processes, this one's share, as lists of indices of rows. lengths: tokens of each row.

    The rows of a batch are dealt out from the longest to the shortest, to and fro, so that all processes have about as
    many tokens: a step takes as long as the slowest. Several processes see in each step the rows that one would see
    with batches as many times as large: the same shuffle, each row once. The last batch of an epoch may be smaller than
    there are processes: then some get no row.
    (Accelerate's own sharding would repeat rows there, and give other losses.)
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int, processes: Processes) -> None:
        self.lengths = lengths
        self.sampler = SeedableRandomSampler(range(len(lengths)), data_seed=seed)
        self.batches = BatchSampler(self.sampler, batch_size * processes.count, drop_last=False)
        self.processes = processes

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            longest_first = sorted(batch, key=lambda row: -int(self.lengths[row]))
            yield [row for place, row in enumerate(longest_first) if self._gets(place) == self.processes.number]

    def _gets(self, place: int) -> int:
        """Which process gets the row at this place: 0, 1, 2, 2, 1, 0, 0, 1, ... for three."""
        place %= 2 * self.processes.count
        return min(place, 2 * self.processes.count - 1 - place)

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
