"""The prompt of a base: taken apart from its own chat template where it has one.

A chat template is a Jinja program. What it puts around the turns of a conversation is found by rendering conversations
of marker words and cutting the text at the markers.
"""

import re
from typing import Any, Literal

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import DEFAULT_TEMPLATE, SYSTEM, Prompt
from lockstep.core.console import warn
from lockstep.core.template import ANSWER, QUESTION

AUTO = "auto"
ROLES = ("user", "assistant")
# Marker words without blanks at their ends, as some templates strip what they are given.
SYSTEM_MARK, QUESTIONS, ANSWERS = "zsystemz", ("zquestiononez", "zquestiontwoz"), ("zansweronez", "zanswertwoz")


def prompt_of(
    tokenizer: PreTrainedTokenizerFast, kind: Literal["qa", "text"], template: str, system: str | None
) -> Prompt:
    """The prompt for a tokenizer; its end-of-text token becomes the one that ends an answer in the chat template.

    template: 'auto', the tokenizer's chat template where it has one that can be taken apart, else DEFAULT_TEMPLATE; or
    a template with {question} and {answer}. system: the system prompt, 'auto' for the chat template's own, None for an
    empty one; where a base has no place for one it is left out, with a warning.
    """
    if kind == "text":
        return Prompt("text")
    found = chat_prompt(tokenizer, system) if template == AUTO else None
    if found is not None:
        return found
    if system not in (AUTO, None):
        _warn_of_system("the base has no chat template" if template == AUTO else "prompt.template is given")
    text = DEFAULT_TEMPLATE if template == AUTO else template
    text = text.removesuffix(str(tokenizer.eos_token))  # it follows every template
    return Prompt(template=text, special_tokens=_special_tokens_in(tokenizer, text))


def chat_prompt(tokenizer: PreTrainedTokenizerFast, system: str | None = AUTO) -> Prompt | None:
    """The prompt of the tokenizer's chat template; None where it has none that is the same for every turn.

    system: as in prompt_of. The tokenizer's end-of-text token becomes the one that ends an answer.
    """
    if not tokenizer.chat_template:
        return None
    turns = [
        (role, mark) for pair in zip(QUESTIONS, ANSWERS, strict=True) for role, mark in zip(ROLES, pair, strict=True)
    ]
    own = _render(tokenizer, turns)
    with_system = _render(tokenizer, [("system", SYSTEM_MARK), *turns])
    if own is None:
        return None
    has_place = with_system is not None and with_system.count(SYSTEM_MARK) == 1
    if system not in (AUTO, None) and not has_place:
        _warn_of_system("the base's chat template has no system turn")
    first, between, after_first, between_again, _ = _cut(own)
    generation = _render(tokenizer, turns[:1], add_generation_prompt=True)
    prompted = first + QUESTIONS[0] + between  # blanks before an answer belong to it
    if between != between_again or generation is None or generation.rstrip(" ") != prompted.rstrip(" "):
        return None
    opening, text = first, ""
    if has_place and with_system is not None:
        opening = _cut(with_system)[0].replace(SYSTEM_MARK, SYSTEM)
        start, rest = opening.split(SYSTEM)
        is_default = first.startswith(start) and first.endswith(rest) and len(first) >= len(start) + len(rest)
        default = first[len(start) : len(first) - len(rest)] if is_default else None
        text = system or "" if system != AUTO else default or ""
        if default is None and system in (AUTO, None):  # without a system turn there is nothing of it at all
            opening = first
    after, end, separator = _end_of_turn(tokenizer, after_first)
    template = QUESTION + between + ANSWER + after
    if end:
        tokenizer.eos_token = end
    special = _special_tokens_in(tokenizer, opening + template + separator)
    return Prompt("qa", template, 0, opening, separator, text, special)


def _warn_of_system(reason: str) -> None:
    warn(f"prompt.system is left out: {reason}")


def _render(tokenizer: PreTrainedTokenizerFast, turns: list[tuple[str, str]], **options: Any) -> str | None:
    """The chat template's text for some turns; None where it refuses them or leaves some of their texts out."""
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        text = str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
    except (TemplateError, TypeError, ValueError, KeyError):
        return None
    return text if all(text.count(mark) == 1 for _, mark in turns) else None


def _cut(text: str) -> list[str]:
    """The five parts around the marks of two questions and answers."""
    return re.split("|".join([*QUESTIONS, *ANSWERS]), text)


def _end_of_turn(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[str, str, str]:
    """What follows an answer: text that belongs to it, the special token that ends it, and what precedes the next
    question. Without a special token all of it belongs to the next question."""
    special = _special_tokens_in(tokenizer, text)
    if not special:
        return "", "", text
    start, end = min((text.find(token), token) for token in special)
    return text[:start], end, text[start + len(end) :]


def _special_tokens_in(tokenizer: PreTrainedTokenizerFast, text: str) -> tuple[str, ...]:
    """The tokenizer's added tokens that stand in a text, sorted."""
    return tuple(sorted(token for token in tokenizer.get_added_vocab() if token in text))
