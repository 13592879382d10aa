"""Hashes of files, and the manifest that shows later whether a folder still holds the bytes a stage wrote.

DVC compares times and sizes, so it misses a bit that flipped on the disk, and it is absent when a stage runs by hand.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lockstep.core.atomic_files import write_json
from lockstep.core.errors import LockstepError

MANIFEST = "manifest.json"
# What Python, an editor or a file manager leaves beside files. DVC ignores the same, see .dvcignore.
LEFTOVERS = ("__pycache__", "*~", "*.swp", ".#*", ".DS_Store")


def files_below(path: Path) -> list[Path]:
    """The file itself, or every file in the folder and below it, sorted; nothing where the path does not exist.

    LEFTOVERS are left out, so that importing code, or opening it in an editor, does not change its hash.
    """
    if path.is_file():
        return [path]
    return sorted(file for file in path.rglob("*") if not _is_leftover(file.relative_to(path)) and file.is_file())


def _is_leftover(path: Path) -> bool:
    return any(fnmatchcase(part, pattern) for part in path.parts for pattern in LEFTOVERS)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex, as `sha256sum` prints it."""
    return _digest(path, "sha256")


def sha256_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Name -> SHA-256 of the file's bytes, in hex, in the order of `files`."""
    return {name: sha256_file(path) for name, path in files.items()}


def md5_file(path: Path) -> str:
    """MD5 of a file's bytes, in hex, as DVC has it in dvc.lock."""
    return _digest(path, "md5")


def hash_file(path: Path) -> str:
    """BLAKE2b-128 of a file's bytes, in hex: the fastest of the three hashes, for manifests and fingerprints."""
    return _digest(path, lambda: hashlib.blake2b(digest_size=16))


def _digest(path: Path, algorithm: str | Callable[[], Any]) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def write_manifest(folder: Path) -> None:
    """Write the manifest of a folder: the size in bytes and the hash of each file in it and below it."""
    files = [path for path in files_below(folder) if path.name != MANIFEST]
    write_json(
        folder / MANIFEST,
        {path.relative_to(folder).as_posix(): [path.stat().st_size, hash_file(path)] for path in files},
    )


def broken_file(folder: Path) -> str | None:
    """The first file of the manifest that is missing or has other bytes; None if all match.

    A manifest that is missing or broken is named itself.
    """
    try:
        listing = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        for name, (size, digest) in listing.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or hash_file(path) != digest:
                return str(name)
    except (OSError, ValueError, TypeError, AttributeError):
        return MANIFEST
    return None


def is_intact(folder: Path) -> bool:
    """Whether a folder has a manifest, and every file that it lists is there with the same bytes."""
    return broken_file(folder) is None


def check_manifest(folder: Path, stage: str) -> None:
    """Raise LockstepError unless a folder still holds the files that a stage wrote."""
    if not folder.is_dir():
        raise LockstepError(f"{folder} is missing.", f"Run `make {stage}` first.")
    name = broken_file(folder)
    if name is not None:
        raise LockstepError(f"{folder / name} is not what {stage} wrote.", "Run `make recheck repro` to make it again.")
