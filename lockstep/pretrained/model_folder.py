"""The files of a model folder, checked before a library fails on them with an error that helps nobody."""

import json
import os
from pathlib import Path

from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError

MAKE_COMMANDS = {"data/tokenized": "make tokenize", "models/finetuned": "make train", "models/export": "make export"}
# Settings in generation_config.json that must be numbers, none negative.
GENERATION_NUMBERS = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
# The files that are read: weights, config and tokenizer. Others are neither downloaded nor hashed.
MODEL_FILES = ("*.safetensors", "*.json", "merges.txt", "vocab.txt", "*.model", "*.jinja")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")  # loading one can run code that it contains


def is_folder(name: str) -> bool:
    """Whether a model's name is a folder rather than a Hub id: it or its parent folder exists, or it can't be an id."""
    parent = os.path.dirname(name)
    exists = os.path.isdir(name) or bool(parent and os.path.isdir(parent))
    return exists or name.startswith((".", "/", "~")) or name.count("/") > 1


def restore_remedy(name: str) -> str:
    """The remedy for a damaged model folder. name: what the user calls it."""
    if name in MAKE_COMMANDS:
        return f"Run `{MAKE_COMMANDS[name]}` to make it again."
    return "Get the model's files again, or choose another base in model.base."


def check_config(folder: Path, name: str) -> None:
    """Raise LockstepError unless the folder's config.json names the type of the model."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockstepError(f"{name}: config.json can't be read: {error.strerror}.", restore_remedy(name)) from None
    except (ValueError, RecursionError):
        raise LockstepError(f"{name}: config.json is not valid JSON.", restore_remedy(name)) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise LockstepError(f"{name}: config.json names no model_type.", restore_remedy(name))


def check_generation_config(folder: Path, name: str) -> None:
    """Raise LockstepError if generation_config.json is there and damaged: Transformers would silently use defaults."""
    path = folder / "generation_config.json"
    if not path.exists():
        return
    settings = read_json(path, MAKE_COMMANDS.get(name, "make export"))
    for key in GENERATION_NUMBERS if isinstance(settings, dict) else ():
        value = settings.get(key, 1)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise LockstepError(f"{name}: generation_config.json holds {key} = {value!r}.", restore_remedy(name))


def check_weights(folder: Path, name: str) -> None:
    """Raise LockstepError unless the folder holds weights as safetensors."""
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickled:
        raise LockstepError(
            f"{name} holds its weights as {pickled[0]}, a pickle, which may run code when it is loaded.",
            "Save them as safetensors once, with Transformers' save_pretrained.",
        )
    raise LockstepError(f"{name} holds no weights (*.safetensors).", restore_remedy(name))
