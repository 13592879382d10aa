"""A chat session: one conversation, its settings, and everything that may be done to them."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lockstep.chat.feedback import Verdict, append_correction
from lockstep.chat.settings import SETTINGS, change, current, parse_setting
from lockstep.chat.transcript import save_transcript
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CORRECTIONS

if TYPE_CHECKING:  # torch is loaded while the first question is typed, not before
    from lockstep.generation.conversation import Assistant, Conversation, Turn
    from lockstep.generation.engine import Answer

RETRY_TEMPERATURE = 0.7  # of a retry where the chat's own is 0 and would give the same answer again
SHORT_QUESTION = 60  # characters of a question shown in a note


class NoConversationError(LockstepError):
    """The conversation cannot begin at all; every other LockstepError here is a mistake in one line of it."""


class Screen(Protocol):
    """Where answers go: a terminal, a pipe, or JSON Lines."""

    is_interactive: bool  # whether a person can edit a line before it is sent
    shows_finish_reason: bool  # whether each answer is shown with its finish reason, so that no note need give it

    def stream(self, question: str, chunks: Iterator[str]) -> None:
        """Show an answer, one text chunk after the other."""

    def end_answer(self, question: str, answer: "Answer") -> None:
        """Called after the last chunk of an answer."""

    def note(self, text: str) -> None:
        """Show a line about the chat itself."""

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Show names, each with its meaning."""


