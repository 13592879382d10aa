"""Token rows of questions, answers and texts. One token is one byte here."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from strategies import END, TEXTS
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question
from lockstep.artifacts.rows import Row, RowBlock, audit
from lockstep.core.errors import LockstepError
from lockstep.pretrained.tokenizer import encoder_of, train_tokenizer
from lockstep.prompting.prompt_encoder import PromptEncoder
from lockstep.tokenization.examples import OverlongRows, QuestionTokenizer, encode_texts, group_texts

BYTES = train_tokenizer([], 257, 512)
ENCODER = encoder_of(BYTES)
SHORT = Prompt(template="Q{question}A {answer}")


def record(question: str, answer: str, line: int = 2) -> Question:
    return Question("1", "1", question, answer, "a.csv", line)


def rows_of(*questions: Question, tokens: int = 64, loss_on: str = "answer", overlong: str = "truncate") -> list[Row]:
    return list(QuestionTokenizer(PromptEncoder(ENCODER, SHORT), loss_on, tokens, overlong).rows(list(questions)))


def decoded(row: Row) -> tuple[str, str]:
    """The context and the targets of a row, as text."""
    return BYTES.decode(row.ids[: row.target_start]), BYTES.decode(row.ids[row.target_start :])


def test_the_answer_and_its_end_of_text_are_learnt_and_nothing_else() -> None:
    [row] = rows_of(record("why", "so"))
    assert decoded(row) == ("QwhyA", f" so{END}")
    assert (row.target_start, row.answer_start, row.targets) == (5, 5, 4)


def test_learning_all_leaves_out_only_the_first_token() -> None:
    [row] = rows_of(record("why", "so"), loss_on="all")
    assert decoded(row) == ("Q", f"whyA so{END}")
    assert row.answer_start == 5


def test_a_special_string_in_an_answer_does_not_end_it() -> None:
    [row] = rows_of(record(END, f"a{END}b"))
    assert row.ids.count(BYTES.eos_token_id) == 1
    assert decoded(row) == (f"Q{END}A", f" a{END}b{END}")


def test_a_row_that_fits_exactly_is_left_whole() -> None:
    tokenizer = QuestionTokenizer(PromptEncoder(ENCODER, SHORT), "answer", 9, "error")
    assert len(next(tokenizer.rows([record("why", "so")])).ids) == 9


def test_a_long_question_is_cut_at_its_end_and_the_whole_answer_kept() -> None:
    tokenizer = QuestionTokenizer(PromptEncoder(ENCODER, SHORT), "answer", 16, "truncate")
    [row] = tokenizer.rows([record("a very long question", "yes, so")])
    assert decoded(row) == ("Qa verA", f" yes, so{END}")
    assert tokenizer.overlong_rows == OverlongRows(question_truncated=[("a.csv", 2)])


def test_a_long_answer_is_cut_once_the_question_is_down_to_a_quarter() -> None:
    tokenizer = QuestionTokenizer(PromptEncoder(ENCODER, SHORT), "answer", 16, "truncate")
    [row] = tokenizer.rows([record("a very long question", "and a very long answer")])
    assert decoded(row) == ("Qa A", f" and a very{END}")
    assert tokenizer.overlong_rows == OverlongRows(answer_truncated=[("a.csv", 2)])


def test_a_short_question_is_not_cut_for_a_long_answer() -> None:
    [row] = rows_of(record("x", "and a very long answer"), tokens=16)
    assert decoded(row) == ("QxA", f" and a very {END}")


def test_long_rows_are_dropped_if_set_so_and_listed() -> None:
    tokenizer = QuestionTokenizer(PromptEncoder(ENCODER, SHORT), "answer", 12, "drop")
    rows = list(tokenizer.rows([record("why", "so"), record("a long one", "yes", 3), record("and", "no", 4)]))
    assert [decoded(row)[0] for row in rows] == ["QwhyA", "QandA"]
    assert tokenizer.overlong_rows == OverlongRows(dropped=[("a.csv", 3)])


def test_long_rows_are_an_error_if_set_so() -> None:
    with pytest.raises(LockstepError, match=r"a\.csv line 2: .* 17 tokens, .*max_length is 12\. .* tokenize\.overlong"):
        rows_of(record("a long one", "yes"), tokens=12, overlong="error")


def test_a_question_is_never_cut_inside_a_character() -> None:
    for tokens in range(12, 30):
        [row] = rows_of(record("größer als 日本語?", "ja"), tokens=tokens)
        assert "\ufffd" not in decoded(row)[0]
        assert decoded(row)[1] == f" ja{END}"


def test_what_the_tokenizer_puts_first_is_in_every_row() -> None:
    opened = train_tokenizer([], 257, 512)
    opened.backend_tokenizer.post_processor = TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 0)])
    for tokens in (64, 12):
        [row] = QuestionTokenizer(PromptEncoder(encoder_of(opened), SHORT), "answer", tokens, "truncate").rows(
            [record("why is it so", "so")]
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
    tokenizer = QuestionTokenizer(PromptEncoder(ENCODER, SHORT), "answer", tokens, "truncate")
    [row] = tokenizer.rows([record(q, a)])
    assert len(row.ids) <= tokens
    audit([RowBlock.of([row])], 0, "qa")
    whole = len(SHORT.question_text(q).encode()) + len(SHORT.answer_text(a).encode()) + 1
    assert (whole > tokens) == bool(
        tokenizer.overlong_rows.question_truncated or tokenizer.overlong_rows.answer_truncated
    )
    if not tokenizer.overlong_rows.answer_truncated:
        assert decoded(row)[1] == f" {a}{END}"


def grouped(texts: list[str], block_size: int, batch: int = 2) -> list[Row]:
    """Rows of texts that are tokenized `batch` at a time."""
    batches = [encode_texts(ENCODER, texts[begin : begin + batch]) for begin in range(0, len(texts), batch)]
    return [row for block in group_texts(batches, ENCODER.eos_id, block_size) for row in block.rows()]


def blocks(texts: list[str], block_size: int) -> list[str]:
    return [BYTES.decode(row.ids).replace(END, "|") for row in grouped(texts, block_size)]


def test_texts_are_joined_by_end_of_text_and_cut_with_no_remainder_lost() -> None:
    assert blocks(["abcdefg", "hi"], 5) == ["|abcd", "defg|", "|hi|"]


def test_texts_that_fill_their_blocks_leave_no_empty_row() -> None:
    assert blocks(["abc"], 5) == ["|abc|"]
    assert blocks(["abcdefg"], 5) == ["|abcd", "defg|"]
    assert blocks(["abcd"], 5) == ["|abcd", "d|"]
    assert blocks([], 5) == []


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text("abc", max_size=20), max_size=8), st.integers(2, 12), st.integers(1, 3))
def test_every_token_of_every_text_is_a_target_exactly_once(texts: list[str], block_size: int, batch: int) -> None:
    rows = grouped(texts, block_size, batch)
    learnt = "".join(BYTES.decode(row.ids[row.target_start :]) for row in rows)
    assert learnt == "".join(text + END for text in texts)
    assert all(2 <= len(row.ids) <= block_size for row in rows)


TEMPLATES = [
    "{question}{answer}",
    "Question: {question}\nAnswer: {answer}",
    "Q{question}A  {answer} !",
    f"{END}{{question}}\n{{answer}}{END}",
]
ODD_TEXTS = st.sampled_from(
    [END, f"a{END}", "👩‍👩‍👧‍👦", "e\u0301\u0323", "🇩🇪🇫🇷", "ไทย", "<s>", "{answer}", "{question}", " a ", "größer"]
)
ANY_TEXT = st.lists(ODD_TEXTS | TEXTS, min_size=1, max_size=4).map("".join).filter(bool)


def spelt(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("bytewise", [True, False])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT, ANY_TEXT, st.sampled_from(TEMPLATES), st.integers(36, 200))
@example("🦊🦊🦊", "🦊🦊🦊🦊🦊🦊🦊🦊🦊🦊", "{question}{answer}", 36)
def test_the_targets_spell_the_answer_and_one_end_of_text(
    tokenizer: PreTrainedTokenizerFast, bytewise: bool, question: str, answer: str, template: str, max_length: int
) -> None:
    tokenizer = BYTES if bytewise else tokenizer
    prompt, encoder = Prompt(template=template), encoder_of(tokenizer)
    truncating = QuestionTokenizer(PromptEncoder(encoder, prompt), "answer", max_length, "truncate")
    [row] = truncating.rows([record(question, answer)])
    audit([RowBlock.of([row])], encoder.eos_id, "qa")
    assert len(row.ids) <= max_length and row.target_start == row.answer_start
    context, targets = spelt(tokenizer, row.ids[: row.target_start]), spelt(tokenizer, row.ids[row.target_start :])
    if truncating.overlong_rows.answer_truncated:
        assert prompt.answer_text(answer).startswith(targets.removesuffix(END)) and targets.endswith(END)
    else:
        assert targets == prompt.answer_text(answer) + END
    if truncating.overlong_rows != OverlongRows():
        assert context in {prompt.question_text(question[:end]) for end in range(len(question) + 1)}
    else:
        assert context == prompt.question_text(question)
        [whole] = QuestionTokenizer(PromptEncoder(encoder, prompt), "all", max_length, "error").rows(
            [record(question, answer)]
        )
        assert (whole.ids, whole.target_start, whole.answer_start) == (row.ids, 1, row.answer_start)
