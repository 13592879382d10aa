"""The processes that train or evaluate together: which of them this is, and how they agree.

Each is the whole stage, started by core.launch, `accelerate launch` or torchrun. The first of them, process 0,
writes what comes of it.
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

PATIENCE = timedelta(minutes=60)  # that one process waits for another, which may be writing a large checkpoint

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Processes:
    """number: of this process, from 0. count: of all. here, place: how many run on this machine, and which it is."""

    number: int = 0
    count: int = 1
    here: int = 1
    place: int = 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.number == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This process's share of items: each item is one process's."""
        return items[self.number :: self.count]

    def rounds(self, items: Sequence[Item]) -> Iterator[tuple[Item, bool]]:
        """This process's share of items, one a round, with True. Every process has as many rounds, as models in shards
        need each other's for each item: one that has no item left gets the first again, with False."""
        for start in range(0, len(items), self.count):
            mine = start + self.number < len(items)
            yield items[start + self.number if mine else 0], mine

    def sums(self, values: Any) -> np.ndarray:
        """The sum over all processes of float64 values, exact where each value is 0 in all but one."""
        total = np.asarray(values, dtype=np.float64)
        if self.count > 1:
            import torch

            shared = torch.from_numpy(total.copy())
            torch.distributed.all_reduce(shared)
            total = shared.numpy()
        return total

    def any_says(self, flag: bool) -> bool:
        """Whether any of them says so."""
        if self.count == 1:
            return flag
        import torch

        shared = torch.tensor([flag], dtype=torch.uint8)
        torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
        return bool(shared.item())

    def told(self, value: Any) -> Any:
        """The first process's value."""
        if self.count == 1:
            return value
        import torch

        values = [value]
        torch.distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """Every process's value, in their order."""
        values = [value] * self.count
        if self.count > 1:
            import torch

            torch.distributed.all_gather_object(values, value)
        return values

    def wait(self) -> None:
        """Wait until all are here."""
        self.told(self.gathered(None))


ALONE = Processes()


def started(wanted: str | int) -> Processes:
    """The processes this one was started among: ALONE, or as the launcher says in the environment.

    wanted: train.num_processes. Raises LockstepError when the launcher started another number of them.
    """
    names = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
    if "RANK" not in os.environ:
        return ALONE
    number, count, here, place = (int(os.environ.get(name, 0)) for name in names)
    if wanted not in ("auto", count):
        raise LockstepError(
            f"{count} processes were started, but train.num_processes is {wanted}.",
            f"Set it to {count} or auto, or start {wanted}.",
        )
    return Processes(number, count, here, place)


def connect(processes: Processes, device: str) -> None:
    """Let the processes talk to each other, and all but the first be silent.

    device: 'cpu', 'cuda' or 'mps'. Raises LockstepError where it does not suffice for all processes of this machine.
    """
    if "RANK" not in os.environ:
        return
    import torch

    if device != "cuda" and os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        raise LockstepError(f"FSDP was asked for, but device is {device}.", "It needs CUDA GPUs; use plain processes.")
    devices = torch.cuda.device_count() if device == "cuda" else 1 if device == "mps" else processes.here
    if processes.here > devices:
        raise LockstepError(
            f"{processes.here} processes on this machine need {processes.here} devices, but it has {devices}.",
            f"Set train.num_processes to {devices}, or device.name to cpu.",
        )
    if device == "cuda":
        torch.cuda.set_device(processes.place)
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Accelerate would choose a number
    # Tensors on the CPU, such as what is agreed on, go by gloo and need not wait for a GPU.
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    torch.distributed.init_process_group(backend, timeout=PATIENCE)
    if not processes.first:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for the rest of the process's life)


def disconnect() -> None:
    """Take leave of the others."""
    if "RANK" in os.environ:
        import torch

        with suppress(ValueError, RuntimeError):  # never connected, or they are gone
            torch.distributed.destroy_process_group()
