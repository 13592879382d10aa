"""Data that is not where it should be, texts that are none, corrections that are broken: one line, and what to do."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from preparing import Project, csv_of, faq
from refusals import refusal

GOOD = csv_of(faq(12))
RAW = Path("data/raw")
RIGHTS = "Give read permission, or choose another file."
IN_PARAMS = "Put it right in params.yaml."
TOO_FEW = (
    "too few for train, validation, test. It takes 3: add texts, lower data.passage_chars, raise split.near_duplicate_threshold, "
    "or set a fraction under split: to 0."
)
READ = ".csv, .tsv, .json, .jsonl, .ndjson, .parquet, .txt, .text, .md, .markdown"


def nothing() -> None:
    """Leave data/raw empty."""


def file(name: str, content: str | bytes = GOOD) -> Callable[[], Any]:
    return lambda: (RAW / name).write_bytes(content.encode() if isinstance(content, str) else content)


def link(name: str, target: str) -> Callable[[], Any]:
    return lambda: (RAW / name).symlink_to(target)


def both(*fills: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: [fill() for fill in fills]


BAD: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "no such file": (
        nothing, {"path": "data/raw/questions.csv"}, f"data.path = data/raw/questions.csv: no such file or folder. {IN_PARAMS}"),
    "name nearly right": (
        file("data.csv"), {"path": "data/raw/dta.csv"},
        f"data.path = data/raw/dta.csv: no such file or folder. Did you mean data/raw/data.csv? {IN_PARAMS}"),
    "no such folder": (
        nothing, {"path": "data/rwa/data.csv"},
        f"data.path = data/rwa/data.csv: no such file or folder. There is no folder data/rwa either. {IN_PARAMS}"),
    "line break in a path": (
        nothing, {"path": "data/raw/a\nb.csv"}, f"data.path = data/raw/a\\nb.csv: no such file or folder. {IN_PARAMS}"),
    "path of 300 letters": (
        nothing, {"path": "data/raw/" + 300 * "x"}, f"Cannot read data/raw/{188 * 'x'}...: File name too long. {RIGHTS}"),
    "pattern as a path": (
        file("data.csv"), {"path": "data/raw/*.csv"},
        "data.path = data/raw/*.csv: no such file. Put the folder into data.path and the pattern into data.files."),
    "empty folder": (
        nothing, {"path": "data/raw"},
        "data/raw: no file matches data.files = '*'. The folder is empty: put your files there."),
    "folder with the name of a file": (
        lambda: (RAW / "x.csv").mkdir(), {"path": "data/raw/x.csv"},
        "data/raw/x.csv: no file matches data.files = '*'. The folder is empty: put your files there."),
    "pattern that matches nothing": (
        file("data.csv"), {"path": "data/raw", "files": "*.json"},
        "data/raw: no file matches data.files = '*.json'. It holds data.csv; files in subfolders are matched by \"**/*\"."),
    "pattern that names the folder": (
        file("data.csv"), {"path": "data/raw", "files": "."},
        "data.files = '.' names no files. Write \"*\" for all of them."),
    "pattern that leaves the folder": (
        file("data.csv"), {"path": "data/raw", "files": "../*"}, "data.files = '../*' leaves data/raw. Name files inside it."),
    "pattern that is none": (
        file("data.csv"), {"path": "data/raw", "files": "**x"},
        "data.files = '**x': invalid pattern: '**' can only be an entire path component. Write \"**/*.txt\", say."),
    "link to nothing": (
        link("data.csv", "gone.csv"), {"path": "data/raw/data.csv"},
        "data/raw/data.csv is a link to gone.csv, which leads nowhere. Put the link right."),
    "link to itself": (
        link("data.csv", "data.csv"), {"path": "data/raw/data.csv"},
        "data/raw/data.csv is a link to data.csv, which leads nowhere. Put the link right."),
    "link to nothing in a folder": (
        both(file("a.csv"), link("b.csv", "/nowhere/b.csv")), {"path": "data/raw"},
        "data/raw/b.csv is a link to /nowhere/b.csv, which leads nowhere. Put the link right."),
    "pipe": (
        lambda: os.mkfifo(RAW / "data.csv"), {"path": "data/raw/data.csv"},
        "data/raw/data.csv is no ordinary file. Put one in its place."),
    "spreadsheet": (
        file("data.xlsx"), {"path": "data/raw/data.xlsx"},
        f"data/raw/data.xlsx: prepare does not read files ending in .xlsx. It reads {READ}; convert the file, or leave it out with data.files."),
    "compressed table": (
        both(file("data.csv.gz"), file("more.csv.gz")), {"path": "data/raw"},
        f"data/raw/data.csv.gz (and 1 more): prepare does not read files ending in .gz. It reads {READ}; convert the file, or leave it out with data.files."),
    "texts beside tables": (
        both(file("a.csv"), file("b.txt")), {"path": "data/raw"},
        "data/raw/b.txt is a text, data/raw/a.csv is a table: one run reads one kind. Choose the files with data.files, or the kind with data.kind."),
    "name with a line break and a colour": (
        file("a\n\x1b[31mb.csv", ""), {"path": "data/raw"},
        "data/raw/a\\n\\x1b[31mb.csv is empty. Put rows into it, or choose another file in data.path or data.files."),
    "empty text": (
        file("a.txt", ""), {"path": "data/raw"},
        "data/raw/a.txt is empty. Put rows into it, or choose another file in data.path or data.files."),
    "texts of white space": (
        both(file("a.txt", " \n\n\t\n"), file("b.txt", "\n")), {"path": "data/raw"},
        "data/raw/a.txt and 1 more: nothing but white space. Put text there, or choose other files in data.path."),
    "text that is binary": (
        file("a.txt", b"ELF\x02\x01\x00\x03"), {"path": "data/raw"},
        "data/raw/a.txt line 1 holds a NUL byte, so it is no text. Save it as CSV, JSON or text in UTF-8; if it is that, take the byte out."),
    "text of one sentence": (
        file("a.txt", "This is all there is.\n"), {"path": "data/raw"},
        f"The passages of your texts come to 1 without duplicates and near-duplicates, {TOO_FEW}"),
    "questions in a format of their own": (
        file("a.txt", "#Q What are clouds?\n^ Water\nA Water\nB Wool\n"), {"path": "data/raw", "kind": "qa"},
        "data/raw/a.txt is no table: its first line, '#Q What are clouds?', has no delimiter. Convert it to CSV or JSON with a question and an answer each, or set data.kind to text."),
    "corrections cut off": (
        both(file("data.csv"), file("corrections.jsonl", '{"question": "a", "answer": "b", "verdict": "good"}\n{"question"')),
        {"path": "data/raw/data.csv", "corrections": True},
        "data/raw/corrections.jsonl line 2 is not valid JSON: it ends too early. Put that line right."),
    "correction of an unknown verdict": (
        both(file("data.csv"), file("corrections.jsonl", '{"question": "a", "answer": "b", "verdict": "so-so"}\n')),
        {"path": "data/raw/data.csv", "corrections": True},
        "data/raw/corrections.jsonl line 1: verdict 'so-so' is none of good, fixed, bad. Put it right there."),
    "corrections that are a folder": (
        both(file("data.csv"), lambda: (RAW / "corrections.jsonl").mkdir()),
        {"path": "data/raw/data.csv", "corrections": True},
        "data/raw/corrections.jsonl is no ordinary file. Put one in its place."),
    "corrections alone": (
        file("corrections.jsonl", '{"question": "a", "answer": "b"}\n'), {"path": "data/raw", "corrections": True},
        "data/raw holds nothing but the corrections. Put your data there too."),
}  # fmt: skip


@pytest.mark.parametrize(("fill", "settings", "message"), BAD.values(), ids=BAD.keys())
def test_misplaced_data_is_refused_in_one_line(
    prepared: Project, fill: Callable[[], Any], settings: dict[str, Any], message: str
) -> None:
    fill()
    prepared.set("data", **settings)
    prepared.save()
    assert refusal("prepare") == message


@contextmanager
def somebody_else() -> Iterator[None]:
    """Be a user to whom closed files stay closed, which they do not to root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    ("closed", "settings", "message"),
    [
        ("data/raw/data.csv", {"path": "data/raw/data.csv"}, f"Cannot read data/raw/data.csv: Permission denied. {RIGHTS}"),
        ("data/raw", {"path": "data/raw"}, f"Cannot read data/raw: Permission denied. {RIGHTS}"),
        ("data/raw/sub", {"path": "data/raw", "files": "**/*"}, f"Cannot read data/raw/sub: Permission denied. {RIGHTS}"),
    ],
)  # fmt: skip
def test_data_that_may_not_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, closed: str, settings: dict[str, Any], message: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        os.chmod(folder, 0o777)
        project = Project(Path(folder), monkeypatch)
        os.chmod("data", 0o777)
        (RAW / "sub").mkdir()
        file("data.csv")()
        project.set("data", **settings)
        project.save()
        os.chmod(closed, 0)
        with somebody_else():
            assert refusal("prepare") == message
        os.chmod(closed, 0o755)
        monkeypatch.undo()
