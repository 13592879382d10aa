"""Passages of plain text files: pieces of documents, cut where paragraphs end."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lockstep.data.charset import open_text

LONGEST_LINE = 1 << 20  # characters read at once, where a line is longer than that
NEW_DOCUMENT = "\f"
SENTENCE_END = re.compile(r"[.!?…][\"'”’)]*\s+|[。！？]")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document. glue is what stood before it: NEW_DOCUMENT, an empty line, a line break or a blank."""

    line: int
    text: str
    glue: str


def read_passages(path: Path, codec: str, passage_chars: int) -> Iterator[Passage]:
    """Passages of about passage_chars characters; 0 gives whole documents.

    A line that holds a form feed alone stands between two documents. A passage ends at an empty line, or where none
    comes, at the end of a line or of a sentence.
    """
    parts: list[str] = []
    line, size = 0, 0
    glue = NEW_DOCUMENT
    for piece in _pieces(path, codec, passage_chars):
        too_long = passage_chars and size and size + len(piece.text) > passage_chars
        if parts and (piece.glue == NEW_DOCUMENT or (too_long and size >= passage_chars / 2)):
            yield Passage(line, "".join(parts), glue)
            parts, size = [], 0
        if parts:
            parts.append(piece.glue)
        else:
            line, glue = piece.line, piece.glue
        parts.append(piece.text)
        size += len(piece.text) + len(piece.glue)
        if passage_chars and size >= passage_chars:
            yield Passage(line, "".join(parts), glue)
            parts, size = [], 0
    if parts:
        yield Passage(line, "".join(parts), glue)


def _pieces(path: Path, codec: str, passage_chars: int) -> Iterator[Passage]:
    """Paragraphs; those longer than a passage in parts."""
    lines: list[str] = []
    start, size, glue = 0, 0, NEW_DOCUMENT
    for number, text in _numbered_lines(path, codec):
        blank = not text.strip()
        if lines and (blank or (passage_chars and size + len(text) > passage_chars)):
            yield from _cut(Passage(start, "\n".join(lines), glue), passage_chars)
            lines, size, glue = [], 0, "\n"
        if blank:
            glue = NEW_DOCUMENT if "\f" in text or glue == NEW_DOCUMENT else "\n\n"
            continue
        if not lines:
            start = number
        lines.append(text)
        size += len(text) + 1
    if lines:
        yield from _cut(Passage(start, "\n".join(lines), glue), passage_chars)


def _cut(paragraph: Passage, passage_chars: int) -> Iterator[Passage]:
    """A paragraph of one over-long line, cut at the ends of sentences, else at blanks."""
    text, glue, begin = paragraph.text, paragraph.glue, 0
    while passage_chars and len(text) - begin > 1.5 * passage_chars:
        limit = begin + passage_chars
        ends = [match.end() for match in SENTENCE_END.finditer(text, begin + passage_chars // 2, limit)]
        end = ends[-1] if ends else text.rfind(" ", begin + 1, limit) + 1 or limit
        yield Passage(paragraph.line, text[begin:end].rstrip(), glue)
        glue = " " if text[end - 1].isspace() else ""
        begin = end
    yield Passage(paragraph.line, text[begin:], glue)


def _numbered_lines(path: Path, codec: str) -> Iterator[tuple[int, str]]:
    """(line, text without its line break). Very long lines come in parts of the same number."""
    number = 1
    with open_text(path, codec) as file:
        while text := file.readline(LONGEST_LINE):
            yield number, text.rstrip("\n")
            number += text.endswith("\n")
