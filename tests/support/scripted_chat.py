"""Chats for tests: one with scripted answers, and one that only records its lines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lockstep.artifacts.prompt import Prompt
from lockstep.chat.session import Chat
from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Assistant
from lockstep.generation.engine import Answer
from lockstep.generation.sampling import Sampling
from lockstep.pretrained.tokenizer import train_tokenizer

TOKENIZER = train_tokenizer(["Question: what? Answer: this."], 300, 64)


class ScriptedEngine:
    """Streams the scripted answers one after the other, word by word, and records its prompts and settings.

    The word ^C interrupts an answer; the word <cut> ends it at the limit of tokens.
    """

    context = 64

    def __init__(self, *answers: str) -> None:
        self.tokenizer = TOKENIZER
        self.answers = list(answers)
        self.calls: list[tuple[str, Sampling]] = []

    def stream_into(self, answer: Answer, prompt: list[int], sampling: Sampling) -> Iterator[str]:
        self.calls.append((self.tokenizer.decode(prompt), sampling))
        answer.finish_reason = "stop"
        for word in self.answers.pop(0).split(" ") if self.answers[0] else self.answers.pop(0):
            if word == "^C":
                raise KeyboardInterrupt
            if word == "<cut>":
                answer.finish_reason, answer.tokens = "length", sampling.max_new_tokens
                continue
            answer.text += f" {word}"
            yield f" {word}"


class RecordingScreen:
    """A screen that records what the chat shows."""

    shows_finish_reason = False

    def __init__(self, is_interactive: bool = True) -> None:
        self.is_interactive = is_interactive
        self.answers: list[str] = []
        self.notes: list[str] = []

    def stream(self, question: str, chunks: Iterator[str]) -> None:
        self.answers.append("")
        for chunk in chunks:
            self.answers[-1] += chunk

    def end_answer(self, question: str, answer: Answer) -> None: ...

    def note(self, text: str) -> None:
        self.notes.append(text)

    def table(self, rows: list[tuple[str, str]]) -> None:
        self.notes += [f"{name}: {meaning}" for name, meaning in rows]


def make_chat(
    *answers: str, kind: Any = "qa", is_interactive: bool = True, **settings: float
) -> tuple[Chat, ScriptedEngine, RecordingScreen]:
    """A chat with scripted answers; its verdicts go to corrections.jsonl in the current folder."""
    engine, screen = ScriptedEngine(*answers), RecordingScreen(is_interactive)
    assistant = Assistant(engine, Prompt(kind), Sampling(max_new_tokens=9), 0, "tiny")  # type: ignore[arg-type]
    return Chat(lambda: assistant, screen, settings, Path("corrections.jsonl")), engine, screen


def corrections() -> list[tuple[str, str, str]]:
    """Question, answer and verdict of each line that chats of make_chat wrote."""
    lines = Path("corrections.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["question"], row["answer"], row["verdict"]) for row in map(json.loads, lines)]


class RecordingChat:
    """Stands in for a Chat and records its lines: 'wrong' is an error, 'stop' a Ctrl-C, 'edit' gives a draft."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.draft = ""

    def ask(self, line: str) -> None:
        self.lines.append(line)
        if line == "wrong":
            raise LockstepError("That is wrong.", "Do it right.")
        if line == "stop":
            raise KeyboardInterrupt
        if line == "edit":
            self.draft = "/fix old"

    def retry(self) -> None:
        self.lines.append("/retry")

    def fix(self, text: str) -> None:
        self.lines.append(f"/fix {text}")
