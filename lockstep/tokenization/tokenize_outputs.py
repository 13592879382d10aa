"""The outputs of tokenize beside the rows: metrics, rejects and the line it prints."""

from typing import Any

import numpy as np

from lockstep.core.atomic_files import figure
from lockstep.core.errors import LockstepError
from lockstep.tokenization.examples import OverlongRows


def tokenize_metrics(
    kind: str, sizes: dict[str, np.ndarray], overlong: OverlongRows, vocabulary: dict[str, int]
) -> dict[str, Any]:
    """The metrics of tokenize.

    sizes: of each split, (rows, 2), the length and the number of targets of each row. vocabulary: as base_tokenizer
    gives it. Raises LockstepError when the train split has no row left.
    """
    if not len(sizes["train"]):
        raise LockstepError(
            "No row of the train split is left.", "Raise tokenize.max_length or set overlong to truncate."
        )
    lengths, targets = np.concatenate(list(sizes.values())).T  # (rows of all splits,) each
    return {
        "kind": kind,
        "rows": {split: len(rows) for split, rows in sizes.items()},
        "tokens": int(lengths.sum()),
        "targets": int(targets.sum()),
        "tokens_of_train": int(sizes["train"][:, 0].sum()),
        "length": {
            "p50": figure(float(np.percentile(lengths, 50))),
            "p90": figure(float(np.percentile(lengths, 90))),
            "p99": figure(float(np.percentile(lengths, 99))),
            "longest": int(lengths.max()),
        },
        "truncated": len(overlong.question_truncated) + len(overlong.answer_truncated),
        "truncated_answers": len(overlong.answer_truncated),
        "dropped": len(overlong.dropped),
        **vocabulary,
    }


def reject_records(overlong: OverlongRows) -> list[dict[str, Any]]:
    """The rows truncated or dropped, as lines of rejects.jsonl: file, line and reason."""
    reasons = (
        (overlong.question_truncated, "question cut to tokenize.max_length"),
        (overlong.answer_truncated, "answer cut to tokenize.max_length"),
        (overlong.dropped, "dropped: longer than tokenize.max_length"),
    )
    return [{"file": file, "line": line, "reason": reason} for origins, reason in reasons for file, line in origins]


def summary_line(metrics: dict[str, Any]) -> str:
    """How many rows and tokens there are, and how many rows were shortened or left out."""
    rows = sum(metrics["rows"].values())
    overlong = metrics["truncated"] + metrics["dropped"]
    return f"{rows:,} rows, {metrics['tokens']:,} tokens, {metrics['targets']:,} to learn; {overlong:,} cut or dropped"
