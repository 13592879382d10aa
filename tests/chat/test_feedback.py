"""Corrections: rows that are on disk whole, whoever writes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lockstep.chat import feedback
from lockstep.chat.feedback import append_correction
from lockstep.core.errors import LockstepError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def rows(path: Path = Path("data/raw/corrections.jsonl")) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


def test_a_row_holds_question_answer_and_verdict() -> None:
    append_correction("Was heißt\nπ?", 'A "ratio".', "good")
    assert rows() == [{"question": "Was heißt\nπ?", "answer": 'A "ratio".', "verdict": "good"}]


def test_rows_are_added_after_those_already_there() -> None:
    append_correction("a", "b", "good")
    append_correction("a", "b", "bad")
    assert [row["verdict"] for row in rows()] == ["good", "bad"]


def test_a_last_line_without_a_line_break_is_not_run_into() -> None:
    path = Path("mine.jsonl")
    path.write_text('{"question": "a", "answer": "b", "verdict": "good"}')
    append_correction("c", "d", "fixed", path)
    assert [row["question"] for row in rows(path)] == ["a", "c"]


def test_the_lock_does_not_lie_among_the_data() -> None:
    append_correction("a", "b", "good")
    assert [path.name for path in Path("data/raw").iterdir()] == ["corrections.jsonl"]


def test_a_failed_write_leaves_the_file_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    append_correction("a", "b", "good")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feedback.os, "fsync", full)
    with pytest.raises(LockstepError, match=r"Cannot write .*corrections\.jsonl: No space left on device"):
        append_correction("c", "d", "good")
    assert [row["question"] for row in rows()] == ["a"]


def test_a_lock_that_is_held_is_an_error_and_not_a_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    monkeypatch.setattr(feedback, "LOCK_SECONDS", 0.05)
    feedback.LOCK.parent.mkdir()
    with FileLock(feedback.LOCK), pytest.raises(LockstepError, match="locked by another process"):
        append_correction("a", "b", "good")


def test_processes_that_write_at_once_lose_and_tear_no_row() -> None:
    code = (
        "import sys\nfrom lockstep.chat.feedback import append_correction\n"
        "for number in range(40): append_correction(f'{sys.argv[1]} {number}', 'x' * 3000, 'good')"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, name], env={"PYTHONPATH": str(ROOT), "PATH": ""}) for name in "ab"
    ]
    assert [writer.wait(30) for writer in writers] == [0, 0]
    assert sorted(row["question"] for row in rows()) == sorted(
        f"{name} {number}" for name in "ab" for number in range(40)
    )
