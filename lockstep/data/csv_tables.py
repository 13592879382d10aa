"""The cells of CSV, TSV and Parquet files, row by row, each with the line where the row begins."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lockstep.core.errors import LockstepError
from lockstep.data.charset import open_text
from lockstep.data.columns import NumberedCells

DELIMITERS = "\t,;|"
SAMPLE_ROWS = 50  # rows from which the delimiter is found
MAX_CELL_CHARS = 1 << 24  # characters; a longer cell comes from a quote that was never closed
MAX_LINE_CHARS = 1 << 24  # characters; a file with a longer line is no table
OTHER_FORMATS = (
    (re.compile(r"\s*(\[\s*)?\{\s*\""), "JSON", "Give it a name that ends in .json."),
    (re.compile(r"\s*<(!doctype\s+html|html)\b", re.IGNORECASE), "a web page", "Save the table itself as CSV."),
)
HEAD_CHARS = 200  # characters at a file's beginning that show one of OTHER_FORMATS
PARQUET_BATCH_ROWS = 1000  # rows read at once
QUOTED: dict[str, Any] = {"quoting": csv.QUOTE_MINIMAL, "strict": True}
PLAIN: dict[str, Any] = {"quoting": csv.QUOTE_NONE}


def read_table(path: Path, codec: str, delimiter: str = "auto", header: bool = True) -> Iterator[NumberedCells]:
    """The rows of a delimited text file, without blank lines.

    codec: as find_encoding gives it. delimiter: 'auto' or one character. header: whether the first line names the
    columns. Raises LockstepError, with the line, for a row with wrong quotes or with more or fewer cells than there are
    columns, and for a file of another format or with two columns of one name.
    """
    _refuse_other_formats(path, codec)
    is_named = delimiter != "auto"
    delimiter = _one_character(delimiter) if is_named else find_delimiter(path, codec)
    columns: list[str] = []
    header_cells: list[str] | None = None
    for line, cells in _rows(path, codec, delimiter, _quoting(path, codec, delimiter)):
        if not columns:
            columns = _column_names(path, cells) if header else _numbered_columns(len(cells))
            if is_named and len(columns) == 1:
                raise LockstepError(
                    f"{path} line {line}: there is no {_shown(delimiter)} in it (data.delimiter).",
                    "Write auto there, or the character that stands between its cells.",
                )
            if header:
                header_cells = cells
                continue
        if len(cells) != len(columns):
            cells = _drop_empty_end(cells, len(columns))
            if len(cells) != len(columns):
                raise _wrong_width(path, line, len(cells), len(columns), delimiter)
        if cells == header_cells:
            raise LockstepError(
                f"{path} line {line} names the columns again: two files were joined there.", "Take that line out."
            )
        yield line, dict(zip(columns, cells, strict=True))


def read_parquet(path: Path) -> Iterator[NumberedCells]:
    """The rows of a Parquet file, numbered from 1. Raises LockstepError when it is damaged."""
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            _refuse_equal_names(path, file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS):
                for cells in batch.to_pylist():
                    number += 1
                    yield number, cells
    except (ArrowException, OSError, ValueError, OverflowError) as error:  # texts that are not UTF-8, years beyond 9999
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LockstepError(f"{path} is no readable Parquet file: {reason}.", "Write it again.") from None


def find_delimiter(path: Path, codec: str) -> str:
    """The character that divides the first rows into equal numbers of cells, and into the most; a tab wins wherever it
    divides them equally."""
    best, best_score = ",", (False, False, 0)
    for delimiter in DELIMITERS:
        is_quoted, widths = True, _row_widths(path, codec, delimiter, QUOTED)
        if widths is None:
            is_quoted, widths = False, _row_widths(path, codec, delimiter, PLAIN) or []
        if not widths or widths[0] < 2:
            continue
        is_even = all(width == widths[0] for width in widths)
        if is_even and delimiter == "\t":
            return delimiter
        score = (is_quoted, is_even, widths[0])
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _row_widths(path: Path, codec: str, delimiter: str, quoting: dict[str, Any]) -> list[int] | None:
    """Cells in each of the first rows, or None where the quotes are wrong."""
    try:
        return [len(cells) for _, cells in islice(_rows(path, codec, delimiter, quoting), SAMPLE_ROWS)]
    except LockstepError:
        return None


def _rows(path: Path, codec: str, delimiter: str, quoting: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row that is not blank, however many cells it has. Raises LockstepError for wrong quotes."""
    csv.field_size_limit(MAX_CELL_CHARS)
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
                far = f"a quote opened here is closed in line {reader.line_num}, before other text"
                what = far if line < reader.line_num else "text follows a closing quote"
            raise LockstepError(
                f"{path} line {line}: {what}.", "Quote the whole cell, and double the quotes inside of it."
            ) from None


