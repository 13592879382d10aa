"""The chat without a terminal: piped lines, and answers as text or JSON Lines."""

import io
import json

import pytest
from scripted_chat import RecordingChat

from lockstep.chat.stdin import JsonScreen, TextScreen, answer_lines
from lockstep.core.errors import LockstepError
from lockstep.generation.engine import Answer


def test_piped_lines_are_answered_one_by_one_up_to_exit() -> None:
    chat = RecordingChat()
    answer_lines(chat, io.BytesIO("\ufeffone\r\n\n  \nzwölf\nexit\nnever".encode()))  # type: ignore[arg-type]
    assert chat.lines == ["one", "zwölf"]


@pytest.mark.parametrize(
    ("piped", "place"),
    [(b"one\nwrong\n", "Standard input, line 2: "), (b"\n\xff\n", "Standard input, line 2: not UTF-8")],
)
def test_a_piped_line_that_cannot_be_answered_is_named(piped: bytes, place: str) -> None:
    with pytest.raises(LockstepError, match=place):
        answer_lines(RecordingChat(), io.BytesIO(piped))  # type: ignore[arg-type]


def test_text_goes_to_standard_output_and_notes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    screen = TextScreen()
    screen.stream("A?", iter(["one", " two"]))
    screen.end_answer("A?", Answer())
    screen.table([("a", "b")])
    assert capsys.readouterr() == ("one two\n", "chat: a  b\n")


def test_json_has_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    screen = JsonScreen()
    answer = Answer(tokens=2, finish_reason="length")
    screen.stream("Ä?", iter(["one\n", "two"]))
    screen.end_answer("Ä?", answer)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"question": "Ä?", "answer": "one\ntwo", "finish": "length", "tokens": 2}
