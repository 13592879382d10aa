"""Whether dvc.lock is as DVC wrote it: a kill or a full disk cuts it off, bits flip, merges leave their marks.

DVC writes the file in place. Most damage it refuses without a word on what to do, an unknown kind of hash with a
traceback; and a wrong size, which it never compares, it would keep for ever.
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
from lockstep.verify.dvc_lock import LOCK, hash_files

MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
KEYS = {  # of an entry: those of files here, and those DVC knows for other places
    *("path", "hash", "md5", "size", "nfiles", "isexec"),
    *("checksum", "etag", "version_id", "cloud", "files", "dataset", "remote"),
}
DAMAGED = "is cut off or damaged"
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, ten times as fast, where libyaml is there


def check_lock() -> None:
    """Raise LockstepError where dvc.lock is there, but not as DVC writes it."""
    if LOCK.exists() and (problem := _problem(LOCK.read_bytes())):
        raise LockstepError(
            f"{LOCK} {problem}.",
            f"Run `git checkout HEAD {LOCK}`, then again: what ran since that commit is still in DVC's cache.",
        )


def _problem(content: bytes) -> str | None:
    """What is wrong with a dvc.lock of this content, to follow its name."""
    try:
        lock = yaml.load(content.decode(), Loader)
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return f"{f'line {mark.line + 1} ' if mark else ''}is not valid YAML"
    except (ValueError, RecursionError):  # a date or number that can't be, brackets in brackets
        return DAMAGED
    try:
        stages = lock["stages"].values()
        entries = [entry for stage in stages for kind in ("deps", "outs") for entry in stage.get(kind, [])]
        params = [values for stage in stages for values in stage.get("params", {}).values()]
        whole = lock["schema"] == "2.0" and all(stage["cmd"] for stage in stages)
        whole &= all(isinstance(entry["path"], str) for entry in entries)
        whole &= all(isinstance(values, dict) for values in params)
        whole &= all(stage.keys() <= {"cmd", "deps", "params", "outs"} for stage in stages)
    except (TypeError, KeyError, AttributeError):
        whole = False
    if not whole:
        return DAMAGED
    return next((f"is damaged: {entry['path']} has {what}" for entry in entries for what in _wrong(entry)), None)


def _wrong(entry: dict[str, Any]) -> Iterator[str]:
    """What can't be true of an entry."""
    if unknown := sorted(map(str, entry.keys() - KEYS)):
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
        size, files = _extent(path)
        if (size, files) != (entry.get("size", size), entry.get("nfiles", files)) and _md5(path) == entry["md5"]:
            yield "a wrong size"


def _extent(path: Path) -> tuple[int, int]:
    """Bytes and number of files of a file (1) or folder."""
    files = files_below(path)
    return sum(file.stat().st_size for file in files), len(files)


def _md5(path: Path) -> str:
    """The hash as DVC takes it: of a file's bytes, or of the JSON list of a folder's files, with `.dir` behind it."""
    if path.is_file():
        return md5_file(path)
    listed = [{"md5": digest, "relpath": name} for name, digest in sorted(hash_files(path).items())]
    return f"{hashlib.md5(json.dumps(listed).encode()).hexdigest()}.dir"
