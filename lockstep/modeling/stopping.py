"""A request to stop: a long stage that gets one saves what it has and ends."""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any

from lockstep.core.entry_point import is_orphan

PARENT_SECONDS = 1.0  # seconds between two checks that the parent process is alive
# Among several processes a second signal within this time is taken for the first again: a cluster sends it to each
# process and to their launcher, which passes it on. Seconds.
ECHO_SECONDS = 5.0


class StopRequest:
    """Notes SIGTERM, Ctrl-C and the death of the parent process; `reason` is empty until then.

    The parent counts because DVC, when killed, leaves its stage running, which would work for hours on outs that nobody
    takes.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.signal = signal.SIGTERM  # to send to other processes that should stop too
        self._first_signal = 0.0  # time.monotonic(); 0 before any signal
        self._closed = threading.Event()
        self._previous_handlers: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous_handlers[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch_parent, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._first_signal and "RANK" in os.environ and time.monotonic() - self._first_signal < ECHO_SECONDS:
            return
        if self._first_signal:  # the second signal: the user does not want to wait for the save
            raise KeyboardInterrupt
        self._first_signal = time.monotonic()
        self.signal = signal.Signals(number)
        if not self.reason:  # else it is saving already, because the parent process died
            self.reason = "stopped by Ctrl-C" if number == signal.SIGINT else "stopped by SIGTERM"

    def _watch_parent(self) -> None:
        while not self._closed.wait(PARENT_SECONDS):
            if is_orphan():
                self.reason = self.reason or "the process that started it is gone"
                return
