"""The test split is read only when it can be trusted."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from projects import Project

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.row_store import iterate_rows, read_rows, write_rows
from lockstep.artifacts.rows import Row, RowBlock
from lockstep.core.errors import LockstepError
from lockstep.core.settings import load_params
from lockstep.evaluation.held_out import HeldOut, evenly_spread, read_held_out
from lockstep.modeling.distributed import SINGLE_PROCESS

TEST = Path("data/tokenized/test")
LEAKAGE = Path("data/prepared/leakage.json")


def read(tokenizer: Any) -> HeldOut:
    return read_held_out(Prompt(), tokenizer, load_params().evaluate, SINGLE_PROCESS)


def replace_test_rows(blocks: Iterable[RowBlock]) -> None:
    shutil.rmtree(TEST)
    write_rows(TEST, blocks)


def test_rows_clusters_and_questions_of_the_split_belong_together(after: Project, tokenizer: Any) -> None:
    held_out = read(tokenizer)
    assert len(held_out.rows) == len(held_out.train_rows) == len(held_out.clusters or []) == 9
    new = [question for question in held_out.questions if question.kind == "new"]
    assert len(new) == after.params["evaluate"]["generate"]
    assert {question.cluster for question in new} <= set(held_out.clusters or [])
    assert len(list(held_out.training_records())) == after.json("metrics/prepare.json")["rows"]["train"]


def test_train_rows_and_rewordings_are_asked_too(after: Project, tokenizer: Any) -> None:
    train = [json.loads(line) for line in Path("data/prepared/train.jsonl").read_text().splitlines()]
    Path("data/prepared/reworded.jsonl").write_text(json.dumps(train[0]) + "\n")
    after.set("evaluate", generate_known=3)
    asked = [(question.kind, question.id) for question in read(tokenizer).questions]
    known = [("known", row["id"]) for row in sorted(train, key=lambda row: row["id"])[:3]]
    assert asked[:4] == [*known, ("reworded", train[0]["id"])]
    assert {kind for kind, _ in asked[4:]} == {"new"}
    after.set("evaluate", generate_known=0)
    assert {question.kind for question in read(tokenizer).questions} == {"new"}


def test_where_tokenize_dropped_a_row_no_cluster_is_given_to_another(after: Project, tokenizer: Any) -> None:
    rows = list(iterate_rows(read_rows(TEST)))
    replace_test_rows([RowBlock.of(rows[1:])])
    assert read(tokenizer).clusters is None


def test_an_empty_test_split_is_refused(after: Project, tokenizer: Any) -> None:
    replace_test_rows([])
    with pytest.raises(LockstepError, match=r"test split is empty.*split\.test"):
        read(tokenizer)


def test_wrong_labels_are_refused(after: Project, tokenizer: Any) -> None:
    rows = [Row([*row.ids[:-1], 5], row.target_start, row.answer_start) for row in iterate_rows(read_rows(TEST))]
    replace_test_rows([RowBlock.of(rows)])
    with pytest.raises(LockstepError, match="Row 0 .*end-of-text"):
        read(tokenizer)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"leakage\.json is missing.*`make prepare`"),
        ("{", r"leakage\.json line 1 .*`make prepare`"),
        ('{"questions": 2}', r"2 questions.*`make recheck repro`"),
    ],
)
def test_without_prepare_s_counts_of_no_leakage_nothing_is_read(
    after: Project, tokenizer: Any, content: str | None, message: str
) -> None:
    LEAKAGE.unlink()
    if content is not None:
        LEAKAGE.write_text(content)
    with pytest.raises(LockstepError, match=message):
        read(tokenizer)


@pytest.mark.parametrize(("rows", "count", "indices"), [(5, 3, [0, 2, 4]), (3, 9, [0, 1, 2]), (4, 1, [0])])
def test_indices_are_spread_evenly(rows: int, count: int, indices: list[int]) -> None:
    assert evenly_spread(range(rows), count) == indices