class Chat:
    """One conversation, its settings, and what may be done to them. A mistake raises LockstepError and changes nothing.

    load_assistant: returns the loaded model; called when it is first needed. settings: values by name, see
    chat.settings. corrections: the file that verdicts on answers go to.
    """

    def __init__(
        self,
        load_assistant: "Callable[[], Assistant]",
        screen: Screen,
        settings: Mapping[str, int | float],
        corrections: Path = CORRECTIONS,
    ) -> None:
        self.screen = screen
        self.draft = ""  # what the next input line begins with, for a person to edit
        self._load_assistant = load_assistant
        self._settings = settings
        self._corrections = corrections
        self._question: str | None = None  # the latest one that was not taken back
        self._turn: Turn | None = None  # that question with its answer, if it got one
        self._retries = 0  # of that question
        self._verdicts: dict[tuple[str, str], Verdict] = {}
        self._saved: set[Path] = set()

    @cached_property
    def conversation(self) -> "Conversation":
        """The turns so far. Raises NoConversationError when the model can't be loaded or has no use for a setting."""
        try:
            assistant = self._load_assistant()
            from lockstep.generation.conversation import Conversation  # heavy: by now the loader has imported it

            conversation = Conversation(assistant, assistant.sampling)
            for name, value in self._settings.items():
                change(conversation, name, value)
        except LockstepError as error:
            raise NoConversationError(error.message, error.remedy) from error
        return conversation

    def ask(self, question: str) -> None:
        """Answer a question, or continue a text."""
        is_qa = self.conversation.assistant.prompt.kind == "qa"
        # A prompt that ends in a blank asks for a word without one: text never seen in training.
        question = _whole_characters(question.strip() if is_qa else question.rstrip(" "))
        if is_qa and not question:
            raise LockstepError("The question is empty.")
        self._question, self._retries = question, 0
        self._answer(question)

    def retry(self) -> None:
        """Ask the last question again, with other random numbers; the new answer replaces the old one."""
        if self._question is None:
            raise LockstepError("Nothing was asked yet.")
        conversation, usual = self.conversation, self.conversation.sampling
        self._retries += 1
        seed = (usual.seed + self._retries) % 2**32
        if usual.temperature == 0:
            self.screen.note(f"temperature 0 would say the same again; this once at {RETRY_TEMPERATURE}")
        previous = conversation.turns.pop() if self._turn else None
        conversation.sampling = usual.replace(seed=seed, temperature=usual.temperature or RETRY_TEMPERATURE)
        try:
            self._answer(self._question)
        finally:
            conversation.sampling = usual
            if previous and not self._turn:  # stopped before its first word
                conversation.turns.append(previous)
                self._turn = previous

    def undo(self) -> None:
        """Forget the last question and its answer."""
        if self._question is None:
            raise LockstepError("There is nothing to take back.")
        turns = self.conversation.turns
        if self._turn:
            turns.pop()
        self.screen.note(f"taken back: {_shortened(self._question)}")
        self._turn = turns[-1] if turns else None
        self._question, self._retries = (self._turn.question if self._turn else None), 0

    def reset(self) -> None:
        """Forget the whole conversation; settings stay."""
        self.conversation.turns.clear()
        self._question, self._turn, self._retries = None, None, 0
        self.screen.note("a new conversation")

    def show_settings(self) -> None:
        """Show each setting with its value and its meaning."""
        values = {name: current(self.conversation, name) for name in SETTINGS}
        self.screen.table([(f"{name} {value:g}", SETTINGS[name].meaning) for name, value in values.items()])

    def change_setting(self, name: str, text: str) -> None:
        """Give a setting the value that a person wrote."""
        change(self.conversation, name, parse_setting(name, text))
        self.screen.note(f"{name} is {current(self.conversation, name):g}")

    def save(self, path: Path) -> None:
        """Write the conversation to a file: a new one, or one that this chat wrote before."""
        if not self.conversation.turns:
            raise LockstepError("There is nothing to save yet.")
        if path.exists() and path.absolute() not in self._saved:
            raise LockstepError(f"{path} is there already.", "Choose another name.")
        save_transcript(path, self.conversation)
        self._saved.add(path.absolute())
        self.screen.note(f"{path}: {len(self.conversation.turns)} answers")

    def mark_good(self) -> None:
        """Keep the last answer as one to learn from."""
        turn = self._last_turn()
        self._mark(turn.question, turn.answer, "good", "noted as good: the next training learns it")

    def mark_bad(self) -> None:
        """Keep the last answer as one not to give."""
        turn, note = self._last_turn(), "noted as bad: it will not be learnt; /fix TEXT says what is right"
        self._mark(turn.question, turn.answer, "bad", note)

    def fix(self, text: str) -> None:
        """Put the right answer in place of the last one; without a text, offer that for editing."""
        if self._question is None:
            raise LockstepError("There is no answer to put right yet.")
        text = _whole_characters(text)
        if not text and self.screen.is_interactive and self._turn:
            self.draft = f"/fix {self._turn.answer.strip()}"
            return
        if not text:
            raise LockstepError("/fix needs the right answer after it.")
        self._mark(self._question, text, "fixed", "noted as the right answer: the next training learns it")
        if self._turn is None:
            from lockstep.generation.conversation import Turn

            self._turn = Turn(self._question, text)
            self.conversation.turns.append(self._turn)
        self._turn.answer = text

    def _answer(self, question: str) -> None:
        conversation = self.conversation
        from lockstep.generation.conversation import num_truncated_tokens

        truncated = num_truncated_tokens(conversation.assistant, question, conversation.sampling.max_new_tokens)
        if truncated:
            self.screen.note(f"too long for the model: the first {truncated} tokens are left out")
        num_turns = len(conversation.turns)
        chunks = conversation.ask(question)
        try:
            self.screen.stream(question, chunks)
        finally:
            chunks.close()
            self._turn = conversation.turns[-1] if len(conversation.turns) > num_turns else None
        self.screen.end_answer(question, conversation.answer)
        if not self._turn:
            self.screen.note("no answer: the model ended at once")
        elif not self.screen.shows_finish_reason and conversation.assistant.prompt.kind == "qa":
            self._note_limit(conversation)  # a continued text has no end of its own

    def _note_limit(self, conversation: "Conversation") -> None:
        """Say where an answer was cut short by a limit."""
        limit = conversation.sampling.max_new_tokens
        if conversation.answer.finish_reason == "length" and conversation.answer.tokens >= limit:
            self.screen.note(f"cut after {limit} tokens; /set max_new_tokens {limit * 2}")
        elif conversation.answer.finish_reason == "length":
            self.screen.note("the context is full")

    def _last_turn(self) -> "Turn":
        if self._turn is None:
            raise LockstepError("There is no answer to mark yet.")
        return self._turn

    def _mark(self, question: str, answer: str, verdict: Verdict, note: str) -> None:
        if self._verdicts.get((question, answer)) == verdict:
            self.screen.note(f"already noted as {verdict}")
            return
        append_correction(question, answer, verdict, self._corrections)
        self._verdicts[question, answer] = verdict
        self.screen.note(note)


def _whole_characters(text: str) -> str:
    """Text that UTF-8 can hold: half characters, which a terminal may send, become question marks."""
    return text.encode(errors="replace").decode()


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHORT_QUESTION else f"{line[: SHORT_QUESTION - 1]}…"
