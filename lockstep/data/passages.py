"""Passages of plain text files: parts of documents, cut where paragraphs end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lockstep.data.charset import open_text

READ_CHARS = 1 << 20  # characters of a line read at once; a longer line comes in parts
NEW_DOCUMENT = "\f"
SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*\s+|[。！？]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a document. separator: what stood before it, NEW_DOCUMENT, an empty line, a line break or a space."""

    line: int
    text: str
    separator: str


def read_passages(path: Path, codec: str, passage_chars: int) -> Iterator[Passage]:
    """The passages of a file, of about passage_chars characters each; 0 gives whole documents.

    codec: as find_encoding gives it. A line that holds only a form feed separates two documents. A passage ends at an
    empty line, or where there is none, at the end of a line or of a sentence.
    """
    parts: list[str] = []
    line, size = 0, 0
    separator = NEW_DOCUMENT
    for paragraph in _paragraphs(path, codec, passage_chars):
        too_long = passage_chars and size and size + len(paragraph.text) > passage_chars
        if parts and (paragraph.separator == NEW_DOCUMENT or (too_long and size >= passage_chars / 2)):
            yield Passage(line, "".join(parts), separator)
            parts, size = [], 0
        if parts:
            parts.append(paragraph.separator)
        else:
            line, separator = paragraph.line, paragraph.separator
        parts.append(paragraph.text)
        size += len(paragraph.text) + len(paragraph.separator)
        if passage_chars and size >= passage_chars:
            yield Passage(line, "".join(parts), separator)
            parts, size = [], 0
    if parts:
        yield Passage(line, "".join(parts), separator)


def _paragraphs(path: Path, codec: str, passage_chars: int) -> Iterator[Passage]:
    """The paragraphs of a file; those longer than a passage come in parts."""
    lines: list[str] = []
    start, size, separator = 0, 0, NEW_DOCUMENT
    for number, text in _numbered_lines(path, codec):
        is_blank = not text.strip()
        if lines and (is_blank or (passage_chars and size + len(text) > passage_chars)):
            yield from _cut(Passage(start, "\n".join(lines), separator), passage_chars)
            lines, size, separator = [], 0, "\n"
        if is_blank:
            separator = NEW_DOCUMENT if "\f" in text or separator == NEW_DOCUMENT else "\n\n"
            continue
        if not lines:
            start = number
        lines.append(text)
        size += len(text) + 1
    if lines:
        yield from _cut(Passage(start, "\n".join(lines), separator), passage_chars)


def _cut(paragraph: Passage, passage_chars: int) -> Iterator[Passage]:
    """A paragraph in parts no longer than about a passage, cut at the ends of sentences, else at spaces."""
    text, separator, begin = paragraph.text, paragraph.separator, 0
    while passage_chars and len(text) - begin > 1.5 * passage_chars:
        limit = begin + passage_chars
        ends = [match.end() for match in SENTENCE_END.finditer(text, begin + passage_chars // 2, limit)]
        end = ends[-1] if ends else text.rfind(" ", begin + 1, limit) + 1 or limit
        yield Passage(paragraph.line, text[begin:end].rstrip(), separator)
        separator = " " if text[end - 1].isspace() else ""
        begin = end
    yield Passage(paragraph.line, text[begin:], separator)


def _numbered_lines(path: Path, codec: str) -> Iterator[tuple[int, str]]:
    """(line number, text without its line break); a very long line comes in parts of the same number."""
    number = 1
    with open_text(path, codec) as file:
        while text := file.readline(READ_CHARS):
            yield number, text.rstrip("\n")
            number += text.endswith("\n")
