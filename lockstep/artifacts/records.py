"""Records, the output of prepare: a question with its answer, or a text, one per line of a JSON Lines file."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from lockstep.core.atomic_files import whole_file
from lockstep.core.errors import LockstepError

BATCH_CHARS = 1 << 19  # characters of lines read at once; enough to be worth sending to another process
REMEDY = "Run `make prepare` to make it again."


@dataclass(frozen=True, slots=True)
class Question:
    """A question and its answer. cluster: shared by near-duplicates. file, line: where it begins in the user's data."""

    id: str
    cluster: str
    question: str
    answer: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Text:
    """A document, or a passage of one. cluster, file, line: as in Question."""

    id: str
    cluster: str
    text: str
    file: str
    line: int


Record = Question | Text


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSON Lines, whole or not at all. Returns the number of records."""
    count = 0
    with whole_file(path) as file:
        for record in records:
            fields = {name: getattr(record, name) for name in record.__slots__}
            file.write(json.dumps(fields, ensure_ascii=False) + "\n")
            count += 1
    return count


def iterate_records(path: Path) -> Iterator[Record]:
    """Read records one by one. Raises LockstepError when the file is missing or a line is damaged."""
    for batch in line_batches(path):
        yield from batch.records()


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Some lines of a file of records, which another process can parse. first: number of the first line, from 1."""

    path: Path
    first: int
    lines: list[str]

    def records(self) -> Iterator[Record]:
        """The records of the lines. Raises LockstepError, with the line, where one is damaged."""
        for number, line in enumerate(self.lines, start=self.first):
            try:
                yield _record(line)
            except (ValueError, TypeError, RecursionError):
                raise LockstepError(f"{self.path} line {number} is damaged.", REMEDY) from None


def _record(line: str) -> Record:
    """The record of a line. Raises ValueError, TypeError or RecursionError where write_records did not write it."""
    fields = json.loads(line)
    record = Question(**fields) if "question" in fields else Text(**fields)
    texts = [value for name, value in fields.items() if name != "line"]
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.line, int):
        raise TypeError
    return record


def line_batches(path: Path) -> Iterator[LineBatch]:
    """The lines of a file of records, about BATCH_CHARS characters at a time; one empty batch for an empty file.

    Raises LockstepError when the file is missing or no text.
    """
    if not path.is_file():
        raise LockstepError(f"{path} is missing.", "Run `make prepare` first.")
    first = 1
    with open(path, encoding="utf-8") as file:
        lines = _next_lines(file, path, first)
        while True:
            yield LineBatch(path, first, lines)
            first += len(lines)
            if not (lines := _next_lines(file, path, first)):
                return


def _next_lines(file: TextIO, path: Path, first: int) -> list[str]:
    """The lines of the next batch; an empty list at the end. Raises LockstepError where they are no UTF-8."""
    try:
        return file.readlines(BATCH_CHARS)
    except UnicodeDecodeError:
        raise LockstepError(f"{path} is damaged after line {first - 1}.", REMEDY) from None


def read_records(path: Path) -> list[Record]:
    """All records of a file. Raises as iterate_records does."""
    return list(iterate_records(path))
