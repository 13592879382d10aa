"""Records between prepare and tokenize: read as they were written, and damage named with its line."""

from pathlib import Path

import pytest

from lockstep.artifacts.records import Question, Text, read_records, write_records
from lockstep.core.errors import LockstepError


def test_records_are_read_as_they_were_written(tmp_path: Path) -> None:
    records = [Question("1", "1", "q\n?", "ä", "a.csv", 2), Text("2", "2", "t", "b.txt", 1)]
    assert write_records(tmp_path / "r.jsonl", records) == 2
    assert read_records(tmp_path / "r.jsonl") == records


@pytest.mark.parametrize("line", ['{"question": "half', '{"question": 1, "colour": 2}', "[]"])
def test_a_damaged_record_names_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "r.jsonl"
    write_records(path, [Text("2", "2", "t", "b.txt", 1)])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LockstepError, match=r"r\.jsonl line 2 is damaged\. Run `make prepare`"):
        read_records(path)


def test_missing_records_say_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"r\.jsonl is missing\. Run `make prepare` first"):
        read_records(tmp_path / "r.jsonl")
