"""Bad JSON and JSON Lines: whatever is wrong, its user reads one line that says where and what to do."""

import json
from typing import Any

import pytest
from preparing import Project, csv_of, faq
from refusals import refusal

ROWS = [{"question": question, "answer": answer} for question, answer in faq(12)]
INDENTED = json.dumps(ROWS, indent=1)
PUT_RIGHT = "Put that line right."
ARRAY = "Make it an array of objects, or JSON Lines: one object a line."
BY_ROW = 'Write it row by row: pandas does with to_json(orient="records").'
NAMED = "Look whether data.path, data.question and data.answer name the right things."


def columns(cells: Any) -> dict[str, Any]:
    """The rows as whole columns; cells: how the values of one are kept."""
    return {name: cells([row[name] for row in ROWS]) for name in ("question", "answer")}


def deep(levels: int) -> str:
    return '{"question": ' * levels + "1" + "}" * levels


BAD: dict[str, tuple[str, str, str]] = {
    "array cut off in a text": (
        "d.json", INDENTED[:500],
        f"data/raw/d.json line 23 is not valid JSON: a text is opened and never closed. {PUT_RIGHT}"),
    "array cut off between objects": (
        "d.json", INDENTED[: INDENTED.index("},") + 2],
        "data/raw/d.json line 5: the array is not closed; the file ends early. Save or fetch it again, or end it with ]."),
    "array cut off in an object": (
        "d.json", '[\n{"question":', f"data/raw/d.json line 2 is not valid JSON: it ends too early. {PUT_RIGHT}"),
    "line cut off": (
        "d.jsonl", '{"question": "a", "answer": "b"}\n{"question": "c", "an',
        f"data/raw/d.jsonl line 2 is not valid JSON: a text is opened and never closed. {PUT_RIGHT}"),
    "comma before }": (
        "d.json", INDENTED.replace('."\n', '.",\n'),
        f"data/raw/d.json line 5 is not valid JSON: a comma too many stands before }}. {PUT_RIGHT}"),
    "comma missing": (
        "d.jsonl", '{"question": "a" "answer": "b"}\n',
        f"data/raw/d.jsonl line 1 is not valid JSON: a comma is missing before '\"answer\": \"b\"}}', or a quote near it is wrong. {PUT_RIGHT}"),
    "single quotes": (
        "d.json", str(ROWS),
        f"data/raw/d.json line 1 is not valid JSON: a key in \"double quotes\" is needed, not \"'question': 'Wh\". {PUT_RIGHT}"),
    "comment": (
        "d.json", "[\n// mine\n" + INDENTED[1:],
        f"data/raw/d.json line 2 is not valid JSON: a value is needed, such as a text in \"double quotes\", not '// mine'. {PUT_RIGHT}"),
    "Python's None": (
        "d.jsonl", '{"question": "a", "answer": None}\n',
        f"data/raw/d.jsonl line 1 is not valid JSON: a value is needed, such as a text in \"double quotes\", not 'None}}'. {PUT_RIGHT}"),
    "line break inside a text": (
        "d.json", '[{"question": "a\nb", "answer": "c"}]',
        f"data/raw/d.json line 1 is not valid JSON: a line break or control character stands inside a text; a line break is written \\n. {PUT_RIGHT}"),
    "backslash": (
        "d.jsonl", '{"question": "C:\\Users", "answer": "b"}\n',
        f"data/raw/d.jsonl line 1 is not valid JSON: a backslash stands before nothing it can escape; itself it is written \\\\. {PUT_RIGHT}"),
    "two objects on a line": (
        "d.jsonl", '{"question": "a", "answer": "b"} {"question": "c", "answer": "d"}\n{"question": "e", "answer": "f"}\n',
        f"data/raw/d.jsonl line 1 is not valid JSON: more follows the object: '{{\"question\": \"c'. {PUT_RIGHT}"),
    "a key twice": (
        "d.jsonl", '{"question": "a", "answer": "b", "answer": "c"}\n',
        f'data/raw/d.jsonl line 1 is not valid JSON: the key "answer" stands twice in one object. {PUT_RIGHT}'),
    "arrays in arrays, 100,000 deep": (
        "d.json", "[" * 100_000, f"data/raw/d.json line 1 is not valid JSON: it is nested too deeply. {PUT_RIGHT}"),
    "one object, 100,000 deep": (
        "d.json", deep(100_000), f"data/raw/d.json line 1 is not valid JSON: it is nested too deeply. {PUT_RIGHT}"),
    "an object, 100,000 deep, in JSON Lines": (
        "d.jsonl", json.dumps(ROWS[0]) + "\n" + deep(100_000),
        f"data/raw/d.jsonl line 2 is not valid JSON: it is nested too deeply. {PUT_RIGHT}"),
    "number of 5,000 digits": (
        "d.json", '[{"question": "a", "answer": ' + "7" * 5000 + "}]",
        f"data/raw/d.json line 1 is not valid JSON: a number has more than 4,300 digits. {PUT_RIGHT}"),
    "list of numbers": (
        "d.json", "[1, 2, 3]",
        f'data/raw/d.json line 1: a number where an object like {{"question": ...}} is needed. {ARRAY}'),
    "list of texts": (
        "d.json", '["a", "b"]', f'data/raw/d.json line 1: a text where an object like {{"question": ...}} is needed. {ARRAY}'),
    "rows one level down": (
        "d.json", json.dumps({"rows": ROWS}), f"data/raw/d.json is one JSON object (keys: rows), not an array of objects. {ARRAY}"),
    "rows two levels down": (
        "d.json", json.dumps({"data": {"rows": ROWS}}, indent=1),
        f"data/raw/d.json is one JSON object (keys: data), not an array of objects. {ARRAY}"),
    "columns as pandas writes them": (
        "d.json", json.dumps(columns(lambda cells: dict(enumerate(cells)))),
        f"data/raw/d.json holds whole columns (question, answer), not rows. {BY_ROW}"),
    "columns as lists": (
        "d.json", json.dumps(columns(list), indent=1),
        f"data/raw/d.json holds whole columns (question, answer), not rows. {BY_ROW}"),
    "something after the array": (
        "d.json", INDENTED + "\n" + INDENTED, f"data/raw/d.json: something follows the end of the array: '[\\n {{\\n  \"question\": \"'. {ARRAY}"),
    "answers that are objects": (
        "d.json", json.dumps([{"question": "a", "answer": {"long": "b", "short": "c"}}]),
        "data/raw/d.json line 1: column answer holds an object (keys: long, short), no text. Name other columns under data: in params.yaml; there are question, answer."),
    "conversation of texts": (
        "d.jsonl", '{"messages": ["Hi", "Hello"]}\n',
        "data/raw/d.jsonl line 1: column messages holds no list of turns with role and content. Name the columns with data.question and data.answer; there are messages."),
    "answers missing": (
        "d.json", json.dumps([{"question": "a"}]),
        "data/raw/d.json has one column, question; a question and an answer are needed. Add the other, or choose another file."),
    "answers empty": (
        "d.json", json.dumps([row | {"answer": ""} for row in ROWS]),
        f"data/raw/d.json: none of 12 rows can be used (empty answer: 12). {NAMED}"),
    "answers NaN": (
        "d.json", json.dumps([row | {"answer": float("nan")} for row in ROWS]),
        f"data/raw/d.json: none of 12 rows can be used (empty answer: 12). {NAMED}"),
    "CSV": (
        "d.json", csv_of(faq(3)), f"data/raw/d.json is not JSON: it begins with 'question,answer\\n\"Wha'. {ARRAY}"),
    "white space": (
        "d.jsonl", " \n \n", "data/raw/d.jsonl holds no rows. Add some, or leave the file out."),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_json_is_refused_in_one_line(prepared: Project, name: str, content: str, message: str) -> None:
    prepared.put(name, content)
    prepared.save()
    assert refusal("prepare") == message
