"""The base as stages see it: a folder in models/bases that the stage `base` filled; and any other model by its name.

lockstep.bases fills those folders. A base's weights are loaded by modeling.model.build_model and its tokenizer by
tokenization.base_tokenizer.
"""

import re
from pathlib import Path
from typing import Any

from lockstep.core.atomic_files import read_json
from lockstep.core.checksums import broken_file, sha256_of
from lockstep.core.errors import LockstepError
from lockstep.core.paths import BASES, EXPORT, expand_home
from lockstep.core.settings import SCRATCH
from lockstep.pretrained.hub import download
from lockstep.pretrained.model_folder import MODEL_FILES, check_config, check_weights, is_folder

ORIGIN = "origin.json"  # in a base's folder: where it is from
CONVERSION = 1  # number of the way in which a GGUF file becomes a folder; another one converts bases anew


def base_path(base: str) -> Path:
    """The folder of a base, whether it is there or not."""
    return BASES / base


def is_pretrained(base: str) -> bool:
    """Whether a base has weights and a tokenizer; else the weights are random and the tokenizer is trained."""
    return base != SCRATCH


def local_inputs(base: str) -> list[str]:
    """The folder that a base is read from, for those who have to see to a stage's inputs; none for random weights."""
    return [base_path(base).as_posix()] if is_pretrained(base) else []


def refuse_path(base: str) -> None:
    """Raise LockstepError where model.base is a path instead of a name."""
    if not (is_folder(base) or ".." in base):
        return
    name = re.sub(r"[^A-Za-z0-9._-]+|^[._-]+", "", Path(base).stem) or "mine"
    raise LockstepError(
        f"model.base = {base} is a path, and a name is needed.",
        f"Run `make base NAME={name} FROM={base}`, then set model.base to {name}.",
    )


def base_folder(base: str) -> Path:
    """The folder of a pretrained base, with every file as the stage `base` wrote it.

    Raises LockstepError where the base is missing or damaged.
    """
    folder = base_path(base)
    if not folder.is_dir():
        refuse_path(base)
        raise LockstepError(f"{folder} is missing.", f"Run `make base NAME={base}` first.")
    name = broken_file(folder)
    if name is not None:
        raise LockstepError(f"{folder / name} is not what base wrote.", f"Run `make base NAME={base}` to get it again.")
    check_config(folder, str(folder))
    check_weights(folder, str(folder))
    return folder


def base_hashes(base: str) -> dict[str, str]:
    """Path -> SHA-256 of each file of a base that is read; none for random weights.

    Raises LockstepError as base_folder does.
    """
    if not is_pretrained(base):
        return {}
    folder = base_folder(base)
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    return sha256_of({path.as_posix(): path for path in files})


def base_origin(base: str) -> dict[str, Any]:
    """Where a base is from: its name, source and licence, and what pins its bytes; only the name of random weights."""
    if not is_pretrained(base):
        return {"name": base, "source": SCRATCH}
    origin: dict[str, Any] = read_json(base_path(base) / ORIGIN, f"make base NAME={base}")
    return origin


def locate_model(name: str, revision: str | None) -> Path:
    """The folder of a model to talk to, unchecked: the one named, or its copy in the Hub's cache, downloaded if needed.

    Raises LockstepError when the Hub does not have the model or can't be reached and the cache has no copy.
    """
    return expand_home(name) if is_folder(name) else download(name, revision)


def resolve_model(name: str, revision: str | None) -> Path:
    """The folder of a model to talk to, with a config and weights in it. Only safetensors count: nothing is unpickled.

    Raises LockstepError when the folder or id is unknown or holds no model, a revision is given with a folder, or the
    Hub can't be reached and the cache has no copy.
    """
    folder = locate_model(name, revision)
    if is_folder(name):
        if not (folder / "config.json").is_file():
            raise _no_model(name, folder)
        if revision is not None:
            raise LockstepError(
                f"{name} is a folder: it has no revision {revision}.", "Leave it out, or name a Hub id."
            )
    check_config(folder, name)
    check_weights(folder, name)
    return folder


def _no_model(name: str, folder: Path) -> LockstepError:
    if folder == EXPORT:
        return LockstepError(f"{EXPORT} holds no model yet.", "Run `make repro` first.")
    remedy = "Give a folder made by save_pretrained, or a Hub id such as distilgpt2."
    if not folder.is_dir():
        return LockstepError(f"{name} is no model folder: there is no such folder.", remedy)
    return LockstepError(f"{name} is no model folder: {folder / 'config.json'} is missing.", remedy)
