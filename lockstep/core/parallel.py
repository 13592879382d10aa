"""A function applied to one piece of data after the other, by several processes where there are many pieces."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from multiprocessing import get_context, parent_process
from typing import Any, TypeVar

from lockstep.core.errors import LockstepError

ALONE = 6  # pieces done before other processes are worth their start of a second
MOST_PROCESSES = 8  # each holds about 100 MB, and what feeds them is one process all the same

Piece = TypeVar("Piece")
Result = TypeVar("Result")

_function: Callable | None = None  # in a worker: what it was started for


def ordered_map(function: Callable[[Piece], Result], pieces: Iterable[Piece]) -> Iterator[Result]:
    """function(piece) for each piece, in the order of the pieces. Only a few pieces are in memory at a time.

    function: a module's function, a partial of one or a method, as other processes must find it; each gets it once.
    Raises LockstepError when a process is killed; what the function raises comes through.
    """
    iterator = iter(pieces)
    yield from map(function, islice(iterator, ALONE))
    rest = next(iterator, None)
    if rest is None:
        return
    workers = min(MOST_PROCESSES, available_cores())
    pending: deque[Future[Result]] = deque()
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(function,)
    ) as pool:
        try:
            for piece in chain([rest], iterator):
                pending.append(pool.submit(_apply, piece))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise LockstepError(
                "A process that helped to read the data was killed, perhaps for want of memory.",
                "Close other programs and run again.",
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def available_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _begin(function: Callable) -> None:
    """In a worker: keep the function, and end when the process that started this one is gone, however it went."""
    global _function
    _function = function
    os.environ["RAYON_NUM_THREADS"] = "1"  # of tokenizers and the like: the processes are the threads

    def wait() -> None:
        parent = parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _apply(piece: Any) -> Any:
    """In a worker: the function of one piece."""
    assert _function is not None
    return _function(piece)
