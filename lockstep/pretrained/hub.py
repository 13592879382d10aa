"""The Hugging Face Hub: base models are downloaded from it, and exports uploaded to it."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from lockstep.core.checksums import sha256_file
from lockstep.core.errors import LockstepError
from lockstep.pretrained.model_folder import MODEL_FILES

SHA256_DIGITS = 64  # hexadecimal
# Files of an earlier export: deleted from the repository where the new one does not replace them.
REPLACED_FILES = ["*.safetensors", "*.safetensors.index.json", "*.jinja"]


def download(base: str, revision: str | None) -> Path:
    """The folder in the Hub's cache that holds a model's files, downloaded where they are not there yet.

    Raises LockstepError when the Hub does not have the model, wants its licence accepted or a token, or can't be
    reached and the cache has no copy, and when the disk is full.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    name = base if revision is None else f"{base} at revision {revision}"
    try:
        return Path(snapshot_download(base, revision=revision, allow_patterns=list(MODEL_FILES)))
    except GatedRepoError:
        raise LockstepError(
            f"{name} asks for its licence to be accepted.", "Accept it on the Hub and set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise LockstepError(f"The Hub has no {name}.", "Put model.revision right, or set it to none.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise LockstepError(
            f"No folder here and no model on the Hub has the name {base}.",
            "Check the spelling; a private model needs HF_TOKEN.",
        ) from None
    except Exception as error:  # networks fail in many ways, and each client version names them anew
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise LockstepError(
                f"There is no room for {name} in the Hub's cache.", "Make room, or set HF_HOME."
            ) from None
        raise LockstepError(
            f"{name} is not in the cache and the Hub can't be reached ({type(error).__name__}).",
            "Go online once, or `make preset NAME=tiny`, which needs no network.",
        ) from None


def check_cached_weights(folder: Path, name: str) -> None:
    """Raise LockstepError unless weights in the Hub's cache still have the SHA-256 that they are stored under.

    In the cache, `model.safetensors` is a link to a file whose name is its SHA-256. Weights elsewhere pass.
    name: what the user calls the model.
    """
    for path in sorted(folder.glob("*.safetensors")):
        stored = path.resolve()
        is_cached = path.is_symlink() and len(stored.name) == SHA256_DIGITS and stored.is_file()
        if is_cached and sha256_file(stored) != stored.name:
            raise LockstepError(
                f"{path.name} of {name} was damaged in the Hub's cache.",
                f"Delete {stored} and run again: it is fetched anew.",
            )


def push_folder(folder: Path, repo: str, private: bool, left_out: Sequence[str] = ()) -> str:
    """Upload a model folder to the Hub, where its repository is created if need be; returns the repository's URL.

    left_out: names of files that stay here; an earlier push of them is deleted from the repository.

    The token is that of the environment (HF_TOKEN) and is sent to the Hub only.
    Raises LockstepError when the upload is refused or the Hub can't be reached, and before anything is uploaded when
    `private` is true but the repository already exists and is public.
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
            repo_id=url.repo_id,
            folder_path=folder,
            ignore_patterns=[*left_out],
            delete_patterns=[*REPLACED_FILES, *left_out],
            commit_message="Model exported by Lockstep",
        )
    except LockstepError:
        raise
    except Exception as error:  # refused, unreachable, interrupted: the same to the user
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise LockstepError(f"The Hub did not take {repo}: {reason}.", f"{folder} itself is complete.") from None
    return str(url)


def check_push(repo: str | None) -> None:
    """Raise LockstepError unless there is a repository name (export.hub_repo) and a token to push with."""
    if not repo or repo.count("/") > 1:
        raise LockstepError(
            "export.push_to_hub is true but export.hub_repo names no repository.", "Set it to owner/name."
        )
    if not os.environ.get("HF_TOKEN"):
        raise LockstepError(
            "export.push_to_hub is true but HF_TOKEN is not set.", "Export a Hub token that can write as HF_TOKEN."
        )
