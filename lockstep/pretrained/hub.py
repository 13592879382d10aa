"""The Hugging Face Hub: bases that come from it, exports that go to it."""

import errno
import os
from pathlib import Path

from lockstep.core.checksums import sha256_file
from lockstep.core.errors import LockstepError
from lockstep.core.paths import EXPORT
from lockstep.pretrained.model_folder import check_config, check_weights

SHA256_DIGITS = 64
WEIGHT_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "merges.txt", "vocab.txt", "*.model", "*.jinja"]

STALE = ["*.safetensors", "*.safetensors.index.json", "*.jinja"]  # of an earlier export: taken away if not replaced


def is_folder(base: str) -> bool:
    """True when `base` names a folder here rather than a Hub id: it or the folder around it exists, or it can't be an
    id."""
    around = os.path.dirname(base)
    here = os.path.isdir(base) or bool(around and os.path.isdir(around))
    return here or base.startswith((".", "/", "~")) or base.count("/") > 1


def resolve_base(base: str, revision: str | None) -> Path:
    """The folder that holds a base model: as given, or downloaded from the Hub into its cache.

    Weights are taken as safetensors only, so nothing is unpickled.
    Raises LockstepError when the folder or id is unknown or holds no model, a revision is given with a folder, or the
    Hub can't be reached and the cache has no copy.
    """
    if not is_folder(base):
        folder = _download(base, revision)
    else:
        folder = Path(base).expanduser()
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


def _download(base: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = base if revision is None else f"{base} at revision {revision}"
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=WEIGHT_FILES))
    except GatedRepoError:
        raise LockstepError(
            f"{name} asks for its licence to be accepted.", "Accept it on the Hub and set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise LockstepError(f"The Hub has no {name}.", "Put model.revision right, or set it to none.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise LockstepError(
            f"model.base = {base}: no folder here and no model on the Hub has this name.",
            "Check the spelling; a private model needs HF_TOKEN.",
        ) from None
    except Exception as error:  # a network fails in many ways, under names that change with the client's version
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise LockstepError(
                f"There is no room for {name} in the Hub's cache.", "Make room, or set HF_HOME."
            ) from None
        raise LockstepError(
            f"{name} is not in the cache and the Hub can't be reached ({type(error).__name__}).",
            "Go online once, or set model.base to models/base, which needs no network.",
        ) from None


def check_download(folder: Path, name: str) -> None:
    """Hold downloaded weights against the SHA-256 under which the Hub's cache keeps them; other folders have none.

    Raises LockstepError when a file has changed since.
    """
    for path in sorted(folder.glob("*.safetensors")):
        stored = path.resolve()
        is_cached = path.is_symlink() and len(stored.name) == SHA256_DIGITS and stored.is_file()
        if is_cached and sha256_file(stored) != stored.name:
            raise LockstepError(
                f"{path.name} of {name} was damaged in the Hub's cache.",
                f"Delete {stored} and run again: it is fetched anew.",
            )


def push_folder(folder: Path, repo: str, private: bool) -> str:
    """Upload a folder as a model to the Hub; returns its address.

    The token is read from the environment (HF_TOKEN) by huggingface_hub and goes nowhere else.
    Raises LockstepError when the upload is refused or the Hub can't be reached, and before anything is uploaded when
    `private` is wanted but the repository is there already and public.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=os.environ["HF_TOKEN"])
    try:
        url = api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(url.repo_id).private:
            raise LockstepError(
                f"{url.repo_id} is public on the Hub, but export.hub_private is true.",
                "Make it private there, choose another export.hub_repo, or set export.hub_private to false.",
            )
        api.upload_folder(
            repo_id=url.repo_id, folder_path=folder, delete_patterns=STALE, commit_message="Model exported by Lockstep"
        )
    except LockstepError:
        raise
    except Exception as error:  # refused, unreachable, broken off: the same to the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LockstepError(f"The Hub did not take {repo}: {reason}.", f"{folder} itself is complete.") from None
    return str(url)


def check_push(repo: str | None) -> None:
    """Raise LockstepError unless a push could start: a repository name and a token are there."""
    if not repo or repo.count("/") > 1:
        raise LockstepError(
            "export.push_to_hub is true but export.hub_repo names no repository.", "Set it to owner/name."
        )
    if not os.environ.get("HF_TOKEN"):
        raise LockstepError(
            "export.push_to_hub is true but HF_TOKEN is not set.", "Export a Hub token that can write as HF_TOKEN."
        )
