"""The test split as evaluate needs it, read once and checked: nothing in it was learnt, every label is right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.records import Record, iterate_records, read_records
from lockstep.artifacts.row_store import iterate_rows, read_blocks, read_rows
from lockstep.artifacts.rows import Row, audit
from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError
from lockstep.core.paths import LEAKAGE, TOKENIZED, prepared_split
from lockstep.core.settings import Evaluate
from lockstep.evaluation.self_checks import check_leakage
from lockstep.evaluation.test_answers import TestQuestion, draw_questions
from lockstep.modeling.distributed import Processes


@dataclass(frozen=True, slots=True)
class HeldOut:
    """kind: 'qa' or 'text'. rows: of the test split. clusters: of each row, None where rows are no records (texts, or
    some were dropped). trained: rows of the train split, evenly spread, as many as `rows` where there are. asked: what
    the models will answer. leakage: how much of the test split training held, see leakage.leakage."""

    kind: str
    rows: list[Row]
    clusters: list[str] | None
    trained: list[Row]
    asked: list[TestQuestion]
    leakage: int

    def training_records(self) -> Iterator[Record]:
        """The records of the train split, from the file."""
        return iterate_records(prepared_split("train"))


def read_held_out(
    kind: str,
    tokenizer: PreTrainedTokenizerFast,
    settings: Evaluate,
    processes: Processes,
) -> HeldOut:
    """Read the test split; the first process checks it.

    Raises LockstepError when it is empty, a label is wrong, or prepare counted test rows in training.
    """
    test, train = read_rows(TOKENIZED / "test"), read_rows(TOKENIZED / "train")
    if not len(test):
        raise LockstepError("The test split is empty, so nothing can be shown.", "Set split.test above 0.")
    train = train.select(spread(train, len(test)))
    if processes.first:
        for split in (test, train):
            audit(read_blocks(split), tokenizer.eos_token_id, kind)
    rows = list(iterate_rows(test))
    records = read_records(prepared_split("test"))
    aligned = kind == "qa" and len(records) == len(rows)
    return HeldOut(
        kind=kind,
        rows=rows,
        clusters=[record.cluster for record in records] if aligned else None,
        trained=list(iterate_rows(train)),
        asked=draw_questions(records, max(settings.generate, settings.show)),
        leakage=check_leakage(read_json(LEAKAGE, "make prepare")),
    )


def spread(rows: Sequence[Any], count: int) -> list[int]:
    """Up to `count` indices of rows, evenly spread over them."""
    return [int(place) for place in np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round())]
