"""The tokenizer: loaded from a model folder or trained on texts, and checked against the model."""

from collections.abc import Iterable
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils import logging as transformers_logging

from lockstep.core.errors import LockstepError
from lockstep.pretrained.model_folder import MAKE_COMMANDS, check_config, restore_remedy
from lockstep.pretrained.plain_encoding import Encoder, encode_plain

END_OF_TEXT = "<|endoftext|>"

transformers_logging.set_verbosity_error()


def load_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerFast:
    """Load the tokenizer in a folder.

    name: what the user calls the folder. Raises LockstepError when the tokenizer can't be loaded, is not a fast one, or
    has no vocabulary or no end-of-text token.
    """
    if (folder / "config.json").exists():  # the folder of a model, not of a tokenizer alone
        check_config(folder, name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, use_fast=True)
    except Exception as error:  # broken files fail in many ways, all the same to the user
        if not (folder / "tokenizer.json").exists():
            raise _no_tokenizer(name) from error
        reason = _first_line(error).rstrip(".:")
        raise LockstepError(f"The tokenizer of {name} can't be loaded: {reason}.", restore_remedy(name)) from error
    if not tokenizer.is_fast:
        raise LockstepError(f"{name} has no fast tokenizer.", "Choose a base that has a tokenizer.json.")
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):  # the files are missing
        raise _no_tokenizer(name)
    if tokenizer.eos_token_id is None:
        raise LockstepError(
            f"The tokenizer of {name} has no end-of-text token, so answers could never stop.",
            "Name one as eos_token in its tokenizer_config.json, or choose another base.",
        )
    return tokenizer


def _no_tokenizer(name: str) -> LockstepError:
    remedy = restore_remedy(name) if name in MAKE_COMMANDS else "Put its tokenizer.json beside the weights."
    return LockstepError(f"{name} has no tokenizer.", remedy)


def load_config(folder: Path, name: str) -> PretrainedConfig:
    """The config of a model. Raises LockstepError when Transformers can't use it or it is no causal language model.

    name: what the user calls the folder.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # a broken config fails in many ways, all the same to the user
        reason = _first_line(error).rstrip(".:")
        raise LockstepError(f"{name}: config.json can't be used: {reason}.", restore_remedy(name)) from error
    if config.model_type not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise LockstepError(
            f"{name} is of the kind {config.model_type}, which does not go on from a text.",
            "Choose a causal language model, such as distilgpt2, in model.base.",
        )
    return config


def train_tokenizer(texts: Iterable[str], vocab_size: int, context: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE, as GPT-2's, of at most vocab_size entries, end-of-text included.

    context: the model's context in tokens, which Transformers keeps with the tokenizer.
    """
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
    """Give the tokenizer a padding token: pad_token if there is one, else end-of-text unless it has one already.

    Padding is masked by position, so its id may be that of a token with another meaning.
    """
    if pad_token is not None:
        tokenizer.add_special_tokens({"pad_token": pad_token})
    elif tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    """Token ids of each text as plain text, see plain_encoding.encode_plain."""
    return encode_plain(tokenizer.backend_tokenizer, texts)


def encoder_of(tokenizer: PreTrainedTokenizerFast) -> Encoder:
    """The tokenizer without Transformers, for worker processes."""
    eos_id: int = tokenizer.eos_token_id  # type: ignore[assignment]
    return Encoder(tokenizer.backend_tokenizer, opening_ids(tokenizer), eos_id)


def opening_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids that the tokenizer puts before every text: [] for GPT-2, begin-of-text for Llama."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("")["input_ids"][:1] == [bos] else []


def check_vocabulary(tokenizer: PreTrainedTokenizerFast, config: PretrainedConfig, added: int = 0) -> None:
    """Raise LockstepError when the tokenizer has an id without an embedding in the model.

    added: number of tokens that the settings add to the tokenizer; the embeddings grow by as many before training.
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
    """The model's context in tokens, or None if its config does not say."""
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """Save the tokenizer without the path or name it was loaded from, so that equal tokenizers are equal files."""
    for key in ("name_or_path", "is_local", "local_files_only"):
        tokenizer.init_kwargs.pop(key, None)
    tokenizer.name_or_path = ""
    tokenizer.save_pretrained(folder)


def _first_line(error: Exception) -> str:
    if isinstance(error, JSONDecodeError):
        return "one of its files is not valid JSON"
    if isinstance(error, KeyError):
        return f"{error} is missing in one of its files"
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
