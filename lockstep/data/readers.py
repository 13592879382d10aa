"""The user's rows as they stand in the files, one after the other, each with its file and line."""

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
from lockstep.data.columns import PairColumns
from lockstep.data.csv_tables import DELIMITERS, Row, read_parquet, read_table
from lockstep.data.json_files import read_json_rows
from lockstep.data.passages import Passage, read_passages
from lockstep.data.sources import Source

VERDICTS = ("good", "fixed", "bad")
PEEK = 100  # rows whose keys are looked at, as the objects of a JSON file need not all have the same


@dataclass(slots=True)
class Noted:
    """What is worth counting about the files themselves."""

    encodings: Counter[str] = field(default_factory=Counter)  # files by encoding
    left_aside: Counter[str] = field(default_factory=Counter)  # see PairColumns.noted


class RawRow(NamedTuple):
    """A row as read. file: index of its source. second: the answer, or the glue of a passage."""

    file: int
    line: int
    first: str
    second: str
    bad: bool = False  # marked in chat as an answer that must not be learnt


def read_rows(sources: list[Source], kind: str, settings: Data, noted: Noted) -> Iterator[RawRow]:
    """All rows of the sources in their order: 'qa' pairs or 'text' passages. Raises LockstepError as the readers do."""
    for file, source in enumerate(sources):
        if source.corrections:
            for line, question, answer, bad in read_corrections(source, noted):
                yield RawRow(file, line, question, answer, bad)
        elif kind == "qa":
            for line, question, answer in read_pairs(source, settings, noted):
                yield RawRow(file, line, question, answer)
        else:
            for passage in read_texts(source, settings, noted):
                yield RawRow(file, passage.line, passage.text, passage.glue)


def read_pairs(source: Source, settings: Data, noted: Noted) -> Iterator[tuple[int, str, str]]:
    """(line, question, answer) of each row, uncleaned.

    Raises LockstepError for a file that holds no rows, is damaged, or whose columns can't be told.
    """
    rows = _rows(source, settings, noted)
    first = list(islice(rows, PEEK))
    if not first:
        raise LockstepError(f"{source.path} holds no rows.", "Add some, or leave the file out.")
    found = list(dict.fromkeys(name for _, cells in first for name in cells))
    columns = PairColumns(source.path, found, settings.question, settings.answer, settings.context)
    for line, cells in chain(first, rows):
        yield line, *columns.pair(line, cells)
    noted.left_aside.update(columns.noted)


def read_corrections(source: Source, noted: Noted) -> Iterator[tuple[int, str, str, bool]]:
    """(line, question, answer, whether the answer was marked bad) of each verdict given in chat.

    Raises LockstepError for a damaged line or an unknown verdict.
    """
    columns = PairColumns(source.path, ["question", "answer"], "question", "answer", None)
    for line, cells in read_json_rows(source.path, _encoding(source, "auto", noted)):
        verdict = cells.get("verdict", "good")
        if verdict not in VERDICTS:
            raise LockstepError(
                f"{source.path} line {line}: verdict {verdict!r} is none of {', '.join(VERDICTS)}.",
                "Put it right there.",
            )
        yield line, *columns.pair(line, cells), verdict == "bad"


def read_texts(source: Source, settings: Data, noted: Noted) -> Iterator[Passage]:
    """The passages of a text file, uncleaned. Raises LockstepError for a file that is empty or no text."""
    codec = _encoding(source, settings.encoding, noted)
    return read_passages(source.path, codec, settings.passage_chars)


def _rows(source: Source, settings: Data, noted: Noted) -> Iterator[Row]:
    if source.ending == ".parquet":
        return read_parquet(source.path)
    codec = _encoding(source, settings.encoding, noted)
    if source.ending == ".txt":
        _require_table(source.path, codec)
    if source.ending in (".json", ".jsonl", ".ndjson"):
        return read_json_rows(source.path, codec)
    return read_table(source.path, codec, settings.delimiter, settings.header)


def _encoding(source: Source, wanted: str, noted: Noted) -> str:
    codec = find_encoding(source.path, wanted)
    shown = shown_encoding(codec)
    noted.encodings[shown] += 1
    if shown != "utf-8" and wanted == "auto":
        say("prepare", f"{source.name} is read as {shown}; if letters come out wrong, name another in data.encoding")
    return codec


def _require_table(path: Path, codec: str) -> None:
    """Raise LockstepError for a .txt file whose first line holds no delimiter: it is a text, or a format of its own."""
    with open_text(path, codec) as file:
        first = next((line for line in file if line.strip()), "")
    if not any(delimiter in first for delimiter in DELIMITERS):
        raise LockstepError(
            f"{path} is no table: its first line, {first.strip()[:40]!r}, has no delimiter.",
            "Convert it to CSV or JSON with a question and an answer each, or set data.kind to text.",
        )
