"""Settings and metrics that have been renamed.

Whoever writes an old name is told the new one, and an older commit is compared under today's names.
"""

from collections.abc import Mapping
from typing import Any

SETTINGS = {  # keys of params.yaml
    "split.near_duplicate": "split.near_duplicate_threshold",
    "tokenize.max_tokens": "tokenize.max_length",
    "tokenize.chunk_tokens": "tokenize.block_size",
    "model.scratch.layers": "model.scratch.n_layer",
    "model.scratch.heads": "model.scratch.n_head",
    "model.scratch.width": "model.scratch.n_embd",
    "train.batch_size": "train.per_device_batch_size",
    "train.accumulation": "train.gradient_accumulation_steps",
    "train.schedule": "train.lr_schedule",
    "train.warmup": "train.warmup_ratio",
    "train.early_stopping": "train.early_stopping_patience",
    "train.processes": "train.num_processes",
    "evaluate.samples": "evaluate.show",
    "evaluate.answers": "evaluate.generate",
    "evaluate.resamples": "evaluate.bootstrap_resamples",
    "export.weights": "export.dtype",
}

DROPPED = {  # keys of params.yaml that no longer exist -> why
    "evaluate.allow_leakage": "prepare leaves no leaked row in the held-out files, so there is nothing to allow",
}

METRICS = {  # FILE.key of metrics/FILE.json; the name of a section stands for all its keys
    "train.gap": "train.generalization_gap",
    "evaluate.base.gap": "evaluate.base.generalization_gap",
    "evaluate.base.stopped": "evaluate.base.eos_rate",
    "evaluate.base.repeated": "evaluate.base.rep_4",
    "evaluate.base.copied": "evaluate.base.verbatim_rate",
    "evaluate.base.copied_wrong": "evaluate.base.verbatim_wrong_rate",
    "evaluate.base.copied_runs": "evaluate.base.verbatim_8gram_rate",
    "evaluate.tuned.gap": "evaluate.tuned.generalization_gap",
    "evaluate.tuned.stopped": "evaluate.tuned.eos_rate",
    "evaluate.tuned.repeated": "evaluate.tuned.rep_4",
    "evaluate.tuned.copied": "evaluate.tuned.verbatim_rate",
    "evaluate.tuned.copied_wrong": "evaluate.tuned.verbatim_wrong_rate",
    "evaluate.tuned.copied_runs": "evaluate.tuned.verbatim_8gram_rate",
    "evaluate.change.gap": "evaluate.delta.generalization_gap",
    "evaluate.change": "evaluate.delta",
    "evaluate.nearest": "evaluate.retrieval",
    "evaluate.over_nearest": "evaluate.vs_retrieval",
}


def new_name(name: str, table: Mapping[str, str]) -> str | None:
    """Today's name of a key that was renamed, by itself or with its section; None for any other key.

    table: SETTINGS or METRICS.
    """
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        if section := table.get(".".join(parts[:end])):
            return ".".join([section, *parts[end:]])
    return None


def with_new_names(values: Mapping[str, Any], table: Mapping[str, str]) -> dict[str, Any]:
    """The same values under today's names, in the same order.

    values: 'section.key' -> value. table: SETTINGS or METRICS.
    """
    return {new_name(name, table) or name: value for name, value in values.items()}
