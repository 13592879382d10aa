"""One training run: its fingerprint, its folder of checkpoints, and the lock that keeps a second one out."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from pydantic import BaseModel

from stages.core.checkpoints import fingerprint
from stages.core.errors import LockstepError
from stages.core.hub import is_folder
from stages.core.params import Model
from stages.core.paths import CHECKPOINTS
from stages.core.processes import ALONE, Processes

LIBRARIES = ("torch", "transformers", "accelerate", "peft")  # another version may give other bits


@contextmanager
def training_run(settings: Iterable[Any], model: Model, processes: Processes = ALONE) -> Iterator[Path]:
    """The folder of this run's checkpoints, locked; removed when the block ends well.

    settings: all that decides the result besides the files that dvc.yaml names as train's deps and the base.
    processes: those that train together; the first looks after the folder, the others are told its name.
    Checkpoints of other runs are left alone until one of them ends.
    Raises LockstepError when a run with the same fingerprint is going on.
    """
    if not processes.first:
        yield processes.told(None)
        return
    described = [_plain(value) for value in [*settings, model]] + [version(name) for name in LIBRARIES]
    paths = [Path(dep) for dep in stage_deps("train")]
    if is_folder(model.base):
        paths.append(Path(model.base))
    folder = CHECKPOINTS / fingerprint(described, paths)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{folder}.lock", timeout=0):
            yield processes.told(folder)
            shutil.rmtree(folder)
        Path(f"{folder}.lock").unlink(missing_ok=True)
    except Timeout:
        raise LockstepError("This very training run is going on in another process.", "Wait for it to end.") from None


def stage_deps(stage: str) -> list[str]:
    """The files and folders that dvc.yaml says a stage depends on, sorted."""
    pipeline = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))
    return sorted(dep for dep in pipeline["stages"][stage]["deps"] if "${" not in dep)


def _plain(value: Any) -> Any:
    """A value JSON can hold."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
