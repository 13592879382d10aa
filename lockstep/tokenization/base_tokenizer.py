"""The tokenizer of the base model, checked against the model, and the kind of the prepared data."""

from collections.abc import Iterator
from typing import Literal

from transformers import PreTrainedTokenizerFast

from lockstep.artifacts.records import Question, iterate_records
from lockstep.core.errors import LockstepError
from lockstep.core.paths import prepared_split
from lockstep.core.settings import Model, Tokenize
from lockstep.pretrained.base import base_folder, is_pretrained
from lockstep.pretrained.tokenizer import (
    check_vocabulary,
    context_length,
    load_config,
    load_tokenizer,
    set_pad_token,
    train_tokenizer,
)


def prepared_kind() -> Literal["qa", "text"]:
    """The kind of the train split, 'qa' or 'text'. Raises LockstepError when it is missing or empty."""
    first = next(iterate_records(prepared_split("train")), None)
    if first is None:
        raise LockstepError(f"{prepared_split('train')} is empty.", "Run `make prepare` again.")
    return "qa" if isinstance(first, Question) else "text"


def base_tokenizer(model: Model, settings: Tokenize) -> tuple[PreTrainedTokenizerFast, dict[str, int]]:
    """(the base's tokenizer, vocabulary sizes for the metrics). For a model from scratch, a tokenizer is trained.

    Raises LockstepError when the tokenizer doesn't fit the model, and when the lengths in `settings` exceed the
    model's context.
    """
    if not is_pretrained(model.base):
        tokenizer = train_tokenizer(_train_texts(), model.scratch.vocab_size, model.scratch.context)
        vocabulary, context = len(tokenizer), model.scratch.context
        set_pad_token(tokenizer, settings.pad_token)
    else:
        folder = base_folder(model.base)
        config = load_config(folder, str(folder))
        tokenizer = load_tokenizer(folder, str(folder))
        before = len(tokenizer)
        set_pad_token(tokenizer, settings.pad_token)
        check_vocabulary(tokenizer, config, added=len(tokenizer) - before)
        vocabulary, context = config.get_text_config().vocab_size, context_length(config) or settings.max_length
    for key in ("max_length", "block_size"):
        if getattr(settings, key) > context:
            raise LockstepError(
                f"tokenize.{key} is {getattr(settings, key)}, but {model.base} can look back {context} tokens only.",
                f"Set it to {context} or less{', or raise model.scratch.context' * (not is_pretrained(model.base))}.",
            )
    return tokenizer, {"vocabulary_tokenizer": len(tokenizer), "vocabulary_model": vocabulary}


def _train_texts() -> Iterator[str]:
    """The texts of the train split."""
    for record in iterate_records(prepared_split("train")):
        if isinstance(record, Question):
            yield record.question
            yield record.answer
        else:
            yield record.text
