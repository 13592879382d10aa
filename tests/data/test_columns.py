"""Columns are found by name; if none is known, the error proposes the lines to write."""

from pathlib import Path
from typing import Any

import pytest

from lockstep.core.errors import LockstepError
from lockstep.data.columns import PairColumns

PATH = Path("t.csv")


def columns(*names: str, question: str = "auto", answer: str = "auto", context: str | None = "auto") -> PairColumns:
    return PairColumns(PATH, list(names), question, answer, context)


@pytest.mark.parametrize("question", ["question", "Prompt", "INSTRUCTION", "query", " Input "])
@pytest.mark.parametrize("answer", ["Answer", "response", "OUTPUT", "completion", "reply"])
def test_known_names_are_found_in_any_case(question: str, answer: str) -> None:
    cells = {"id": 7, question: "why?", answer: "so"}
    assert columns("id", question, answer).pair(1, cells) == ("why?", "so")


def test_names_earlier_in_the_list_come_first() -> None:
    assert columns("prompt", "question", "reply", "answer").pair(1, {"question": "q", "answer": "a"}) == ("q", "a")


def test_input_beside_instruction_joins_the_question() -> None:
    pair_columns = columns("instruction", "input", "output")
    assert pair_columns.pair(1, {"instruction": "Add", "input": "1 and 2", "output": "3"}) == ("Add\n1 and 2", "3")
    assert pair_columns.pair(1, {"instruction": "Add", "input": " ", "output": "3"}) == ("Add", "3")


def test_context_none_leaves_the_input_away() -> None:
    cells = {"instruction": "Add", "input": "1 and 2", "output": "3"}
    assert columns(*cells, context=None).pair(1, cells) == ("Add", "3")


def test_named_columns_are_taken() -> None:
    cells = {"Q": "q", "Best Answer": "a", "Notes": "n", "question": "no", "answer": "no"}
    assert columns(*cells, question="q", answer="Best Answer", context="Notes").pair(1, cells) == ("q\nn", "a")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""), (float("nan"), ""), (12, "12"), (2.5, "2.5"), (True, "true"), (["a", "b"], "a"), ([], ""),
        ({"text": ["x"], "answer_start": [0]}, "x"), (b"caf\xc3\xa9", "caf\u00e9"),
    ],
)  # fmt: skip
def test_cell_becomes_a_text(value: Any, text: str) -> None:
    assert columns("question", "answer").pair(1, {"question": "q", "answer": value}) == ("q", text)


def test_values_after_the_first_are_counted() -> None:
    pair_columns = columns("question", "answer")
    pair_columns.pair(1, {"question": "q", "answer": ["a", "b", "c"]})
    assert pair_columns.left_aside == {"further_values": 2}


@pytest.mark.parametrize(
    "turns",
    [
        [
            ("role", "content", "system", "Be kind."),
            ("role", "content", "user", "Hi"),
            ("role", "content", "assistant", "Hello"),
        ],
        [("from", "value", "human", "Hi"), ("from", "value", "gpt", "Hello"), ("from", "value", "human", "Bye")],
    ],
)
def test_first_question_and_reply_of_a_conversation_are_taken(turns: list[tuple[str, str, str, str]]) -> None:
    pair_columns = columns("messages", "label")
    messages = [{who: role, what: text} for who, what, role, text in turns]
    assert pair_columns.pair(1, {"messages": messages}) == ("Hi", "Hello")
    assert pair_columns.left_aside == {"further_turns": 1}


def test_conversation_that_is_none_is_named_by_its_line() -> None:
    with pytest.raises(LockstepError, match=r"t\.csv line 9: column messages"):
        columns("messages").pair(9, {"messages": "Hi"})


def test_object_in_a_cell_is_named_by_its_line_and_keys() -> None:
    with pytest.raises(LockstepError, match=r"line 3: column answer .*\(keys: input, output\)"):
        columns("question", "answer").pair(3, {"question": "q", "answer": [{"input": "", "output": "x"}]})


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (["Q", "A"], "`question: Q` and `answer: A`"),
        (["Question", "Best Answer", "Source"], "`question: Question` and `answer: Best Answer`"),
        (["questionID", "questionText", "answerText"], "`question: questionText` and `answer: answerText`"),
        (["hi, you?", "fine"], '`question: "hi, you\\?"` and `answer: fine`'),
    ],
)
def test_unknown_columns_are_listed_with_the_lines_to_write(found: list[str], lines: str) -> None:
    with pytest.raises(
        LockstepError, match=rf"its columns are {', '.join(found[:1])}.*{lines}".replace("?,", r"\?,", 1)
    ):
        columns(*found)


def test_names_nobody_could_write_are_shortened_and_not_proposed() -> None:
    with pytest.raises(LockstepError) as caught:
        PairColumns(Path("t.json"), ["q" * 5000, "answer"], "auto", "auto", "auto")
    assert f"its columns are {'q' * 37}..., answer." in caught.value.message
    assert caught.value.remedy.startswith("Name them with data.question and data.answer")


def test_header_false_is_proposed_for_tables_only() -> None:
    with pytest.raises(LockstepError, match="header: false"):
        columns("hi", "hello")
    with pytest.raises(LockstepError, match=r"`answer: hello`\.$"):
        PairColumns(Path("t.json"), ["hi", "hello"], "auto", "auto", "auto")


def test_misspelt_column_is_answered_with_the_nearest() -> None:
    with pytest.raises(LockstepError, match=r"'questoin' \(data\.question\), did you mean question\?"):
        columns("question", "answer", question="questoin")


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(LockstepError, match="has 2 columns named question"):
        columns("Question", "QUESTION", "answer")
