"""The chat in a terminal: a line to type in, answers that stream in word-wrapped, colours where they are wanted."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lockstep.chat.session import COMMANDS, Chat, NoConversationError
from lockstep.chat.word_wrap import MARGIN, WordWrap, wrapped_lines
from lockstep.core.errors import LockstepError
from lockstep.core.paths import CHECKPOINTS

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings

    from lockstep.generation.engine import Answer

HISTORY = CHECKPOINTS / "chat_history"
THANKS = "Thank you for the talk. Goodbye!"

DIM, BOLD, RED, CYAN = "2", "1", "31", "36"


def wants_colour(stream: TextIO) -> bool:
    """Whether to colour what is written there: a terminal that can, and no NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class TerminalScreen:
    """Answers in a terminal, indented and wrapped at words."""

    edits = True
    tells_finish = False

    def __init__(self, text_model: bool = False, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.colour = wants_colour(self.out)
        self.text_model = text_model
        self.wrapped = WordWrap(self.out)
        self.spaced = False  # whether the line above is empty

    def greet(self, model: str) -> None:
        """The first lines: who speaks, and how to go on."""
        how = "Begin a text and the model goes on." if self.text_model else "Ask a question."
        print(f"\n{MARGIN}{self.paint('Lockstep', BOLD)}  {model}", file=self.out)
        self.note(f"{how} /help lists the commands, exit ends.")

    def stream(self, question: str, pieces: Iterator[str]) -> None:
        """Show an answer as it comes; a text model's begins with the prompt it continues."""
        with keys_unseen():
            self.out.write("" if self.spaced else "\n")
            self.wrapped = WordWrap(self.out)
            if self.text_model:
                self.out.write(f"\x1b[{DIM}m" if self.colour else "")
                self.wrapped.write(question)
                self.out.write("\x1b[0m" if self.colour else "")
            for piece in pieces:
                self.wrapped.write(piece)
                self.out.flush()

    def ended(self, question: str, answer: "Answer") -> None:
        """Leave an empty line after the answer."""
        self.out.write("\n\n" if self.wrapped.column else "\n")
        self.out.flush()
        self.wrapped, self.spaced = WordWrap(self.out), True

    def note(self, text: str) -> None:
        """A dim line about the chat itself, with an empty line after it."""
        self._lines(self.paint(line, DIM) for line in wrapped_lines(text, 0))

    def problem(self, error: LockstepError) -> None:
        """What could not be done, and what to do about it."""
        self._lines(self.paint(line, RED) for line in wrapped_lines(str(error), 0))

    def stopped(self) -> None:
        """After Ctrl-C: end the line of a broken answer."""
        self.out.write("\x1b[0m" if self.colour else "")
        self.out.write("\n\n" if self.wrapped.column else "")
        self.wrapped = WordWrap(self.out)
        self.note("stopped")

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Names in a column of their own, meanings beside them."""
        width = max(len(name) for name, _ in rows) + len(MARGIN)
        for name, meaning in rows:
            first, *rest = wrapped_lines(meaning, width)
            lines = [self.paint(f"{name:<{width}}", CYAN) + first, *(" " * width + line for line in rest)]
            self._lines(lines, spaced=False)
        self._lines([])

    def _lines(self, lines: Iterable[str], spaced: bool = True) -> None:
        """Write lines behind the margin, and an empty one after them."""
        self.out.writelines(f"{MARGIN}{line}\n" for line in lines)
        self.out.write("\n" if spaced else "")
        self.out.flush()
        self.spaced = spaced

    def paint(self, text: str, style: str) -> str:
        """Text in a colour, where colours are wanted."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour else text

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Show a dim line while the block runs, and take it away."""
        terminal = self.out.isatty() and os.environ.get("TERM") != "dumb"
        if terminal:
            self.out.write(f"{MARGIN}{self.paint(text, DIM)}")
            self.out.flush()
        try:
            yield
        finally:
            if terminal:
                self.out.write("\r\x1b[2K")
                self.out.flush()


@contextmanager
def keys_unseen() -> Iterator[None]:
    """Keys typed while an answer comes are not shown in it but wait for the next prompt. Ctrl-C works as always."""
    try:
        import termios

        keyboard = sys.stdin.fileno()
        before = termios.tcgetattr(keyboard)
    except (ImportError, OSError, ValueError, termios.error):  # no such terminal here
        yield
        return
    unseen = list(before)
    unseen[0] &= ~termios.ICRNL
    unseen[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(keyboard, termios.TCSADRAIN, unseen)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def talk(chat: Chat, screen: TerminalScreen, history: Path | None = HISTORY) -> None:
    """Read lines and answer them until the person leaves. history: where typed lines are kept; None = nowhere.

    Raises NoConversationError when the model turns out not to load.
    """
    session = prompt_session(history, screen.colour)
    while True:
        begun, chat.prefill = chat.prefill, ""
        try:
            line = session.prompt(default=begun)
            screen.spaced = False
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        try:
            if line.strip() and not chat.handle(line):
                break
        except NoConversationError:
            raise
        except LockstepError as error:
            screen.problem(error)
        except KeyboardInterrupt:
            screen.stopped()
    screen.note(THANKS)


def prompt_session(history: Path | None, colour: bool) -> "PromptSession[str]":
    """The line to type in, with its keys, its completion of commands and its history."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.output import ColorDepth
    from prompt_toolkit.shortcuts import CompleteStyle

    return PromptSession(
        [("bold ansicyan", "› ")],
        multiline=True,
        prompt_continuation=MARGIN,
        key_bindings=_keys(),
        history=_history(history),
        completer=WordCompleter([f"/{name}" for name in COMMANDS], sentence=True),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        reserve_space_for_menu=0,
        enable_suspend=True,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
    )


def _keys() -> "KeyBindings":
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    bindings = KeyBindings()

    @bindings.add("enter")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text.strip():
            event.current_buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    @bindings.add("c-j")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings


def _history(path: Path | None) -> "History":
    """Typed lines in a file that only its owner may read; in memory alone where it can't be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            return FileHistory(str(path))
    except OSError:
        pass
    return InMemoryHistory()
