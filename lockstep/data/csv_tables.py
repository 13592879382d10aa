"""Rows of CSV, TSV and Parquet files, each with the line where it begins."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lockstep.core.errors import LockstepError
from lockstep.data.charset import open_text

Row = tuple[int, dict[str, Any]]  # line in the file, cells by column name

DELIMITERS = "\t,;|"
SAMPLE_ROWS = 50  # rows from which the delimiter is told
LONGEST_CELL = 1 << 24  # characters; what is longer comes from a quote that was never closed
LONGEST_LINE = 1 << 24  # characters; what is longer is no table
OTHER_FORMATS = (
    (re.compile(r"\s*(\[\s*)?\{\s*\""), "JSON", "Give it a name that ends in .json."),
    (re.compile(r"\s*<(!doctype\s+html|html)\b", re.IGNORECASE), "a web page", "Save the table itself as CSV."),
)
HEAD = 200  # characters from which those are told
BATCH = 1000  # Parquet rows read at once
QUOTED: dict[str, Any] = {"quoting": csv.QUOTE_MINIMAL, "strict": True}
PLAIN: dict[str, Any] = {"quoting": csv.QUOTE_NONE}


def read_table(path: Path, codec: str, delimiter: str = "auto", header: bool = True) -> Iterator[Row]:
    """Rows of a delimited text file; blank lines are passed over.

    codec: as find_encoding says. delimiter: 'auto' or one character. header: whether the first line names the columns.
    Raises LockstepError, with the line, for a row with more or fewer cells than there are columns or wrong quotes, and
    for a file of another format or with two columns of one name.
    """
    _refuse_other_formats(path, codec)
    named = delimiter != "auto"
    delimiter = _one_character(delimiter) if named else find_delimiter(path, codec)
    columns: list[str] = []
    names: list[str] | None = None  # the first line's cells
    for line, cells in _rows(path, codec, delimiter, _quoting(path, codec, delimiter)):
        if not columns:
            columns = _column_names(path, cells) if header else _numbered(len(cells))
            if named and len(columns) == 1:
                raise LockstepError(
                    f"{path} line {line}: there is no {_shown(delimiter)} in it (data.delimiter).",
                    "Write auto there, or the character that stands between its cells.",
                )
            if header:
                names = cells
                continue
        if len(cells) != len(columns):
            cells = _without_empty_end(cells, len(columns))
            if len(cells) != len(columns):
                raise _ragged(path, line, len(cells), len(columns), delimiter)
        if cells == names:
            raise LockstepError(
                f"{path} line {line} names the columns again: two files were joined there.", "Take that line out."
            )
        yield line, dict(zip(columns, cells, strict=True))


def read_parquet(path: Path) -> Iterator[Row]:
    """Rows of a Parquet file, numbered from 1. Raises LockstepError when it is damaged."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _refuse_twins(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=BATCH):
                for cells in batch.to_pylist():
                    number += 1
                    yield number, cells
    except (ArrowException, OSError, ValueError, OverflowError) as error:  # texts that are not UTF-8, years beyond 9999
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
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
        reader = csv.reader(_lines(path, file), delimiter=delimiter, **quoting)
        line = 1
        try:
            for cells in reader:
                if cells:
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            what = "a quote is opened and never closed"
            if "expected after" in str(error):
                later = f"a quote opened here is closed in line {reader.line_num}, before other text"
                what = later if line < reader.line_num else "text follows a closing quote"
            raise LockstepError(
                f"{path} line {line}: {what}.", "Quote the whole cell, and double the quotes inside of it."
            ) from None


def _lines(path: Path, file: Iterable[str]) -> Iterator[str]:
    """The lines, without the byte order marks that joining files leaves at the beginning of some."""
    for number, line in enumerate(file, start=1):
        if len(line) > LONGEST_LINE:
            raise LockstepError(
                f"{path} line {number} has more than {LONGEST_LINE:,} characters: this is no table.",
                "Write a row a line.",
            )
        yield line.lstrip("\ufeff") if line[0] == "\ufeff" else line


def _quoting(path: Path, codec: str, delimiter: str) -> dict[str, Any]:
    """How quotes are to be read in this file.

    As CSV has it, unless that fails somewhere and, taken as plain characters, they leave every line with as many cells
    as the first, and most cells with quotes have them inside rather than around. (Read leniently, one quote that is
    never closed would hide all rows after it.)
    """
    for quoting in (QUOTED, PLAIN):
        try:
            width, within, around = 0, 0, 0
            for _, cells in _rows(path, codec, delimiter, quoting):
                width = width or len(cells)
                if len(cells) != width and len(_without_empty_end(cells, width)) != width:
                    break
                if quoting is PLAIN:
                    quoted = [cell for cell in cells if '"' in cell]
                    wrapped = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in quoted)
                    around, within = around + wrapped, within + len(quoted) - wrapped
            else:
                if around <= within:
                    return quoting
        except LockstepError:
            continue
    return QUOTED


def _refuse_other_formats(path: Path, codec: str) -> None:
    with open_text(path, codec) as file:
        head = file.read(HEAD).lstrip("\ufeff")
    for pattern, what, remedy in OTHER_FORMATS:
        if pattern.match(head):
            raise LockstepError(f"{path} is {what}, whatever its name says.", remedy)


def _one_character(delimiter: str) -> str:
    """data.delimiter as it is meant."""
    character = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise LockstepError(f"data.delimiter = {delimiter!r} is not one character.", 'Write auto, ";" or "\\t", say.')
    return character


def _column_names(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip("\ufeff \t") for cell in cells]
    _refuse_twins(path, names)
    return names


def _refuse_twins(path: Path, names: list[str]) -> None:
    """Raise LockstepError where two columns have one name: the cells of the first would be lost."""
    name, times = Counter(filter(None, names)).most_common(1)[0] if any(names) else ("", 1)
    if times > 1:
        raise LockstepError(f"{path} has {times} columns named {name}.", "Rename all but one.")


def _without_empty_end(cells: list[str], width: int) -> list[str]:
    """Empty cells beyond the last column are let go: spreadsheets leave delimiters at the ends of lines."""
    return cells if any(cell.strip() for cell in cells[width:]) else cells[:width]


def _numbered(count: int) -> list[str]:
    return [f"column_{number}" for number in range(1, count + 1)]


def _ragged(path: Path, line: int, found: int, wanted: int, delimiter: str) -> LockstepError:
    return LockstepError(
        f"{path} line {line}: {found} {'cell' if found == 1 else 'cells'} for {wanted} columns "
        f"(delimiter: {_shown(delimiter)}).",
        'Put that line right; a cell with a delimiter or a line break in it needs "double quotes".',
    )


def _shown(delimiter: str) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon"}.get(delimiter, delimiter)
