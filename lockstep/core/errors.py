"""The one error a user can cause, and the one place that turns it into an exit code."""

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
READER_GONE = 141  # exit code when nobody reads standard output any more, as of a program that SIGPIPE ended
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


def shortened(text: str, longest: int = 40) -> str:
    """The text, cut where it is too long to stand in a message. longest: in characters."""
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def did_you_mean(word: str, known: Iterable[str], lead: str = "Did you mean ", cutoff: float = 0.6) -> str:
    """'Did you mean ...?' where a known word is close to a misspelt one, else an empty text.

    lead: what stands before the known word. cutoff: of difflib's similarity, 0 to 1.
    """
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"{lead}{close[0]}?" if close else ""


def one_line(text: str) -> str:
    """The text with line breaks and control characters spelt out: a file's name or content may hold any."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
    """The reader of our output (head, a pager) went away: nothing is left to say, and Python must not try."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say_last(line: str) -> None:
    """A line on stderr in one write: several processes that share it may end at the same moment."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _end_with_error(text: str) -> NoReturn:
    say_last(f"error: {one_line(text)}")
    sys.exit(USER_ERROR)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether Python, or torch on the CPU or a GPU, got no memory; torch's own types are not known here."""
    said = type(error).__name__ in ("MemoryError", "OutOfMemoryError") or "can't allocate memory" in str(error)
    return said or "out of memory" in str(error)
