"""The prompt: how a question and an answer become text, in training, evaluation, chat and export alike."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lockstep.core.atomic_files import read_json, write_json
from lockstep.core.errors import LockstepError
from lockstep.core.template import ANSWER, QUESTION, has_both_fields

PROMPT_FILE = "prompt.json"  # beside a model; says how to prompt it
DEFAULT_TEMPLATE = "Question: {question}\nAnswer: {answer}"
SYSTEM = "{system}"  # where the system prompt stands in the opening


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a model is prompted.

    kind: 'qa', turns of a question and an answer, or 'text', plain text without any template.
    template: one turn, with {question} and {answer} to be filled in; the end-of-text token follows it.
    opening: what stands once before the first turn, where {system} is filled with `system`. separator: what stands
    between the end of one turn and the next. special_tokens: strings in these three that are single tokens of the base;
    in what a user types, the same strings are plain text. history_turns: earlier turns the model is shown.
    lookup: training pairs that are looked up and stand before a question as turns, see lookup.Lookup.

    Blanks before the answer belong to the answer: byte-level BPE makes one token of a space and the word after it, so
    the model has never seen a prompt that ends in a space.
    """

    kind: Literal["qa", "text"] = "qa"
    template: str = DEFAULT_TEMPLATE
    history_turns: int = 0
    opening: str = ""
    separator: str = ""
    system: str = ""
    special_tokens: tuple[str, ...] = ()
    lookup: int = 0

    @property
    def _parts(self) -> tuple[str, str, str]:
        """The template's text before, between and after the two fields."""
        before, rest = self.template.split(QUESTION)
        between, after = rest.split(ANSWER)
        return before, between, after

    def before_question(self, is_first: bool = True) -> str:
        """What stands before a question: of the first turn with the opening, of later turns with the separator."""
        if self.kind == "text":
            return ""
        start = self.opening.replace(SYSTEM, self.system) if is_first else self.separator
        return start + self._parts[0]

    @property
    def after_question(self) -> str:
        """What stands between a question and its answer, without the blanks that belong to the answer."""
        return "" if self.kind == "text" else self._parts[1].rstrip(" ")

    @property
    def before_answer(self) -> str:
        """The blanks that belong to the answer."""
        between = self._parts[1]
        return between[len(between.rstrip(" ")) :]

    @property
    def after_answer(self) -> str:
        """The rest of the template, after which end-of-text follows."""
        return self._parts[2]

    def question_text(self, question: str, is_first: bool = True) -> str:
        """The prompt: everything up to the answer, without spaces at its end."""
        return self.before_question(is_first) + question + self.after_question

    def answer_text(self, answer: str) -> str:
        """The completion before end-of-text: the rest of the template with the answer in it."""
        return self.before_answer + answer + self.after_answer

    def pieces(self, text: str) -> list[str]:
        """A part of the template as its special tokens and the texts around them, in order and none empty."""
        if not self.special_tokens:
            return [text] if text else []
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        return [piece for piece in re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if piece]

    def chat_template(self, end_of_text: str, opening: str = "") -> str:
        """The same prompt in Jinja, for Transformers' apply_chat_template.

        A first message of the role system replaces the system prompt, where the opening has one; else it is left out.
        opening: the special token that the tokenizer puts before any text; apply_chat_template does not add it.
        """
        start, has_system, rest = self.opening.partition(SYSTEM)
        system = "(messages[0]['content'] if messages[0]['role'] == 'system' else " + _jinja_text(self.system) + ")"
        first = f"{_jinja_text(opening + start)}" + (f" + {system} + {_jinja_text(rest)}" if has_system else "")
        before, between, after = map(_jinja_text, (self._parts[0], self.after_question, self.after_answer))
        before = f"({_jinja_text(self.separator)} if turns.count else '') + {before}"
        # Each user turn ends with the text before the answer, so a generation prompt needs nothing more.
        return (
            f"{{{{- {first} -}}}}"
            "{%- set turns = namespace(count=0) -%}"
            "{%- for message in messages -%}"
            "{%- if message['role'] == 'assistant' -%}"
            f"{{{{- {_jinja_text(self.before_answer)} + message['content'] + {after} + {_jinja_text(end_of_text)} -}}}}"
            "{%- elif message['role'] == 'user' -%}"
            f"{{{{- {before} + message['content'] + {between} -}}}}"
            "{%- set turns.count = turns.count + 1 -%}"
            "{%- endif -%}"
            "{%- endfor -%}"
        )


def _jinja_text(text: str) -> str:
    """A Jinja string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def write_prompt(folder: Path, prompt: Prompt) -> None:
    """Write the prompt into a model's folder."""
    write_json(folder / PROMPT_FILE, asdict(prompt))


def read_prompt(folder: Path, made_by: str) -> Prompt:
    """Read the prompt from a model's folder. made_by: the command that writes it, for the error.

    Raises LockstepError when it is missing or damaged.
    """
    fields = read_json(folder / PROMPT_FILE, made_by)
    try:
        prompt = Prompt(**{**fields, "special_tokens": tuple(fields.get("special_tokens", ()))})
        texts = (prompt.template, prompt.opening, prompt.separator, prompt.system, *prompt.special_tokens)
        is_valid = (
            prompt.kind in ("qa", "text")
            and all(isinstance(text, str) for text in texts)
            and has_both_fields(prompt.template)
            and prompt.history_turns >= 0
            and prompt.lookup >= 0
        )
    except (TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise LockstepError(
            f"{folder / PROMPT_FILE} is damaged: it holds no kind, template and history_turns.",
            f"Run `{made_by}` to make it again.",
        )
    return prompt
