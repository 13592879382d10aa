"""What dvc.yaml says a stage reads, and whether it stayed as it was while the stage ran.

DVC hashes data, code and settings after a stage has ended. What somebody changed meanwhile, most often a setting for
the next run, would be locked, and kept in the run cache, as what the result was made from.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.core.errors import LockstepError
from lockstep.core.paths import PARAMS
from lockstep.core.yaml_files import read_yaml

PIPELINE = Path("dvc.yaml")


@dataclass(frozen=True)
class Inputs:
    """found: 'params.yaml: train.epochs' -> its value, or a file's name -> its size and time of change."""

    stage: str
    found: dict[str, Any]

    @classmethod
    def of(cls, stage: str) -> "Inputs":
        """As they are now; none in a folder without dvc.yaml. Raises LockstepError where params.yaml can't be read."""
        if not PIPELINE.exists():
            return cls(stage, {})
        declared, settings = read_yaml(PIPELINE)["stages"][stage], read_yaml(PARAMS)
        found: dict[str, Any] = {}
        for key in declared.get("params", []):
            found |= {f"{PARAMS}: {name}": value for name, value in _leaves(key, _setting(settings, key))}
        for dep in declared["deps"]:
            path = re.sub(r"\$\{(.+?)\}", lambda name: str(_setting(settings, name[1])), dep)
            found |= {str(file): _state(file) for file in _files(Path(path))}
        return cls(stage, found)

    def require_unchanged(self) -> None:
        """Raises LockstepError naming what is not as it was."""
        now = Inputs.of(self.stage).found
        for name in [*self.found, *now]:
            if self.found.get(name) != now.get(name):
                raise LockstepError(f"{name} changed while {self.stage} ran.", "Run again.")


def stage_deps(stage: str) -> list[str]:
    """The files and folders that dvc.yaml says a stage depends on, sorted; without those that params.yaml names."""
    return sorted(dep for dep in read_yaml(PIPELINE)["stages"][stage]["deps"] if "${" not in dep)


def _setting(settings: Any, key: str) -> Any:
    """The value at 'section.name'; None where there is none."""
    for name in key.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings


def _leaves(key: str, value: Any) -> list[tuple[str, Any]]:
    """A section's single settings with their full names."""
    if not isinstance(value, dict):
        return [(key, value)]
    return [leaf for name, inner in value.items() for leaf in _leaves(f"{key}.{name}", inner)]


def _files(path: Path) -> list[Path]:
    """A file, or those in a folder and below it."""
    if not path.is_dir():
        return [path]
    return [Path(root) / name for root, _, names in os.walk(path) for name in names]


def _state(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
