"""The one template: how a question and an answer become text, for training, evaluation, chat and export alike."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from lockstep.core.atomic_files import read_json, write_json
from lockstep.core.errors import LockstepError
from lockstep.core.template import ANSWER, QUESTION, has_both_fields

PROMPT_FILE = "prompt.json"  # lies beside a model and says how to talk to it
DEFAULT_TEMPLATE = "Question: {question}\nAnswer: {answer}"


@dataclass(frozen=True, slots=True)
class Prompt:
    """kind 'qa': rows are `template` filled in; kind 'text': rows are pieces of plain text and the template is unused.

    The blank between 'Answer:' and the answer belongs to the answer: byte-level BPE makes one token of a blank and
    the word after it, so a prompt that ended in a blank would ask for text never seen in training.
    """

    kind: Literal["qa", "text"] = "qa"
    template: str = DEFAULT_TEMPLATE
    history_turns: int = 0  # earlier turns the model is shown in a conversation

    @property
    def _parts(self) -> tuple[str, str, str]:
        before, rest = self.template.split(QUESTION)
        between, after = rest.split(ANSWER)
        return before, between, after

    def question_text(self, question: str) -> str:
        """What the model is shown: everything up to the answer, without blanks at its end."""
        if self.kind == "text":
            return question
        before, between, _ = self._parts
        return before + question + between.rstrip(" ")

    def answer_text(self, answer: str) -> str:
        """What the model is to say, before end-of-text: the rest of the template with the answer in it."""
        _, between, after = self._parts
        blanks = between[len(between.rstrip(" ")) :]
        return blanks + answer + after

    def question_span(self, question: str) -> tuple[int, int]:
        """Start and end, in characters of question_text, of the user's own words."""
        start = len(self._parts[0])
        return start, start + len(question)

    def chat_template(self, end_of_text: str, opening: str = "") -> str:
        """The same template in Jinja, as Transformers' apply_chat_template wants it.

        opening: what the tokenizer puts before any text; apply_chat_template leaves that to the template.
        """
        before, between, after = (
            _jinja_text(part) for part in (self._parts[0], self._parts[1].rstrip(" "), self._parts[2])
        )
        blanks = _jinja_text(self._parts[1][len(self._parts[1].rstrip(" ")) :])
        end = _jinja_text(end_of_text)
        # Each user turn is followed by its cue, so a generation prompt needs nothing more.
        return (
            (f"{{{{- {_jinja_text(opening)} -}}}}" if opening else "") + "{%- for message in messages -%}"
            "{%- if message['role'] == 'assistant' -%}"
            f"{{{{- {blanks} + message['content'] + {after} + {end} -}}}}"
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
    """Lay the prompt beside a model."""
    write_json(folder / PROMPT_FILE, asdict(prompt))


def read_prompt(folder: Path, made_by: str) -> Prompt:
    """Read the prompt beside a model. Raises LockstepError when it is missing or broken."""
    fields = read_json(folder / PROMPT_FILE, made_by)
    try:
        prompt = Prompt(**fields)
        whole = prompt.kind in ("qa", "text") and has_both_fields(prompt.template) and prompt.history_turns >= 0
    except (TypeError, AttributeError):
        whole = False
    if not whole:
        raise LockstepError(
            f"{folder / PROMPT_FILE} is damaged: it holds no kind, template and history_turns.",
            f"Run `{made_by}` to make it again.",
        )
    return prompt
