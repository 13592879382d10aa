"""A request to stop, on which a long stage saves its work and ends."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from lockstep.core.entry_point import watch_parent

PARENT_SECONDS = 1.0  # seconds between two checks that the parent process is alive
# In one of several processes, a second signal within this time counts as the first, as a cluster sends each signal to
# all processes and to their launcher, which forwards it.
ECHO_SECONDS = 5.0


class StopRequest:
    """Records SIGTERM, Ctrl-C or the death of the parent process in `reason`, which is empty until then.

    A second signal raises KeyboardInterrupt, as the user does not want to wait for the save. The parent matters because
    a DVC that is killed leaves its stage running, for hours, on outputs that nobody will use.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.signal = signal.SIGTERM  # the signal to forward to other processes
        self._first_signal = 0.0  # time.monotonic(); 0 before any signal
        self._closed = threading.Event()
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous_handlers[number] = signal.signal(number, self._on_signal)
        watch_parent(self._on_orphaned, PARENT_SECONDS, until=self._closed)
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._first_signal and "RANK" in os.environ and time.monotonic() - self._first_signal < ECHO_SECONDS:
            return
        if self._first_signal:
            raise KeyboardInterrupt
        self._first_signal = time.monotonic()
        self.signal = signal.Signals(number)
        if not self.reason:  # else the parent has died, and the stage is saving already
            self.reason = "stopped by Ctrl-C" if number == signal.SIGINT else "stopped by SIGTERM"

    def _on_orphaned(self) -> None:
        self.reason = self.reason or "the process that started it is gone"
