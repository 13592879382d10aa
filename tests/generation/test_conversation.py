"""What of a conversation the model is shown, and how answers become turns."""

from typing import Any

import pytest
from serving import CONTEXT, assistant

from lockstep.generation.conversation import (
    Conversation,
    Turn,
    num_truncated_tokens,
    prompt_ids,
    recent_turns,
    without_leading_blanks,
)

TURNS = [Turn("one?", "1"), Turn("two?", "2")]


def shown(turns: list[Turn], question: str, max_new_tokens: int = 12, kind: str = "qa") -> str:
    model = assistant(kind)
    text: str = model.tokenizer.decode(prompt_ids(model, turns, question, max_new_tokens))  # type: ignore[assignment]
    return text


def talk(kind: str = "qa", **settings: Any) -> Conversation:
    model = assistant(kind, **settings)
    return Conversation(model, model.sampling)


def test_turns_and_question_stand_in_the_template_with_an_end_of_text_after_each_answer() -> None:
    assert shown(TURNS, "three?") == (
        "Question: one?\nAnswer: 1<|endoftext|>Question: two?\nAnswer: 2<|endoftext|>Question: three?\nAnswer:"
    )


def test_a_text_begins_after_an_end_of_text() -> None:
    assert shown([], "the sum", kind="text") == "<|endoftext|>the sum"


def test_the_oldest_turns_are_left_out_until_the_answer_has_room() -> None:
    long = Turn("what is a mean? " * 80, "1")
    whole = shown([long, TURNS[1]], "three?")
    assert whole.count("Question:") == 3
    assert shown([long, TURNS[1]], "three?", max_new_tokens=CONTEXT // 2) == shown([TURNS[1]], "three?")


@pytest.mark.parametrize(("max_new_tokens", "left"), [(12, CONTEXT - 12), (CONTEXT, CONTEXT // 2)])
def test_a_question_longer_than_the_room_loses_its_beginning(max_new_tokens: int, left: int) -> None:
    model, question = assistant(), "what is a mean? " * 200
    whole = model.tokenizer(f"Question: {question}\nAnswer:")["input_ids"]
    assert prompt_ids(model, TURNS, question, max_new_tokens) == whole[-left:]
    assert num_truncated_tokens(model, question, max_new_tokens) == len(whole) - left
    assert num_truncated_tokens(model, "short?", max_new_tokens) == 0


@pytest.mark.parametrize(("count", "turns"), [(0, []), (1, TURNS[1:]), (5, TURNS)])
def test_as_many_recent_turns_are_shown_as_are_asked_for(count: int, turns: list[Turn]) -> None:
    assert recent_turns(assistant(), TURNS, count) == turns
    assert recent_turns(assistant(), TURNS, None) == [], "as exported"
    assert recent_turns(assistant("text"), TURNS, count) == []


def test_an_answer_becomes_a_turn_without_the_blanks_around_it() -> None:
    conversation = talk()
    text = "".join(conversation.ask("what is a mean?"))
    assert text == text.lstrip() != ""
    assert conversation.turns == [Turn("what is a mean?", text.strip())]
    assert conversation.answer.tokens == 12


def test_a_continuation_keeps_its_blanks() -> None:
    conversation = talk("text")
    text = "".join(conversation.ask("the sum"))
    assert conversation.turns == [Turn("the sum", text)]
    assert conversation.answer.text == text


def test_a_stopped_answer_is_kept_as_far_as_it_came() -> None:
    conversation = talk(max_new_tokens=400)
    chunks = conversation.ask("what is a mean?")
    first = next(chunks)
    chunks.close()
    assert conversation.turns == [Turn("what is a mean?", first.strip())]


def test_leading_blanks_are_taken_off_however_the_text_is_cut() -> None:
    assert list(without_leading_blanks(iter([" ", "\n a", " ", "b "]))) == ["a", " ", "b "]
