"""Console output of a stage: a progress line while it works, one line at its end, warnings."""

import shutil
import sys
import time
from types import TracebackType
from typing import Self

from lockstep.core.errors import say_no_more

WIDTH = 10  # column where the text of a line begins
PLAIN_SECONDS = 15  # seconds between two progress lines where there is no terminal
TERMINAL_SECONDS = 0.2  # seconds between two updates of a progress line in a terminal


def say(stage: str, text: str) -> None:
    """Print one line of a stage, after its name."""
    _print(f"{stage:<{WIDTH}}{text}\n")


def _print(text: str) -> None:
    """Write to standard output. A reader that closes it must not end the work; later output is discarded."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        say_no_more()


def warn(text: str) -> None:
    """Print a warning to standard error."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'9 s', '4 min 05 s', '2 h 03 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class StatusLine:
    """A status line: overwritten in a terminal, not shown elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()

    def update(self, text: str) -> None:
        """Replace the line's text, cut to the terminal's width."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            _print(f"\r\x1b[2K{text[:width]}")

    def clear(self) -> None:
        """Remove the line from the terminal."""
        if self.terminal:
            _print("\r\x1b[2K")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


class ProgressLine(StatusLine):
    """A progress line: overwritten in a terminal, printed anew every PLAIN_SECONDS elsewhere.

    total: units of work. start: units done before this run, so that the time left is estimated from this run's pace.
    """

    def __init__(self, stage: str, total: int, start: int = 0) -> None:
        super().__init__()
        self.stage, self.total, self.start = stage, max(total, 1), start
        self.began = time.monotonic()
        self.shown = self.began if not self.terminal else 0.0

    def advance(self, done: int, text: str) -> None:
        """Show the share of `done` units, `text` and the time left, no more often than a person can read."""
        now = time.monotonic()
        if now - self.shown < (TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS):
            return
        self.shown = now
        fresh = done - self.start
        left = (now - self.began) * (self.total - done) / fresh if fresh else 0.0
        line = f"{self.stage:<{WIDTH}}{done / self.total:4.0%}  {text}  {duration(left)} left"
        if self.terminal:
            self.update(line)
        else:
            _print(f"{line}\n")
