"""Rows of CSV, TSV and Parquet files, each with the line where it begins."""

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from stages.core.encoding import open_text
from stages.core.errors import LockstepError

Row = tuple[int, dict[str, Any]]  # line in the file, cells by column name

DELIMITERS = "\t,;|"
SAMPLE_ROWS = 50  # rows from which the delimiter is told
LONGEST_CELL = 1 << 24  # characters; what is longer comes from a quote that was never closed
BATCH = 1000  # Parquet rows read at once
QUOTED: dict[str, Any] = {"quoting": csv.QUOTE_MINIMAL, "strict": True}
PLAIN: dict[str, Any] = {"quoting": csv.QUOTE_NONE}


def read_table(path: Path, codec: str, delimiter: str = "auto", header: bool = True) -> Iterator[Row]:
    """Rows of a delimited text file; blank lines are passed over.

    codec: as find_encoding says. delimiter: 'auto' or one character. header: whether the first line names the columns.
    Raises LockstepError, with the line, for a row with more or fewer cells than there are columns.
    """
    if delimiter == "auto":
        delimiter = find_delimiter(path, codec)
    elif len(delimiter := {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)) != 1 or delimiter in '"\r\n':
        raise LockstepError(f"data.delimiter = {delimiter!r} is not one character.", 'Write auto, ";" or "\\t", say.')
    columns: list[str] = []
    for line, cells in _rows(path, codec, delimiter, _quoting(path, codec, delimiter)):
        if not columns:
            columns = [cell.strip("\ufeff \t") for cell in cells] if header else _numbered(len(cells))
            if header:
                continue
        if len(cells) != len(columns):
            cells = _without_empty_end(cells, len(columns))
            if len(cells) != len(columns):
                raise _ragged(path, line, len(cells), len(columns), delimiter)
        yield line, dict(zip(columns, cells, strict=True))


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, numbered from 1. Raises LockstepError when it is damaged."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=BATCH):
                for cells in batch.to_pylist():
                    number += 1
                    yield number, cells
    except (ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise LockstepError(f"{path} is no readable Parquet file: {reason}.", "Write it again.") from None


def find_delimiter(path: Path, codec: str) -> str:
    """The character that cuts the first rows into equally many cells, and into the most; a tab where it does."""
    best, best_score = ",", (False, False, 0)
    for delimiter in DELIMITERS:
        quoted, counts = True, _widths(path, codec, delimiter, QUOTED)
        if counts is None:
            quoted, counts = False, _widths(path, codec, delimiter, PLAIN) or []
        if not counts or counts[0] < 2:
            continue
        even = all(count == counts[0] for count in counts)
        if even and delimiter == "\t":
            return delimiter
        best, best_score = max((best, best_score), (delimiter, (quoted, even, counts[0])), key=lambda found: found[1])
    return best


def _widths(path: Path, codec: str, delimiter: str, quoting: dict[str, Any]) -> list[int] | None:
    """Cells in each of the first rows, or None where the quotes are wrong."""
    try:
        return [len(cells) for _, cells in islice(_rows(path, codec, delimiter, quoting), SAMPLE_ROWS)]
    except LockstepError:
        return None


def _rows(path: Path, codec: str, delimiter: str, quoting: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank, whatever their number."""
    csv.field_size_limit(LONGEST_CELL)
    with open_text(path, codec, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, **quoting)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            after = "expected after" in str(error)
            what = "text follows a closing quote" if after else "a quote is opened and never closed"
            raise LockstepError(
                f"{path} line {line}: {what}.", "Quote the whole cell, and double the quotes inside of it."
            ) from None


def _quoting(path: Path, codec: str, delimiter: str) -> dict[str, Any]:
    """How quotes are to be read in this file.

    As CSV has it, unless that fails somewhere and, taken as plain characters, they leave every line with as many cells
    as the first. (Read leniently, one quote that is never closed would hide all rows after it.)
    """
    for quoting in (QUOTED, PLAIN):
        try:
            width = 0
            for _, cells in _rows(path, codec, delimiter, quoting):
                width = width or len(cells)
                if len(cells) != width and len(_without_empty_end(cells, width)) != width:
                    break
            else:
                return quoting
        except LockstepError:
            continue
    return QUOTED


def _without_empty_end(cells: list[str], width: int) -> list[str]:
    """Empty cells beyond the last column are let go: spreadsheets leave delimiters at the ends of lines."""
    return cells if any(cell.strip() for cell in cells[width:]) else cells[:width]


def _numbered(count: int) -> list[str]:
    return [f"column_{number}" for number in range(1, count + 1)]


def _ragged(path: Path, line: int, found: int, wanted: int, delimiter: str) -> LockstepError:
    shown = {"\t": "tab", ",": "comma", ";": "semicolon"}.get(delimiter, delimiter)
    return LockstepError(
        f"{path} line {line}: {found} {'cell' if found == 1 else 'cells'} for {wanted} columns (delimiter: {shown}).",
        'Put that line right; a cell with a delimiter or a line break in it needs "double quotes".',
    )
