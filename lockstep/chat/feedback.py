"""Verdicts on answers, given in the chat or on the web page: a file of JSON Lines that the next run may train on.

A line is {"question", "answer", "verdict"}. 'good': the answer is right as it is. 'fixed': a person wrote it.
'bad': it is wrong and must not be learnt. A later line about the same question and answer replaces an earlier one.
"""

import json
import os
from pathlib import Path
from typing import Literal

from lockstep.core.atomic_files import cannot_write, sync_folder
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CHECKPOINTS, CORRECTIONS

Verdict = Literal["good", "bad", "fixed"]

LOCK = CHECKPOINTS / "corrections.lock"  # not beside the file: data/raw may be read as a whole folder
LOCK_SECONDS = 10  # an append takes milliseconds, so a lock held longer than this is stuck


def append_correction(question: str, answer: str, verdict: Verdict, path: Path = CORRECTIONS) -> None:
    """Append one line, whole or not at all; it is on disk when this returns. Several processes may append at once.

    Raises LockstepError where the file can't be written or another process keeps it locked.
    """
    from filelock import FileLock, Timeout

    correction = {"question": question, "answer": answer, "verdict": verdict}
    line = json.dumps(correction, ensure_ascii=False).encode() + b"\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(LOCK, timeout=LOCK_SECONDS):
            _append(path, line)
    except Timeout:
        raise LockstepError(f"{path} is locked by another process.", "Try again when that has ended.") from None
    except OSError as error:
        raise cannot_write(path, error) from error


def _append(path: Path, line: bytes) -> None:
    is_new = not path.exists()
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            written = file.write(line if _ends_a_line(path, size) else b"\n" + line)
            os.fsync(file.fileno())
            if written < len(line):
                raise OSError("the disk is full")
        except OSError:
            file.truncate(size)
            raise
    if is_new:
        sync_folder(path.parent)


def _ends_a_line(path: Path, size: int) -> bool:
    """Whether a new line may begin at byte `size`: a line added by hand may lack its line break."""
    if size == 0:
        return True
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"
