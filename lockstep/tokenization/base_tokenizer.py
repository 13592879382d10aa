"""What tokenize starts from, the base's tokenizer, and the figures of metrics/tokenize.json."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.records import Question, iterate_records
from lockstep.core.atomic_files import figure
from lockstep.core.errors import LockstepError
from lockstep.core.paths import prepared_split
from lockstep.core.settings import Model, Tokenize
from lockstep.pretrained.hub import resolve_base
from lockstep.pretrained.tokenizer import (
    SCRATCH,
    check_vocabulary,
    context_length,
    load_config,
    load_tokenizer,
    set_pad_token,
    train_tokenizer,
)
from lockstep.tokenization.examples import Overlong


def prepared_kind() -> Literal["qa", "text"]:
    """'qa' or 'text', as the train split holds. Raises LockstepError when it is missing or empty."""
    first = next(iterate_records(prepared_split("train")), None)
    if first is None:
        raise LockstepError(f"{prepared_split('train')} is empty.", "Run `make prepare` again.")
    return "qa" if isinstance(first, Question) else "text"


def base_tokenizer(model: Model, settings: Tokenize) -> tuple[PreTrainedTokenizerFast, dict[str, int]]:
    """The base's tokenizer (or, for scratch, one learnt from the train split), checked against the model.

    Returns it with vocabulary figures for the metrics.
    Raises LockstepError when it doesn't fit the model, or the wanted lengths don't fit the model's context.
    """
    if model.base == SCRATCH:
        tokenizer = train_tokenizer(_train_texts(), model.scratch.vocab_size, model.scratch.context)
        vocabulary, context = len(tokenizer), model.scratch.context
        set_pad_token(tokenizer, settings.pad_token)
    else:
        folder = resolve_base(model.base, model.revision)
        config = load_config(folder, model.base)
        tokenizer = load_tokenizer(folder, model.base)
        before = len(tokenizer)
        set_pad_token(tokenizer, settings.pad_token)
        check_vocabulary(tokenizer, config, added=len(tokenizer) - before)
        vocabulary, context = config.get_text_config().vocab_size, context_length(config) or settings.max_length
    for key in ("max_length", "block_size"):
        if getattr(settings, key) > context:
            raise LockstepError(
                f"tokenize.{key} is {getattr(settings, key)}, but {model.base} can look back {context} tokens only.",
                f"Set it to {context} or less{', or raise model.scratch.context' * (model.base == SCRATCH)}.",
            )
    return tokenizer, {"vocabulary_tokenizer": len(tokenizer), "vocabulary_model": vocabulary}


def _train_texts() -> Iterator[str]:
    for record in iterate_records(prepared_split("train")):
        if isinstance(record, Question):
            yield record.question
            yield record.answer
        else:
            yield record.text


def token_metrics(kind: str, sizes: dict[str, np.ndarray], noted: Overlong) -> dict[str, Any]:
    """Figures of the tokenized data. sizes: split -> (rows, 2) array of length and targets of each row.

    Raises LockstepError when the train split has no row left.
    """
    if not len(sizes["train"]):
        raise LockstepError(
            "No row of the train split is left.", "Raise tokenize.max_length or set overlong to truncate."
        )
    every = np.concatenate(list(sizes.values()))
    return {
        "kind": kind,
        "rows": {split: len(rows) for split, rows in sizes.items()},
        "tokens": int(every[:, 0].sum()),
        "targets": int(every[:, 1].sum()),
        "tokens_of_train": int(sizes["train"][:, 0].sum()),
        "length": {
            "p50": figure(float(np.percentile(every[:, 0], 50))),
            "p90": figure(float(np.percentile(every[:, 0], 90))),
            "p99": figure(float(np.percentile(every[:, 0], 99))),
            "longest": int(every[:, 0].max()),
        },
        "truncated": len(noted.question_cut) + len(noted.answer_cut),
        "truncated_answers": len(noted.answer_cut),
        "dropped": len(noted.dropped),
    }


def rejected(noted: Overlong) -> list[dict[str, Any]]:
    """The rows cut or dropped, as lines for rejects.jsonl."""
    reasons = (
        (noted.question_cut, "question cut to tokenize.max_length"),
        (noted.answer_cut, "answer cut to tokenize.max_length"),
        (noted.dropped, "dropped: longer than tokenize.max_length"),
    )
    return [{"file": file, "line": line, "reason": reason} for places, reason in reasons for file, line in places]
