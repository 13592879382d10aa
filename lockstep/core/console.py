"""What a person sees while a stage runs: one line at its end, one moving line while it works, warnings."""

import shutil
import sys
import time
from types import TracebackType

from lockstep.core.errors import say_no_more

WIDTH = 10  # column where the text of a line begins
PLAIN_SECONDS = 15  # seconds between two progress lines where there is no terminal


def say(stage: str, text: str) -> None:
    """Print a stage's one line."""
    _print(f"{stage:<{WIDTH}}{text}\n")


def _print(text: str) -> None:
    """Write to standard output; where its reader went away, to nobody from now on: it must not cost the work."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        say_no_more()


def warn(text: str) -> None:
    """Print something worth knowing that stops nothing."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """'9 s', '4 min 05 s', '2 h 03 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class ProgressLine:
    """One line that is written over in a terminal, and repeated every PLAIN_SECONDS elsewhere.

    done and total count units of work; the time left assumes the pace since this line began.
    """

    def __init__(self, stage: str, total: int, start: int = 0) -> None:
        self.stage, self.total, self.start = stage, max(total, 1), start
        self.terminal = sys.stdout.isatty()
        self.began = time.monotonic()
        self.shown = self.began if not self.terminal else 0.0

    def update(self, done: int, text: str) -> None:
        """Show the share done, `text` and the time left, not more often than a person can read."""
        now = time.monotonic()
        if now - self.shown < (0.2 if self.terminal else PLAIN_SECONDS):
            return
        self.shown = now
        share = done / self.total
        fresh = done - self.start
        left = (now - self.began) * (self.total - done) / fresh if fresh else 0.0
        line = f"{self.stage:<{WIDTH}}{share:4.0%}  {text}  {duration(left)} left"
        _print(f"\r\x1b[2K{line}" if self.terminal else f"{line}\n")

    def clear(self) -> None:
        """Take the moving line away."""
        if self.terminal:
            _print("\r\x1b[2K")

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()


class MovingLine:
    """A line that is written over in a terminal, and not shown elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty()

    def update(self, text: str) -> None:
        """Show this instead of what was there, cut to the terminal's width."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            _print(f"\r\x1b[2K{text[:width]}")

    def clear(self) -> None:
        """Take the line away."""
        if self.terminal:
            _print("\r\x1b[2K")

    def __enter__(self) -> "MovingLine":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
