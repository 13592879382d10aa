"""Reads what is asked and the test split, and checks it: prepare counted no leakage, and every row has right labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.prompt import Prompt
from lockstep.artifacts.records import Question, Record, iterate_records, read_records
from lockstep.artifacts.row_store import iterate_rows, read_blocks, read_rows
from lockstep.artifacts.rows import Row, audit
from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError
from lockstep.core.paths import LEAKAGE, REWORDED, TOKENIZED, prepared_split
from lockstep.core.settings import Evaluate
from lockstep.evaluation.answers import TestQuestion, draw_questions
from lockstep.evaluation.question_kinds import KNOWN
from lockstep.evaluation.self_checks import check_leakage
from lockstep.modeling.distributed import ProcessGroup
from lockstep.pretrained.tokenizer import encoder_of
from lockstep.prompting.prompt_encoder import PromptEncoder


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The test split, and the questions of all kinds.

    kind: 'qa' or 'text'. rows: the token rows of the test split. plain_rows: the same without the pairs that are looked
    up before their questions. clusters: the cluster of each row; None where rows and
    records do not correspond, because they are texts or tokenize dropped some. train_rows: rows spread evenly over the
    train split, as many as `rows` if it has so many. questions: those that the models answer, known, reworded and new,
    each kind by id. leakage: the number of held-out rows that the train split holds too; 0, as read_held_out refuses
    any other.
    """

    kind: str
    rows: list[Row]
    plain_rows: list[Row]
    clusters: list[str] | None
    train_rows: list[Row]
    questions: list[TestQuestion]
    leakage: int

    def training_records(self) -> Iterator[Record]:
        """Read the records of the train split, one after the other."""
        return iterate_records(prepared_split("train"))


def read_held_out(
    prompt: Prompt,
    tokenizer: PreTrainedTokenizerFast,
    settings: Evaluate,
    processes: ProcessGroup,
) -> HeldOut:
    """Read the test split and the questions. The first process checks the labels for all.

    prompt: of the model. Raises LockstepError when the split is empty, a label is wrong, prepare counted any leakage,
    or its counts are missing or damaged.
    """
    kind = prompt.kind
    test, train = read_rows(TOKENIZED / "test"), read_rows(TOKENIZED / "train")
    if not len(test):
        raise LockstepError("The test split is empty, so nothing can be shown.", "Set split.test above 0.")
    train = train.select(evenly_spread(train, len(test)))
    if processes.is_main:
        for split in (test, train):
            audit(read_blocks(split), tokenizer.eos_token_id, kind)
    rows = list(iterate_rows(test))
    records = read_records(prepared_split("test"))
    aligned = kind == "qa" and len(records) == len(rows)
    return HeldOut(
        kind=kind,
        rows=rows,
        plain_rows=_plain_rows(records, tokenizer, prompt) if prompt.lookup else rows,
        clusters=[record.cluster for record in records] if aligned else None,
        train_rows=list(iterate_rows(train)),
        questions=_trained_questions(kind, settings.generate_known)
        + draw_questions(records, max(settings.generate, settings.show)),
        leakage=check_leakage(read_json(LEAKAGE, "make prepare")),
    )


def _plain_rows(records: Sequence[Record], tokenizer: PreTrainedTokenizerFast, prompt: Prompt) -> list[Row]:
    """The token rows of questions with nothing looked up before them."""
    prompts = PromptEncoder(encoder_of(tokenizer), prompt)
    questions = [record for record in records if isinstance(record, Question)]
    heads = prompts.question_ids([question.question for question in questions])
    tails = prompts.answer_ids([question.answer for question in questions])
    return [Row(head + tail, len(head), len(head)) for head, tail in zip(heads, tails, strict=True)]


def _trained_questions(kind: str, count: int) -> list[TestQuestion]:
    """Up to `count` train rows, and as many rewordings that prepare held back. None of texts."""
    if kind != "qa" or not count:
        return []
    files = {KNOWN: "train", REWORDED: REWORDED}
    return [
        question
        for name, file in files.items()
        for question in draw_questions(iterate_records(prepared_split(file)), count, name)
    ]


def evenly_spread(rows: Sequence[Any], count: int) -> list[int]:
    """Up to `count` indices of rows, spread evenly over them."""
    return [int(index) for index in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round())]
