"""What a line typed into the terminal chat does: a question gets its answer, a line that begins with / is a command."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lockstep.chat.feedback import Verdict, append_correction
from lockstep.chat.settings import SETTINGS, change, current, did_you_mean, parse_setting
from lockstep.chat.transcript import save_transcript
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CORRECTIONS

if TYPE_CHECKING:  # torch is loaded beside the first prompt, not before it
    from lockstep.generation.conversation import Assistant, Conversation, Turn
    from lockstep.generation.engine import Answer

LIVELY = 0.7  # temperature of a retry where the chat's own is 0 and would give the same answer again
COMMAND = re.compile(r"/([A-Za-z_]+)(?:\s+(.*))?", re.DOTALL)
LEAVING = ("exit", "quit")


class NoConversationError(LockstepError):
    """There can be no conversation: all others are mistakes in one line of it."""


class Screen(Protocol):
    """Where answers go: a terminal, a pipe, or JSON Lines."""

    edits: bool  # whether a person sits there who can change a line before it is sent
    tells_finish: bool  # whether it says by itself how an answer ended

    def stream(self, question: str, pieces: Iterator[str]) -> None:
        """Show an answer, a piece at a time."""

    def ended(self, question: str, answer: "Answer") -> None:
        """Called after the last piece."""

    def note(self, text: str) -> None:
        """Say something about the chat itself."""

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Say several things, each with its name."""


class Chat:
    """One conversation, its settings, and what may be done to them.

    assistant: gives the loaded model; called when it is first needed. settings: values by name, as chat_settings has
    them. A mistake raises LockstepError and changes nothing.
    """

    def __init__(
        self,
        assistant: "Callable[[], Assistant]",
        screen: Screen,
        settings: Mapping[str, int | float],
        corrections: Path = CORRECTIONS,
    ) -> None:
        self.screen = screen
        self.prefill = ""  # what the next line begins with, for a person to edit
        self._assistant = assistant
        self._settings = settings
        self._corrections = corrections
        self._question: str | None = None  # the latest one that was not taken back
        self._turn: Turn | None = None  # it with its answer, if it got one
        self._attempts = 0  # retries of it
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._saved: set[Path] = set()

    @cached_property
    def conversation(self) -> "Conversation":
        """What was said so far. Raises NoConversationError when the model won't load or has no use for a setting."""
        try:
            assistant = self._assistant()
            from lockstep.generation.conversation import Conversation  # heavy: by now the loader has it

            conversation = Conversation(assistant, assistant.sampling)
            for name, value in self._settings.items():
                change(conversation, name, value)
        except LockstepError as error:
            raise NoConversationError(error.message, error.remedy) from error
        return conversation

    def handle(self, line: str) -> bool:
        """Do what a line asks for. False when it ends the chat."""
        if line.strip().lower() in LEAVING:
            return False
        line = "/help" if line.strip() in ("/", "/?") else line
        found = COMMAND.fullmatch(line.rstrip())
        if not found:
            self.ask(line)
            return True
        name, text = found[1].lower(), (found[2] or "").strip()
        if name in LEAVING:
            return False
        if name not in COMMANDS:
            raise LockstepError(f"There is no /{name}{did_you_mean(name, COMMANDS, '/')}", "/help lists the commands.")
        COMMANDS[name].run(self, text)
        return True

    def ask(self, question: str) -> None:
        """Answer a question, or continue a text."""
        asking = self.conversation.assistant.prompt.kind == "qa"
        # A prompt that ends in a blank asks for a word without one: text never seen in training.
        question = _whole_characters(question.strip() if asking else question.rstrip(" "))
        if asking and not question:
            raise LockstepError("The question is empty.")
        self._question, self._attempts = question, 0
        self._answer(question)

    def retry(self, _: str) -> None:
        """Ask the last question again, with other random numbers; the new answer replaces the old one."""
        if self._question is None:
            raise LockstepError("Nothing was asked yet.")
        conversation, usual = self.conversation, self.conversation.sampling
        self._attempts += 1
        seed = (usual.seed + self._attempts) % 2**32
        if usual.temperature == 0:
            self.screen.note(f"temperature 0 would say the same again; this once at {LIVELY}")
        previous = conversation.turns.pop() if self._turn else None
        conversation.sampling = usual.but(seed=seed, temperature=usual.temperature or LIVELY)
        try:
            self._answer(self._question)
        finally:
            conversation.sampling = usual
            if previous and not self._turn:  # stopped before its first word
                conversation.turns.append(previous)
                self._turn = previous

    def undo(self, _: str) -> None:
        """Forget the last question and its answer."""
        if self._question is None:
            raise LockstepError("There is nothing to take back.")
        turns = self.conversation.turns
        if self._turn:
            turns.pop()
        self.screen.note(f"taken back: {_short(self._question)}")
        self._turn = turns[-1] if turns else None
        self._question, self._attempts = (self._turn.question if self._turn else None), 0

    def reset(self, _: str) -> None:
        """Forget the whole conversation; settings stay."""
        self.conversation.turns.clear()
        self._question, self._turn, self._attempts = None, None, 0
        self.screen.note("a new conversation")

    def set(self, text: str) -> None:
        """Show the settings, or change one."""
        name, _, value = text.replace("=", " ", 1).partition(" ")
        if not name:
            self.screen.table(
                [(f"{key} {current(self.conversation, key):g}", SETTINGS[key].meaning) for key in SETTINGS]
            )
            return
        name = name.replace("-", "_").lower()
        if not value.strip() and name in SETTINGS:
            raise LockstepError(f"/set {name} needs a value: {SETTINGS[name].allowed}.")
        change(self.conversation, name, parse_setting(name, value.strip()))
        self.screen.note(f"{name} is {current(self.conversation, name):g}")

    def save(self, text: str) -> None:
        """Write the conversation to a file."""
        if not text:
            raise LockstepError("/save needs a file name.", "The ending chooses the form: .md, .json or .jsonl.")
        path = Path(text).expanduser()
        if not self.conversation.turns:
            raise LockstepError("There is nothing to save yet.")
        if path.exists() and path.absolute() not in self._saved:
            raise LockstepError(f"{path} is there already.", "Choose another name.")
        save_transcript(path, self.conversation)
        self._saved.add(path.absolute())
        self.screen.note(f"{path}: {len(self.conversation.turns)} answers")

    def good(self, _: str) -> None:
        """Keep the last answer to learn from."""
        turn = self._last_turn()
        self._mark(turn.question, turn.answer, "good", "noted as good: the next training learns it")

    def bad(self, _: str) -> None:
        """Keep the last answer as one not to give."""
        turn = self._last_turn()
        self._mark(
            turn.question, turn.answer, "bad", "noted as bad: it will not be learnt; /fix TEXT says what is right"
        )

    def fix(self, text: str) -> None:
        """Put the last answer right; without a text, it is offered for editing."""
        if self._question is None:
            raise LockstepError("There is no answer to put right yet.")
        text = _whole_characters(text)
        if not text and self.screen.edits and self._turn:
            self.prefill = f"/fix {self._turn.answer.strip()}"
            return
        if not text:
            raise LockstepError("/fix needs the right answer after it.")
        self._mark(self._question, text, "fixed", "noted as the right answer: the next training learns it")
        if self._turn is None:
            from lockstep.generation.conversation import Turn

            self._turn = Turn(self._question, text)
            self.conversation.turns.append(self._turn)
        self._turn.answer = text

    def help(self, _: str) -> None:
        """List the commands."""
        rows = [(f"/{name} {command.takes}".rstrip(), command.meaning) for name, command in COMMANDS.items()]
        self.screen.table([*rows, *(KEYS if self.screen.edits else [])])

    def _answer(self, question: str) -> None:
        conversation = self.conversation
        from lockstep.generation.conversation import tokens_cut

        cut = tokens_cut(conversation.assistant, question, conversation.sampling.max_new_tokens)
        if cut:
            self.screen.note(f"too long for the model: the first {cut} tokens are left out")
        before = len(conversation.turns)
        pieces = conversation.ask(question)
        try:
            self.screen.stream(question, pieces)
        finally:
            pieces.close()
            self._turn = conversation.turns[-1] if len(conversation.turns) > before else None
        self.screen.ended(question, conversation.answer)
        if not self._turn:
            self.screen.note("no answer: the model ended at once")
        elif self.screen.tells_finish or conversation.assistant.prompt.kind == "text":
            return  # a text has no end of its own
        elif conversation.answer.finish == "length":
            limit = conversation.sampling.max_new_tokens
            reached = conversation.answer.tokens >= limit
            self.screen.note(
                f"cut after {limit} tokens; /set max_new_tokens {limit * 2}" if reached else "the context is full"
            )

    def _last_turn(self) -> "Turn":
        if self._turn is None:
            raise LockstepError("There is no answer to mark yet.")
        return self._turn

    def _mark(self, question: str, answer: str, verdict: Verdict, said: str) -> None:
        if self._verdicts.get((question, answer)) == verdict:
            self.screen.note(f"already noted as {verdict}")
            return
        append_correction(question, answer, verdict, self._corrections)
        self._verdicts[question, answer] = verdict
        self.screen.note(said)


