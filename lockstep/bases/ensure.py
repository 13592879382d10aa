"""Sees to it that a base lies whole in its folder, and fetches it only where it does not."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from lockstep.bases.catalogue import Entry, resolve
from lockstep.bases.fill import PLACES, fill
from lockstep.core.atomic_files import whole_folder, write_text, writing
from lockstep.core.checksums import files_below, is_intact, write_manifest
from lockstep.core.console import StatusLine, duration
from lockstep.core.paths import BASES, DVC_LOCK
from lockstep.core.settings import SCRATCH
from lockstep.core.yaml_files import read_yaml
from lockstep.pretrained.base import ORIGIN, base_path, is_pretrained

SCRATCH_CARD = "The weights of this base begin at random; model.scratch in params.yaml says their shape.\n"


def ensure_base(name: str, revision: str | None = None, force: bool = False) -> str | None:
    """Fetch a base unless it is there as models/bases.yaml says; returns what was done, None if nothing.

    revision: model.revision. force: fetch in any case. Raises LockstepError where it can't be had.
    """
    if not is_pretrained(name):
        mark_scratch()
        return None
    entry = resolve(name, revision)
    with locked():
        if not force and is_whole(name, entry):
            return None
        if not force and _is_restored(name, entry) and is_whole(name, entry):
            return f"{name}: taken from DVC's cache"
        began = time.monotonic()
        with StatusLine() as status:
            status.update(f"base      fetching {name}{_amount(entry)}")
            fill(name, entry)
        return f"{name}:{_amount(entry)} {size_on_disk(name)} on disk, {duration(time.monotonic() - began)}"


def is_whole(name: str, entry: Entry) -> bool:
    """Whether a base is in its folder with every byte as it was written, and made from what the entry says."""
    folder = base_path(name)
    if not (folder / ORIGIN).is_file() or not is_intact(folder):
        return False
    origin: dict[str, Any] = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    wanted = entry.identity()
    return {key: value for key, value in origin.items() if key in wanted} == wanted


def size_on_disk(name: str) -> str:
    """The size of a base's folder, such as '270 MB'."""
    return megabytes(sum(path.stat().st_size for path in files_below(base_path(name))))


def megabytes(size: int) -> str:
    """A number of bytes in megabytes, with a digit after the point where it is small."""
    return f"{size / 1e6:.0f} MB" if size >= 9.5e6 else f"{size / 1e6:.1f} MB"


def _amount(entry: Entry) -> str:
    """' 93 MB from the package index,' of a base that is downloaded; '' for others."""
    place = PLACES.get(entry.source)
    return f" {megabytes(entry.size)} from {place}," if place and entry.size else f" from {place}," if place else ""


def mark_scratch() -> None:
    """Make the folder that stands for random weights: DVC watches a folder for every value of model.base."""
    folder = base_path(SCRATCH)
    if not is_intact(folder):
        with whole_folder(folder) as new:
            write_text(new / "README.md", SCRATCH_CARD)
            write_manifest(new)


def _is_restored(name: str, entry: Entry) -> bool:
    """Whether DVC had the base of dvc.lock in its cache or remote and has put it back."""
    path = base_path(name).as_posix()
    is_own = entry.source not in PLACES
    if (is_own and (Path(entry.origin).exists() or base_path(name).exists())) or not DVC_LOCK.exists():
        return False  # one's own base is made from its source, and what one changed in it is not overwritten
    stage = (read_yaml(DVC_LOCK) or {}).get("stages", {}).get("base", {})
    if path not in [out.get("path") for out in stage.get("outs", [])]:
        return False
    for verb in ("checkout", "pull"):
        command = [sys.executable, "-m", "dvc", verb, "--quiet", "--force", path]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if is_intact(base_path(name)):
            return True
    return False


@contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time fetch bases; another waits, and then finds what it needs."""
    lock = BASES / ".lock"
    with writing(lock):
        Path(BASES).mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)  # while it is locked: a waiting process creates it again
