"""What a GGUF file says of itself, and the tokenizer in it, put right where Transformers loses a part of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.core.errors import LockstepError
from lockstep.pretrained.tokenizer import END_OF_TEXT

MAGIC = b"GGUF"
# tokenizer.ggml.pre of a gpt2 tokenizer: how texts are split before BPE. Transformers knows these ...
SPLIT_BY_TRANSFORMERS = ("", "default", "gpt-2", "gpt2", "llama-bpe", "llama3", "llama-v3", "qwen2")
# ... and takes these for GPT-2's, but they split off every digit too.
SINGLE_DIGITS = ("smollm", "starcoder", "refact")


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """Facts of a GGUF file.

    weights: their number. tokenizer, splitting: its tokenizer.ggml.model and tokenizer.ggml.pre. licence: its
    general.license.
    """

    weights: int
    tokenizer: str
    splitting: str
    licence: str


def read_facts(path: Path) -> GgufFacts:
    """The facts of a GGUF file. Raises LockstepError when it is none or is cut off."""
    from gguf import GGUFReader

    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise unreadable(path, "it does not begin as one")
        reader = GGUFReader(path)
        end = max((int(tensor.data_offset + tensor.n_bytes) for tensor in reader.tensors), default=0)
    except LockstepError:
        raise
    except OSError as error:
        raise LockstepError(f"Cannot read {path}: {error.strerror}.", "Put a readable file there.") from None
    except Exception:  # a file that ends early fails in many ways
        raise unreadable(path, "it is cut off or damaged") from None
    if end > path.stat().st_size or not reader.tensors:
        raise unreadable(path, "it is cut off or damaged")

    def text(key: str) -> str:
        field = reader.fields.get(key)
        return str(field.contents()) if field is not None else ""

    weights = sum(int(tensor.n_elements) for tensor in reader.tensors)
    return GgufFacts(
        weights, text("tokenizer.ggml.model"), text("tokenizer.ggml.pre"), text("general.license") or "unknown"
    )


def unreadable(path: Path, reason: str) -> LockstepError:
    """The error for a file that is no whole GGUF file."""
    return LockstepError(f"{path} is no GGUF file: {reason}.", "Get the file again.")


def check_splitting(path: Path, facts: GgufFacts) -> None:
    """Raise LockstepError where a tokenizer splits texts in a way that can't be rebuilt: its tokens would be others."""
    if facts.tokenizer == "gpt2" and facts.splitting not in (*SPLIT_BY_TRANSFORMERS, *SINGLE_DIGITS):
        raise LockstepError(
            f"{path}: its tokenizer splits texts by the rule {facts.splitting}, which is not known here.",
            "Take a folder of this model, with its tokenizer.json, instead.",
        )


def put_right(tokenizer: Any, facts: GgufFacts, context: int | None) -> None:
    """Give a converted tokenizer the splitting of its file, the model's context, and an end-of-text token to pad with.

    context: in tokens; None if the model does not say.
    """
    from tokenizers import pre_tokenizers

    if facts.tokenizer == "gpt2" and facts.splitting in SINGLE_DIGITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    if tokenizer.eos_token is None and END_OF_TEXT in tokenizer.get_vocab():
        tokenizer.eos_token = END_OF_TEXT
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
    if context is not None:
        tokenizer.model_max_length = context
        tokenizer.init_kwargs["model_max_length"] = context
