"""Reads what a report shows: the files of all stages, and the latest commit's figures and settings to compare with."""

import json
from typing import Any

from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError
from lockstep.core.paths import ANSWERS, CHARTS, EVALUATE_METRICS, PREPARE_METRICS, TOKENIZE_METRICS, TRAIN_METRICS
from lockstep.core.settings import load_params
from lockstep.review.compare import changes, read_snapshot, telling
from lockstep.review.report import Facts
from lockstep.review.revisions import has_commits, resolve


def read_facts() -> Facts:
    """Everything, from the current folder. Raises LockstepError when a stage has not run yet."""
    evaluate: dict[str, Any] = read_json(EVALUATE_METRICS, "make repro")
    if not ANSWERS.exists():
        raise LockstepError(f"{ANSWERS} is missing.", "Run `make repro` first.")
    commit = resolve("HEAD") if has_commits() else None
    before, here = read_snapshot(commit) if commit else None, read_snapshot(None)
    compared = before is not None and before.is_evaluated
    return Facts(
        prepare=read_json(PREPARE_METRICS, "make repro"),
        tokenize=read_json(TOKENIZE_METRICS, "make repro"),
        train=read_json(TRAIN_METRICS, "make repro"),
        evaluate=evaluate,
        answers=[json.loads(line) for line in ANSWERS.read_text(encoding="utf-8").splitlines()],
        charts={path.stem: path.read_text(encoding="utf-8") for path in sorted(CHARTS.glob("*.svg"))},
        params=load_params().model_dump(exclude_none=True),
        since=commit[:7] if commit and compared else "",
        changed_params=changes(before.params, here.params) if before is not None and compared else [],
        changed_metrics=telling(changes(before.metrics, here.metrics)) if before is not None and compared else [],
    )
