"""The error type for every problem a user can solve, and the one place that turns errors into exit codes."""

import difflib
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import NoReturn

USER_ERROR = 2  # exit code for bad input or parameters
INTERRUPTED = 130  # exit code after Ctrl-C, as shells expect
READER_GONE = 141  # exit code when standard output was closed, as of a program that SIGPIPE ended
NO_WRITE_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
MAKE_ROOM = "Make room or give write permission there, then run again."


class LockstepError(Exception):
    """A problem that the user can solve, shown as one line without a traceback.

    message: names the place (file, line, key) and what is wrong there. remedy: what to do about it; may be empty.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class Stopped(BaseException):
    """Raised when work ends early on request, after it has saved its progress; `args[0]` says why and where."""


def write_failure(error: Exception) -> str | None:
    """The reason for a write that failed for lack of space or permission; None for any other error.

    Not every library raises OSError: safetensors and tokenizers (Rust) put the error number into their message, and
    torch's zip writer (inline_container.cc) gives a reason only when it can't open the file.
    """
    text = str(error)
    if isinstance(error, OSError):
        return f"{error.strerror}" if error.errno in NO_WRITE_ERRNOS else None
    if (number := re.search(r"\(os error (\d+)\)", text)) and int(number[1]) in NO_WRITE_ERRNOS:
        return os.strerror(int(number[1]))
    if "inline_container.cc" in text:
        strerror = re.search(r"strerror: (.*)", text)
        return strerror[1].rstrip(".") if strerror else "the disk is full or failing"
    return None


def shortened(text: str, longest: int = 40) -> str:
    """The text, cut to `longest` characters to fit into a message."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def did_you_mean(word: str, known: Iterable[str], lead: str = "Did you mean ", cutoff: float = 0.6) -> str:
    """'Did you mean ...?' with the known word that is closest to a misspelt one, or '' where none is close.

    lead: the text before the known word. cutoff: the least similarity, 0 to 1, as in difflib.get_close_matches.
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"{lead}{close[0]}?" if close else ""


def one_line(text: str) -> str:
    """The text with line breaks and control characters escaped, since file names and contents may hold any."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def run_command(main: Callable[[], None]) -> None:
    """Run a command's main() and return on success; otherwise exit with the code of what went wrong.

    USER_ERROR, with one line on standard error, for a LockstepError, a failed write or a full memory; INTERRUPTED when
    it was stopped; READER_GONE when standard output was closed. Any other exception is a bug and passes through.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that can't show "−" must not end an hour of training
            stream.reconfigure(errors="replace")
    try:
        main()
    except LockstepError as error:
        _end_with_error(str(error))
    except BrokenPipeError:
        say_no_more()
        sys.exit(READER_GONE)
    except Stopped as stop:
        say_last(f"stopped: {stop}")
        sys.exit(INTERRUPTED)
    except KeyboardInterrupt:
        say_last("stopped")
        sys.exit(INTERRUPTED)
    except Exception as error:
        if _is_out_of_memory(error):
            amount = re.search(r"tried to allocate ([\d.]+ ?\w+)", str(error), re.IGNORECASE)
            what = f"The memory is full: {amount[1]} more are needed." if amount else "The memory is full."
            _end_with_error(f"{what} Close other programs, lower train.per_device_batch_size, or take a smaller model.")
        if unrepeatable := re.match(r"(\S+) does not have a deterministic implementation", str(error)):
            _end_with_error(f"{unrepeatable[1]} has no repeatable way on this GPU. Set device.deterministic to false.")
        reason = write_failure(error)
        if reason is None:
            raise
        _end_with_error(f"Cannot write {getattr(error, 'filename', None) or 'a file'}: {reason}. {MAKE_ROOM}")


def say_no_more() -> None:
    """Send standard output to the null device once its reader (a pager) closed it, as Python flushes it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_last(line: str) -> None:
    """Write a line to standard error in one call, since several processes that share it may end at the same moment."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _end_with_error(text: str) -> NoReturn:
    say_last(f"error: {one_line(text)}")
    sys.exit(USER_ERROR)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or torch on the CPU or a GPU, ran out of memory, without importing torch."""
    text = str(error)
    by_type = type(error).__name__ in ("MemoryError", "OutOfMemoryError")
    return by_type or "can't allocate memory" in text or "out of memory" in text
