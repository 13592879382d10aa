"""Adds a base of the user's own to the catalogue: a model folder, a GGUF file, or a model of the Hub."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lockstep.bases.catalogue import HUB_ID, Entry, check_own_name, read_catalogue, write_entry
from lockstep.bases.ensure import locked
from lockstep.bases.fill import CARD, fill, model_files
from lockstep.bases.gguf_file import read_facts
from lockstep.core.checksums import sha256_file, sha256_of
from lockstep.core.errors import LockstepError
from lockstep.core.paths import expand_home, shown_path
from lockstep.pretrained.base import base_path
from lockstep.pretrained.model_folder import check_config, check_weights, is_folder

ABOUT = "A base of our own."


def add_base(name: str, source: str, force: bool = False) -> None:
    """Fill models/bases/NAME from a folder, a GGUF file or a Hub id, and write what it was into the catalogue.

    force: take the place of another base of this name. Raises LockstepError when the source is no model that can be
    used, or the name is taken.
    """
    check_own_name(name)
    entry = _describe(source)
    known = read_catalogue().get(name)
    if known is not None and (known.source, known.origin) != (entry.source, entry.origin) and not force:
        raise LockstepError(
            f"models/bases.yaml has a base {name} already, from {known.origin}.",
            "Choose another NAME, or add FORCE=1 to take its place.",
        )
    with locked():
        found = fill(name, entry, expand_home(source))
    write_entry(name, found.model_copy(update=_facts_of_folder(name, found)))


def _describe(source: str) -> Entry:
    """The entry of what lies at a path or has this Hub id, before it is fetched."""
    path = expand_home(source)
    facts: dict[str, Any] = {"from": shown_path(path), "licence": "unknown", "template": "none", "about": ABOUT}
    if path.is_dir():
        check_model(path)
        files = model_files(path)
        hashes = sha256_of({file.name: file for file in files})
        facts |= {"source": "folder", "sha256": hashes, "size": _size(files), "licence": _licence(path)}
    elif path.is_file():
        licence = read_facts(path).licence
        facts |= {"source": "gguf", "sha256": sha256_file(path), "size": _size([path]), "licence": licence}
    elif HUB_ID.fullmatch(source) and not is_folder(source) and path.suffix != ".gguf":
        facts |= {"source": "hub", "from": source}
    else:
        raise LockstepError(f"{source}: there is no such folder or file.", "Give a folder, a .gguf file or a Hub id.")
    return Entry.model_validate(facts)


def check_model(folder: Path) -> None:
    """Raise LockstepError unless a folder holds a causal language model with a tokenizer that fits it."""
    from lockstep.pretrained.tokenizer import check_vocabulary, load_config, load_tokenizer

    name = str(folder)
    if not (folder / "config.json").is_file():
        raise LockstepError(f"{name} is no model folder: config.json is missing.", "Give one made by save_pretrained.")
    check_config(folder, name)
    check_weights(folder, name)
    check_vocabulary(load_tokenizer(folder, name), load_config(folder, name))


def _facts_of_folder(name: str, entry: Entry) -> dict[str, Any]:
    """What only the filled folder tells: form of conversation, files of a Hub model, licence of a GGUF file."""
    folder = base_path(name)
    template = "\n".join(path.read_text(encoding="utf-8") for path in folder.glob("*.jinja"))
    facts: dict[str, Any] = {"template": _form(template)}
    if entry.source == "hub":
        check_model(folder)
        files = model_files(folder)
        facts |= {"sha256": sha256_of({file.name: file for file in files}), "size": _size(files)}
    return facts


def _size(files: Iterable[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _licence(folder: Path) -> str:
    """The licence that a model folder's card gives to the Hub, or 'unknown'."""
    card = folder / CARD
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    found = re.search(r"^license: *(\S+)", text, re.MULTILINE)
    return found[1] if found else "unknown"


def _form(template: str) -> str:
    if not template:
        return "none"
    return "chatml" if "<|im_start|>" in template else "its own"
