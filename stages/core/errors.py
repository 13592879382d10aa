"""The one error a user can cause, and the one place that turns it into an exit code."""

import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

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


def shortened(text: str, longest: int = 40) -> str:
    """The text, cut where it is too long to stand in a message. longest: in characters."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def one_line(text: str) -> str:
    """The text with line breaks and control characters spelt out: a file's name or content may hold any."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def run_command(main: Callable[[], None]) -> None:
    """Run a command's main() and exit: 0 when it is done, 2 with one clear line for a LockstepError."""
    try:
        main()
    except LockstepError as error:
        _end_with_error(str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        amount = re.search(r"tried to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
        what = f"The memory is full: {amount[1]} more are needed." if amount else "The memory is full."
        _end_with_error(f"{what} Close other programs, lower train.batch_size, or take a smaller model.")
    except BrokenPipeError:
        # The reader of our output (head, a pager) went away: nothing is left to say, and Python must not try.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Stopped as stop:
        print(f"stopped: {stop}", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _end_with_error(text: str) -> NoReturn:
    print(f"error: {one_line(text)}", file=sys.stderr)
    sys.exit(USER_ERROR)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or torch on the CPU or a GPU, got no memory; torch's own types are not known here."""
    said = type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error)
    return said or "out of memory" in str(error)
