"""Which columns of a file hold the question and the answer, and how a cell becomes a text."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.errors import LockstepError, did_you_mean, shortened

NumberedCells = tuple[int, dict[str, Any]]  # line in the file, cells of the row by column name

AUTO = "auto"
QUESTIONS = ("question", "prompt", "instruction", "query", "input")
ANSWERS = ("answer", "response", "output", "completion", "reply")
CHATS = ("messages", "conversations", "conversation")
ROLES = {"user": "question", "human": "question", "assistant": "answer", "gpt": "answer", "bot": "answer"}
HEADER_ENDINGS = (".csv", ".tsv", ".txt")  # files whose first line may name columns
MAX_NAME_CHARS = 60  # characters; a longer name of a column is really a cell
SHOWN_COLUMNS = 20  # names of columns listed in an error
SHOWN_KEYS = 6  # keys of an object listed in an error


class PairColumns:
    """Takes question and answer out of the cells of a row.

    left_aside counts values that were not used: 'further_values' of cells that hold lists, and 'further_turns' of
    conversations.
    """

    def __init__(self, path: Path, names: list[str], question: str, answer: str, context: str | None) -> None:
        """names: the file's columns. question, answer, context: as in params.yaml's data section.

        Raises LockstepError when a column does not exist, or none is known to hold the question or the answer.
        """
        self.path, self.names = path, names
        self.left_aside: Counter[str] = Counter()
        by_lower_case = {name.strip().lower(): name for name in reversed(names)}
        chat = next((by_lower_case[name] for name in CHATS if name in by_lower_case), None)
        has_pair = (question, answer) != (AUTO, AUTO) or any(name in by_lower_case for name in QUESTIONS)
        self.chat = None if has_pair else chat
        if self.chat is not None:
            return
        question_column = self._find("question", question, QUESTIONS)
        answer_column = self._find("answer", answer, ANSWERS)
        if question_column is None or answer_column is None:
            raise self._unknown(question_column, answer_column)
        self.question, self.answer = question_column, answer_column
        if self.question == self.answer:
            raise LockstepError(
                f"{path}: data.question and data.answer both name the column {self.question}.",
                f"Its columns are {self._listed_names()}.",
            )
        self.context: str | None = None
        if context == AUTO:
            self.context = by_lower_case.get("input") if self.question.strip().lower() == "instruction" else None
        elif context:
            self.context = self._find("context", context, ())

    def pair(self, line: int, cells: dict[str, Any]) -> tuple[str, str]:
        """Question and answer of one row; a missing cell is an empty text.

        line: of the row, for messages. Raises LockstepError, with the line, where a cell holds no text.
        """
        if self.chat is not None:
            return self._first_turns(line, cells.get(self.chat))
        question = self._text(line, self.question, cells.get(self.question))
        if self.context is not None:
            context = self._text(line, self.context, cells.get(self.context))
            question = f"{question}\n{context}" if context.strip() else question
        return question, self._text(line, self.answer, cells.get(self.answer))

    def _text(self, line: int, column: str, value: Any) -> str:
        """The text of a cell. Raises LockstepError, with the line, where it holds an object."""
        while isinstance(value, list) or (isinstance(value, dict) and "text" in value):
            if isinstance(value, dict):  # as SQuAD writes answers
                value = value["text"]
            else:
                self.left_aside["further_values"] += max(0, len(value) - 1)
                value = value[0] if value else ""
        if isinstance(value, str):
            return value
        if value is None or value != value:  # NaN of a Parquet file
            return ""
        if isinstance(value, bytes):
            return value.decode("utf-8", errors="replace")
        if isinstance(value, dict):
            keys = ", ".join(shortened(str(key)) for key in list(value)[:SHOWN_KEYS])
            raise LockstepError(
                f"{self.path} line {line}: column {column} holds an object (keys: {keys}), no text.",
                f"Name other columns under data: in params.yaml; there are {self._listed_names()}.",
            )
        return json.dumps(value) if isinstance(value, bool) else str(value)

    def _first_turns(self, line: int, turns: Any) -> tuple[str, str]:
        """The user's first message of a conversation, and the reply to it."""
        pair = {"question": "", "answer": ""}
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise LockstepError(
                f"{self.path} line {line}: column {self.chat} holds no list of turns with role and content.",
                f"Name the columns with data.question and data.answer; there are {self._listed_names()}.",
            )
        for turn in turns:
            part = ROLES.get(str(turn.get("role", turn.get("from", ""))).lower())
            content = self._text(line, str(self.chat), turn.get("content", turn.get("value")))
            if part and not pair[part] and not (part == "answer" and not pair["question"]):
                pair[part] = content
            else:
                self.left_aside["further_turns"] += 1
        return pair["question"], pair["answer"]

    def _find(self, key: str, wanted: str, known: tuple[str, ...]) -> str | None:
        """The column that the user names, or the first that has a known name; None where none has.

        key: of the data section. wanted: its value. Raises LockstepError where the named column does not exist or two
        columns have that name.
        """
        for name in known if wanted == AUTO else (wanted,):
            exact = [column for column in self.names if column == name]
            matches = exact or [column for column in self.names if column.strip().lower() == name.strip().lower()]
            if len(matches) > 1:
                raise LockstepError(f"{self.path} has {len(matches)} columns named {name}.", "Rename all but one.")
            if matches:
                return matches[0]
        if wanted == AUTO:
            return None
        hint = did_you_mean(wanted, self.names, lead=", did you mean ") or "."
        raise LockstepError(
            f"{self.path} has no column {wanted!r} (data.{key}){hint}", f"Its columns are {self._listed_names()}."
        )

    def _unknown(self, question: str | None, answer: str | None) -> LockstepError:
        """The error that lists the columns and proposes the lines to write."""
        pair = (("question", question), ("answer", answer))
        missing = " and ".join(name for name, column in pair if column is None)
        is_table = self.path.suffix.lower() in HEADER_ENDINGS
        if len(self.names) == 1:
            return LockstepError(
                f"{self.path} has one column, {shortened(self.names[0])}; a question and an answer are needed.",
                "If something divides its lines, name that in data.delimiter."
                if is_table
                else "Add the other, or choose another file.",
            )
        if is_table and max(map(len, self.names)) > MAX_NAME_CHARS:
            return LockstepError(
                f"{self.path}: its first line names no columns; it begins with {shortened(self.names[0])!r}.",
                "Write under data: in params.yaml `header: false`, `question: column_1` and `answer: column_2`.",
            )
        free = [name for name in self.names if name not in (question, answer)]
        first = question or _guess("question", free)
        second = answer or _guess("answer", [name for name in free if name != first])
        no_header = "; if the first line names no columns, `header: false`" if is_table else ""
        lines = f"question: {_yaml(first)}", f"answer: {_yaml(second)}"
        remedy = f"Write under data: in params.yaml, say, `{lines[0]}` and `{lines[1]}`{no_header}."
        if max(len(first), len(second)) > MAX_NAME_CHARS:
            remedy = "Name them with data.question and data.answer in params.yaml."
        return LockstepError(
            f"{self.path}: no column is known to hold the {missing}; its columns are {self._listed_names()}.", remedy
        )

    def _listed_names(self) -> str:
        """The first SHOWN_COLUMNS columns, for a message."""
        more = f" and {len(self.names) - SHOWN_COLUMNS} more" if len(self.names) > SHOWN_COLUMNS else ""
        return ", ".join(shortened(name) or "(no name)" for name in self.names[:SHOWN_COLUMNS]) + more


def _guess(part: str, names: list[str]) -> str:
    """The column to suggest: one whose name contains `part`, with text rather than ids."""
    matches = [name for name in names if part in name.lower()] or [name for name in names if name.lower() == part[0]]
    texts = [name for name in matches if "text" in name.lower()]
    return (texts or matches or names or ["NAME"])[0]


def _yaml(name: str) -> str:
    """The name as it is written in params.yaml: quoted where YAML would read anything but this text."""
    plain = name.replace("_", "").replace(" ", "").isalnum() and yaml.safe_load(name) == name
    return name if plain else json.dumps(name, ensure_ascii=False)