@dataclass(frozen=True, slots=True)
class Command:
    """takes: what follows the name. meaning: one line of help."""

    takes: str
    meaning: str
    run: Callable[[Chat, str], None]


COMMANDS: Mapping[str, Command] = {
    "help": Command("", "this list", Chat.help),
    "reset": Command("", "forget the conversation and begin anew", Chat.reset),
    "retry": Command("", "answer the last question again, differently", Chat.retry),
    "undo": Command("", "take back the last question and its answer", Chat.undo),
    "set": Command("NAME VALUE", "change a setting; /set alone lists them", Chat.set),
    "save": Command("FILE", "write the conversation to FILE: .md, .json or .jsonl", Chat.save),
    "good": Command("", "the last answer is right: learn it", Chat.good),
    "bad": Command("", "the last answer is wrong: never learn it", Chat.bad),
    "fix": Command("TEXT", "what the last answer should have been; /fix alone lets you edit it", Chat.fix),
    "quit": Command("", "end the chat; so do exit, quit and Ctrl-D", lambda chat, text: None),
}

KEYS = [
    ("Enter", "send; Alt-Enter or Ctrl-J begins a new line"),
    ("Ctrl-C", "stop the answer, or empty the line"),
    ("Up, Ctrl-R", "earlier lines, also of earlier chats"),
]


def _whole_characters(text: str) -> str:
    """Text that UTF-8 can hold: half characters, which a terminal may send, become question marks."""
    return text.encode(errors="replace").decode()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
