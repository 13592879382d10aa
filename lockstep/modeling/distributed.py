"""Processes that train or evaluate together: rank, world size and the collectives they use.

Each of them runs the whole stage. modeling.launch, `accelerate launch` or torchrun starts them; rank 0 writes the
outputs.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np

from lockstep.core.errors import LockstepError

TIMEOUT = timedelta(minutes=60)  # of a collective: rank 0 may be writing a large checkpoint meanwhile

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """This process among those that work together.

    rank and world_size are over all machines, local_rank and local_world_size on this one. Ranks start at 0.
    """

    rank: int = 0
    world_size: int = 1
    local_world_size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, the process that writes the outputs."""
        return self.rank == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This rank's items: every world_size-th, from the rank-th on. Each item belongs to one rank."""
        return items[self.rank :: self.world_size]

    def rounds(self, items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """This rank's items, each with True, in equally many rounds on every rank.

        A rank that has run out of items gets the first of all again, with False, as each forward pass of a sharded
        model needs all processes.
        """
        for start in range(0, len(items), self.world_size):
            mine = start + self.rank < len(items)
            yield items[start + self.rank if mine else 0], mine

    def all_reduce_sum(self, values: Any) -> np.ndarray:
        """The float64 sum over all processes, of the shape that values have in each. Exact where all but one are 0."""
        total = np.asarray(values, dtype=np.float64)
        if self.world_size > 1:
            import torch

            shared = torch.from_numpy(total.copy())  # the shape of values
            torch.distributed.all_reduce(shared)
            total = shared.numpy()
        return total

    def any_rank(self, flag: bool) -> bool:
        """Whether the flag is true in at least one process."""
        if self.world_size == 1:
            return flag
        import torch

        shared = torch.tensor([flag], dtype=torch.uint8)  # (1,)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return bool(shared.item())

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, which is pickled."""
        if self.world_size == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    def all_gather(self, value: Any) -> list[Any]:
        """The values of all processes, which are pickled, in the order of their ranks."""
        values = [value] * self.world_size
        if self.world_size > 1:
            import torch

            torch.distributed.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until every process has reached this point."""
        self.broadcast(self.all_gather(None))


SINGLE_PROCESS = ProcessGroup()


def current_group(num_processes: str | int) -> ProcessGroup:
    """The group of this process, from the environment variables that a launcher sets; SINGLE_PROCESS without them.

    num_processes: train.num_processes. Raises LockstepError when the launcher started another number of processes.
    """
    if "RANK" not in os.environ:
        return SINGLE_PROCESS
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
    group = ProcessGroup(*(int(os.environ.get(name, 0)) for name in names))
    if num_processes not in ("auto", group.world_size):
        raise LockstepError(
            f"{group.world_size} processes were started, but train.num_processes is {num_processes}.",
            f"Set it to {group.world_size} or auto, or start {num_processes}.",
        )
    return group


def connect(processes: ProcessGroup, device: str) -> None:
    """Initialize torch.distributed, and silence standard output on every rank but 0. Does nothing without a launcher.

    device: 'cpu', 'cuda' or 'mps'. Raises LockstepError when this machine has fewer devices than processes, and for
    FSDP on another device than CUDA.
    """
    if "RANK" not in os.environ:
        return
    import torch

    if device != "cuda" and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise LockstepError(f"FSDP was asked for, but device is {device}.", "It needs CUDA GPUs; use plain processes.")
    devices = torch.cuda.device_count() if device == "cuda" else 1 if device == "mps" else processes.local_world_size
    count = processes.local_world_size
    if count > devices:
        raise LockstepError(
            f"{count} processes on this machine need {count} devices, but it has {devices}.",
            f"Set train.num_processes to {devices}, or device.name to cpu.",
        )
    if device == "cuda":
        torch.cuda.set_device(processes.local_rank)
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Accelerate sets a number of its own
    # Gloo for collectives on CPU tensors, which then do not wait for a GPU.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=TIMEOUT)
    if not processes.is_main:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (open until the process ends)


def disconnect() -> None:
    """Leave the group that `connect` joined."""
    if "RANK" in os.environ:
        import torch

        with suppress(ValueError, RuntimeError):  # never connected, or the other processes are gone
            torch.distributed.destroy_process_group()