def _lines(path: Path, file: Iterable[str]) -> Iterator[str]:
    """The lines of a file, without the byte order marks that are left where files were joined."""
    for number, line in enumerate(file, start=1):
        if len(line) > MAX_LINE_CHARS:
            raise LockstepError(
                f"{path} line {number} has more than {MAX_LINE_CHARS:,} characters: this is no table.",
                "Write a row a line.",
            )
        yield line.lstrip("\ufeff") if line[0] == "\ufeff" else line


def _quoting(path: Path, codec: str, delimiter: str) -> dict[str, Any]:
    """Options of csv.reader for the quotes of this file: QUOTED or PLAIN.

    Quotes are plain characters only if reading them as CSV's quotes fails somewhere, if every line then has as many
    cells as the first, and if most cells with quotes have them inside rather than around the cell. (If csv.reader were
    lenient, one quote that is never closed would hide all rows after it.)
    """
    for quoting in (QUOTED, PLAIN):
        try:
            width, inside, around = 0, 0, 0
            for _, cells in _rows(path, codec, delimiter, quoting):
                width = width or len(cells)
                if len(cells) != width and len(_drop_empty_end(cells, width)) != width:
                    break
                if quoting is PLAIN:
                    with_quotes = [cell for cell in cells if '"' in cell]
                    wrapped = sum(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in with_quotes)
                    around, inside = around + wrapped, inside + len(with_quotes) - wrapped
            else:
                if around <= inside:
                    return quoting
        except LockstepError:
            continue
    return QUOTED


def _refuse_other_formats(path: Path, codec: str) -> None:
    """Raise LockstepError for a file of OTHER_FORMATS."""
    with open_text(path, codec) as file:
        head = file.read(HEAD_CHARS).lstrip("\ufeff")
    for pattern, what, remedy in OTHER_FORMATS:
        if pattern.match(head):
            raise LockstepError(f"{path} is {what}, whatever its name says.", remedy)


def _one_character(delimiter: str) -> str:
    """The character that data.delimiter stands for. Raises LockstepError where it stands for none."""
    character = {"\\t": "\t", "tab": "\t"}.get(delimiter, delimiter)
    if len(character) != 1 or character in '"\r\n':
        raise LockstepError(f"data.delimiter = {delimiter!r} is not one character.", 'Write auto, ";" or "\\t", say.')
    return character


def _column_names(path: Path, cells: list[str]) -> list[str]:
    """The names in the cells of the header. Raises LockstepError where two are equal."""
    names = [cell.strip("\ufeff \t") for cell in cells]
    _refuse_equal_names(path, names)
    return names


def _refuse_equal_names(path: Path, names: list[str]) -> None:
    """Raise LockstepError where two columns have one name: the cells of the first would be lost."""
    name, times = Counter(filter(None, names)).most_common(1)[0] if any(names) else ("", 1)
    if times > 1:
        raise LockstepError(f"{path} has {times} columns named {name}.", "Rename all but one.")


def _drop_empty_end(cells: list[str], width: int) -> list[str]:
    """The cells without empty ones beyond the last column: spreadsheets leave delimiters at the ends of lines."""
    return cells if any(cell.strip() for cell in cells[width:]) else cells[:width]


def _numbered_columns(count: int) -> list[str]:
    return [f"column_{number}" for number in range(1, count + 1)]


def _wrong_width(path: Path, line: int, cells: int, columns: int, delimiter: str) -> LockstepError:
    return LockstepError(
        f"{path} line {line}: {cells} {'cell' if cells == 1 else 'cells'} for {columns} columns "
        f"(delimiter: {_shown(delimiter)}).",
        'Put that line right; a cell with a delimiter or a line break in it needs "double quotes".',
    )


def _shown(delimiter: str) -> str:
    return {"\t": "tab", ",": "comma", ";": "semicolon"}.get(delimiter, delimiter)
