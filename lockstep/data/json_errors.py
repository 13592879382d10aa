"""What is wrong with some JSON, in words for the user."""

from json import JSONDecodeError
from typing import Any

SHOWN_CHARS = 15  # characters of the text shown where it goes wrong
WORDINGS = {  # the beginning of json's message -> ours
    "Expecting property name": 'a key in "double quotes" is needed, not {shown}',
    "Expecting value": 'a value is needed, such as a text in "double quotes", not {shown}',
    "Expecting ','": "a comma is missing before {shown}, or a quote near it is wrong",
    "Expecting ':'": "a colon is missing before {shown}",
    "Unterminated string": "a text is opened and never closed",
    "Invalid control": "a line break or control character stands inside a text; a line break is written \\n",
    "Invalid \\escape": "a backslash stands before nothing it can escape; itself it is written \\\\",
    "Invalid \\uXXXX": "four hexadecimal digits are needed after \\u",
    "Extra data": "more follows the object: {shown}",
}


class DuplicateKeyError(ValueError):
    """An object has a key twice, so one of its values would be lost."""


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object that has these members, for JSONDecoder's object_pairs_hook. Raises DuplicateKeyError."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise DuplicateKeyError(f'the key "{repeated[: 2 * SHOWN_CHARS]}" stands twice in one object')
    return values


def describe_json_error(error: Exception) -> str:
    """What is wrong, as a clause of a sentence.

    error: JSONDecodeError, DuplicateKeyError, RecursionError, or int()'s ValueError for a huge number.
    """
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, DuplicateKeyError):
        return str(error)
    if not isinstance(error, JSONDecodeError):
        return "a number has more than 4,300 digits"
    rest = error.doc[error.pos : error.pos + 2 * SHOWN_CHARS]
    if not rest.strip() and not error.doc[error.pos + len(rest) :].strip():
        return "it ends too early"
    if error.doc[: error.pos].rstrip().endswith(",") and rest[:1] in "}]":
        return f"a comma too many stands before {rest[0]}"
    shown = repr(rest.partition("\n")[0].rstrip()[:SHOWN_CHARS])
    for message, wording in WORDINGS.items():
        if error.msg.startswith(message):
            return wording.format(shown=shown)
    return error.msg[0].lower() + error.msg[1:]
