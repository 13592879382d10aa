"""Word wrap of a text that comes in small chunks."""

import io
import re

import pytest

from lockstep.chat.word_wrap import WordWrap


def screened(text: str, width: int) -> str:
    """What a terminal shows of text written through WordWrap character by character."""
    out = io.StringIO()
    wrap = WordWrap(out, width)
    for character in text:
        wrap.write(character)
    lines = [""]
    for part in re.split(r"(\x1b\[\d+D\x1b\[K|\n)", out.getvalue()):
        if part == "\n":
            lines.append("")
        elif moved := re.match(r"\x1b\[(\d+)D", part):
            lines[-1] = lines[-1][: -int(moved[1])]
        else:
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two three", "  one two\n  three"),
        ("exactly 10 now", "  exactly 10\n  now"),
        ("abcdefghijklm no", "  abcdefghij\n  klm no"),
        ("a\n\nb", "  a\n\n  b"),
        ("one\x1b[31m\x07 two", "  one[31m\n  two"),
    ],
)
def test_lines_break_between_words_and_control_characters_are_taken_out(text: str, shown: str) -> None:
    assert screened(text, width=10) == shown


def test_wide_characters_take_two_columns() -> None:
    assert screened("日本語日本語", width=10) == "  日本語日本\n  語"
