"""Text behind a margin in a terminal, broken between words."""

import os
import re
import shutil
import textwrap
from typing import TextIO

MARGIN = "  "
WIDEST = 100  # columns of a line at most: longer ones are hard to read
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a model's text must not steer the terminal


class WordWrap:
    """Writes pieces of text at once, yet breaks lines between words: a word that grows past the edge moves down.

    width: columns after the margin; by default those the screen has now.
    """

    def __init__(self, out: TextIO, width: int | None = None) -> None:
        self.out = out
        self.room = width or room()
        self.column = 0  # columns written after the margin
        self.word, self.word_width = "", 0  # the last word of the line so far

    def write(self, piece: str) -> None:
        """Write some more of the text."""
        from prompt_toolkit.utils import get_cwidth

        for character in CONTROLS.sub("", piece.replace("\t", "    ")):
            if character == "\n":
                self._new_line()
                continue
            width = get_cwidth(character)
            if character == " " and self.column + width > self.room:
                self._new_line()
                continue
            if self.column + width > self.room:
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


def room() -> int:
    """Columns after the margin. A terminal that can't move its cursor breaks lines itself."""
    if os.environ.get("TERM") == "dumb":
        return 1 << 20
    return max(16, min(WIDEST, shutil.get_terminal_size().columns - 1) - len(MARGIN))


def wrapped_lines(text: str, indent: int) -> list[str]:
    """Lines of a text that begins `indent` columns after the margin."""
    return textwrap.wrap(CONTROLS.sub("", text), max(16, room() - indent), break_on_hyphens=False) or [""]
