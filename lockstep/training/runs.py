"""One training run: its fingerprint, its folder of checkpoints, and the lock that has a second one wait."""

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

from lockstep.core.console import say
from lockstep.core.errors import Stopped
from lockstep.core.paths import CHECKPOINTS, project_root
from lockstep.core.settings import Model
from lockstep.core.stage_deps import stage_deps
from lockstep.modeling.distributed import ALONE, Processes
from lockstep.pretrained.hub import is_folder
from lockstep.training.checkpoints import StopRequest, fingerprint

DAYS_KEPT = 30  # of the checkpoints of an interrupted run since the last of them


@contextmanager
def training_run(
    settings: Iterable[Any], model: Model, stop: StopRequest, processes: Processes = ALONE
) -> Iterator[Path]:
    """The folder of this run's checkpoints, locked; removed when the block ends well.

    settings: all that decides the result besides the files that dvc.yaml names as train's deps and the base.
    processes: those that train together; the first looks after the folder, the others are told its name.
    Waits while the very same run is going on: most often what is left of one whose dvc was killed, saving its last
    checkpoint. Checkpoints of other runs stay for DAYS_KEPT. Raises Stopped when asked to stop while it waits.
    """
    if not processes.first:
        yield processes.told(None)
        return
    described = [_plain(value) for value in [*settings, model]]
    paths = [Path(dep) for dep in stage_deps("train")]
    if is_folder(model.base):
        paths.append(Path(model.base))
    folder = project_root() / CHECKPOINTS / fingerprint(described, paths)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(Path(f"{folder}.lock"), stop):
        folder.mkdir(exist_ok=True)
        _remove_forgotten(folder)
        yield processes.told(folder)
        shutil.rmtree(folder)


@contextmanager
def _locked(path: Path, stop: StopRequest) -> Iterator[None]:
    """Hold a lock file, which goes when the block ends well."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("train", "this very training run is going on in another process; waiting for it to end")
        try:
            lock.acquire(cancel_check=lambda: bool(stop.reason))
        except Timeout:
            raise Stopped(f"{stop.reason} while it waited for another process") from None
    try:
        yield
        path.unlink()  # while it is held: whoever waits sees that the file is gone, and makes it anew
    finally:
        lock.release()


def _remove_forgotten(run: Path) -> None:
    """Remove the checkpoints of other runs that were interrupted long ago and that nobody went on with."""
    for other in sorted(path for path in run.parent.iterdir() if path.is_dir() and path != run):
        with suppress(FileNotFoundError, Timeout):  # it may end, and go, while we look
            if time.time() - other.stat().st_mtime > DAYS_KEPT * 86400:
                _remove(other)


def _remove(run: Path) -> None:
    """Remove a run's folder and lock. Raises Timeout while it is going on."""
    with FileLock(f"{run}.lock", timeout=0):
        shutil.rmtree(run)
        Path(f"{run}.lock").unlink()
    say("train", f"removed the checkpoints of a run that was interrupted over {DAYS_KEPT} days ago")


def _plain(value: Any) -> Any:
    """A value JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
