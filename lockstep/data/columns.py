"""Which columns of a file hold the question and the answer, and how a cell becomes a text."""

import difflib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.errors import LockstepError, shortened

AUTO = "auto"
QUESTIONS = ("question", "prompt", "instruction", "query", "input")
ANSWERS = ("answer", "response", "output", "completion", "reply")
CHATS = ("messages", "conversations", "conversation")
ROLES = {"user": "question", "human": "question", "assistant": "answer", "gpt": "answer", "bot": "answer"}
HEADED = (".csv", ".tsv", ".txt")  # files whose first line may name columns
LONGEST_NAME = 60  # characters; what is longer is no name of a column but a cell
SHOWN_COLUMNS = 20  # names listed in an error


class PairColumns:
    """Takes question and answer out of the cells of a row.

    noted counts what was left aside: 'further_values' of cells that hold lists, 'further_turns' of conversations.
    """

    def __init__(self, path: Path, found: list[str], question: str, answer: str, context: str | None) -> None:
        """found: the file's columns. question, answer, context: as in params.yaml's data section.

        Raises LockstepError when a column can't be told or does not exist.
        """
        self.path, self.found = path, found
        self.noted: Counter[str] = Counter()
        names = {name.strip().lower(): name for name in reversed(found)}
        chat = next((names[name] for name in CHATS if name in names), None)
        wanted = (question, answer) != (AUTO, AUTO) or any(name in names for name in QUESTIONS)
        self.chat = None if wanted else chat
        if self.chat is not None:
            return
        picked = (self._pick("question", question, QUESTIONS), self._pick("answer", answer, ANSWERS))
        if None in picked:
            raise self._unknown(*picked)
        self.question, self.answer = str(picked[0]), str(picked[1])
        if self.question == self.answer:
            raise LockstepError(
                f"{path}: data.question and data.answer both name the column {self.question}.",
                f"Its columns are {self._listed()}.",
            )
        self.context: str | None = None
        if context == AUTO:
            self.context = names.get("input") if self.question.strip().lower() == "instruction" else None
        elif context:
            self.context = self._pick("context", context, ())

    def pair(self, line: int, cells: dict[str, Any]) -> tuple[str, str]:
        """Question and answer of one row; a cell that is missing is an empty text."""
        if self.chat is not None:
            return self._first_turns(line, cells.get(self.chat))
        question = self._text(line, self.question, cells.get(self.question))
        if self.context is not None:
            context = self._text(line, self.context, cells.get(self.context))
            question = f"{question}\n{context}" if context.strip() else question
        return question, self._text(line, self.answer, cells.get(self.answer))

    def _text(self, line: int, column: str, value: Any) -> str:
        while isinstance(value, list) or (isinstance(value, dict) and "text" in value):
            if isinstance(value, dict):  # SQuAD's way to write answers
                value = value["text"]
            else:
                self.noted["further_values"] += max(0, len(value) - 1)
                value = value[0] if value else ""
        if isinstance(value, str):
            return value
        if value is None or value != value:  # NaN of a Parquet file
            return ""
        if isinstance(value, bytes):
            return value.decode("utf-8", errors="replace")
        if isinstance(value, dict):
            keys = ", ".join(shortened(str(key)) for key in list(value)[:6])
            raise LockstepError(
                f"{self.path} line {line}: column {column} holds an object (keys: {keys}), no text.",
                f"Name other columns under data: in params.yaml; there are {self._listed()}.",
            )
        return json.dumps(value) if isinstance(value, bool) else str(value)

    def _first_turns(self, line: int, turns: Any) -> tuple[str, str]:
        """What a user said first in a conversation, and the reply to it."""
        pair = {"question": "", "answer": ""}
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise LockstepError(
                f"{self.path} line {line}: column {self.chat} holds no list of turns with role and content.",
                f"Name the columns with data.question and data.answer; there are {self._listed()}.",
            )
        for turn in turns:
            part = ROLES.get(str(turn.get("role", turn.get("from", ""))).lower())
            content = self._text(line, str(self.chat), turn.get("content", turn.get("value")))
            if part and not pair[part] and not (part == "answer" and not pair["question"]):
                pair[part] = content
            else:
                self.noted["further_turns"] += 1
        return pair["question"], pair["answer"]

    def _pick(self, key: str, wanted: str, known: tuple[str, ...]) -> str | None:
        """The column the user names, or the first known name there is; None when no known name is there."""
        for name in known if wanted == AUTO else (wanted,):
            exact = [column for column in self.found if column == name]
            matches = exact or [column for column in self.found if column.strip().lower() == name.strip().lower()]
            if len(matches) > 1:
                raise LockstepError(f"{self.path} has {len(matches)} columns named {name}.", "Rename all but one.")
            if matches:
                return matches[0]
        if wanted == AUTO:
            return None
        close = difflib.get_close_matches(wanted, self.found, n=1)
        hint = f", did you mean {close[0]}?" if close else "."
        raise LockstepError(
            f"{self.path} has no column {wanted!r} (data.{key}){hint}", f"Its columns are {self._listed()}."
        )

    def _unknown(self, question: str | None, answer: str | None) -> LockstepError:
        """The error that lists the columns and proposes the lines to write."""
        missing = " and ".join(name for name, got in (("question", question), ("answer", answer)) if got is None)
        tabular = self.path.suffix.lower() in HEADED
        if len(self.found) == 1:
            return LockstepError(
                f"{self.path} has one column, {shortened(self.found[0])}; a question and an answer are needed.",
                "If something divides its lines, name that in data.delimiter."
                if tabular
                else "Add the other, or choose another file.",
            )
        if tabular and max(map(len, self.found)) > LONGEST_NAME:
            return LockstepError(
                f"{self.path}: its first line names no columns; it begins with {shortened(self.found[0])!r}.",
                "Write under data: in params.yaml `header: false`, `question: column_1` and `answer: column_2`.",
            )
        free = [name for name in self.found if name not in (question, answer)]
        first = question or _guess("question", free)
        second = answer or _guess("answer", [name for name in free if name != first])
        headless = "; if the first line names no columns, `header: false`" if tabular else ""
        lines = f"question: {_yaml(first)}", f"answer: {_yaml(second)}"
        remedy = f"Write under data: in params.yaml, say, `{lines[0]}` and `{lines[1]}`{headless}."
        if max(len(first), len(second)) > LONGEST_NAME:
            remedy = "Name them with data.question and data.answer in params.yaml."
        return LockstepError(
            f"{self.path}: no column is known to hold the {missing}; its columns are {self._listed()}.", remedy
        )

    def _listed(self) -> str:
        more = f" and {len(self.found) - SHOWN_COLUMNS} more" if len(self.found) > SHOWN_COLUMNS else ""
        return ", ".join(shortened(name) or "(no name)" for name in self.found[:SHOWN_COLUMNS]) + more


def _guess(part: str, names: list[str]) -> str:
    """The likeliest of the free columns to propose: one with the word in its name, a text rather than an id."""
    holding = [name for name in names if part in name.lower()] or [name for name in names if name.lower() == part[0]]
    texts = [name for name in holding if "text" in name.lower()]
    return (texts or holding or names or ["NAME"])[0]


def _yaml(name: str) -> str:
    """The name as params.yaml takes it: quoted where YAML would read a number, true or false, or worse."""
    plain = name.replace("_", "").replace(" ", "").isalnum() and yaml.safe_load(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)
