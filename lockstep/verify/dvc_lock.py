"""dvc.lock: the hashes of what each stage read and wrote, and of the files in such a folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.checksums import files_below, md5_file
from lockstep.core.errors import LockstepError
from lockstep.core.paths import DVC_LOCK

RUN_AND_COMMIT = "Run `make repro`, then commit dvc.lock and metrics/."

Hashes = Mapping[str, str]  # path -> hash


@dataclass(frozen=True, slots=True)
class LockedStage:
    """The files and folders that a stage read (deps) and wrote (outs)."""

    deps: Hashes
    outs: Hashes


Lock = Mapping[str, LockedStage]  # by name of the stage, in the order in which they ran


def parse_lock(text: str) -> Lock:
    """The stages in the text of a dvc.lock. Raises LockstepError where it is broken."""
    try:
        stages = (yaml.safe_load(text) or {})["stages"]
        return {
            name: LockedStage(_hashes(stage.get("deps", [])), _hashes(stage.get("outs", [])))
            for name, stage in stages.items()
        }
    except (yaml.YAMLError, ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise LockstepError(f"{DVC_LOCK} is broken.", f"Delete it. {RUN_AND_COMMIT}") from None


def differing(before: Hashes, after: Hashes) -> list[str]:
    """Paths whose hashes differ or that only one of the two has, sorted."""
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def producer_of(path: str, lock: Lock) -> str | None:
    """The stage that writes a file or folder, or a folder that it lies in; None if no stage does."""
    for name, stage in lock.items():
        if any(path == out or path.startswith(f"{out}/") for out in stage.outs):
            return name
    return None


def inputs_of(lock: Lock) -> list[str]:
    """The paths that stages read and no stage writes, sorted."""
    return sorted({dep for stage in lock.values() for dep in stage.deps if producer_of(dep, lock) is None})


def hash_files(path: Path) -> dict[str, str]:
    """MD5 of each file of a folder, by its name inside the folder; of a single file, by '.'."""
    return {file.relative_to(path).as_posix(): md5_file(file) for file in files_below(path)}


def cached_files(cache: Path, folder_hash: str) -> dict[str, str] | None:
    """MD5 of each file of a folder as DVC's cache lists them, by name; None where the cache does not have the list.

    folder_hash: as in dvc.lock, ending in .dir.
    """
    try:
        listing = json.loads((cache / "files" / "md5" / folder_hash[:2] / folder_hash[2:]).read_text(encoding="utf-8"))
        return {entry["relpath"]: entry["md5"] for entry in listing}
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _hashes(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: str(entry.get("md5")) for entry in entries}
