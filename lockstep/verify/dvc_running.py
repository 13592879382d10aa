"""Checks that no other DVC runs in this project: DVC itself notices late and then advises deleting a file."""

import json
from pathlib import Path

import psutil

from lockstep.core.errors import LockstepError

LOCKS = Path(".dvc/tmp/rwlock")  # JSON: the paths that each running DVC reads and writes


def check_dvc_is_free() -> None:
    """Raise LockstepError if a DVC process runs stages of this project, or if its file of locks is broken."""
    try:
        holders = json.loads(LOCKS.read_text(encoding="utf-8")).get("write", {}).values()
        pids = {int(holder["pid"]) for holder in holders}
    except FileNotFoundError:
        return  # no DVC has run here
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LockstepError(
            f"{LOCKS} is damaged: a DVC was killed, or the disk was full, while it wrote there.",
            f"Run `rm {LOCKS}` while no DVC is at work here, then again.",
        ) from None
    for pid in sorted(pids):
        if _is_dvc(pid):
            raise LockstepError(
                f"DVC is at work in this project already (process {pid}).", "Wait for it to end, then run again."
            )


def _is_dvc(pid: int) -> bool:
    """Whether a process of this id was started as `dvc` or `python -m dvc`; a dead process's id is used again."""
    try:
        return any(Path(part).name == "dvc" for part in psutil.Process(pid).cmdline()[:3])
    except psutil.Error:
        return False
