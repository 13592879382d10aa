"""The data that come with the project: how much there is, in what form, how clean, and that no question leaks."""

import csv
import json
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from preparing import ROOT, Project

RAW = ROOT / "data" / "raw"
ALLOWED = ROOT / "tests/project/spelling_allowed.txt"
COLUMNS = {
    "data_science.csv": ("Question", "Answer"),
    "small_talk.csv": ("Question", "Response"),
    "story.json": ("prompt", "response"),
}
LONGEST_ANSWER = 60  # words
TABLES = sorted(COLUMNS)
CSV_TABLES = [name for name in TABLES if name.endswith(".csv")]
TEXTS = sorted((RAW / "texts").glob("*.txt"))
FILES = [*(RAW / name for name in TABLES), RAW / "story.txt", *TEXTS]


@cache
def rows_of(name: str) -> tuple[dict[str, str], ...]:
    """The rows of a table, column -> cell."""
    text = (RAW / name).read_text(encoding="utf-8")
    return tuple(json.loads(text) if name.endswith(".json") else csv.DictReader(text.splitlines(keepends=True)))


def pairs_of(name: str) -> list[tuple[str, str]]:
    """(question, answer) of each row."""
    question, answer = COLUMNS[name]
    return [(row[question], row[answer]) for row in rows_of(name)]


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, case and punctuation aside."""
    return re.findall(r"[a-z0-9]+", text.lower())


def asked_twice(name: str) -> dict[str, list[str]]:
    """Answer -> its questions, for each answer that more than one question has."""
    askings: dict[str, list[str]] = {}
    for question, answer in pairs_of(name):
        askings.setdefault(answer, []).append(question)
    return {answer: questions for answer, questions in askings.items() if len(questions) > 1}


@pytest.mark.parametrize(("name", "least"), [("data_science.csv", 1000), ("small_talk.csv", 400), ("story.json", 200)])
def test_each_table_has_enough_distinct_pairs(name: str, least: int) -> None:
    assert len({answer for _, answer in pairs_of(name)}) >= least


def test_about_150_data_science_questions_are_asked_a_second_way() -> None:
    askings = asked_twice("data_science.csv").values()
    assert 130 <= len(askings) <= 180
    assert all(len(questions) == 2 for questions in askings)


def test_texts_are_150_kilobytes_in_several_files() -> None:
    assert len(TEXTS) >= 5
    assert sum(path.stat().st_size for path in TEXTS) >= 150_000


@pytest.mark.parametrize("name", TABLES)
def test_columns_are_the_two_named_and_no_cell_is_missing_or_in_excess(name: str) -> None:
    assert {tuple(row) for row in rows_of(name)} == {COLUMNS[name]}
    assert all(isinstance(cell, str) for row in rows_of(name) for cell in row.values())


@pytest.mark.parametrize("name", TABLES)
def test_no_cell_is_empty_or_has_white_space_to_spare(name: str) -> None:
    cells = [cell for pair in pairs_of(name) for cell in pair]
    assert [cell for cell in cells if not cell or cell != " ".join(cell.split())] == []


@pytest.mark.parametrize("name", TABLES)
def test_answers_are_short(name: str) -> None:
    assert [answer for _, answer in pairs_of(name) if len(answer.split()) > LONGEST_ANSWER] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_question_comes_twice_whatever_its_case_and_punctuation(name: str) -> None:
    times = Counter(" ".join(words_of(question)) for question, _ in pairs_of(name))
    assert [question for question, count in times.items() if count > 1] == []


@pytest.mark.parametrize("name", TABLES)
def test_no_answer_only_repeats_its_question(name: str) -> None:
    assert [pair for pair in pairs_of(name) if set(words_of(pair[1])) <= set(words_of(pair[0]))] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_ascii_lines_that_end_in_a_newline(path: Path) -> None:
    content = path.read_bytes()
    assert re.findall(rb"[^\n\x20-\x7e]", content) == []
    assert content.endswith(b"\n")
    assert not content.endswith(b"\n\n")


@pytest.mark.parametrize("name", CSV_TABLES)
def test_every_row_of_a_csv_file_is_one_line(name: str) -> None:
    lines = (RAW / name).read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(COLUMNS[name])
    assert [next(csv.reader([line])) for line in lines[1:]] == [list(row.values()) for row in rows_of(name)]


def spelled_words(text: str) -> set[str]:
    """The words whose spelling can be looked up, in lower case and without 's: no acronyms, CamelCase or letters."""
    words = re.findall(r"[A-Za-z]+(?:'[a-z]+)*", text)
    return {re.sub(r"'s$", "", word).lower() for word in words if not re.search(r".[A-Z]|^.(?:'s)?$", word)}


@cache
def unknown_words() -> dict[str, str]:
    """Word that the English word list lacks -> the last file that has it."""
    from spellchecker import SpellChecker

    speller = SpellChecker(language="en")
    return {word: path.name for path in FILES for word in speller.unknown(spelled_words(path.read_text("ascii")))}


def test_spelling_is_that_of_the_word_list_but_for_the_words_allowed() -> None:
    allowed = ALLOWED.read_text(encoding="ascii").splitlines()
    assert {word: file for word, file in unknown_words().items() if word not in allowed} == {}


def test_list_of_allowed_words_is_sorted_and_holds_none_to_spare() -> None:
    allowed = ALLOWED.read_text(encoding="ascii").splitlines()
    assert allowed == sorted(unknown_words().keys() & allowed)


def test_misspelt_words_are_unknown() -> None:
    from spellchecker import SpellChecker

    text = "The varience of SQL's teh Pandas's mean occured at NaN, wich x isn't seperate."
    assert SpellChecker(language="en").unknown(spelled_words(text)) == {
        "varience",
        "teh",
        "occured",
        "wich",
        "seperate",
    }


@pytest.mark.parametrize("method", ["hash", "random"])
def test_both_askings_of_a_question_are_in_one_split(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, monkeypatch)
    project.put("data_science.csv", (RAW / "data_science.csv").read_bytes())
    project.set("split", method=method)
    metrics = project.run()
    homes = {"train": "train", "reworded": "train", "validation": "validation", "test": "test"}
    split_of = {row["question"]: split for file, split in homes.items() for row in project.rows(file)}
    parted = [both for both in asked_twice("data_science.csv").values() if len({split_of[q] for q in both}) > 1]
    assert parted == []
    assert (metrics["rows_kept"], project.rows("rejects")) == (len(pairs_of("data_science.csv")), [])
    assert set(split_of.values()) == {"train", "validation", "test"}
