"""One question and answer, or one text: what flows from prepare to the stages after it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.core.errors import LockstepError
from stages.core.files import whole_file

PIECE = 1 << 19  # characters; as much as is worth sending to another process


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
                fields = json.loads(line)
                yield Question(**fields) if "question" in fields else Text(**fields)
            except (ValueError, TypeError):
                raise LockstepError(
                    f"{self.path} line {number} is damaged.", "Run `make prepare` to make it again."
                ) from None


def record_lines(path: Path) -> Iterator[Lines]:
    """The lines of a file of records, about PIECE characters at a time; for an empty file one piece without lines.

    Raises LockstepError when the file is missing.
    """
    if not path.exists():
        raise LockstepError(f"{path} is missing.", "Run `make prepare` first.")
    first = 1
    with open(path, encoding="utf-8") as file:
        lines = file.readlines(PIECE)
        while True:
            yield Lines(path, first, lines)
            first += len(lines)
            if not (lines := file.readlines(PIECE)):
                return


def read_records(path: Path) -> list[Record]:
    """All records of a file. Raises as iterate_records does."""
    return list(iterate_records(path))
