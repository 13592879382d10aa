"""What faults do to files, disks and clocks, and how it is undone."""

import ctypes
import os
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

DISK_BYTES = 64 << 20
YEAR = 365 * 24 * 3600.0
CAPBSET_DROP, DAC_OVERRIDE = 24, 1  # prctl's name for taking a right away, and the right to ignore permissions


def damage(path: Path, how: str, chance: random.Random, keep_time: bool = False) -> None:
    """Cut a file off somewhere ('truncate'), flip one bit ('flip') or write noise over its start ('overwrite').

    keep_time: as a failing disk does it, without a new time of change.
    """
    before = path.stat()
    content = bytearray(path.read_bytes())
    if how == "truncate":
        del content[chance.randrange(len(content)) :]
    elif how == "flip":
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    else:
        content[:4096] = chance.randbytes(4096)
    mode = before.st_mode
    path.chmod(0o644)
    with path.open("r+b") as file:  # the same inode: who has it open, or mapped, sees the damage too
        file.write(content)
        file.truncate()
    path.chmod(mode)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def small_disk(folder: Path) -> bool:
    """Put a folder with what it holds on a small disk of its own; False where this user may not mount one."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        aside.rename(folder)
        return False
    shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(aside)
    return True


def unmount(folder: Path, keep: bool) -> None:
    """Take the small disk away, where there is one. keep: leave what was on it in the folder."""
    if not os.path.ismount(folder):
        return
    aside = folder.with_name(f"{folder.name}-aside")
    if keep:
        shutil.copytree(folder, aside, symlinks=True)
    subprocess.run(["umount", "--lazy", str(folder)], check=False)
    if keep:
        folder.rmdir()
        aside.rename(folder)


def fill_disk(folder: Path, room: int, undo: ExitStack) -> None:
    """Fill the disk up to `room` bytes."""
    filler = folder / "filler"
    undo.callback(filler.unlink, missing_ok=True)
    with filler.open("wb", buffering=0) as file:
        block = b"\1" * (1 << 16)
        try:
            while True:
                file.write(block)
        except OSError:
            size = file.tell()
    os.truncate(filler, max(size - room, 0))


def limit_file_size(limit: int) -> None:
    """In the new process: no file may grow beyond `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def make_read_only(folder: Path, undo: ExitStack) -> None:
    """Nothing can be made, renamed or removed in a folder."""
    mode = folder.stat().st_mode
    undo.callback(folder.chmod, mode)
    folder.chmod(0o555)


def drop_override() -> None:
    """In the new process: permissions hold for root too (on Linux). Other users may not, and need not, do this."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(CAPBSET_DROP, DAC_OVERRIDE, 0, 0, 0)


def set_clock_back(project: Path) -> None:
    """Have everything in a project be a year younger than now, as if the clock had gone back a year."""
    ahead = time.time() + YEAR
    for root, _, names in os.walk(project):
        for name in [*names, "."]:
            path = Path(root) / name
            if not path.is_symlink():
                os.utime(path, (ahead, ahead))


def use_tracker(tracker: Path, project: Path, undo: ExitStack) -> Path:
    """Turn tracking on and give the project MLflow's database; both are taken away again."""
    params, database = project / "params.yaml", project / "mlflow.db"
    text = params.read_text(encoding="utf-8")
    undo.callback(params.write_text, text, encoding="utf-8")
    params.write_text(text.replace("tracking:\n  enabled: false", "tracking:\n  enabled: true"), encoding="utf-8")
    shutil.copy(tracker, database)
    return database


@contextmanager
def locked_database(path: Path) -> Iterator[None]:
    """Hold an SQLite database so that nobody else reads or writes it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN EXCLUSIVE")
        yield
