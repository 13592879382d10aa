"""Bad tables: whatever is wrong with a CSV or TSV file, its user reads one line that says where and what to do."""

import gzip
from typing import Any

import pytest
from preparing import Project, csv_of, faq
from refusals import refusal

GOOD = csv_of(faq(12))
LINES = csv_of(faq(600)).splitlines(keepends=True)
CSV = "data/raw/data.csv"
NO_TEXT = "Save it as CSV, JSON or text in UTF-8; if it is that, take the byte out."
OTHER_FORMAT = "Save it as CSV, JSON or text in UTF-8."
QUOTES = "Quote the whole cell, and double the quotes inside of it."
RAGGED = 'Put that line right; a cell with a delimiter or a line break in it needs "double quotes".'
TOO_FEW = "too few for train, validation, test. It takes 3: add rows, raise split.near_duplicate_threshold, or set a fraction under split: to 0."


def line_of(number: int, changed: str) -> str:
    """600 rows with one line changed."""
    return "".join([*LINES[: number - 1], changed, *LINES[number:]])


BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "empty": (
        "", {}, f"{CSV} is empty. Put rows into it, or choose another file in data.path or data.files."),
    "blank lines alone": (
        "\n\n\n", {}, f"{CSV} holds no rows. Add some, or leave the file out."),
    "header alone": (
        "question,answer\n", {}, f"{CSV} holds no rows. Add some, or leave the file out."),
    "one row": (
        csv_of(faq(1)), {}, f"Your rows come to 1 without duplicates and near-duplicates, {TOO_FEW}"),
    "unknown columns": (
        "name,age\nAnn,3\n", {},
        f"{CSV}: no column is known to hold the question and answer; its columns are name, age. Write under data: in params.yaml, say, `question: name` and `answer: age`; if the first line names no columns, `header: false`."),
    "one column": (
        "question\nWhy?\n", {},
        f"{CSV} has one column, question; a question and an answer are needed. If something divides its lines, name that in data.delimiter."),
    "no header, long cells": (
        csv_of([("Why is the sky blue in the daytime and red at dawn, and black at night?", "Air."), *faq(5)], "").lstrip(), {},
        f"{CSV}: its first line names no columns; it begins with 'Why is the sky blue in the daytime an...'. Write under data: in params.yaml `header: false`, `question: column_1` and `answer: column_2`."),
    "column misspelt": (
        GOOD, {"question": "questoin"},
        f"{CSV} has no column 'questoin' (data.question), did you mean question? Its columns are question, answer."),
    "question and answer from one column": (
        GOOD, {"question": "answer"},
        f"{CSV}: data.question and data.answer both name the column answer. Its columns are question, answer."),
    "two columns of one name": (
        'question,answer,answer\n"a","b","c"\n', {}, f"{CSV} has 2 columns named answer. Rename all but one."),
    "wrong delimiter": (
        GOOD, {"delimiter": ";"},
        f"{CSV} line 1: there is no semicolon in it (data.delimiter). Write auto there, or the character that stands between its cells."),
    "delimiter of two characters": (
        GOOD, {"delimiter": "::"}, 'data.delimiter = \'::\' is not one character. Write auto, ";" or "\\t", say.'),
    "row with a cell too many": (
        line_of(539, "a,b,c\n"), {}, f"{CSV} line 539: 3 cells for 2 columns (delimiter: comma). {RAGGED}"),
    "row with a cell too few": (
        line_of(539, "a\n"), {}, f"{CSV} line 539: 1 cell for 2 columns (delimiter: comma). {RAGGED}"),
    "closing quote missing": (
        line_of(300, '"Where?","There.\n'), {},
        f"{CSV} line 300: a quote opened here is closed in line 301, before other text. {QUOTES}"),
    "opening quote missing": (
        line_of(300, '"Well, where?,"There."\n'), {}, f"{CSV} line 300: text follows a closing quote. {QUOTES}"),
    "last quote missing": (
        GOOD.rstrip()[:-1], {}, f"{CSV} line 13: a quote is opened and never closed. {QUOTES}"),
    "quotes not doubled": (
        line_of(7, '"What is "up"?","Not down."\n'), {}, f"{CSV} line 7: text follows a closing quote. {QUOTES}"),
    "two files joined": (
        GOOD + "\ufeff" + csv_of(faq(12, 12)), {},
        f"{CSV} line 14 names the columns again: two files were joined there. Take that line out."),
    "one line of 17 million characters": (
        "question,answer\n" + "a," * 8_400_000, {},
        f"{CSV} line 2 has more than 16,777,216 characters: this is no table. Write a row a line."),
    "quote that swallows 17 million characters": (
        'question,answer\n"' + ("a" * 999 + "\n") * 17_000, {},
        f"{CSV} line 2: a quote is opened and never closed. {QUOTES}"),
    "NUL byte far in": (
        line_of(539, '"a\0","b"\n'), {}, f"{CSV} line 539 holds a NUL byte, so it is no text. {NO_TEXT}"),
    "random bytes": (
        bytes(range(200, 256)) + b"\n" + bytes(range(60)), {}, f"{CSV} line 2 holds a NUL byte, so it is no text. {NO_TEXT}"),
    "picture": (
        b"\x89PNG\r\n\x1a\n" + bytes(50), {}, f"{CSV} is a picture, whatever its name says. {OTHER_FORMAT}"),
    "Excel file": (
        b"PK\x03\x04" + bytes(50), {}, f"{CSV} is a zip archive or an Excel or Word file, whatever its name says. {OTHER_FORMAT}"),
    "gzip archive": (
        gzip.compress(GOOD.encode()), {}, f"{CSV} is a gzip archive, whatever its name says. {OTHER_FORMAT}"),
    "JSON": (
        '[{"question": "a", "answer": "b"}]', {}, f"{CSV} is JSON, whatever its name says. Give it a name that ends in .json."),
    "web page": (
        "<!DOCTYPE html>\n<html><title>Not found</title>\n", {},
        f"{CSV} is a web page, whatever its name says. Save the table itself as CSV."),
    "Git LFS pointer": (
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", {},
        f"{CSV} is a Git LFS pointer, not the file itself. Fetch that with `git lfs pull`."),
    "two encodings": (
        GOOD.replace("is", "ïs").encode() + '"Où?","Là."\n'.encode("cp1252"), {},
        f"{CSV} line 14: byte 0xF9 is not utf-8. The rest is UTF-8: put that line right, or name another data.encoding."),
    "half a character of UTF-16": (
        GOOD.replace("birch", "\ud800").encode("utf-8", "surrogatepass"), {},
        f"{CSV} line 3: byte 0xED is not utf-8. The rest is UTF-8: put that line right, or name another data.encoding."),
    "UTF-16 cut inside a character": (
        GOOD.encode("utf-16")[:-1], {}, f"{CSV} line 13: byte 0x0A is not utf-16. Save the file again as UTF-8."),
    "UTF-16 without mark, so named": (
        GOOD.encode("utf-16-le"), {"encoding": "utf-16"},
        f"{CSV} has no byte order mark, so data.encoding = utf-16 leaves open how to read it. Write utf-16-le or utf-16-be there, or auto."),
    "not the encoding that is named": (
        '"Où?","Là."\n'.encode("cp1252"), {"encoding": "utf-8"},
        f"{CSV} line 1: byte 0xF9 is not utf-8. Name the encoding it has in data.encoding, not utf-8, or put auto there."),
    "encoding nobody knows": (
        GOOD, {"encoding": "utf9"}, "data.encoding = 'utf9' is no encoding Python knows. Did you mean utf_8? Write auto: it finds it."),
    "encoding of host names": (
        GOOD, {"encoding": "punycode"}, "data.encoding = 'punycode' is no encoding of texts. Write auto: it finds the right one."),
    "all questions the same": (
        csv_of([("Why?", f"Reason {n}.") for n in range(12)]), {},
        f"Your rows come to 1 without duplicates and near-duplicates, {TOO_FEW}"),
    "all answers empty": (
        csv_of([(question, " ") for question, _ in faq(12)]), {},
        f"{CSV}: none of 12 rows can be used (empty answer: 12). Look whether data.path, data.question and data.answer name the right things."),
    "all rows left out": (
        csv_of([("", "x"), ("y", ""), ("z", "NULL")]), {},
        f"{CSV}: none of 3 rows can be used (empty question: 1, empty answer: 1, missing answer: 1). Look whether data.path, data.question and data.answer name the right things."),
}  # fmt: skip


