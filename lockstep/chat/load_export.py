"""Loading a model to chat with; an exported one only if its weights are those that its receipt names."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.core.atomic_files import read_json
from lockstep.core.checksums import sha256_file
from lockstep.core.errors import LockstepError
from lockstep.core.paths import EXPORT, RECEIPT

if TYPE_CHECKING:
    from lockstep.generation.conversation import Assistant


def load_exported(model: str, revision: str | None = None) -> "Assistant":
    """load_assistant, while another thread hashes the weights: that takes no longer than loading them.

    Raises LockstepError when the model can't be loaded or its weights are not those of its receipt.
    """
    from lockstep.pretrained.base import locate_model

    folder = locate_model(model, revision)
    check_sizes(folder)
    with ThreadPoolExecutor(1) as thread:
        check = thread.submit(check_hashes, folder)
        try:
            return load_assistant(model, revision)
        finally:
            check.result()  # wrong weights explain whatever else went wrong


def load_assistant(model: str, revision: str | None = None) -> "Assistant":
    """Load an exported model from a folder or Hub id, ready to chat.

    A model without our prompt.json (any causal language model) gets its own chat template, or else the default one.
    Raises LockstepError when it can't be loaded.
    """
    import torch

    from lockstep.artifacts.lookup import read_lookup
    from lockstep.artifacts.prompt import PROMPT_FILE, read_prompt
    from lockstep.generation.conversation import Assistant
    from lockstep.generation.engine import Engine
    from lockstep.generation.sampling import Sampling
    from lockstep.modeling.model import load_model
    from lockstep.pretrained.base import resolve_model
    from lockstep.pretrained.model_folder import check_generation_config
    from lockstep.pretrained.tokenizer import load_tokenizer
    from lockstep.prompting.chat_template import AUTO, prompt_of

    folder = resolve_model(model, revision)
    check_generation_config(folder, model)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_model(folder, model).to(device)  # type: ignore[arg-type]
    tokenizer = load_tokenizer(folder, model)
    has_prompt = (folder / PROMPT_FILE).exists()
    prompt = read_prompt(folder, "make export") if has_prompt else prompt_of(tokenizer, "qa", AUTO, AUTO)
    config = loaded.generation_config
    sampling = Sampling(
        max_new_tokens=config.max_new_tokens or Sampling().max_new_tokens,
        temperature=(1.0 if config.temperature is None else config.temperature) if config.do_sample else 0.0,
        top_p=config.top_p or 1.0,
        top_k=config.top_k or 0,
        repetition_penalty=config.repetition_penalty or 1.0,
    )
    lookup = read_lookup(folder, prompt.lookup, "make export")
    return Assistant(Engine(loaded, tokenizer), prompt, sampling, prompt.history_turns, Path(model).name, lookup)


def check_sizes(folder: Path) -> None:
    """Raise LockstepError unless the folder's weights have the names and sizes that its receipt gives.

    A folder without a receipt passes: one may chat with any causal language model.
    """
    expected = _receipt_weights(folder)
    if not expected:
        return
    sizes = {path.name: path.stat().st_size for path in folder.glob("*.safetensors")}
    for name in sorted(expected.keys() | sizes.keys()):
        if name not in sizes:
            raise _mismatch(folder, name, "it is missing")
        if name not in expected:
            raise _mismatch(folder, name, "it is not listed there")
        if sizes[name] != expected[name]["bytes"]:
            raise _mismatch(folder, name, f"{expected[name]['bytes']:,} bytes were exported, {sizes[name]:,} are here")


def check_hashes(folder: Path) -> None:
    """Raise LockstepError unless every weights file has the SHA-256 that the folder's receipt gives."""
    for name, expected in _receipt_weights(folder).items():
        if sha256_file(folder / name) != expected["sha256"]:
            raise _mismatch(folder, name, "its SHA-256 is another")


def _receipt_weights(folder: Path) -> dict[str, dict[str, Any]]:
    """Name -> bytes and sha256 of the weights in the receipt; empty where there is no receipt of ours."""
    path = folder / RECEIPT.name
    receipt = read_json(path, "make export") if path.is_file() else None
    weights = receipt.get("weights") if isinstance(receipt, dict) else None
    if not isinstance(weights, dict):
        return {}
    is_ours = all(isinstance(file, dict) and file.keys() >= {"bytes", "sha256"} for file in weights.values())
    return weights if is_ours else {}


def _mismatch(folder: Path, name: str, difference: str) -> LockstepError:
    remedy = "Get the model again"
    if folder == EXPORT:
        remedy = f"Take it back with `dvc checkout --force {EXPORT}`, or make it anew with `make export`"
    return LockstepError(
        f"{folder / name} is not the file of {RECEIPT.name} beside it: {difference}.",
        f"{remedy}; if you changed it on purpose, delete {RECEIPT.name}.",
    )
