"""JSON arrays and JSON Lines are recognized by their content, and read bit by bit with exact line numbers."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lockstep.core.errors import LockstepError
from lockstep.data import json_files
from lockstep.data.columns import NumberedCells
from lockstep.data.json_files import read_json_rows

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def rows(folder: Path, text: str, name: str = "t.json") -> list[NumberedCells]:
    (folder / name).write_text(text, encoding="utf-8")
    return list(read_json_rows(folder / name, "utf-8"))


def test_array_elements_have_the_line_they_begin_on(tmp_path: Path) -> None:
    text = '\n[\n  {"q": "a\\nb"},\n\n  {\n    "q": 2\n  }, {"q": 3}\n]\n'
    assert rows(tmp_path, text) == [(3, {"q": "a\nb"}), (5, {"q": 2}), (7, {"q": 3})]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=6), st.sampled_from([None, 1]))
def test_array_read_a_few_characters_at_a_time_is_the_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[dict[str, object]], indent: int | None
) -> None:
    monkeypatch.setattr(json_files, "READ_CHARS", 16)
    text = json.dumps(values, indent=indent)
    result = rows(tmp_path, text)
    assert [value for _, value in result] == values
    assert all(text.splitlines()[line - 1].lstrip(" [,").startswith("{") for line, _ in result)


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_json_lines_are_read_under_either_name(tmp_path: Path, name: str) -> None:
    assert rows(tmp_path, '{"q": 1}\n\n{"q": 2}\n', name) == [(1, {"q": 1}), (3, {"q": 2})]


def test_array_is_read_under_the_name_of_json_lines(tmp_path: Path) -> None:
    assert rows(tmp_path, '[{"q": 1}]', "t.jsonl") == [(1, {"q": 1})]


def test_squad_nesting_gives_each_question_with_its_context_and_line(tmp_path: Path) -> None:
    text = """{"version": "2", "data": [{"paragraphs": [{"context": "Say \\"question\\": now.", "qas": [
        {"question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]},
        {"id": 7,
         "question": "When?", "answers": []}]}]}]}"""
    assert rows(tmp_path, text) == [
        (2, {"question": "Who?", "answer": [{"text": "Ann", "answer_start": 0}], "context": 'Say "question": now.'}),
        (4, {"question": "When?", "answer": [], "context": 'Say "question": now.'}),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"q": 1},\n {"q": 2} {"q": ]', r"line 2 is not valid JSON: a value is needed, .*, not ']'"),
        ('[{"q": 1},\n {"q" 2}]', r"line 2 is not valid JSON: a colon is missing before '2}]'"),
        ('[{"q": 1},\n', r"the array is not closed"),
        ('[{"q": "never ends', r"line 1 is not valid JSON: a text is opened and never closed"),
        ('[{"q": 1},\n "text"]', r"line 2: a text where an object"),
        ("[[1]]", r"line 1: an array where an object"),
        ('[{"q": 1}] [{"q": 2}]', r"something follows the end of the array: '\[\{"),
        ('{"q": 1}\n{"q": \n', r"line 2 is not valid JSON"),
        ('{"q" 1}\n{"q": 2}\n', r"line 1 is not valid JSON: a colon is missing before '1}'"),
        ('{"q": 1}\n17\n', r"line 2: a number where an object"),
        ('{\n "rows": [{"q": 1}]\n}', r"is one JSON object \(keys: rows\), not an array"),
        ('{\n "rows": \n}', r"line 3 is not valid JSON"),
        ("question,answer\n", r"is not JSON: it begins with 'question,answer"),
        ('[{"q": ' + "[" * 100_000, r"line 1 is not valid JSON"),
    ],
)
def test_what_is_no_json_of_objects_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(LockstepError, match=problem):
        rows(tmp_path, text)


def test_blank_file_has_no_rows(tmp_path: Path) -> None:
    assert rows(tmp_path, " \n\n") == []