@pytest.mark.parametrize(("content", "settings", "message"), BAD.values(), ids=BAD.keys())
def test_bad_table_is_refused_in_one_line(
    prepared: Project, monkeypatch: pytest.MonkeyPatch, content: str | bytes, settings: dict[str, Any], message: str
) -> None:
    monkeypatch.setitem(prepared.params, "data", prepared.params["data"] | settings)
    prepared.put("data.csv", content)
    prepared.save()
    assert refusal("prepare") == message


def test_wrong_line_of_a_tsv_is_named(prepared: Project) -> None:
    prepared.put("data.tsv", "question\tanswer\nWhy?\tSo.\nAnd then?\n")
    prepared.save()
    assert refusal("prepare") == f"data/raw/data.tsv line 3: 1 cell for 2 columns (delimiter: tab). {RAGGED}"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["answer", "answer"], "data/raw/d.parquet has 2 columns named answer. Rename all but one."),
        (None, "data/raw/d.parquet is no readable Parquet file: Parquet file size is 4 bytes, smaller than the minimum file footer (8 bytes). Write it again."),
    ],
)  # fmt: skip
def test_bad_parquet_file_is_refused_in_one_line(prepared: Project, columns: list[str] | None, message: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    path = prepared.put("d.parquet", b"PAR1")
    if columns:
        write_table(pa.Table.from_arrays([pa.array(["a"])] * len(columns), columns), path)
    prepared.save()
    assert refusal("prepare") == message
