"""The one template, and its twin in Jinja."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt, read_prompt, write_prompt
from lockstep.core.errors import LockstepError

END = "<|endoftext|>"
PLAIN = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12).filter(lambda text: "{" not in text)
ODD = ["{{ 7 }}", "{% endfor %}", 'it\'s \\n "x"', "-}}", "{# note #}", " \n ", "\\", "'", "日本", "\r\t"]
PARTS = st.one_of(PLAIN, st.sampled_from(ODD)).map(lambda text: text.replace("{question}", "").replace("{answer}", ""))


def test_the_default_template_is_split_before_the_blank_of_the_answer() -> None:
    prompt = Prompt()
    assert prompt.question_text("Why?") == "Question: Why?\nAnswer:"
    assert prompt.answer_text("So.") == " So."


def test_what_follows_the_answer_belongs_to_it() -> None:
    prompt = Prompt(template="<q>{question}</q><a>{answer}</a>")
    assert prompt.question_text("Why?") == "<q>Why?</q><a>"
    assert prompt.answer_text("So.") == "So.</a>"


@given(PARTS, PARTS, PARTS, PLAIN, PLAIN)
def test_question_and_answer_text_together_are_the_template_filled_in(b: str, m: str, a: str, q: str, r: str) -> None:
    prompt = Prompt(template=b + "{question}" + m + "{answer}" + a)
    assert prompt.question_text(q) + prompt.answer_text(r) == b + q + m + r + a
    assert not prompt.question_text("?").endswith(" ")


def test_texts_are_continued_as_they_are() -> None:
    assert Prompt(kind="text").question_text("Once upon a ") == "Once upon a "


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(PARTS, PARTS, PARTS, st.lists(st.tuples(st.one_of(PLAIN, st.sampled_from(ODD)), PLAIN), max_size=3), PLAIN)
def test_the_chat_template_renders_exactly_the_prompts_text(
    tokenizer: PreTrainedTokenizerFast, b: str, m: str, a: str, turns: list[tuple[str, str]], last: str
) -> None:
    prompt = Prompt(template=b + "{question}" + m + "{answer}" + a)
    messages = [{"role": "system", "content": "ignored"}]
    for question, answer in turns:
        messages += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    messages.append({"role": "user", "content": last})
    expected = "".join(prompt.question_text(q) + prompt.answer_text(r) + END for q, r in turns)
    rendered = tokenizer.apply_chat_template(
        messages, chat_template=prompt.chat_template(END), tokenize=False, add_generation_prompt=True
    )
    assert rendered == expected + prompt.question_text(last)


def test_a_prompt_is_read_as_it_was_written(tmp_path: Path) -> None:
    prompt = Prompt("text", "{question}\n→ {answer}", 2)
    write_prompt(tmp_path, prompt)
    assert read_prompt(tmp_path, "make tokenize") == prompt


def test_a_prompt_file_that_is_missing_or_has_other_fields_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"prompt\.json is missing.* `make tokenize`"):
        read_prompt(tmp_path, "make tokenize")
    (tmp_path / "prompt.json").write_text('{"kind": "qa", "colour": "red"}', encoding="utf-8")
    with pytest.raises(LockstepError, match=r"prompt\.json is damaged.* `make tokenize`"):
        read_prompt(tmp_path, "make tokenize")
