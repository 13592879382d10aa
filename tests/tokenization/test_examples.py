"""From questions, answers and texts to ids and where their targets begin. One token is one byte here."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question
from lockstep.artifacts.rows import Row, RowBlock, audit, even_blocks
from lockstep.core.errors import LockstepError
from lockstep.pretrained.tokenizer import encoder_of, train_tokenizer
from lockstep.tokenization.base_tokenizer import rejected, token_metrics
from lockstep.tokenization.examples import Overlong, QuestionRows, text_blocks, text_ids

END = "<|endoftext|>"
BYTES = train_tokenizer([], 257, 512)
ENCODER = encoder_of(BYTES)
SHORT = Prompt(template="Q{question}A {answer}")


def asked(question: str, answer: str, line: int = 2) -> Question:
    return Question("1", "1", question, answer, "a.csv", line)


def rows_of(*questions: Question, tokens: int = 64, loss_on: str = "answer", overlong: str = "truncate") -> list[Row]:
    return list(QuestionRows(ENCODER, SHORT, loss_on, tokens, overlong).rows(list(questions)))


def shown(row: Row) -> tuple[str, str]:
    """What is given and what is to be learnt, as text."""
    return BYTES.decode(row.ids[: row.target_start]), BYTES.decode(row.ids[row.target_start :])


def test_the_answer_and_its_end_of_text_are_learnt_and_nothing_else() -> None:
    [row] = rows_of(asked("why", "so"))
    assert shown(row) == ("QwhyA", f" so{END}")
    assert (row.target_start, row.answer_start, row.targets) == (5, 5, 4)


def test_learning_all_leaves_out_only_the_first_token() -> None:
    [row] = rows_of(asked("why", "so"), loss_on="all")
    assert shown(row) == ("Q", f"whyA so{END}")
    assert row.answer_start == 5


def test_a_special_string_in_an_answer_does_not_end_it() -> None:
    [row] = rows_of(asked(END, f"a{END}b"))
    assert row.ids.count(BYTES.eos_token_id) == 1
    assert shown(row) == (f"Q{END}A", f" a{END}b{END}")


def test_a_row_that_fits_exactly_is_left_whole() -> None:
    maker = QuestionRows(ENCODER, SHORT, "answer", 9, "error")
    assert len(next(maker.rows([asked("why", "so")])).ids) == 9


def test_a_long_question_is_cut_at_its_end_and_the_whole_answer_kept() -> None:
    maker = QuestionRows(ENCODER, SHORT, "answer", 16, "truncate")
    [row] = maker.rows([asked("a very long question", "yes, so")])
    assert shown(row) == ("Qa verA", f" yes, so{END}")
    assert maker.noted == Overlong(question_cut=[("a.csv", 2)])


def test_a_long_answer_is_cut_once_the_question_is_down_to_a_quarter() -> None:
    maker = QuestionRows(ENCODER, SHORT, "answer", 16, "truncate")
    [row] = maker.rows([asked("a very long question", "and a very long answer")])
    assert shown(row) == ("Qa A", f" and a very{END}")
    assert maker.noted == Overlong(answer_cut=[("a.csv", 2)])


def test_a_short_question_is_not_cut_for_a_long_answer() -> None:
    [row] = rows_of(asked("x", "and a very long answer"), tokens=16)
    assert shown(row) == ("QxA", f" and a very {END}")


def test_long_rows_are_dropped_where_asked_and_listed() -> None:
    maker = QuestionRows(ENCODER, SHORT, "answer", 12, "drop")
    rows = list(maker.rows([asked("why", "so"), asked("a long one", "yes", 3), asked("and", "no", 4)]))
    assert [shown(row)[0] for row in rows] == ["QwhyA", "QandA"]
    assert rejected(maker.noted) == [{"file": "a.csv", "line": 3, "reason": "dropped: longer than tokenize.max_length"}]


def test_long_rows_are_an_error_where_asked() -> None:
    said = r"a\.csv line 2: the row takes 17 tokens, tokenize\.max_length is 12\. Raise it, or set tokenize\.overlong"
    with pytest.raises(LockstepError, match=said):
        rows_of(asked("a long one", "yes"), tokens=12, overlong="error")


def test_a_question_is_never_cut_inside_a_character() -> None:
    for tokens in range(12, 30):
        [row] = rows_of(asked("größer als 日本語?", "ja"), tokens=tokens)
        assert "\ufffd" not in shown(row)[0]
        assert shown(row)[1] == f" ja{END}"


def test_what_the_tokenizer_puts_first_is_in_every_row() -> None:
    opened = train_tokenizer([], 257, 512)
    opened.backend_tokenizer.post_processor = TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    for tokens in (64, 12):
        [row] = QuestionRows(encoder_of(opened), SHORT, "answer", tokens, "truncate").rows(
            [asked("why is it so", "so")]
        )
        assert row.ids[0] == 0
        assert len(row.ids) <= tokens
        assert row.ids[row.target_start :].count(0) == 1


@settings(deadline=None, max_examples=150)
@example("x", "a long answer", 8)
@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
    st.integers(8, 70),
)
def test_whatever_the_lengths_a_row_fits_and_ends_in_one_supervised_end_of_text(q: str, a: str, tokens: int) -> None:
    maker = QuestionRows(ENCODER, SHORT, "answer", tokens, "truncate")
    [row] = maker.rows([asked(q, a)])
    assert len(row.ids) <= tokens
    audit([RowBlock.of([row])], 0, "qa")
    whole = len(SHORT.question_text(q).encode()) + len(SHORT.answer_text(a).encode()) + 1
    assert (whole > tokens) == bool(maker.noted.question_cut or maker.noted.answer_cut)
    if not maker.noted.answer_cut:
        assert shown(row)[1] == f" {a}{END}"


def cut(texts: list[str], chunk: int, batch: int = 2) -> list[Row]:
    """Rows of texts that are tokenized `batch` at a time."""
    pieces = [text_ids(ENCODER, texts[begin : begin + batch]) for begin in range(0, len(texts), batch)]
    return [row for block in text_blocks(pieces, ENCODER.end, chunk) for row in block.rows()]


def windows(texts: list[str], chunk: int) -> list[str]:
    return [BYTES.decode(row.ids).replace(END, "|") for row in cut(texts, chunk)]


def test_texts_are_joined_by_end_of_text_and_cut_with_no_remainder_lost() -> None:
    assert windows(["abcdefg", "hi"], 5) == ["|abcd", "defg|", "|hi|"]


def test_texts_that_fill_their_chunks_leave_no_empty_row() -> None:
    assert windows(["abc"], 5) == ["|abc|"]
    assert windows(["abcdefg"], 5) == ["|abcd", "defg|"]
    assert windows(["abcd"], 5) == ["|abcd", "d|"]
    assert windows([], 5) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("abc", max_size=20), max_size=8), st.integers(2, 12), st.integers(1, 3))
def test_every_token_of_every_text_is_a_target_exactly_once(texts: list[str], chunk: int, batch: int) -> None:
    rows = cut(texts, chunk, batch)
    learnt = "".join(BYTES.decode(row.ids[row.target_start :]) for row in rows)
    assert learnt == "".join(text + END for text in texts)
    assert all(2 <= len(row.ids) <= chunk for row in rows)


@pytest.mark.parametrize(
    ("row", "kind", "said"),
    [
        (Row([1, 2], 2, 2), "qa", "Row 1 of the tokenized data has no target. Run `make tokenize` again."),
        (Row([1, 0], 0, 0), "qa", "Row 1 of the tokenized data has no target."),
        (Row([1, 2, 3], 1, 1), "qa", "Row 1 of the tokenized data does not end in one supervised end-of-text."),
        (Row([1, 0, 2, 0], 1, 1), "qa", "Row 1 of the tokenized data does not end in one supervised end-of-text."),
        (Row([1], 1, 1), "text", "Row 1 of the tokenized data has no target."),
    ],
)
def test_the_audit_names_the_first_wrong_row(row: Row, kind: str, said: str) -> None:
    with pytest.raises(LockstepError) as caught:
        audit([RowBlock.of([Row([1, 0], 1, 1), row])], 0, kind)
    assert said in str(caught.value)


def test_the_audit_passes_texts_that_hold_several_ends() -> None:
    audit([RowBlock.of([Row([0, 1, 0, 0, 2], 1, 1)])], 0, "text")


def test_the_first_wrong_row_is_counted_over_all_blocks() -> None:
    good, endless, untaught = Row([1, 0], 1, 1), Row([1, 2], 1, 1), Row([1, 0], 2, 2)
    blocks = [RowBlock.of([good] * 3), RowBlock.of([good, endless, untaught])]
    with pytest.raises(LockstepError, match="Row 4 of the tokenized data does not end"):
        audit(blocks, 0, "qa")


@pytest.mark.parametrize("sizes", [[7], [1, 6], [2, 0, 3, 2], [3, 3, 1]])
def test_rows_are_dealt_out_in_even_blocks_however_they_come(sizes: list[int]) -> None:
    rows = [Row(list(range(1, number + 3)), 1, number + 1) for number in range(7)]
    blocks = [RowBlock.of(rows[sum(sizes[:place]) : sum(sizes[: place + 1])]) for place in range(len(sizes))]
    even = list(even_blocks(blocks, 3))
    assert [len(block) for block in even] == [3, 3, 1]
    assert [row for block in even for row in block.rows()] == rows


def test_figures_of_the_tokens_count_every_row() -> None:
    sizes = {
        "train": np.array([[4, 2], [10, 9]]),
        "validation": np.zeros((0, 2), dtype=int),
        "test": np.array([[6, 1]]),
    }
    noted = Overlong([("a", 1)], [("a", 2), ("a", 3)], [("b", 4)])
    assert token_metrics("qa", sizes, noted) == {
        "kind": "qa",
        "rows": {"train": 2, "validation": 0, "test": 1},
        "tokens": 20,
        "targets": 12,
        "tokens_of_train": 14,
        "length": {"p50": 6.0, "p90": 9.2, "p99": 9.92, "longest": 10},
        "truncated": 3,
        "truncated_answers": 2,
        "dropped": 1,
    }
    assert [row["line"] for row in rejected(noted)] == [1, 2, 3, 4]


def test_a_train_split_with_no_row_left_is_an_error() -> None:
    sizes = {"train": np.zeros((0, 2), dtype=int), "test": np.array([[6, 1]])}
    with pytest.raises(LockstepError, match=r"No row of the train split is left\. Raise tokenize\.max_length"):
        token_metrics("qa", sizes, Overlong())
