"""The tokenize stage: from prepared rows to Arrow, the tokenizer and the figures."""

from pathlib import Path

import pytest
from projects import CONTEXT, Project, hashes

from lockstep.artifacts import records
from lockstep.artifacts.row_store import iterate_rows, read_rows
from lockstep.core import parallel
from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
from lockstep.pretrained.tokenizer import load_tokenizer


def test_every_prepared_row_becomes_a_row_that_ends_its_answer(after: Project) -> None:
    tokenizer = load_tokenizer(Path("data/tokenized/tokenizer"), "tokenized")
    texts = [tokenizer.decode(row.ids) for row in iterate_rows(read_rows(Path("data/tokenized/test")))]
    assert len(texts) == after.json("metrics/prepare.json")["rows"]["test"]
    assert all(text.startswith("Question: Which paint") and text.endswith("<|endoftext|>") for text in texts)


def test_the_same_data_gives_the_same_bytes(after: Project) -> None:
    before = hashes("data/tokenized") | hashes("metrics/tokenize.json")
    after.run("tokenize")
    assert hashes("data/tokenized") | hashes("metrics/tokenize.json") == before


@pytest.mark.parametrize("kind", ["qa", "text"])
def test_other_processes_change_no_byte(project: Project, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "text":
        project.put("data/raw/long.txt", "\n\n".join(f"Paint {n * 7} dries on wood {n}." for n in range(300)))
        project.set("data", path="data/raw/long.txt", passage_chars=60)
        project.set("split", near_duplicate_threshold=1)
    project.set("tokenize", max_length=20, block_size=16)  # some rows are cut
    project.run("prepare", "tokenize")
    before = hashes("data/tokenized") | hashes("metrics/tokenize.json")
    monkeypatch.setattr(records, "BATCH_CHARS", 2000)
    monkeypatch.setattr(parallel, "FIRST_ITEMS", 1)
    project.run("tokenize")
    assert hashes("data/tokenized") | hashes("metrics/tokenize.json") == before


def test_an_overlong_row_met_by_another_process_is_one_clear_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run("prepare")
    monkeypatch.setattr(records, "BATCH_CHARS", 2000)
    monkeypatch.setattr(parallel, "FIRST_ITEMS", 0)
    project.set("tokenize", max_length=20, overlong="error")
    with pytest.raises(LockstepError, match=r"colours\.csv line \d+: .* tokenize\.overlong"):
        project.run("tokenize")


def test_the_template_of_params_is_used(project: Project) -> None:
    project.set("prompt", template="Q: {question} A: {answer}.")
    project.run("prepare", "tokenize")
    tokenizer = load_tokenizer(Path("data/tokenized/tokenizer"), "tokenized")
    row = next(iterate_rows(read_rows(Path("data/tokenized/train"))))
    assert tokenizer.decode(row.ids[: row.answer_start]).endswith(" A:")
    assert tokenizer.decode(row.ids[row.answer_start :]).endswith("..<|endoftext|>")


def test_rows_that_were_cut_are_counted_and_listed(project: Project) -> None:
    project.set("tokenize", max_length=20)
    project.run("prepare", "tokenize")
    metrics = project.json("metrics/tokenize.json")
    listed = Path("data/tokenized/rejects.jsonl").read_text().splitlines()
    assert metrics["truncated"] == len(listed) > 0
    assert metrics["length"]["longest"] == 20
    assert '"file": "data/raw/colours.csv"' in listed[0]


def test_texts_become_blocks_and_every_token_is_a_target(project: Project) -> None:
    for number in range(12):
        sentences = "\n\n".join(f"Paint number {number * 7 + line} dries slowly on wood {line}." for line in range(9))
        project.put(f"data/raw/texts/{number:02}.txt", sentences)
    project.set("data", path="data/raw/texts", kind="text", passage_chars=120)
    project.set("split", near_duplicate_threshold=1)
    project.run("prepare", "tokenize")
    metrics = project.json("metrics/tokenize.json")
    assert (metrics["kind"], metrics["length"]["longest"]) == ("text", 32)
    assert metrics["targets"] == metrics["tokens"] - sum(metrics["rows"].values())


def test_a_base_from_nothing_learns_its_tokenizer_from_the_train_split(project: Project) -> None:
    scratch = {"vocab_size": 300, "context": 64, "n_layer": 2, "n_head": 2, "n_embd": 32}
    project.set("model", base="scratch", scratch=scratch)
    project.run("prepare", "tokenize", "train", "evaluate")
    metrics = project.json("metrics/tokenize.json")
    assert (metrics["vocabulary_tokenizer"], metrics["vocabulary_model"]) == (300, 300)
    assert project.json("models/finetuned/config.json")["n_layer"] == 2


@pytest.mark.parametrize("key", ["max_length", "block_size"])
def test_lengths_beyond_the_models_context_are_an_error(project: Project, key: str) -> None:
    project.set("tokenize", **{key: CONTEXT + 1})
    project.run("prepare")
    with pytest.raises(LockstepError, match=rf"tokenize\.{key} is 257, .* Set it to 256 or less"):
        project.run("tokenize")


def test_a_tokenizer_of_another_model_is_an_error(project: Project) -> None:
    path = Path("models/bases/tiny/config.json")
    path.write_text(path.read_text().replace('"vocab_size": 400', '"vocab_size": 380'))
    write_manifest(path.parent)
    project.run("prepare")
    with pytest.raises(LockstepError, match="highest id is 399"):
        project.run("tokenize")


def test_tokenizing_before_preparing_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"data/prepared .* Run `make prepare`"):
        project.run("tokenize")


def test_an_empty_train_split_is_an_error(project: Project) -> None:
    for split in ("train", "validation", "test"):
        project.put(f"data/prepared/{split}.jsonl", "")
    write_manifest(Path("data/prepared"))
    with pytest.raises(LockstepError, match=r"data/prepared/train\.jsonl .* Run `make prepare`"):
        project.run("tokenize")


def test_when_no_row_fits_it_says_so_and_keeps_what_was_there(after: Project) -> None:
    before = hashes("data/tokenized")
    after.set("tokenize", max_length=8, overlong="drop")
    with pytest.raises(LockstepError, match="the train split"):
        after.run("tokenize")
    assert hashes("data/tokenized") == before
