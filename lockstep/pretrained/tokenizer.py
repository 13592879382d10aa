"""The tokenizer: loaded with the base or learnt from the data, and checked against the model."""

from collections.abc import Iterable
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from lockstep.core.errors import LockstepError
from lockstep.pretrained.model_folder import MADE_BY, check_config, made_again
from lockstep.pretrained.plain_encoding import Encoder, encode_plain

END_OF_TEXT = "<|endoftext|>"
BYTE_ALPHABET = 256  # entries a byte-level BPE starts from
SCRATCH = "scratch"

transformers_logging.set_verbosity_error()


def load_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerFast:
    """Load the tokenizer in a folder.

    name: what the user calls it, for the LockstepError raised when it can't be loaded, is not a fast tokenizer, or
    has no words or no end-of-text token.
    """
    if (folder / "config.json").exists():  # beside weights, that is
        check_config(folder, name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except Exception as error:  # broken files fail in many ways; each is the same to the user
        if not (folder / "tokenizer.json").exists():
            raise _no_tokenizer(name) from error
        reason = _first_line(error).rstrip(".:")
        raise LockstepError(f"The tokenizer of {name} can't be loaded: {reason}.", made_again(name)) from error
    if not tokenizer.is_fast:
        raise LockstepError(f"{name} has no fast tokenizer.", "Choose a base that has a tokenizer.json.")
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):  # what comes of a folder without its files
        raise _no_tokenizer(name)
    if tokenizer.eos_token_id is None:
        raise LockstepError(
            f"The tokenizer of {name} has no end-of-text token, so answers could never stop.",
            "Name one as eos_token in its tokenizer_config.json, or choose another base.",
        )
    return tokenizer


def _no_tokenizer(name: str) -> LockstepError:
    remedy = made_again(name) if name in MADE_BY else "Put its tokenizer.json beside the weights."
    return LockstepError(f"{name} has no tokenizer.", remedy)


def load_config(folder: Path, name: str) -> PretrainedConfig:
    """The model's config. Raises LockstepError where Transformers can't use it, or it is no model that goes on from a
    text."""
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # a broken config fails in many ways; each is the same to the user
        reason = _first_line(error).rstrip(".:")
        raise LockstepError(f"{name}: config.json can't be used: {reason}.", made_again(name)) from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise LockstepError(
            f"{name} is of the kind {config.model_type}, which does not go on from a text.",
            "Choose a causal language model, such as distilgpt2, in model.base.",
        )
    return config


def train_tokenizer(texts: Iterable[str], vocab_size: int, context: int) -> PreTrainedTokenizerFast:
    """Learn a byte-level BPE (as GPT-2's) of at most vocab_size entries, end-of-text included, from texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=END_OF_TEXT,
        eos_token=END_OF_TEXT,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def set_pad_token(tokenizer: PreTrainedTokenizerFast, pad_token: str | None) -> None:
    """Give the tokenizer a padding token: a new one where a string is given, else end-of-text if it has none.

    Padding is masked by position, so an id that also means something else does no harm.
    """
    if pad_token is not None:
        tokenizer.add_special_tokens({"pad_token": pad_token})
    elif tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token ids of each text as plain text, see encoder.encode_plain."""
    return encode_plain(tokenizer.backend_tokenizer, texts)


def encoder_of(tokenizer: PreTrainedTokenizerFast) -> Encoder:
    """The part of the tokenizer that other processes can do with."""
    end: int = tokenizer.eos_token_id  # type: ignore[assignment]
    return Encoder(tokenizer.backend_tokenizer, opening_ids(tokenizer), end)


def opening_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids the tokenizer puts before any text ([] for GPT-2, begin-of-text for Llama)."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("")["input_ids"][:1] == [bos] else []


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig, added: int = 0) -> None:
    """Raise LockstepError when the tokenizer can give an id that the model has no embedding for.

    added: tokens put into the tokenizer by params; the embeddings grow by them in training.
    """
    vocabulary = config.get_text_config().vocab_size
    highest = max(tokenizer.get_vocab().values())
    if highest >= vocabulary + added:
        raise LockstepError(
            f"Tokenizer and model do not belong together: the tokenizer's highest id is {highest}, "
            f"the model has {vocabulary} embeddings.",
            "Take both from the same base.",
        )


def context_length(config: PretrainedConfig) -> int | None:
    """Tokens the model can look back, where its config says so."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save with no trace of where it was loaded from."""
    for trace in ("name_or_path", "is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(trace, None)
    tokenizer.name_or_path = ""
    tokenizer.save_pretrained(folder)


def _first_line(error: Exception) -> str:
    if isinstance(error, JSONDecodeError):
        return "one of its files is not valid JSON"
    if isinstance(error, KeyError):
        return f"{error} is missing in one of its files"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
