"""One question and answer, or one text: what flows from prepare to the stages after it."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.core.errors import LockstepError
from stages.core.files import whole_file

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
            file.write(json.dumps(asdict(record), ensure_ascii=False) + "\n")
            count += 1
    return count


def iterate_records(path: Path) -> Iterator[Record]:
    """Read records one by one. Raises LockstepError when the file is missing or a line is broken."""
    if not path.is_file():
        raise LockstepError(f"{path} is missing.", "Run `make prepare` first.")
    read = 0
    with open(path, encoding="utf-8") as file:
        try:
            for line in file:
                yield _record(line)
                read += 1
        except UnicodeDecodeError:  # in one of the next lines: they are decoded some at a time
            raise LockstepError(f"{path} is damaged after line {read}.", REMEDY) from None
        except (ValueError, TypeError, RecursionError):
            raise LockstepError(f"{path} line {read + 1} is damaged.", REMEDY) from None


def _record(line: str) -> Record:
    """Raises ValueError, TypeError or RecursionError where the line is not as write_records writes it."""
    fields = json.loads(line)
    record = Question(**fields) if "question" in fields else Text(**fields)
    texts = [value for name, value in fields.items() if name != "line"]
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.line, int):
        raise TypeError
    return record


def read_records(path: Path) -> list[Record]:
    """All records of a file. Raises as iterate_records does."""
    return list(iterate_records(path))
