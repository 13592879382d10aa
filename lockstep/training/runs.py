"""One training run: its fingerprint, its folder of checkpoints, and the lock that keeps a second process out."""

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
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup
from lockstep.modeling.stopping import StopRequest
from lockstep.pretrained.base import local_inputs
from lockstep.training.checkpoints import fingerprint

DAYS_KEPT = 30  # days that an interrupted run's checkpoints are kept after its last one


@contextmanager
def training_run(
    run_identity: Iterable[Any], model: Model, stop: StopRequest, processes: ProcessGroup = SINGLE_PROCESS
) -> Iterator[Path]:
    """Lock and yield the folder of this run's checkpoints; it is removed when the block ends without an exception.

    run_identity: everything that determines the result besides the base and the files that dvc.yaml names as train's
    deps. processes: those that train together; the first manages the folder, the others receive its name.
    Waits while another process works on the same run, most often one whose dvc was killed and that is saving its last
    checkpoint. Checkpoints of other runs are kept for DAYS_KEPT. Raises Stopped on a stop request while it waits.
    """
    if not processes.is_main:
        yield processes.broadcast(None)
        return
    values = [_plain(value) for value in [*run_identity, model]]
    paths = [Path(name) for name in [*stage_deps("train"), *local_inputs(model.base)]]
    folder = project_root() / CHECKPOINTS / fingerprint(values, paths)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(Path(f"{folder}.lock"), stop):
        folder.mkdir(exist_ok=True)
        _remove_forgotten(folder)
        yield processes.broadcast(folder)
        shutil.rmtree(folder)


@contextmanager
def _locked(path: Path, stop: StopRequest) -> Iterator[None]:
    """Hold a lock file, removed when the block ends without an exception. Raises Stopped as training_run does."""
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
        path.unlink()  # while it is locked: a waiting process sees that the file is gone and creates it again
    finally:
        lock.release()


def _remove_forgotten(run: Path) -> None:
    """Remove the checkpoints of other runs that were interrupted over DAYS_KEPT ago and never resumed."""
    for other in sorted(path for path in run.parent.iterdir() if path.is_dir() and path != run):
        with suppress(FileNotFoundError, Timeout):  # it has just ended, or is still going on
            if time.time() - other.stat().st_mtime > DAYS_KEPT * 86400:
                _remove(other)


def _remove(run: Path) -> None:
    """Remove a run's folder and lock. Raises Timeout while the run is going on."""
    with FileLock(f"{run}.lock", timeout=0):
        shutil.rmtree(run)
        Path(f"{run}.lock").unlink()
    say("train", f"removed the checkpoints of a run that was interrupted over {DAYS_KEPT} days ago")


def _plain(value: Any) -> Any:
    """A dict of a settings model or dataclass; other values as they are."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
