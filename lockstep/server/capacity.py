"""How much of this machine the model may use: CPU threads, and memory for the KV cache."""

import os
from typing import TYPE_CHECKING

from lockstep.core.errors import LockstepError
from lockstep.core.parallel import available_cores

if TYPE_CHECKING:
    from lockstep.generation.conversation import Assistant

MAX_BATCH_SIZE = 64  # sequences decoded at the same time
CACHE_SHARE = 4  # the KV cache may take one part in so many of the machine's memory
ASSUMED_MEMORY = 8 << 30  # bytes, where the system does not tell


def model_threads() -> int:
    """All cores but one, which the network's threads need for themselves."""
    return max(1, available_cores() - 1)


def batch_size_in_memory(assistant: "Assistant") -> int:
    """Sequences, up to MAX_BATCH_SIZE, whose keys and values fit into a quarter of the machine's memory if all were as
    long as the context.

    Raises LockstepError when not even one fits.
    """
    from lockstep.generation.kv_cache import bytes_per_position

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else ASSUMED_MEMORY
    bytes_per_sequence = bytes_per_position(assistant.engine.model) * assistant.engine.context
    size = min(memory // CACHE_SHARE // bytes_per_sequence, MAX_BATCH_SIZE)
    if size < 1:
        raise LockstepError("This machine has too little memory for even one answer of this model.")
    return int(size)
