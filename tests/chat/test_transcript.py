"""A conversation written to a file."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lockstep.artifacts.prompt import Prompt
from lockstep.chat.transcript import save_transcript
from lockstep.core.errors import LockstepError
from lockstep.generation.conversation import Conversation, Turn
from lockstep.generation.sampling import Sampling


def conversation(*turns: tuple[str, str], kind: Any = "qa") -> Conversation:
    """A conversation whose model can't answer: no test here asks it."""
    assistant: Any = SimpleNamespace(name="tiny", prompt=Prompt(kind))
    return Conversation(assistant, Sampling(temperature=0.5), [Turn(*turn) for turn in turns])


def test_json_lines_are_questions_and_answers(tmp_path: Path) -> None:
    save_transcript(tmp_path / "talk.jsonl", conversation(("A?", "one"), ("B?", "zwölf")))
    assert (tmp_path / "talk.jsonl").read_text(encoding="utf-8") == (
        '{"question": "A?", "answer": "one"}\n{"question": "B?", "answer": "zwölf"}\n'
    )


def test_json_holds_the_settings_too(tmp_path: Path) -> None:
    save_transcript(tmp_path / "talk.json", conversation(("A?", "one")))
    saved = json.loads((tmp_path / "talk.json").read_text())
    assert (saved["model"], saved["settings"]["temperature"]) == ("tiny", 0.5)
    assert saved["turns"] == [{"question": "A?", "answer": "one"}]


def test_markdown_says_who_speaks(tmp_path: Path) -> None:
    save_transcript(tmp_path / "talk.md", conversation(("A?", "one")))
    assert (tmp_path / "talk.md").read_text() == "# A conversation with tiny\n\n**You:** A?\n\n**Model:** one\n"


def test_a_continued_text_is_saved_as_one_text(tmp_path: Path) -> None:
    save_transcript(tmp_path / "talk.md", conversation(("There was", " a fox."), kind="text"))
    assert "There was a fox.\n" in (tmp_path / "talk.md").read_text()


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"talk\.pdf: .*\.md, \.json or \.jsonl"):
        save_transcript(tmp_path / "talk.pdf", conversation(("A?", "one")))
    assert list(tmp_path.iterdir()) == []
