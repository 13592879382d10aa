"""What may be done to a conversation, on a scripted engine whose answers are known."""

from pathlib import Path

import pytest
from scripted_chat import TOKENIZER, corrections, make_chat

from lockstep.chat.session import NoConversationError
from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Turn


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_question_is_put_into_the_template_and_its_answer_becomes_a_turn() -> None:
    chat, engine, screen = make_chat("It is so.")
    chat.ask("  What? ")
    assert engine.calls[0][0] == "Question: What?\nAnswer:"
    assert screen.answers == ["It is so."]
    assert chat.conversation.turns == [Turn("What?", "It is so.")]


def test_a_text_model_continues_the_prompt_as_typed() -> None:
    chat, engine, screen = make_chat("was a fox.", kind="text")
    chat.ask("  There\n ")
    assert engine.calls[0][0] == "<|endoftext|>  There\n"
    assert screen.answers == [" was a fox."]
    assert chat.conversation.turns == [Turn("  There\n", " was a fox.")]


def test_retry_replaces_the_answer_with_other_random_numbers_each_time() -> None:
    chat, engine, _ = make_chat("one", "two", "three", temperature=0.5, seed=10)
    chat.ask("Why?")
    chat.retry()
    chat.retry()
    assert [(s.seed, s.temperature) for _, s in engine.calls] == [(10, 0.5), (11, 0.5), (12, 0.5)]
    assert chat.conversation.turns == [Turn("Why?", "three")]
    assert chat.conversation.sampling.seed == 10


def test_retry_at_temperature_0_draws_this_once_and_notes_it() -> None:
    chat, engine, screen = make_chat("one", "two", "three")
    chat.ask("Why?")
    chat.retry()
    chat.ask("And?")
    assert [s.temperature for _, s in engine.calls] == [0, 0.7, 0]
    assert screen.notes == ["temperature 0 would say the same again; this once at 0.7"]


def test_retry_stopped_before_its_first_word_keeps_the_previous_answer() -> None:
    chat, _, _ = make_chat("one", "^C")
    chat.ask("Why?")
    with pytest.raises(KeyboardInterrupt):
        chat.retry()
    assert chat.conversation.turns == [Turn("Why?", "one")]
    chat.mark_good()
    assert corrections() == [("Why?", "one", "good")]


def test_the_beginning_of_a_stopped_answer_stays_in_the_conversation() -> None:
    chat, _, screen = make_chat("It is ^C so.")
    with pytest.raises(KeyboardInterrupt):
        chat.ask("What?")
    assert screen.answers == ["It is"]
    assert chat.conversation.turns == [Turn("What?", "It is")]


def test_undo_goes_back_turn_by_turn() -> None:
    chat, _, screen = make_chat("one", "two")
    chat.ask("A?")
    chat.ask("B?")
    chat.undo()
    assert screen.notes == ["taken back: B?"]
    assert chat.conversation.turns == [Turn("A?", "one")]
    chat.mark_good()
    assert corrections() == [("A?", "one", "good")]
    chat.undo()
    with pytest.raises(LockstepError, match="nothing to take back"):
        chat.undo()


def test_reset_forgets_the_turns_and_keeps_the_settings() -> None:
    chat, _, _ = make_chat("one")
    chat.ask("A?")
    chat.change_setting("top_k", "5")
    chat.reset()
    assert chat.conversation.turns == []
    assert chat.conversation.sampling.top_k == 5
    with pytest.raises(LockstepError, match="Nothing was asked yet"):
        chat.retry()


def test_history_shows_the_model_earlier_turns() -> None:
    chat, engine, _ = make_chat("one", "two", "three")
    chat.ask("A?")
    chat.change_setting("history", "1")
    chat.ask("B?")
    chat.change_setting("history", "0")
    chat.ask("C?")
    assert engine.calls[1][0] == "Question: A?\nAnswer: one<|endoftext|>Question: B?\nAnswer:"
    assert engine.calls[2][0] == "Question: C?\nAnswer:"


def test_a_refused_setting_changes_nothing() -> None:
    chat, _, _ = make_chat()
    before = chat.conversation.sampling
    with pytest.raises(LockstepError, match="top_p = 2"):
        chat.change_setting("top_p", "2")
    assert chat.conversation.sampling == before


def test_a_verdict_is_noted_once_and_a_change_of_mind_is_noted_too() -> None:
    chat, _, screen = make_chat("one")
    chat.ask("A?")
    chat.mark_good()
    chat.mark_good()
    chat.mark_bad()
    assert corrections() == [("A?", "one", "good"), ("A?", "one", "bad")]
    assert screen.notes[1] == "already noted as good"


def test_an_empty_answer_is_noted_and_is_not_taken_for_the_one_before() -> None:
    chat, _, screen = make_chat("one", "")
    chat.ask("A?")
    chat.ask("A?")
    assert screen.notes == ["no answer: the model ended at once"]
    with pytest.raises(LockstepError, match="no answer to mark"):
        chat.mark_good()
    chat.fix("two")
    assert corrections() == [("A?", "two", "fixed")]
    assert chat.conversation.turns == [Turn("A?", "one"), Turn("A?", "two")]


def test_fix_keeps_line_breaks_and_changes_the_conversation() -> None:
    chat, _, _ = make_chat("one")
    chat.ask("A?")
    chat.fix("first\nsecond")
    assert corrections() == [("A?", "first\nsecond", "fixed")]
    assert chat.conversation.turns == [Turn("A?", "first\nsecond")]


def test_fix_without_a_text_offers_the_answer_for_editing_to_a_person_only() -> None:
    chat, _, _ = make_chat("one")
    chat.ask("A?")
    chat.fix("")
    assert chat.draft == "/fix one"
    piped, _, _ = make_chat("one", is_interactive=False)
    piped.ask("A?")
    with pytest.raises(LockstepError, match="needs the right answer"):
        piped.fix("")


def test_an_answer_cut_by_the_limit_says_how_to_get_more() -> None:
    chat, _, screen = make_chat("on and <cut>")
    chat.ask("A?")
    assert screen.notes == ["cut after 9 tokens; /set max_new_tokens 18"]


def test_a_question_longer_than_the_context_says_how_much_is_left_out() -> None:
    chat, engine, screen = make_chat("one")
    chat.ask("x" * 200)
    shown = len(TOKENIZER(engine.calls[0][0])["input_ids"])
    whole = len(TOKENIZER(f"Question: {'x' * 200}\nAnswer:")["input_ids"])
    assert shown == 64 - 9
    assert screen.notes == [f"too long for the model: the first {whole - shown} tokens are left out"]


def test_a_setting_that_the_model_has_no_use_for_ends_the_chat_before_it_begins() -> None:
    with pytest.raises(NoConversationError, match="history can't be set"):
        make_chat("one", kind="text", history=2)[0].ask("There")


def test_half_a_character_from_the_terminal_becomes_a_question_mark() -> None:
    chat, _, _ = make_chat("one")
    chat.ask("caf\udcc3?")
    chat.mark_good()
    assert corrections() == [("caf??", "one", "good")]


def test_save_replaces_only_what_this_chat_wrote() -> None:
    mine, talk = Path("notes.md"), Path("talk.md")
    mine.write_text("mine")
    chat, _, _ = make_chat("one", "two")
    chat.ask("A?")
    with pytest.raises(LockstepError, match=r"notes\.md is there already"):
        chat.save(mine)
    chat.save(talk)
    chat.ask("B?")
    chat.save(talk)
    assert mine.read_text() == "mine"
    assert talk.read_text().count("**Model:**") == 2
