"""Checkpoints of a training run: whole or ignored, and resumed only by the run that wrote them.

They lie in .checkpoints/<fingerprint>, outside DVC's outs, for DVC deletes outs before a stage runs. The fingerprint
covers all that decides the result, so a changed parameter, file, base or code line starts afresh.
"""

import hashlib
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from lockstep.core.atomic_files import sync_file, sync_folder
from lockstep.core.checksums import files_below, hash_file, is_intact, write_manifest
from lockstep.core.entry_point import is_orphan

PARENT_SECONDS = 1.0  # how often we look whether the process that started us is still there
# Among several processes a second signal this soon is the first once more: a cluster sends it to each process and to
# their launcher, which hands it on.
ECHO_SECONDS = 5.0


def hash_paths(paths: Iterable[Path]) -> str:
    """One hash over files and folders: names relative to each, and bytes. Missing paths count as missing."""
    digest = hashlib.blake2b(digest_size=16)
    for root in paths:
        for path in files_below(root) or [root]:
            content = hash_file(path) if path.is_file() else "missing"
            digest.update(f"{root.name}/{path.relative_to(root)}\0{content}\0".encode())
    return digest.hexdigest()


def fingerprint(values: Any, paths: Iterable[Path]) -> str:
    """The name of a run: a hash of its settings (anything JSON can hold) and of every file it depends on."""
    text = json.dumps(values, sort_keys=True, default=str) + hash_paths(paths)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def seal_checkpoint(folder: Path) -> None:
    """Declare a checkpoint whole, once its bytes are on disk: one without a seal is not."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            sync_file(path)
    sync_folder(folder)
    write_manifest(folder)


def link_file(path: Path, name: Path) -> None:
    """Give a file another name, which keeps its bytes when the first is replaced: a hard link, else a copy."""
    name.unlink(missing_ok=True)
    try:
        os.link(path, name)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, name)


def checkpoint_step(folder: Path) -> int:
    """The optimizer step in a name such as checkpoint-120."""
    return int(folder.name.rsplit("-", 1)[1])


def checkpoints_in(folder: Path) -> list[Path]:
    """Checkpoints of a run, the latest first, whole or not."""
    return sorted(folder.glob("checkpoint-*"), key=checkpoint_step, reverse=True)


def latest_whole(folder: Path) -> Path | None:
    """The latest whole checkpoint of a run; broken ones are removed on the way."""
    for checkpoint in checkpoints_in(folder):
        if is_intact(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def keep_latest(folder: Path, count: int) -> None:
    """Remove all but the `count` latest checkpoints."""
    for old in checkpoints_in(folder)[count:]:
        shutil.rmtree(old)


class StopRequest:
    """Set when the run should save and end: SIGTERM, Ctrl-C, or the death of the process that started it.

    DVC killed leaves its child running, which would go on for hours writing outs that nobody takes.
    """

    def __init__(self) -> None:
        self.reason = ""
        self.signal = signal.SIGTERM  # what to send to others that are to stop too
        self._asked = 0.0  # when by a signal; 0 = not yet
        self._done = threading.Event()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)
        threading.Thread(target=self._watch_parent, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked and "RANK" in os.environ and time.monotonic() - self._asked < ECHO_SECONDS:
            return
        if self._asked:  # twice: the user does not want to wait for the save
            raise KeyboardInterrupt
        self._asked = time.monotonic()
        self.signal = signal.Signals(number)
        if not self.reason:  # else it saves already, for want of the process that started it
            self.reason = "stopped by Ctrl-C" if number == signal.SIGINT else "stopped by SIGTERM"

    def _watch_parent(self) -> None:
        while not self._done.wait(PARENT_SECONDS):
            if is_orphan():
                self.reason = self.reason or "the process that started it is gone"
                return
