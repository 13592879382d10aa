"""Checks that dvc.lock is as DVC wrote it: a killed process or a full disk truncates it, bits flip, merges conflict.

DVC writes the file in place. It refuses most damage without saying what to do, an unknown kind of hash with a
traceback, and a wrong size, which it never compares, it would keep for ever.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.checksums import files_below, md5_file
from lockstep.core.errors import LockstepError
from lockstep.core.paths import DVC_LOCK
from lockstep.verify.dvc_lock import hash_files

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
ENTRY_KEYS = {  # of a dep or out: first those of local files, then those DVC knows for other storage
    *("path", "hash", "md5", "size", "nfiles", "isexec"),
    *("checksum", "etag", "version_id", "cloud", "files", "dataset", "remote"),
}
DAMAGED = "is cut off or damaged"
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, if installed, is ten times as fast


def check_lock() -> None:
    """Raise LockstepError if there is a dvc.lock and it is not as DVC writes it."""
    if DVC_LOCK.exists() and (problem := _problem(DVC_LOCK.read_bytes())):
        raise LockstepError(
            f"{DVC_LOCK} {problem}.",
            f"Run `git checkout HEAD {DVC_LOCK}`, then again: what ran since that commit is still in DVC's cache.",
        )


def _problem(content: bytes) -> str | None:
    """What is wrong with the content of a dvc.lock, to follow its name in a sentence; None if it is valid."""
    try:
        lock = yaml.load(content.decode(), Loader)
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return f"{f'line {mark.line + 1} ' if mark else ''}is not valid YAML"
    except (ValueError, RecursionError):  # an impossible date or number, or too many nested brackets
        return DAMAGED
    try:
        stages = lock["stages"].values()
        entries = [entry for stage in stages for kind in ("deps", "outs") for entry in stage.get(kind, [])]
        params = [values for stage in stages for values in stage.get("params", {}).values()]
        is_complete = lock["schema"] == "2.0" and all(stage["cmd"] for stage in stages)
        is_complete &= all(isinstance(entry["path"], str) for entry in entries)
        is_complete &= all(isinstance(values, dict) for values in params)
        is_complete &= all(stage.keys() <= {"cmd", "deps", "params", "outs"} for stage in stages)
    except (TypeError, KeyError, AttributeError):
        is_complete = False
    if not is_complete:
        return DAMAGED
    faults = (f"is damaged: {entry['path']} has {fault}" for entry in entries for fault in _faults(entry))
    return next(faults, None)


def _faults(entry: dict[str, Any]) -> Iterator[str]:
    """What can't be true of a dep or out, each as a noun with its article."""
    if unknown := sorted(map(str, entry.keys() - ENTRY_KEYS)):
        yield f"an unknown {unknown[0]}"
    if entry.get("hash", "md5") != "md5":
        yield f"an unknown kind of hash, {entry['hash']}"
    if "md5" in entry and not (isinstance(entry["md5"], str) and MD5.fullmatch(entry["md5"])):
        yield "a hash that is none"
    for key in ("size", "nfiles"):
        if not isinstance(entry.get(key, 0), int):
            yield f"a {key} that is no number"
    path = Path(entry["path"])
    if "md5" in entry and path.exists():
        size, files = _size_and_count(path)
        if (size, files) != (entry.get("size", size), entry.get("nfiles", files)) and _md5(path) == entry["md5"]:
            yield "a wrong size"


def _size_and_count(path: Path) -> tuple[int, int]:
    """The bytes in a file or folder, and its number of files."""
    files = files_below(path)
    return sum(file.stat().st_size for file in files), len(files)


def _md5(path: Path) -> str:
    """DVC's hash: of a file's bytes, or of the JSON list of a folder's files, followed by `.dir`."""
    if path.is_file():
        return md5_file(path)
    listing = [{"md5": digest, "relpath": name} for name, digest in sorted(hash_files(path).items())]
    return f"{hashlib.md5(json.dumps(listing).encode()).hexdigest()}.dir"
