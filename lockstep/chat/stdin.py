"""The chat without a terminal: questions from standard input, answers to standard output as text or JSON Lines."""

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from lockstep.chat.commands import handle_line
from lockstep.chat.session import Chat, NoConversationError
from lockstep.core.errors import LockstepError

if TYPE_CHECKING:
    from lockstep.generation.engine import Answer


class TextScreen:
    """Answers as plain text on standard output; notes go to standard error."""

    is_interactive = False
    shows_finish_reason = False

    def stream(self, question: str, chunks: Iterator[str]) -> None:
        """Write an answer while it is generated."""
        for chunk in chunks:
            print(chunk, end="", flush=True)

    def end_answer(self, question: str, answer: "Answer") -> None:
        """End the answer's line."""
        print(flush=True)

    def note(self, text: str) -> None:
        """Write a line to standard error."""
        print(f"chat: {text}", file=sys.stderr, flush=True)

    def table(self, rows: list[tuple[str, str]]) -> None:
        """Write a line for each row to standard error."""
        width = max(len(name) for name, _ in rows)
        for name, meaning in rows:
            self.note(f"{name:<{width}}  {meaning}")


class JsonScreen(TextScreen):
    """One JSON object a line for each answer: question, answer, finish ('stop' or 'length'), tokens."""

    shows_finish_reason = True

    def stream(self, question: str, chunks: Iterator[str]) -> None:
        """Wait for the whole answer."""
        self.text = "".join(chunks)

    def end_answer(self, question: str, answer: "Answer") -> None:
        """Write the answer."""
        row = {"question": question, "answer": self.text, "finish": answer.finish_reason, "tokens": answer.tokens}
        print(json.dumps(row, ensure_ascii=False, allow_nan=False), flush=True)


def answer_lines(chat: Chat, lines: BinaryIO) -> None:
    """Answer each line of a pipe or file; empty lines are skipped. Commands work as in a terminal.

    Raises LockstepError naming the line that could not be answered; the lines before it have been answered by then.
    Raises NoConversationError, which names no line, where none can be answered.
    """
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise LockstepError(f"Standard input, line {number}: not UTF-8 text.", "Convert it to UTF-8.") from None
        try:
            if line.strip() and not handle_line(chat, line):
                return
        except NoConversationError:
            raise
        except LockstepError as error:
            raise LockstepError(f"Standard input, line {number}: {error.message}", error.remedy) from None
