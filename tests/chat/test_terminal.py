"""The terminal: keys, history, colours, and what is shown beside the prompt."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from scripted_chat import RecordingChat

from lockstep.chat.terminal import TerminalScreen, talk
from lockstep.core.errors import LockstepError

ENTER, ALT_ENTER, CTRL_C, CTRL_D = "\r", "\x1b\r", "\x03", "\x04"


@pytest.fixture
def typed(tmp_path: Path) -> Iterator[Callable[[str], tuple[list[str], str]]]:
    """Type keys into a chat; gives the lines it got and what was shown beside the prompt."""

    def run(keys: str) -> tuple[list[str], str]:
        chat, out = RecordingChat(), io.StringIO()
        with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
            keyboard.send_text(keys)
            talk(chat, TerminalScreen(out=out), tmp_path / "state" / "history")  # type: ignore[arg-type]
        return chat.lines, out.getvalue()

    return run


def test_exit_and_ctrl_d_end_with_thanks(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"exit{ENTER}") == ([], "  Thank you for the talk. Goodbye!\n\n")
    assert typed(CTRL_D) == ([], "  Thank you for the talk. Goodbye!\n\n")


def test_alt_enter_and_ctrl_j_begin_a_new_line(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"one{ALT_ENTER}two\nthree{ENTER}{CTRL_D}")[0] == ["one\ntwo\nthree"]


def test_a_pasted_text_with_line_breaks_stays_one_question(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"\x1b[200~one\ntwo\x1b[201~{ENTER}{CTRL_D}")[0] == ["one\ntwo"]


def test_enter_on_an_empty_line_does_nothing(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"{ENTER}{ENTER}hello{ENTER}{CTRL_D}")[0] == ["hello"]


def test_ctrl_c_empties_the_line_and_stops_an_answer_but_not_the_chat(
    typed: Callable[[str], tuple[list[str], str]],
) -> None:
    lines, shown = typed(f"half a que{CTRL_C}stop{ENTER}next{ENTER}{CTRL_D}")
    assert lines == ["stop", "next"]
    assert shown.startswith("  stopped\n")


def test_a_mistake_is_shown_in_one_line_and_the_chat_goes_on(typed: Callable[[str], tuple[list[str], str]]) -> None:
    lines, shown = typed(f"wrong{ENTER}next{ENTER}{CTRL_D}")
    assert lines == ["wrong", "next"]
    assert shown.startswith("  That is wrong. Do it right.\n\n")


def test_a_draft_is_what_the_next_line_begins_with(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"edit{ENTER}er{ENTER}{CTRL_D}")[0] == ["edit", "/fix older"]


def test_tab_completes_a_command(typed: Callable[[str], tuple[list[str], str]]) -> None:
    assert typed(f"/ret\t{ENTER}{CTRL_D}")[0] == ["/retry"]


def test_the_history_of_one_chat_is_there_in_the_next(
    typed: Callable[[str], tuple[list[str], str]], tmp_path: Path
) -> None:
    typed(f"remember me{ENTER}{CTRL_D}")
    assert typed(f"\x1b[A{ENTER}{CTRL_D}")[0] == ["remember me"]
    assert (tmp_path / "state" / "history").stat().st_mode & 0o777 == 0o600


def test_history_that_cannot_be_written_does_not_end_the_chat(
    typed: Callable[[str], tuple[list[str], str]], tmp_path: Path
) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    assert typed(f"hello{ENTER}{CTRL_D}")[0] == ["hello"]


def terminal(monkeypatch: pytest.MonkeyPatch, **environment: str) -> TerminalScreen:
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = io.StringIO()
    out.isatty = lambda: True  # type: ignore[method-assign]
    return TerminalScreen(text_model=True, out=out)


@pytest.mark.parametrize(
    ("environment", "colours"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours_are_off_where_they_are_not_wanted(
    environment: dict[str, str], colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = terminal(monkeypatch, **environment)
    screen.stream("There was", iter([" a fox."]))
    screen.problem(LockstepError("No."))
    shown = screen.out.getvalue()  # type: ignore[attr-defined]
    assert ("\x1b[" in shown) == colours
    assert re.sub(r"\x1b\[\d+m", "", shown).startswith("\n  There was a fox.")


def test_without_a_terminal_nothing_is_coloured() -> None:
    assert not TerminalScreen(out=io.StringIO()).colour


def test_a_long_meaning_goes_on_below_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "33")
    screen = TerminalScreen(out=io.StringIO())
    screen.table([("/save FILE", "write the conversation"), ("/quit", "end")])
    assert screen.out.getvalue() == (  # type: ignore[attr-defined]
        "  /save FILE  write the\n              conversation\n  /quit       end\n\n"
    )
