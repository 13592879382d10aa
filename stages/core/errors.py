"""The one error a user can cause, and the one place that turns it into an exit code."""

import io
import os
import sys
from collections.abc import Callable

USER_ERROR = 2  # exit code for bad input or parameters
INTERRUPTED = 130  # exit code after Ctrl-C, as shells expect


class LockstepError(Exception):
    """Something the user can put right.

    message: names the thing (file, line, key) and what was found.
    remedy: what to do about it; may be empty.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Stopped(BaseException):
    """The work was asked to stop and has saved what it had; `args[0]` says why and where."""


def run_command(main: Callable[[], None]) -> None:
    """Run a command's main() and exit: 0 when it is done, 2 with one clear line for a LockstepError."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that has no "−" must not cost an hour of training
            stream.reconfigure(errors="replace")
    try:
        main()
    except LockstepError as error:
        say_last(f"error: {error}")
        sys.exit(USER_ERROR)
    except BrokenPipeError:
        # The reader of our output (head, a pager) went away: nothing is left to say, and Python must not try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Stopped as stop:
        say_last(f"stopped: {stop}")
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        say_last("stopped")
        sys.exit(INTERRUPTED)


def say_last(line: str) -> None:
    """A line on stderr in one write: several processes that share it may end at the same moment."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
