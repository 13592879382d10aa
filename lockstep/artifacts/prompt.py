"""The prompt template: how a question and an answer become text, in training, evaluation, chat and export alike."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lockstep.core.atomic_files import read_json, write_json
from lockstep.core.errors import LockstepError
from lockstep.core.template import ANSWER, QUESTION, has_both_fields

PROMPT_FILE = "prompt.json"  # beside a model; says how to prompt it
DEFAULT_TEMPLATE = "Question: {question}\nAnswer: {answer}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """How a model is prompted.

    kind: 'qa', the template with question and answer filled in, or 'text', plain text without the template.
    The space between 'Answer:' and the answer belongs to the answer: byte-level BPE makes one token of a space and the
    word after it, so the model has never seen a prompt that ends in a space.
    """

    kind: Literal["qa", "text"] = "qa"
    template: str = DEFAULT_TEMPLATE
    history_turns: int = 0  # earlier turns the model is shown in a conversation

    @property
    def _parts(self) -> tuple[str, str, str]:
        """The template's text before, between and after the two fields."""
        before, rest = self.template.split(QUESTION)
        between, after = rest.split(ANSWER)
        return before, between, after

    def question_text(self, question: str) -> str:
        """The prompt: everything up to the answer, without spaces at its end."""
        if self.kind == "text":
            return question
        before, between, _ = self._parts
        return before + question + between.rstrip(" ")

    def answer_text(self, answer: str) -> str:
        """The completion before end-of-text: the rest of the template with the answer in it."""
        _, between, after = self._parts
        spaces = between[len(between.rstrip(" ")) :]
        return spaces + answer + after

    def question_span(self, question: str) -> tuple[int, int]:
        """(start, end) of the user's question in question_text, in characters."""
        start = len(self._parts[0])
        return start, start + len(question)

    def chat_template(self, end_of_text: str, opening: str = "") -> str:
        """The same template in Jinja, for Transformers' apply_chat_template.

        opening: the special token that the tokenizer puts before any text; apply_chat_template does not add it.
        """
        before, between, after = (
            _jinja_text(part) for part in (self._parts[0], self._parts[1].rstrip(" "), self._parts[2])
        )
        spaces = _jinja_text(self._parts[1][len(self._parts[1].rstrip(" ")) :])
        end = _jinja_text(end_of_text)
        # Each user turn ends with the text before the answer, so a generation prompt needs nothing more.
        return (
            (f"{{{{- {_jinja_text(opening)} -}}}}" if opening else "") + "{%- for message in messages -%}"
            "{%- if message['role'] == 'assistant' -%}"
            f"{{{{- {spaces} + message['content'] + {after} + {end} -}}}}"
            "{%- elif message['role'] == 'user' -%}"
            f"{{{{- {before} + message['content'] + {between} -}}}}"
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
        prompt = Prompt(**fields)
        is_valid = prompt.kind in ("qa", "text") and has_both_fields(prompt.template) and prompt.history_turns >= 0
    except (TypeError, AttributeError):
        is_valid = False
    if not is_valid:
        raise LockstepError(
            f"{folder / PROMPT_FILE} is damaged: it holds no kind, template and history_turns.",
            f"Run `{made_by}` to make it again.",
        )
    return prompt
