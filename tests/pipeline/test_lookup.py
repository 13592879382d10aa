"""Looking up through all stages: the pairs travel from tokenize to chat, and evaluation tells what they are worth."""

from pathlib import Path

import pytest
from projects import TRAINED, Project

from lockstep.artifacts.lookup import LOOKUP_FILE
from lockstep.artifacts.records import read_records
from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.chat.load_export import load_exported
from lockstep.generation.conversation import Conversation, prompt_ids
from lockstep.pretrained.tokenizer import load_tokenizer


@pytest.fixture
def looked_up(project: Project) -> Project:
    """A project that looks one pair up, in which all stages have run."""
    project.set("generation", lookup=1)
    project.set("tokenize", max_length=128)
    project.run(*TRAINED)
    return project


def test_the_pairs_travel_from_the_train_split_to_the_chat(looked_up: Project) -> None:
    train = [(row.question, row.answer) for row in read_records(Path("data/prepared/train.jsonl"))]
    assistant = load_exported("models/export")
    assert assistant.lookup is not None
    assert (assistant.lookup.pairs, assistant.lookup.count) == (train, 1)
    question, answer = train[7]
    shown = assistant.tokenizer.decode(prompt_ids(assistant, [], question, 8))
    assert shown == f"Question: {question}\nAnswer: {answer}<|endoftext|>Question: {question}\nAnswer:"
    assert Conversation(assistant, assistant.sampling).prompt_ids(question) == prompt_ids(assistant, [], question, 8)


def test_without_its_pairs_an_export_answers_alone(looked_up: Project) -> None:
    Path("models/export", LOOKUP_FILE).unlink()
    assistant = load_exported("models/export")
    assert assistant.lookup is None
    assert assistant.tokenizer.decode(prompt_ids(assistant, [], "Why?", 8)) == "Question: Why?\nAnswer:"


def test_training_rows_learn_the_answer_alone_whatever_stands_before_it(looked_up: Project) -> None:
    tokenizer = load_tokenizer(Path("data/tokenized/tokenizer"), "tokenizer")
    train = read_records(Path("data/prepared/train.jsonl"))
    rows = list(iterate_rows(read_rows(Path("data/tokenized/train"))))
    for record, row in zip(train, rows, strict=True):
        assert tokenizer.decode(row.ids[row.target_start :]) == f" {record.answer}<|endoftext|>"
    pairs = [tokenizer.decode(row.ids[: row.target_start]).count("Question:") - 1 for row in rows]
    assert set(pairs) == {0, 1}
    held_out = iterate_rows(read_rows(Path("data/tokenized/test")))
    assert all(tokenizer.decode(row.ids).count("Question:") == 2 for row in held_out)


def test_evaluation_tells_what_the_model_answers_alone_too(looked_up: Project) -> None:
    kinds = looked_up.json("metrics/evaluate.json")["questions"]
    assert all(kinds[kind].keys() >= {"base", "tuned", "alone", "retrieval"} for kind in kinds)
    assert "without looking up" in Path("models/export/README.md").read_text(encoding="utf-8")
    looked_up.run("report")
    assert "without looking up" in Path("metrics/report.html").read_text(encoding="utf-8")


def test_long_rows_lose_pairs_before_they_lose_words(looked_up: Project) -> None:
    looked_up.set("tokenize", max_length=40)
    looked_up.run("tokenize")
    rows = list(iterate_rows(read_rows(Path("data/tokenized/train"))))
    assert max(len(row.ids) for row in rows) <= 40
    assert looked_up.json("metrics/tokenize.json")["truncated_answers"] == 0
