"""The one error a user can cause, and the one place that turns it into an exit code."""

import errno
import io
import os
import re
import sys
from collections.abc import Callable

USER_ERROR = 2  # exit code for bad input or parameters
INTERRUPTED = 130  # exit code after Ctrl-C, as shells expect
NO_WRITE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
MAKE_ROOM = "Make room or give write permission there, then run again."


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


def write_failure(error: Exception) -> str | None:
    """Why something could not be written, for want of room or permission; None where the error is another one.

    Libraries written in other languages don't raise OSError: safetensors and tokenizers (Rust) put its number into
    their text, torch's own zip writer (inline_container.cc) gives a reason only where it can't even open the file.
    """
    text = str(error)
    if isinstance(error, OSError):
        return f"{error.strerror}" if error.errno in NO_WRITE else None
    if (number := re.search(r"\(os error (\d+)\)", text)) and int(number[1]) in NO_WRITE:
        return os.strerror(int(number[1]))
    if "inline_container.cc" in text:
        known = re.search(r"strerror: (.*)", text)
        return known[1].rstrip(".") if known else "the disk is full or failing"
    return None


def run_command(main: Callable[[], None]) -> None:
    """Run a command's main() and exit: 0 when it is done, 2 with one clear line for a LockstepError or a failed write.

    Any other exception is a fault of ours and comes through.
    """
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
    except Exception as error:
        reason = write_failure(error)
        if reason is None:
            raise
        say_last(f"error: Cannot write {getattr(error, 'filename', None) or 'a file'}: {reason}. {MAKE_ROOM}")
        sys.exit(USER_ERROR)


def say_last(line: str) -> None:
    """A line on stderr in one write: several processes that share it may end at the same moment."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
