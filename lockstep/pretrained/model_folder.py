"""The files of a model folder, looked at before a library fails on them in words of its own."""

import json
from pathlib import Path

from lockstep.core.atomic_files import read_json
from lockstep.core.errors import LockstepError

MADE_BY = {"data/tokenized": "make tokenize", "models/finetuned": "make train", "models/export": "make export"}
DRAWN = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")  # loading them can run any code that is in them


def made_again(name: str) -> str:
    """What to do about a damaged model folder. name: what the user calls it, see load_model."""
    if name in MADE_BY:
        return f"Run `{MADE_BY[name]}` to make it again."
    return "Get the model's files again, or choose another base in model.base."


def check_config(folder: Path, name: str) -> None:
    """Raise LockstepError unless the folder's config.json says which kind of model it is."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LockstepError(f"{name}: config.json can't be read: {error.strerror}.", made_again(name)) from None
    except (ValueError, RecursionError):
        raise LockstepError(f"{name}: config.json is not valid JSON.", made_again(name)) from None
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise LockstepError(f"{name}: config.json names no model_type.", made_again(name))


def check_generation(folder: Path, name: str) -> None:
    """Raise LockstepError where the folder has a generation_config.json that is damaged: Transformers would pass over
    it and answer with settings of its own."""
    path = folder / "generation_config.json"
    if not path.exists():
        return
    settings = read_json(path, MADE_BY.get(name, "make export"))
    for key in DRAWN if isinstance(settings, dict) else ():
        value = settings.get(key, 1)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < 0):
            raise LockstepError(f"{name}: generation_config.json holds {key} = {value!r}.", made_again(name))


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
    raise LockstepError(f"{name} holds no weights (*.safetensors).", made_again(name))
