"""The user's rows as they are in the files, uncleaned, each with its file and line."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from lockstep.core.console import say
from lockstep.core.errors import LockstepError
from lockstep.core.settings import Data
from lockstep.data.charset import find_encoding, open_text, shown_encoding
from lockstep.data.columns import NumberedCells, PairColumns
from lockstep.data.csv_tables import DELIMITERS, read_parquet, read_table
from lockstep.data.json_files import read_json_rows
from lockstep.data.passages import Passage, read_passages
from lockstep.data.sources import Source

VERDICTS = ("good", "fixed", "bad")
PEEK_ROWS = 100  # rows that show which columns there are: the objects of a JSON file may have different keys
SHOWN_CHARS = 40  # characters of a line shown in an error


@dataclass(slots=True)
class ReadCounts:
    """Counts over the files read. encodings: files of each. left_aside: values not used, see PairColumns."""

    encodings: Counter[str] = field(default_factory=Counter)
    left_aside: Counter[str] = field(default_factory=Counter)


class RawRow(NamedTuple):
    """A row as read. file: index of its source. first, second: question and answer, or a passage and its separator."""

    file: int
    line: int
    first: str
    second: str
    bad: bool = False  # marked bad in chat: must not be learnt


def read_rows(sources: list[Source], kind: str, settings: Data, counts: ReadCounts) -> Iterator[RawRow]:
    """The rows of all sources in their order: pairs of kind 'qa', or passages of kind 'text'.

    counts: filled in while reading. Raises LockstepError as read_pairs, read_corrections and read_texts do.
    """
    for file, source in enumerate(sources):
        if source.corrections:
            for line, question, answer, bad in read_corrections(source, counts):
                yield RawRow(file, line, question, answer, bad)
        elif kind == "qa":
            for line, question, answer in read_pairs(source, settings, counts):
                yield RawRow(file, line, question, answer)
        else:
            for passage in read_texts(source, settings, counts):
                yield RawRow(file, passage.line, passage.text, passage.separator)


def read_pairs(source: Source, settings: Data, counts: ReadCounts) -> Iterator[tuple[int, str, str]]:
    """(line, question, answer) of each row, uncleaned.

    Raises LockstepError for a file that holds no rows or is damaged, and for columns that PairColumns does not find.
    """
    rows = _rows(source, settings, counts)
    first = list(islice(rows, PEEK_ROWS))
    if not first:
        raise LockstepError(f"{source.path} holds no rows.", "Add some, or leave the file out.")
    names = list(dict.fromkeys(name for _, cells in first for name in cells))
    columns = PairColumns(source.path, names, settings.question, settings.answer, settings.context)
    for line, cells in chain(first, rows):
        yield line, *columns.pair(line, cells)
    counts.left_aside.update(columns.left_aside)


def read_corrections(source: Source, counts: ReadCounts) -> Iterator[tuple[int, str, str, bool]]:
    """(line, question, answer, whether the answer was marked bad) of each correction made in chat.

    Raises LockstepError for a damaged line or an unknown verdict.
    """
    columns = PairColumns(source.path, ["question", "answer"], "question", "answer", None)
    for line, cells in read_json_rows(source.path, _encoding(source, "auto", counts)):
        verdict = cells.get("verdict", "good")
        if verdict not in VERDICTS:
            raise LockstepError(
                f"{source.path} line {line}: verdict {verdict!r} is none of {', '.join(VERDICTS)}.",
                "Put it right there.",
            )
        yield line, *columns.pair(line, cells), verdict == "bad"


def read_texts(source: Source, settings: Data, counts: ReadCounts) -> Iterator[Passage]:
    """The passages of a text file, uncleaned. Raises LockstepError for a file that is empty or no text."""
    codec = _encoding(source, settings.encoding, counts)
    return read_passages(source.path, codec, settings.passage_chars)


def _rows(source: Source, settings: Data, counts: ReadCounts) -> Iterator[NumberedCells]:
    """The rows of a file of questions and answers, by the ending of its name."""
    if source.ending == ".parquet":
        return read_parquet(source.path)
    codec = _encoding(source, settings.encoding, counts)
    match source.ending:
        case ".json" | ".jsonl" | ".ndjson":
            return read_json_rows(source.path, codec)
        case ".txt":
            _require_table(source.path, codec)
            return read_table(source.path, codec, settings.delimiter, settings.header)
        case ".csv" | ".tsv":
            return read_table(source.path, codec, settings.delimiter, settings.header)
    raise AssertionError(f"files ending in {source.ending} have no reader")


def _encoding(source: Source, wanted: str, counts: ReadCounts) -> str:
    """The codec of a file, which is counted, and printed where it is a guess."""
    codec = find_encoding(source.path, wanted)
    shown = shown_encoding(codec)
    counts.encodings[shown] += 1
    if shown != "utf-8" and wanted == "auto":
        say("prepare", f"{source.name} is read as {shown}; if letters come out wrong, name another in data.encoding")
    return codec


def _require_table(path: Path, codec: str) -> None:
    """Raise LockstepError for a .txt file whose first line has no delimiter: it is a text or another format."""
    with open_text(path, codec) as file:
        first = next((line for line in file if line.strip()), "")
    if not any(delimiter in first for delimiter in DELIMITERS):
        raise LockstepError(
            f"{path} is no table: its first line, {first.strip()[:SHOWN_CHARS]!r}, has no delimiter.",
            "Convert it to CSV or JSON with a question and an answer each, or set data.kind to text.",
        )
