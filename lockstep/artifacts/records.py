"""One question and answer, or one text: what flows from prepare to the stages after it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lockstep.core.atomic_files import whole_file
from lockstep.core.errors import LockstepError

PIECE = 1 << 19  # characters; as much as is worth sending to another process
REMEDY = "Run `make prepare` to make it again."


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its answer. file and line say where the user wrote it; cluster is shared by near-duplicates."""

    id: str
    cluster: str
    question: str
    answer: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """A document, or a passage of one. file and line say where it begins."""

    id: str
    cluster: str
    text: str
    file: str
    line: int


Record = Question | Text


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSON Lines, whole or not at all; returns how many."""
    count = 0
    with whole_file(path) as file:
        for record in records:
            fields = {name: getattr(record, name) for name in record.__slots__}
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            count += 1
    return count


def iterate_records(path: Path) -> Iterator[Record]:
    """Read records one by one. Raises LockstepError when the file is missing or a line is broken."""
    for lines in record_lines(path):
        yield from lines.records()


@dataclass(frozen=True, slots=True)
class Lines:
    """Some lines of a file of records, not yet read: other processes can do that. first: number of the first one."""

    path: Path
    first: int
    lines: list[str]

    def records(self) -> Iterator[Record]:
        """The records. Raises LockstepError naming the line that is broken."""
        for number, line in enumerate(self.lines, start=self.first):
            try:
                yield _record(line)
            except (ValueError, TypeError, RecursionError):
                raise LockstepError(f"{self.path} line {number} is damaged.", REMEDY) from None


def _record(line: str) -> Record:
    """Raises ValueError, TypeError or RecursionError where the line is not as write_records writes it."""
    fields = json.loads(line)
    record = Question(**fields) if "question" in fields else Text(**fields)
    texts = [value for name, value in fields.items() if name != "line"]
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.line, int):
        raise TypeError
    return record


def record_lines(path: Path) -> Iterator[Lines]:
    """The lines of a file of records, about PIECE characters at a time; for an empty file one piece without lines.

    Raises LockstepError when the file is missing or no text.
    """
    if not path.is_file():
        raise LockstepError(f"{path} is missing.", "Run `make prepare` first.")
    first = 1
    with open(path, encoding="utf-8") as file:
        lines = _next_lines(file, path, first)
        while True:
            yield Lines(path, first, lines)
            first += len(lines)
            if not (lines := _next_lines(file, path, first)):
                return


def _next_lines(file: TextIO, path: Path, first: int) -> list[str]:
    try:
        return file.readlines(PIECE)
    except UnicodeDecodeError:
        raise LockstepError(f"{path} is damaged after line {first - 1}.", REMEDY) from None


def read_records(path: Path) -> list[Record]:
    """All records of a file. Raises as iterate_records does."""
    return list(iterate_records(path))
