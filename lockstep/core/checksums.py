"""The seal of a folder: size and hash of each file in it. What reads the folder later looks whether they still fit.

DVC looks at times and sizes, so it sees neither a bit that flipped on the disk nor a stage that is run by hand.
"""

import hashlib
import json
from pathlib import Path

from lockstep.core.errors import LockstepError
from lockstep.core.atomic_files import write_json

SEAL = "sealed.json"


def hash_file(path: Path) -> str:
    """BLAKE2b of a file's bytes, in hex: about 1 GB/s."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def seal(folder: Path) -> None:
    """Write the seal of all files in a folder and below it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    write_json(
        folder / SEAL, {path.relative_to(folder).as_posix(): [path.stat().st_size, hash_file(path)] for path in files}
    )


def broken_file(folder: Path) -> str | None:
    """The first file of a sealed folder that is missing or has other bytes, or the seal itself; None if all fit."""
    try:
        listed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        for name, (size, digest) in listed.items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size or hash_file(path) != digest:
                return str(name)
    except (OSError, ValueError, TypeError, AttributeError):
        return SEAL
    return None


def is_whole(folder: Path) -> bool:
    """Whether a folder is sealed and every file still has the bytes that were sealed."""
    return broken_file(folder) is None


def check_seal(folder: Path, stage: str) -> None:
    """Raise LockstepError unless a folder still holds what a stage wrote."""
    if not folder.is_dir():
        raise LockstepError(f"{folder} is missing.", f"Run `make {stage}` first.")
    name = broken_file(folder)
    if name is not None:
        raise LockstepError(f"{folder / name} is not what {stage} wrote.", "Run `make recheck repro` to make it again.")
