"""Checkpoints of a training run: complete or ignored, and resumed only by the run that wrote them.

They are in .checkpoints/<fingerprint>, outside DVC's outs, because DVC deletes outs before a stage runs. The
fingerprint covers everything that determines the result: a changed setting, file, base or line of code starts a new
run.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lockstep.core.atomic_files import sync_file, sync_folder
from lockstep.core.checksums import files_below, hash_file, is_intact, write_manifest


def hash_paths(paths: Iterable[Path]) -> str:
    """One hash of files and folders: their relative names and bytes. A missing path has a hash of its own."""
    digest = hashlib.blake2b(digest_size=16)
    for root in paths:
        for path in files_below(root) or [root]:
            content = hash_file(path) if path.is_file() else "missing"
            digest.update(f"{root.name}/{path.relative_to(root)}\0{content}\0".encode())
    return digest.hexdigest()


def fingerprint(values: Any, paths: Iterable[Path]) -> str:
    """The name of a run: a hash of its settings (any JSON value) and of every file it depends on."""
    text = json.dumps(values, sort_keys=True, default=str) + hash_paths(paths)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def finish_checkpoint(folder: Path) -> None:
    """Write a checkpoint's manifest once its bytes have reached the disk: without one it counts as incomplete."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sync_file(path)
    sync_folder(folder)
    write_manifest(folder)


def link_file(source: Path, target: Path) -> None:
    """Make target a hard link to source, or a copy; it keeps its bytes when source is replaced."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without hard links
        shutil.copyfile(source, target)


def checkpoint_step(folder: Path) -> int:
    """The optimizer step in a name such as checkpoint-120."""
    return int(folder.name.rsplit("-", 1)[1])


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoint folders of a run, the latest first, complete or not."""
    return sorted(folder.glob("checkpoint-*"), key=checkpoint_step, reverse=True)


def latest_intact(folder: Path) -> Path | None:
    """The latest intact checkpoint of a run, or None. Later ones, incomplete or damaged, are removed."""
    for checkpoint in checkpoints_in(folder):
        if is_intact(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def keep_latest(folder: Path, count: int) -> None:
    """Remove all but the `count` latest checkpoints."""
    for old in checkpoints_in(folder)[count:]:
        shutil.rmtree(old)
