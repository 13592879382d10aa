"""The metrics of tokenize, the rows that it lists as truncated or dropped, and the line that it prints."""

import numpy as np
import pytest

from lockstep.core.errors import LockstepError
from lockstep.tokenization.examples import OverlongRows
from lockstep.tokenization.tokenize_outputs import reject_records, summary_line, tokenize_metrics

SIZES = {
    "train": np.array([[4, 2], [10, 9]]),
    "validation": np.zeros((0, 2), dtype=int),
    "test": np.array([[6, 1]]),
}
OVERLONG = OverlongRows([("a", 1)], [("a", 2), ("a", 3)], [("b", 4)])


def test_metrics_count_the_rows_of_all_splits() -> None:
    assert tokenize_metrics("qa", SIZES, OVERLONG, {"vocabulary_tokenizer": 400}) == {
        "kind": "qa",
        "rows": {"train": 2, "validation": 0, "test": 1},
        "tokens": 20,
        "targets": 12,
        "tokens_of_train": 14,
        "length": {"p50": 6.0, "p90": 9.2, "p99": 9.92, "longest": 10},
        "truncated": 3,
        "truncated_answers": 2,
        "dropped": 1,
        "vocabulary_tokenizer": 400,
    }


def test_a_train_split_without_rows_is_an_error() -> None:
    with pytest.raises(LockstepError, match=r"the train split .* Raise tokenize\.max_length"):
        tokenize_metrics("qa", SIZES | {"train": np.zeros((0, 2), dtype=int)}, OVERLONG, {})


def test_rejects_say_what_became_of_each_overlong_row() -> None:
    assert [(row["file"], row["line"], row["reason"].partition(" ")[0]) for row in reject_records(OVERLONG)] == [
        ("a", 1, "question"),
        ("a", 2, "answer"),
        ("a", 3, "answer"),
        ("b", 4, "dropped:"),
    ]


def test_the_summary_counts_truncated_and_dropped_rows() -> None:
    line = summary_line(tokenize_metrics("qa", SIZES, OVERLONG, {}))
    assert line == "3 rows, 20 tokens, 12 to learn; 4 cut or dropped"
