"""What dvc.yaml says a stage reads, and whether it stayed as it was while the stage ran.

DVC hashes data, code and settings after a stage has ended. What somebody changed meanwhile, most often a setting for
the next run, would be locked, and kept in the run cache, as what the result was made from.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.core.checksums import files_below
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
        settings = read_yaml(PARAMS)
        found: dict[str, Any] = {}
        for key, value in declared_settings(stage).items():
            found |= {f"{PARAMS}: {name}": leaf for name, leaf in _leaves(key, value)}
        for dep in read_yaml(PIPELINE)["stages"][stage]["deps"]:
            path = Path(re.sub(r"\$\{(.+?)\}", lambda name: str(_setting(settings, name[1])), dep))
            found |= {str(file): _state(file) for file in files_below(path) or [path]}
        return cls(stage, found)

    def require_unchanged(self) -> None:
        """Raises LockstepError naming what is not as it was."""
        now = Inputs.of(self.stage).found
        for name in [*self.found, *now]:
            if self.found.get(name) != now.get(name):
                raise LockstepError(f"{name} changed while {self.stage} ran.", "Run again.")


def stage_deps(stage: str, root: Path = Path()) -> list[str]:
    """The files and folders that dvc.yaml says a stage depends on, sorted; without those that params.yaml names.

    root: the folder of dvc.yaml.
    """
    return sorted(dep for dep in read_yaml(root / PIPELINE)["stages"][stage]["deps"] if "${" not in dep)


def declared_settings(stage: str, root: Path = Path()) -> dict[str, Any]:
    """The parts of params.yaml that dvc.yaml says a stage reads: 'section' or 'section.name' -> value.

    root: the folder of dvc.yaml.
    """
    settings = read_yaml(PARAMS)
    return {key: _setting(settings, key) for key in read_yaml(root / PIPELINE)["stages"][stage].get("params", [])}


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


def _state(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
