"""Objects of JSON and JSON Lines files, each with the line where it begins, read bit by bit."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from lockstep.core.errors import LockstepError, shortened
from lockstep.data.charset import open_text
from lockstep.data.columns import CHATS, NumberedCells
from lockstep.data.json_errors import describe_json_error, unique_keys

READ_CHARS = 1 << 20  # characters read at once
MAX_OBJECT_CHARS = 1 << 26  # characters of one object of an array
MAX_TOKEN_CHARS = 12  # characters; an error so near the end may come from a token that is cut off
SPACE = re.compile(r"[ \t\r\n]*")
DECODER = json.JSONDecoder(object_pairs_hook=unique_keys)
REMEDY = "Make it an array of objects, or JSON Lines: one object a line."
SHOWN_KEYS = 8  # keys of an object listed in an error
SHOWN_CHARS = 20  # characters of the text shown in an error


def read_json_rows(path: Path, codec: str) -> Iterator[NumberedCells]:
    """The objects of a .json or .jsonl file: an array, one object per line, or SQuAD's nesting.

    codec: as find_encoding gives it. Raises LockstepError, with the line, where the file is none of these.
    """
    with open_text(path, codec) as file:
        start = file.read(READ_CHARS).lstrip("\ufeff \t\r\n")
    if not start:
        return iter(())
    if start.startswith("["):
        return _array(path, codec)
    if not start.startswith("{"):
        raise LockstepError(f"{path} is not JSON: it begins with {start[:SHOWN_CHARS]!r}.", REMEDY)
    with open_text(path, codec) as file:
        filled = (line for line in file if not line.isspace())
        first, second = next(filled), next(filled, "")
    try:
        value = DECODER.decode(first.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        whole_line = first.rstrip().endswith("}") and second.lstrip().startswith("{")
        is_json_lines = whole_line or not second  # _lines will name the broken line
    else:
        is_json_lines = bool(second) or _is_row(value)
    return _lines(path, codec) if is_json_lines else _nested(path, codec)


def _is_row(value: dict[str, Any]) -> bool:
    """Whether a file's only object is a row, rather than an object that holds the rows."""
    if isinstance(value.get("data"), list):
        return False
    is_chat = any(key.strip().lower() in CHATS for key in value)
    return not value or is_chat or not all(isinstance(cell, list | dict) for cell in value.values())


def _lines(path: Path, codec: str) -> Iterator[NumberedCells]:
    """The objects of JSON Lines."""
    with open_text(path, codec) as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                value = DECODER.decode(line.lstrip("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise _broken(path, number, error) from None
            yield number, _object(path, number, value)


def _array(path: Path, codec: str) -> Iterator[NumberedCells]:
    """The elements of one array, of which READ_CHARS characters or one long element are in memory."""
    with open_text(path, codec) as file:
        text = file.read(READ_CHARS)
        position, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
        while True:
            after = SPACE.match(text, position).end()  # type: ignore[union-attr]
            if after == len(text):
                more = file.read(READ_CHARS)
                if not more:
                    raise LockstepError(
                        f"{path} line {line}: the array is not closed; the file ends early.",
                        "Save or fetch it again, or end it with ].",
                    )
                line += text.count("\n", position)
                text, position = more, 0
                continue
            line += text.count("\n", position, after)
            position = after
            if text[position] in ",]":
                if text[position] == "]":
                    _require_end(path, file, text[position + 1 :])
                    return
                position += 1
                continue
            text, position, value, end = _element(path, file, text, position, line)
            yield line, _object(path, line, value)
            line += text.count("\n", position, end)
            position = end


def _element(path: Path, file: IO[str], text: str, position: int, line: int) -> tuple[str, int, Any, int]:
    """Decode the element at `position`, and read on while it is cut off.

    Returns (text in memory, start of the element in it, the element, its end). line: of the element, for the error.
    """
    while True:
        try:
            value, end = DECODER.raw_decode(text, position)
            return text, position, value, end
        except (ValueError, RecursionError) as error:
            error_at = getattr(error, "pos", position)  # JSONDecodeError has it, RecursionError has not
            may_be_cut = "Unterminated string" in str(error) or error_at > len(text) - MAX_TOKEN_CHARS
            size = len(text) - position
            more = file.read(max(READ_CHARS, size)) if may_be_cut and size < MAX_OBJECT_CHARS else ""
            if not more:
                raise _broken(path, line + text.count("\n", position, error_at), error) from None
        text, position = text[position:] + more, 0


def _require_end(path: Path, file: IO[str], text: str) -> None:
    """Raise LockstepError where more than white space follows the array. text: what is read already."""
    while text:
        if not text.isspace():
            raise LockstepError(
                f"{path}: something follows the end of the array: {text.strip()[:SHOWN_CHARS]!r}.", REMEDY
            )
        text = file.read(READ_CHARS)


def _nested(path: Path, codec: str) -> Iterator[NumberedCells]:
    """The questions of a SQuAD file (data > paragraphs > qas), with their answers and the paragraph as context.

    Such a file is read whole. The n-th key "question" in its text belongs to the n-th question: inside a JSON string
    its quotes would be escaped.
    """
    with open_text(path, codec) as file:
        text = file.read().lstrip("\ufeff")
    try:
        top = DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise _broken(path, getattr(error, "lineno", 1), error) from None
    try:
        questions = [
            {"question": qa["question"], "answer": qa.get("answers"), "context": paragraph.get("context")}
            for article in top["data"]
            for paragraph in article["paragraphs"]
            for qa in paragraph["qas"]
        ]
    except (KeyError, TypeError, AttributeError):
        raise _no_rows(path, top) from None
    line, position = 1, 0
    starts = (match.start() for match in re.finditer(r'"question"\s*:', text))
    for cells in questions:
        start = next(starts, position)
        line += text.count("\n", position, start)
        position = start
        yield line, cells


def _no_rows(path: Path, top: dict[str, Any]) -> LockstepError:
    """The error for an object that holds the rows in another way than SQuAD."""
    more = ", ..." if len(top) > SHOWN_KEYS else ""
    keys = ", ".join(shortened(key) for key in list(top)[:SHOWN_KEYS]) + more
    if len(top) > 1 and _are_columns(list(top.values())):
        return LockstepError(
            f"{path} holds whole columns ({keys}), not rows.",
            'Write it row by row: pandas does with to_json(orient="records").',
        )
    return LockstepError(f"{path} is one JSON object (keys: {keys}), not an array of objects.", REMEDY)


def _are_columns(values: list[Any]) -> bool:
    """Whether each value holds the cells of a column: by row number, as pandas writes them, or as a list."""
    if all(isinstance(value, dict) for value in values):
        return True
    return all(isinstance(value, list) and not any(isinstance(cell, dict) for cell in value) for value in values)


def _object(path: Path, line: int, value: Any) -> dict[str, Any]:
    """The value, which has to be an object. Raises LockstepError, with the line, where it is none."""
    if isinstance(value, dict):
        return value
    what = {list: "an array", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
    raise LockstepError(f'{path} line {line}: {what} where an object like {{"question": ...}} is needed.', REMEDY)


def _broken(path: Path, line: int, error: Exception) -> LockstepError:
    """The error for text that is not valid JSON."""
    return LockstepError(f"{path} line {line} is not valid JSON: {describe_json_error(error)}.", "Put that line right.")
