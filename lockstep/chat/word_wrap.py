"""Text behind a margin in a terminal, broken between words."""

import os
import re
import shutil
import textwrap
from typing import TextIO

MARGIN = "  "
MAX_COLUMNS = 100  # of a line: longer ones are hard to read
MIN_COLUMNS = 16  # after the margin, however narrow the terminal
UNLIMITED_COLUMNS = 1 << 20
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a model's text must not steer the terminal


class WordWrap:
    """Writes text chunks at once and breaks lines between words: a word that grows past the edge moves down a line.

    width: columns after the margin; by default those that the terminal has now.
    """

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self.out = out
        self.width = width or text_columns()
        self.column = 0  # columns written after the margin
        self.word, self.word_width = "", 0  # the last word of the line so far

    def write(self, chunk: str) -> None:
        """Write the next part of the text."""
        from prompt_toolkit.utils import get_cwidth

        for character in CONTROLS.sub("", chunk.replace("\t", "    ")):
            if character == "\n":
                self._new_line()
                continue
            width = get_cwidth(character)
            if character == " " and self.column + width > self.width:
                self._new_line()
                continue
            if self.column + width > self.width:
                self._move_word_down()
            self._put(character, width)

    def _put(self, character: str, width: int) -> None:
        self.out.write(character if self.column else MARGIN + character)
        self.column += width
        self.word, self.word_width = ("", 0) if character == " " else (self.word + character, self.word_width + width)

    def _move_word_down(self) -> None:
        word, width = self.word, self.word_width
        if 0 < width < self.column:  # a word as long as the line is broken where it is
            self.out.write(f"\x1b[{width}D\x1b[K")
            self._new_line()
            self.out.write(MARGIN + word)
            self.column, self.word, self.word_width = width, word, width
        else:
            self._new_line()

    def _new_line(self) -> None:
        self.out.write("\n")
        self.column, self.word, self.word_width = 0, "", 0


def text_columns() -> int:
    """Columns after the margin; practically unlimited for a dumb terminal, which breaks lines itself."""
    if os.environ.get("TERM") == "dumb":
        return UNLIMITED_COLUMNS
    return max(MIN_COLUMNS, min(MAX_COLUMNS, shutil.get_terminal_size().columns - 1) - len(MARGIN))


def wrapped_lines(text: str, indent: int) -> list[str]:
    """The lines of a text that is shown `indent` columns after the margin."""
    return textwrap.wrap(CONTROLS.sub("", text), max(MIN_COLUMNS, text_columns() - indent), break_on_hyphens=False) or [
        ""
    ]
