"""Objects of JSON and JSON Lines files, each with the line where it begins, read in pieces."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from stages.core.encoding import open_text
from stages.core.errors import LockstepError
from stages.core.tables import Row

PIECE = 1 << 20  # characters read at once
LONGEST_OBJECT = 1 << 26  # characters of one object of an array
SPACE = re.compile(r"[ \t\r\n]*")
NEXT_STEP = "Make it an array of objects, or JSON Lines: one object a line."


def read_json_rows(path: Path, codec: str) -> Iterator[Row]:
    """Objects of a .json or .jsonl file: an array, one object a line, or SQuAD's nesting.

    Raises LockstepError, with the line, where it is none of these.
    """
    with open_text(path, codec) as file:
        start = file.read(PIECE).lstrip("\ufeff \t\r\n")
    if not start:
        return iter(())
    if start.startswith("["):
        return _array(path, codec)
    if not start.startswith("{"):
        raise LockstepError(f"{path} is not JSON: it begins with {start[:20]!r}.", NEXT_STEP)
    with open_text(path, codec) as file:
        filled = (line for line in file if not line.isspace())
        first, second = next(filled), next(filled, "")
    try:
        value = json.loads(first.lstrip("\ufeff"))
    except ValueError:
        one_a_line = first.rstrip().endswith("}") and second.lstrip().startswith("{")  # the reader will name the line
    else:
        one_a_line = bool(second) or not isinstance(value.get("data"), list)
    return _lines(path, codec) if one_a_line else _nested(path, codec)


def _lines(path: Path, codec: str) -> Iterator[Row]:
    with open_text(path, codec) as file:
        for number, line in enumerate(file, start=1):
            if line.isspace():
                continue
            try:
                value = json.loads(line.lstrip("\ufeff"))
            except (ValueError, RecursionError) as error:
                raise _broken(path, number, error) from None
            yield number, _object(path, number, value)


def _array(path: Path, codec: str) -> Iterator[Row]:
    """Elements of one array. Only a piece of the file is in memory."""
    decoder = json.JSONDecoder()
    with open_text(path, codec) as file:
        text = file.read(PIECE)
        position, line = text.index("[") + 1, 1 + text.count("\n", 0, text.index("["))
        while True:
            after = SPACE.match(text, position).end()  # type: ignore[union-attr]
            if after == len(text):
                more = file.read(PIECE)
                if not more:
                    raise LockstepError(f"{path}: the array is not closed; the file ends early.", NEXT_STEP)
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
            text, position, value, end = _element(path, file, decoder, text, position, line)
            yield line, _object(path, line, value)
            line += text.count("\n", position, end)
            position = end


def _element(
    path: Path, file: IO[str], decoder: json.JSONDecoder, text: str, position: int, line: int
) -> tuple[str, int, Any, int]:
    """Decode the element at `position`, reading on while it is cut: (text, its start there, the element, its end)."""
    while True:
        try:
            value, end = decoder.raw_decode(text, position)
            return text, position, value, end
        except (ValueError, RecursionError) as error:
            place = getattr(error, "pos", 0)  # of a JSONDecodeError
            cut = "Unterminated string" in str(error) or place > len(text) - 12
            more = file.read(max(PIECE, len(text) - position)) if cut and len(text) - position < LONGEST_OBJECT else ""
            if not more:
                raise _broken(path, line + text.count("\n", position, place), error) from None
        text, position = text[position:] + more, 0


def _require_end(path: Path, file: IO[str], text: str) -> None:
    while text:
        if not text.isspace():
            raise LockstepError(f"{path}: something follows the end of the array: {text.strip()[:20]!r}.", NEXT_STEP)
        text = file.read(PIECE)


def _nested(path: Path, codec: str) -> Iterator[Row]:
    """Questions of a SQuAD file: data > paragraphs > qas, with the paragraph as context and the first answer.

    Such a file is read whole. The n-th key "question" of the text is the n-th question: inside a JSON string its quotes
    would be escaped.
    """
    with open_text(path, codec) as file:
        text = file.read()
    try:
        top = json.loads(text.lstrip("\ufeff"))
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
        keys = ", ".join(list(top)[:8])
        raise LockstepError(f"{path} is one JSON object (keys: {keys}), not an array of objects.", NEXT_STEP) from None
    line, position = 1, 0
    for match, cells in zip(re.finditer(r'"question"\s*:', text), questions, strict=False):
        line += text.count("\n", position, match.start())
        position = match.start()
        yield line, cells


def _object(path: Path, line: int, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    what = {list: "an array", str: "a text", type(None): "null", bool: "true or false"}.get(type(value), "a number")
    raise LockstepError(f'{path} line {line}: {what} where an object like {{"question": ...}} is needed.', NEXT_STEP)


def _broken(path: Path, line: int, error: Exception) -> LockstepError:
    reason = getattr(error, "msg", str(error))
    reason = reason[0].lower() + reason[1:]
    return LockstepError(f"{path} line {line} is not valid JSON: {reason}.", "Put that line right.")
