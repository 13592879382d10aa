"""The chat in a terminal: an input line with history, word-wrapped answers that stream in, colours where wanted."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from lockstep.chat.commands import COMMANDS, handle_line
from lockstep.chat.session import Chat, NoConversationError
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

DIM, BOLD, RED, CYAN = "2", "1", "31", "36"  # SGR codes


def wants_colour(stream: TextIO) -> bool:
    """Whether to write colours to a stream: a terminal that shows them, and no NO_COLOR (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class TerminalScreen:
    """Answers in a terminal, indented and wrapped at words."""

    is_interactive = True
    shows_finish_reason = False

    def __init__(self, text_model: bool = False, out: TextIO | None = None) -> None:
        self.out = out or sys.stdout
        self.colour = wants_colour(self.out)
        self.text_model = text_model
        self.wrap = WordWrap(self.out)
        self.spaced = False  # whether the last line written is empty

    def greet(self, model: str) -> None:
        """The first lines: the model's name and how to begin."""
        invitation = "Begin a text and the model goes on." if self.text_model else "Ask a question."
        print(f"\n{MARGIN}{self.paint('Lockstep', BOLD)}  {model}", file=self.out)
        self.note(f"{invitation} /help lists the commands, exit ends.")

    def stream(self, question: str, chunks: Iterator[str]) -> None:
        """Show an answer while it is generated; a text model's begins with the prompt it continues."""
        with echo_off():
            self.out.write("" if self.spaced else "\n")
            self.wrap = WordWrap(self.out)
            if self.text_model:
                self.out.write(f"\x1b[{DIM}m" if self.colour else "")
                self.wrap.write(question)
                self.out.write("\x1b[0m" if self.colour else "")
            for chunk in chunks:
                self.wrap.write(chunk)
                self.out.flush()

    def end_answer(self, question: str, answer: "Answer") -> None:
        """Leave an empty line after the answer."""
        self.out.write("\n\n" if self.wrap.column else "\n")
        self.out.flush()
        self.wrap, self.spaced = WordWrap(self.out), True

    def note(self, text: str) -> None:
        """Show a dim line about the chat itself, and an empty line after it."""
        self._lines(self.paint(line, DIM) for line in wrapped_lines(text, 0))

    def problem(self, error: LockstepError) -> None:
        """Show an error in red: what is wrong and what to do about it."""
        self._lines(self.paint(line, RED) for line in wrapped_lines(str(error), 0))

    def stopped(self) -> None:
        """End the line of an answer that Ctrl-C stopped."""
        self.out.write("\x1b[0m" if self.colour else "")
        self.out.write("\n\n" if self.wrap.column else "")
        self.wrap = WordWrap(self.out)
        self.note("stopped")

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Show names in a column of their own and their meanings beside them."""
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
        """Show a dim line while the block runs, then erase it."""
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
def echo_off() -> Iterator[None]:
    """Keep keys typed during an answer out of it: they wait for the next prompt. Ctrl-C works as always."""
    try:
        import termios

        keyboard = sys.stdin.fileno()
        attributes = termios.tcgetattr(keyboard)
    except (ImportError, OSError, ValueError, termios.error):  # no such terminal here
        yield
        return
    silent = list(attributes)
    silent[0] &= ~termios.ICRNL  # input flags
    silent[3] &= ~(termios.ECHO | termios.ICANON)  # local flags
    termios.tcsetattr(keyboard, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, attributes)


def talk(chat: Chat, screen: TerminalScreen, history: Path | None = HISTORY) -> None:
    """Read lines and answer them until the person leaves. history: the file of typed lines; None keeps them nowhere.

    Raises NoConversationError when the model can't be loaded.
    """
    session = prompt_session(history, screen.colour)
    while True:
        draft, chat.draft = chat.draft, ""
        try:
            line = session.prompt(default=draft)
            screen.spaced = False
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        try:
            if line.strip() and not handle_line(chat, line):
                break
        except NoConversationError:
            raise
        except LockstepError as error:
            screen.problem(error)
        except KeyboardInterrupt:
            screen.stopped()
    screen.note(THANKS)


def prompt_session(history: Path | None, colour: bool) -> "PromptSession[str]":
    """The input line with its key bindings, its completion of commands and its history."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.output import ColorDepth
    from prompt_toolkit.shortcuts import CompleteStyle

    return PromptSession(
        [("bold ansicyan", "› ")],
        multiline=True,
        prompt_continuation=MARGIN,
        key_bindings=_key_bindings(),
        history=_history(history),
        completer=WordCompleter([f"/{name}" for name in COMMANDS], sentence=True),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
        reserve_space_for_menu=0,
        enable_suspend=True,
        color_depth=None if colour else ColorDepth.DEPTH_1_BIT,
    )


def _key_bindings() -> "KeyBindings":
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
    """Typed lines, in a file that only its owner may read, or in memory where the file can't be written."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
            return FileHistory(str(path))
    except OSError:
        pass
    return InMemoryHistory()
