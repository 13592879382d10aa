"""Hashes that other programs make too: SHA-256 as `sha256sum` prints it, MD5 as DVC has it in dvc.lock."""

import hashlib
from collections.abc import Mapping
from pathlib import Path


def sha256_of(files: Mapping[str, Path]) -> dict[str, str]:
    """Name -> SHA-256 of the file's bytes, in hex, in the order given."""
    return {name: sha256_file(path) for name, path in files.items()}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    return _digest(path, "sha256")


def md5_file(path: Path) -> str:
    """MD5 of a file's bytes, in hex."""
    return _digest(path, "md5")


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
