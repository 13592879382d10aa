"""dvc.lock: which bytes each stage read and wrote, and which files a folder of them is made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.checksums import files_below, md5_file
from lockstep.core.errors import LockstepError

LOCK = Path("dvc.lock")
MADE_BY = "Run `make repro`, then commit dvc.lock and metrics/."

Hashes = Mapping[str, str]  # path -> hash


@dataclass(frozen=True, slots=True)
class LockedStage:
    """What a stage read (deps) and wrote (outs)."""

    deps: Hashes
    outs: Hashes


Lock = Mapping[str, LockedStage]  # stage -> what it read and wrote, in the order they ran


def parse_lock(text: str) -> Lock:
    """The stages of a dvc.lock. Raises LockstepError where it is broken."""
    try:
        stages = (yaml.safe_load(text) or {})["stages"]
        return {
            name: LockedStage(_hashes(stage.get("deps", [])), _hashes(stage.get("outs", [])))
            for name, stage in stages.items()
        }
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise LockstepError(f"{LOCK} is broken.", f"Delete it. {MADE_BY}") from None


def differing(before: Hashes, after: Hashes) -> list[str]:
    """Paths whose hash is another, or that only one of the two has, sorted."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def maker_of(path: str, lock: Lock) -> str | None:
    """The stage that writes a file or folder, or the folder it lies in."""
    for name, stage in lock.items():
        if any(path == out or path.startswith(f"{out}/") for out in stage.outs):
            return name
    return None


def inputs_of(lock: Lock) -> list[str]:
    """What stages read and no stage writes, sorted."""
    return sorted({dep for stage in lock.values() for dep in stage.deps if maker_of(dep, lock) is None})


def hash_files(path: Path) -> dict[str, str]:
    """MD5 of each file, by its name inside the folder; of a single file under '.'."""
    return {file.relative_to(path).as_posix(): md5_file(file) for file in files_below(path)}


def cached_files(cache: Path, folder_hash: str) -> dict[str, str] | None:
    """The same of a folder in DVC's cache; None where the cache does not hold its list.

    folder_hash: as in dvc.lock; that of a folder ends in .dir.
    """
    try:
        listed = json.loads((cache / "files" / "md5" / folder_hash[:2] / folder_hash[2:]).read_text(encoding="utf-8"))
        return {entry["relpath"]: entry["md5"] for entry in listed}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _hashes(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: str(entry.get("md5")) for entry in entries}
