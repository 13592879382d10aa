"""The prepare stage on plain texts: passages are split, neighbours joined again, no word lost."""

from itertools import chain
from pathlib import Path

import pytest
from preparing import Project, faq


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def story(count: int, begin: int = 0) -> list[str]:
    """Paragraphs of their own, about 150 characters each."""
    pairs = faq(count, begin)
    return [f"{question} {answer} {answer} So much about {answer}, which is over." for question, answer in pairs]


def words(texts: list[str]) -> list[str]:
    return sorted(word for text in texts for word in text.split())


def test_passages_of_one_document_go_to_all_splits_and_none_is_lost(project: Project) -> None:
    paragraphs = story(80)
    project.put("book.txt", "\r\n\r\n".join(paragraphs))
    project.set("data", passage_chars=300)
    metrics = project.run()
    assert metrics["kind"] == "text"
    assert metrics["leakage"] == {"paragraphs": 0}
    assert words([row["text"] for row in project.everything()]) == words(paragraphs)
    assert all(metrics["rows"][split] == len(project.rows(split)) > 0 for split in ("train", "validation", "test"))


def test_neighbours_in_one_split_are_one_text_again(project: Project) -> None:
    paragraphs = story(60)
    project.put("book.txt", "\n\n".join(paragraphs))
    project.set("data", passage_chars=300)
    project.set("split", train=1.0, validation=0, test=0)
    project.run()
    (only,) = project.rows("train")
    assert only["text"] == "\n\n".join(paragraphs)
    assert (only["file"], only["line"]) == ("data/raw/book.txt", 1)


def test_documents_are_never_joined(project: Project) -> None:
    parts = story(9)
    project.put("a.txt", "\n\f\n".join(parts[:6]))
    project.put("b.md", "\n\n".join(parts[6:]))
    project.set("data", path="data/raw")
    project.set("split", train=1.0, validation=0, test=0)
    project.run()
    assert [row["text"] for row in project.rows("train")] == [*parts[:6], "\n\n".join(parts[6:])]
    assert [row["line"] for row in project.rows("train")] == [1, 3, 5, 7, 9, 11, 1]


def test_whole_documents_are_split_when_passages_are_off(project: Project) -> None:
    for number in range(12):
        project.put(f"{number:02}.txt", "\n\n".join(story(3, begin=number * 3)))
    project.set("data", path="data/raw", passage_chars=0)
    metrics = project.run()
    assert sum(metrics["rows"].values()) == 12
    assert all(row["text"].count("\n\n") == 2 for row in project.everything())


def test_text_read_twice_is_merged(project: Project) -> None:
    book = "\n\n".join(story(30))
    project.put("a.txt", book)
    project.put("b.txt", book.upper())
    project.set("data", path="data/raw", passage_chars=300)
    metrics = project.run()
    assert metrics["rows_kept"] == metrics["duplicates_merged"]
    assert words([row["text"] for row in project.everything()]) == words([book])


def test_passage_quoted_with_few_changes_stays_with_its_original(project: Project) -> None:
    paragraphs = story(40)
    quoted = [paragraph.replace("which is", "that is") for paragraph in paragraphs[:10]]
    project.put("book.txt", "\n\f\n".join([*paragraphs, *quoted]))
    metrics = project.run()
    assert (metrics["near_duplicates"], metrics["clusters"]) == (10, 40)


def test_a_paragraph_of_all_documents_is_trained_on_and_not_scored(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    licence = "This file may be used by anybody for anything, as long as these lines stay where they are."
    paragraphs, title = story(90), "The same seven words in each file"
    for number in range(30):
        own = paragraphs[number * 3 : number * 3 + 3]
        project.put(f"{number:02}.txt", "\n\n".join([title, own[0], licence, *own[1:]]))
    project.set("data", path="data/raw")
    metrics = project.run()
    assert metrics["leakage"] == {"paragraphs": 0}
    train, *held_out = ([row["text"].split("\n\n") for row in project.rows(split)] for split in metrics["rows"])
    assert all(text.count(licence) == 1 for text in train)
    assert not any(licence in text for split in held_out for text in split)
    assert all(title in text for split in held_out for text in split)
    assert sorted(part for text in chain(train, *held_out) for part in text if part in paragraphs) == sorted(paragraphs)
    count = len(held_out[0]) + len(held_out[1])
    assert count > 1
    assert metrics["left_aside"] == {"known_paragraphs": count}
    assert f"{count} paragraphs of held-out texts are left out" in capsys.readouterr().out
