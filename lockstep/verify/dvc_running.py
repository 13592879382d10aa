"""Whether another DVC is at work in this project: DVC itself refuses late, with advice to delete a file."""

import json
from pathlib import Path

import psutil

from lockstep.core.errors import LockstepError

LOCKS = Path(".dvc/tmp/rwlock")  # JSON: what each running DVC reads and writes


def check_dvc_is_free() -> None:
    """Raise LockstepError while a DVC process runs stages of this project, or where its file of locks is broken."""
    try:
        holders = json.loads(LOCKS.read_text(encoding="utf-8")).get("write", {}).values()
        running = {int(holder["pid"]) for holder in holders}
    except FileNotFoundError:
        return  # no DVC has run here
    except (ValueError, TypeError, KeyError, AttributeError):
        raise LockstepError(
            f"{LOCKS} is damaged: a DVC was killed, or the disk was full, while it wrote there.",
            f"Run `rm {LOCKS}` while no DVC is at work here, then again.",
        ) from None
    for process in sorted(running):
        if _is_dvc(process):
            raise LockstepError(
                f"DVC is at work in this project already (process {process}).", "Wait for it to end, then run again."
            )


def _is_dvc(process: int) -> bool:
    """Whether the process is there and was started as `dvc` or `python -m dvc`; numbers of dead ones are given anew."""
    try:
        return any(Path(part).name == "dvc" for part in psutil.Process(process).cmdline()[:3])
    except psutil.Error:
        return False
