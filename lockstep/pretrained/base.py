"""The kinds of base that model.base can name, and what follows from the kind.

Only this file tells kinds apart, so a further kind is added here. Its weights are loaded by
modeling.model.build_model and its tokenizer by tokenization.base_tokenizer.
"""

from pathlib import Path
from typing import Literal

from lockstep.core.checksums import sha256_of
from lockstep.core.errors import LockstepError
from lockstep.core.paths import EXPORT, expand_home, shown_path
from lockstep.core.settings import SCRATCH
from lockstep.pretrained.hub import download
from lockstep.pretrained.model_folder import MODEL_FILES, check_config, check_weights, is_folder

BaseKind = Literal["scratch", "folder", "hub"]


def base_kind(base: str) -> BaseKind:
    """The kind of a base: 'scratch' has random weights, 'folder' lies on this machine, 'hub' is a Hub id."""
    if base == SCRATCH:
        return "scratch"
    return "folder" if is_folder(base) else "hub"


def is_pretrained(base: str) -> bool:
    """Whether a base has weights and a tokenizer; else the weights are random and the tokenizer is trained."""
    return base_kind(base) != "scratch"


def local_inputs(base: str) -> list[str]:
    """The paths on this machine that a base is read from, as params.yaml has them; none for the Hub's cache.

    DVC watches those that dvc.yaml lists. A training run and a rerun elsewhere have to see to the others themselves.
    """
    return [base] if base_kind(base) == "folder" else []


def locate_model(name: str, revision: str | None) -> Path:
    """The folder of a model, unchecked: the one named, or its copy in the Hub's cache, downloaded where needed.

    Raises LockstepError when the Hub does not have the model or can't be reached and the cache has no copy.
    """
    return expand_home(name) if is_folder(name) else download(name, revision)


def resolve_base(base: str, revision: str | None) -> Path:
    """The folder of a pretrained model, with a config and weights in it. Only safetensors count: nothing is unpickled.

    Raises LockstepError when the folder or id is unknown or holds no model, a revision is given with a folder, or the
    Hub can't be reached and the cache has no copy.
    """
    folder = locate_model(base, revision)
    if is_folder(base):
        if not (folder / "config.json").is_file():
            raise _no_model(base, folder)
        if revision is not None:
            raise LockstepError(
                f"{base} is a folder: it has no revision {revision}.", "Set model.revision to none, or name a Hub id."
            )
    check_config(folder, base)
    check_weights(folder, base)
    return folder


def _no_model(base: str, folder: Path) -> LockstepError:
    if folder == EXPORT:
        return LockstepError(f"{EXPORT} holds no model yet.", "Run `make repro` first.")
    remedy = "Give a folder made by save_pretrained, a Hub id such as distilgpt2, or scratch."
    if not folder.is_dir():
        return LockstepError(f"model.base = {base} is no model folder: there is no such folder.", remedy)
    return LockstepError(f"model.base = {base} is no model folder: {folder / 'config.json'} is missing.", remedy)


def base_hashes(base: str, revision: str | None) -> dict[str, str]:
    """SHA-256 of each file of a base, under a name that may be published; none for random weights.

    A folder named by more than its place in the project has only its last name, the same wherever the project lies.

    Raises LockstepError as resolve_base does.
    """
    if not is_pretrained(base):
        return {}
    folder = resolve_base(base, revision)
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    shown = Path(base).name if Path(base).is_absolute() else shown_path(base)
    return sha256_of({f"{shown}/{path.name}": path for path in files})
