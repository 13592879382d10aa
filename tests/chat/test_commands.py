"""How a typed line becomes a command or a question, and what each command is given."""

from pathlib import Path

import pytest
from scripted_chat import make_chat

from lockstep.chat.commands import COMMANDS, handle_line
from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Turn


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("line", ["exit", " QUIT ", "/quit", "/exit"])
def test_exit_and_quit_end_the_chat(line: str) -> None:
    assert not handle_line(make_chat()[0], line)


def test_a_line_that_is_no_command_is_asked() -> None:
    chat, _, screen = make_chat("It is so.")
    assert handle_line(chat, "  What? ")
    assert screen.answers == ["It is so."]


@pytest.mark.parametrize("line", ["/usr/bin is what?", " /help", "//"])
def test_a_question_may_begin_with_a_slash_that_starts_no_command(line: str) -> None:
    chat, engine, _ = make_chat("A folder.")
    handle_line(chat, line)
    assert f"Question: {line.strip()}\n" in engine.calls[0][0]


def test_an_unknown_command_is_answered_with_the_one_meant() -> None:
    with pytest.raises(LockstepError, match=r"/rety; did you mean /retry\? /help"):
        handle_line(make_chat()[0], "/rety")
    with pytest.raises(LockstepError, match=r"/xyzzy\. /help"):
        handle_line(make_chat()[0], "/xyzzy")


def test_help_lists_every_command_and_keys_only_for_a_person() -> None:
    chat, _, screen = make_chat()
    handle_line(chat, "/help")
    assert [note.split()[0].strip("/:") for note in screen.notes[: len(COMMANDS)]] == list(COMMANDS)
    assert any("Alt-Enter" in note for note in screen.notes)
    piped, _, quiet = make_chat(is_interactive=False)
    handle_line(piped, "/")
    assert len(quiet.notes) == len(COMMANDS)


@pytest.mark.parametrize("line", ["/set max_new_tokens 7", "/SET max-new-tokens=7", "/set  max_new_tokens = 7"])
def test_a_setting_may_be_written_in_several_ways(line: str) -> None:
    chat, _, screen = make_chat()
    handle_line(chat, line)
    assert chat.conversation.sampling.max_new_tokens == 7
    assert screen.notes == ["max_new_tokens is 7"]


def test_set_alone_shows_the_settings_and_needs_a_value_after_a_name() -> None:
    chat, _, screen = make_chat(temperature=0.5)
    handle_line(chat, "/set")
    assert screen.notes[0].startswith("temperature 0.5: ")
    with pytest.raises(LockstepError, match="/set seed needs a value"):
        handle_line(chat, "/set seed")


def test_each_command_does_what_its_name_says() -> None:
    chat, _, screen = make_chat("one", "two", "three")
    for line in ("A?", "/retry", "/good", "/bad", "/fix right\nanswer", "/save talk.md", "B?", "/undo"):
        assert handle_line(chat, line)
    assert chat.conversation.turns == [Turn("A?", "right\nanswer")]
    assert Path("corrections.jsonl").read_text().count("\n") == 3
    assert "right\nanswer" in Path("talk.md").read_text()
    handle_line(chat, "/reset")
    assert (chat.conversation.turns, screen.notes[-1]) == ([], "a new conversation")


@pytest.mark.parametrize("line", ["/good", "/bad", "/fix It.", "/retry", "/undo", "/save a.md"])
def test_commands_about_an_answer_need_one(line: str) -> None:
    with pytest.raises(LockstepError, match=r"yet\.|nothing"):
        handle_line(make_chat()[0], line)
    assert not Path("corrections.jsonl").exists()


def test_a_file_whose_name_only_begins_like_a_home_folder_is_saved_here() -> None:
    chat = make_chat("A.")[0]
    handle_line(chat, "A?")
    handle_line(chat, "/save ~no-such-user.md")
    assert Path("~no-such-user.md").exists()


def test_save_needs_a_file_name() -> None:
    with pytest.raises(LockstepError, match="/save needs a file name"):
        handle_line(make_chat()[0], "/save")
