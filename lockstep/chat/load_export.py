"""An exported model, loaded only if its weights are those its receipt names."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.core.errors import LockstepError
from lockstep.core.atomic_files import read_json
from lockstep.core.hashes import sha256_file
from lockstep.core.paths import EXPORT, RECEIPT

if TYPE_CHECKING:
    from lockstep.generation.conversation import Assistant


def load_exported(model: str, revision: str | None = None) -> "Assistant":
    """load_assistant, while another thread hashes the weights: that is as fast as reading them and costs no wait.

    Raises LockstepError when the model can't be loaded or its weights are not those of its receipt.
    """
    from lockstep.generation.conversation import load_assistant
    from lockstep.pretrained.hub import is_folder, resolve_base

    folder = Path(model) if is_folder(model) else resolve_base(model, revision)
    check_sizes(folder)
    with ThreadPoolExecutor(1) as thread:
        hashed = thread.submit(check_hashes, folder)
        try:
            return load_assistant(model, revision)
        finally:
            hashed.result()  # wrong weights explain whatever else went wrong


def check_sizes(folder: Path) -> None:
    """Raise LockstepError unless the folder's weights have the names and sizes that its receipt gives.

    A folder without a receipt passes: any causal language model may be talked to.
    """
    listed = _listed(folder)
    if not listed:
        return
    there = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
    for name in sorted(listed.keys() | there.keys()):
        if name not in there:
            raise _wrong(folder, name, "it is missing")
        if name not in listed:
            raise _wrong(folder, name, "it is not listed there")
        if there[name] != listed[name]["bytes"]:
            raise _wrong(folder, name, f"{listed[name]['bytes']:,} bytes were exported, {there[name]:,} are here")


def check_hashes(folder: Path) -> None:
    """Raise LockstepError unless every weights file has the SHA-256 that the folder's receipt gives."""
    for name, facts in _listed(folder).items():
        if sha256_file(folder / name) != facts["sha256"]:
            raise _wrong(folder, name, "its SHA-256 is another")


def _listed(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> bytes and sha256 of the weights in the receipt; nothing where there is no receipt of ours."""
    path = folder / RECEIPT.name
    receipt = read_json(path, "make export") if path.is_file() else None
    listed = receipt.get("weights") if isinstance(receipt, dict) else None
    ours = isinstance(listed, dict) and all(
        isinstance(facts, dict) and facts.keys() >= {"bytes", "sha256"} for facts in listed.values()
    )
    return listed if ours and isinstance(listed, dict) else {}


def _wrong(folder: Path, name: str, what: str) -> LockstepError:
    remedy = "Get the model again"
    if folder == EXPORT:
        remedy = f"Take it back with `dvc checkout --force {EXPORT}`, or make it anew with `make export`"
    return LockstepError(
        f"{folder / name} is not the file of {RECEIPT.name} beside it: {what}.",
        f"{remedy}; if you changed it on purpose, delete {RECEIPT.name}.",
    )
