"""What each line typed into the chat does, on a scripted engine whose answers are known."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lockstep.artifacts.prompt import Prompt
from lockstep.chat.session import COMMANDS, Chat, NoConversationError
from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Assistant, Turn
from lockstep.generation.engine import Answer, Sampling
from lockstep.pretrained.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["Question: what? Answer: this."], 300, 64)


class ScriptedEngine:
    """Says the given answers one after the other, word by word, and remembers how it was asked."""

    context = 64

    def __init__(self, *answers: str) -> None:
        self.tokenizer = TOKENIZER
        self.answers = list(answers)
        self.asked: list[tuple[str, Sampling]] = []

    def stream_into(self, answer: Answer, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        self.asked.append((self.tokenizer.decode(prompt), sampling))
        answer.finish = "stop"
        for word in self.answers.pop(0).split(" ") if self.answers[0] else self.answers.pop(0):
            if word == "^C":
                raise KeyboardInterrupt
            if word == "<cut>":
                answer.finish, answer.tokens = "length", sampling.max_new_tokens
                continue
            answer.text += f" {word}"
            yield f" {word}"


class Page:
    """A screen that remembers."""

    def __init__(self, edits: bool = True) -> None:
        self.edits = edits
        self.tells_finish = False
        self.answers: list[str] = []
        self.notes: list[str] = []

    def stream(self, question: str, pieces: Iterator[str]) -> None:
        self.answers.append("")
        for piece in pieces:
            self.answers[-1] += piece

    def ended(self, question: str, answer: Answer) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def table(self, rows: list[tuple[str, str]]) -> None:
        self.notes += [f"{name}: {meaning}" for name, meaning in rows]


def make_chat(
    *answers: str, kind: Any = "qa", edits: bool = True, **settings: float
) -> tuple[Chat, ScriptedEngine, Page]:
    engine, page = ScriptedEngine(*answers), Page(edits)
    assistant = Assistant(engine, Prompt(kind), Sampling(max_new_tokens=9), 0, "tiny")  # type: ignore[arg-type]
    return Chat(lambda: assistant, page, settings, Path("corrections.jsonl")), engine, page


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def corrections() -> list[tuple[str, str, str]]:
    lines = Path("corrections.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["question"], row["answer"], row["verdict"]) for row in map(json.loads, lines)]


def test_a_question_is_put_into_the_template_and_its_answer_becomes_a_turn() -> None:
    chat, engine, page = make_chat("It is so.")
    assert chat.handle("  What? ")
    assert engine.asked[0][0] == "Question: What?\nAnswer:"
    assert page.answers == ["It is so."]
    assert chat.conversation.turns == [Turn("What?", "It is so.")]


def test_a_text_model_continues_the_prompt_as_typed() -> None:
    chat, engine, page = make_chat("was a fox.", kind="text")
    chat.handle("  There\n ")
    assert engine.asked[0][0] == "<|endoftext|>  There\n"
    assert page.answers == [" was a fox."]
    assert chat.conversation.turns == [Turn("  There\n", " was a fox.")]


@pytest.mark.parametrize("line", ["exit", " QUIT ", "/quit", "/exit"])
def test_leaving(line: str) -> None:
    assert not make_chat()[0].handle(line)


def test_an_unknown_command_is_told_which_one_is_meant() -> None:
    with pytest.raises(LockstepError, match=r"There is no /rety; did you mean /retry\? /help lists the commands\."):
        make_chat()[0].handle("/rety")


@pytest.mark.parametrize("line", ["/usr/bin is what?", " /help", "//"])
def test_a_question_may_begin_with_a_slash_that_starts_no_command(line: str) -> None:
    chat, engine, _ = make_chat("A folder.")
    chat.handle(line)
    assert f"Question: {line.strip()}\n" in engine.asked[0][0]


def test_help_lists_every_command_and_keys_only_for_a_person() -> None:
    chat, _, page = make_chat()
    chat.handle("/help")
    assert [note.split()[0].strip("/:") for note in page.notes[: len(COMMANDS)]] == list(COMMANDS)
    assert any("Alt-Enter" in note for note in page.notes)
    piped, _, quiet = make_chat(edits=False)
    piped.handle("/")
    assert len(quiet.notes) == len(COMMANDS)


def test_retry_replaces_the_answer_with_other_random_numbers_each_time() -> None:
    chat, engine, _ = make_chat("one", "two", "three", temperature=0.5, seed=10)
    for line in ("Why?", "/retry", "/retry"):
        chat.handle(line)
    assert [(s.seed, s.temperature) for _, s in engine.asked] == [(10, 0.5), (11, 0.5), (12, 0.5)]
    assert chat.conversation.turns == [Turn("Why?", "three")]
    assert chat.conversation.sampling.seed == 10


def test_retry_at_temperature_0_says_that_it_draws_this_once() -> None:
    chat, engine, page = make_chat("one", "two", "three")
    for line in ("Why?", "/retry", "And?"):
        chat.handle(line)
    assert [s.temperature for _, s in engine.asked] == [0, 0.7, 0]
    assert page.notes == ["temperature 0 would say the same again; this once at 0.7"]


def test_retry_stopped_before_its_first_word_keeps_the_answer_there_was() -> None:
    chat, _, _ = make_chat("one", "^C")
    chat.handle("Why?")
    with pytest.raises(KeyboardInterrupt):
        chat.handle("/retry")
    assert chat.conversation.turns == [Turn("Why?", "one")]
    chat.handle("/good")
    assert corrections() == [("Why?", "one", "good")]


def test_what_was_said_before_the_stop_stays_in_the_conversation() -> None:
    chat, _, page = make_chat("It is ^C so.")
    with pytest.raises(KeyboardInterrupt):
        chat.handle("What?")
    assert page.answers == ["It is"]
    assert chat.conversation.turns == [Turn("What?", "It is")]


def test_undo_goes_back_turn_by_turn() -> None:
    chat, _, page = make_chat("one", "two")
    for line in ("A?", "B?", "/undo"):
        chat.handle(line)
    assert page.notes == ["taken back: B?"]
    assert chat.conversation.turns == [Turn("A?", "one")]
    chat.handle("/good")
    assert corrections() == [("A?", "one", "good")]
    chat.handle("/undo")
    with pytest.raises(LockstepError, match="nothing to take back"):
        chat.handle("/undo")


def test_reset_forgets_the_turns_and_keeps_the_settings() -> None:
    chat, _, _ = make_chat("one")
    for line in ("A?", "/set top_k 5", "/reset"):
        chat.handle(line)
    assert chat.conversation.turns == []
    assert chat.conversation.sampling.top_k == 5
    with pytest.raises(LockstepError, match="Nothing was asked yet"):
        chat.handle("/retry")


def test_history_shows_the_model_earlier_turns() -> None:
    chat, engine, _ = make_chat("one", "two", "three")
    for line in ("A?", "/set history 1", "B?", "/set history 0", "C?"):
        chat.handle(line)
    assert engine.asked[1][0] == "Question: A?\nAnswer: one<|endoftext|>Question: B?\nAnswer:"
    assert engine.asked[2][0] == "Question: C?\nAnswer:"


def test_a_refused_setting_changes_nothing() -> None:
    chat, _, _ = make_chat()
    before = chat.conversation.sampling
    with pytest.raises(LockstepError, match=r"top_p = 2: allowed is a number from 0\.01 to 1"):
        chat.handle("/set top_p 2")
    with pytest.raises(LockstepError, match="/set seed needs a value: a whole number from 0"):
        chat.handle("/set seed")
    assert chat.conversation.sampling == before


@pytest.mark.parametrize("line", ["/set max_new_tokens 7", "/SET max-new-tokens=7", "/set  max_new_tokens = 7"])
def test_a_setting_may_be_written_in_several_ways(line: str) -> None:
    chat, _, page = make_chat()
    chat.handle(line)
    assert chat.conversation.sampling.max_new_tokens == 7
    assert page.notes == ["max_new_tokens is 7"]


def test_good_and_bad_are_noted_once_and_a_change_of_mind_is_noted_too() -> None:
    chat, _, page = make_chat("one")
    for line in ("A?", "/good", "/good", "/bad"):
        chat.handle(line)
    assert corrections() == [("A?", "one", "good"), ("A?", "one", "bad")]
    assert page.notes[1] == "already noted as good"


@pytest.mark.parametrize("command", ["/good", "/bad", "/fix It.", "/retry", "/undo", "/save a.md"])
def test_commands_about_an_answer_need_one(command: str) -> None:
    with pytest.raises(LockstepError, match=r"yet\.|nothing"):
        make_chat()[0].handle(command)
    assert not Path("corrections.jsonl").exists()


def test_an_empty_answer_is_said_and_is_not_taken_for_the_one_before() -> None:
    chat, _, page = make_chat("one", "")
    chat.handle("A?")
    chat.handle("A?")
    assert page.notes == ["no answer: the model ended at once"]
    with pytest.raises(LockstepError, match="no answer to mark"):
        chat.handle("/good")
    chat.handle("/fix two")
    assert corrections() == [("A?", "two", "fixed")]
    assert chat.conversation.turns == [Turn("A?", "one"), Turn("A?", "two")]


def test_fix_notes_the_right_answer_with_its_line_breaks_and_puts_it_into_the_conversation() -> None:
    chat, _, _ = make_chat("one")
    chat.handle("A?")
    chat.handle("/fix first\nsecond")
    assert corrections() == [("A?", "first\nsecond", "fixed")]
    assert chat.conversation.turns == [Turn("A?", "first\nsecond")]


def test_fix_without_a_text_offers_the_answer_for_editing_to_a_person_only() -> None:
    chat, _, _ = make_chat("one")
    chat.handle("A?")
    chat.handle("/fix")
    assert chat.prefill == "/fix one"
    piped, _, _ = make_chat("one", edits=False)
    piped.handle("A?")
    with pytest.raises(LockstepError, match="needs the right answer"):
        piped.handle("/fix")


def test_an_answer_cut_by_the_limit_says_how_to_get_more() -> None:
    chat, _, page = make_chat("on and <cut>")
    chat.handle("A?")
    assert page.notes == ["cut after 9 tokens; /set max_new_tokens 18"]


def test_a_question_longer_than_the_context_says_how_much_is_left_out() -> None:
    chat, engine, page = make_chat("one")
    chat.handle("x" * 200)
    shown = len(TOKENIZER(engine.asked[0][0])["input_ids"])
    asked = len(TOKENIZER(f"Question: {'x' * 200}\nAnswer:")["input_ids"])
    assert shown == 64 - 9
    assert page.notes == [f"too long for the model: the first {asked - shown} tokens are left out"]


def test_settings_that_the_model_has_no_use_for_end_the_chat_before_it_begins() -> None:
    with pytest.raises(NoConversationError, match="history can't be set"):
        make_chat("one", kind="text", history=2)[0].handle("There")


def test_half_a_character_from_the_terminal_does_no_harm() -> None:
    chat, _, _ = make_chat("one")
    chat.handle("caf\udcc3?")
    chat.handle("/good")
    assert corrections() == [("caf??", "one", "good")]


def test_save_replaces_only_what_this_chat_wrote() -> None:
    Path("notes.md").write_text("mine")
    chat, _, _ = make_chat("one", "two")
    chat.handle("A?")
    with pytest.raises(LockstepError, match=r"notes\.md is there already"):
        chat.handle("/save notes.md")
    for line in ("/save talk.md", "B?", "/save talk.md"):
        chat.handle(line)
    assert Path("notes.md").read_text() == "mine"
    assert Path("talk.md").read_text().count("**Model:**") == 2
