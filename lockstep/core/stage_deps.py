"""The deps and settings that dvc.yaml declares for a stage, and the check that none changed while the stage ran.

DVC hashes data, code and settings after a stage has ended. Whatever somebody changed meanwhile, most often a setting
for the next run, would enter dvc.lock and the run cache as an input of this run.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.core.checksums import files_below
from lockstep.core.errors import LockstepError
from lockstep.core.nested import flatten
from lockstep.core.paths import PARAMS, PIPELINE
from lockstep.core.yaml_files import read_yaml


@dataclass(frozen=True)
class Inputs:
    """The inputs of a stage at one moment.

    states: 'params.yaml: train.epochs' -> its value, or a file's path -> its size in bytes and modification time in ns.
    """

    stage: str
    states: dict[str, Any]

    @classmethod
    def of(cls, stage: str) -> "Inputs":
        """The inputs as they are now; none in a folder without dvc.yaml.

        Raises LockstepError where params.yaml can't be read.
        """
        if not PIPELINE.exists():
            return cls(stage, {})
        settings = read_yaml(PARAMS)
        declared = flatten(declared_settings(stage), prefix=f"{PARAMS}: ")
        states = {name: value for name, value in declared.items() if value != {}}
        for dep in read_yaml(PIPELINE)["stages"][stage]["deps"]:
            path = Path(re.sub(r"\$\{(.+?)\}", lambda name: str(_setting(settings, name[1])), dep))
            states |= {str(file): _file_state(file) for file in files_below(path) or [path]}
        return cls(stage, states)

    def require_unchanged(self) -> None:
        """Raise LockstepError naming the first input that has changed since."""
        now = Inputs.of(self.stage).states
        for name in [*self.states, *now]:
            if self.states.get(name) != now.get(name):
                raise LockstepError(f"{name} changed while {self.stage} ran.", "Run again.")


def stage_deps(stage: str, root: Path = Path()) -> list[str]:
    """The files and folders that dvc.yaml says a stage depends on, sorted, without those whose path is a setting.

    root: the folder of dvc.yaml.
    """
    return sorted(dep for dep in read_yaml(root / PIPELINE)["stages"][stage]["deps"] if "${" not in dep)


def declared_settings(stage: str, root: Path = Path()) -> dict[str, Any]:
    """The parts of params.yaml that dvc.yaml declares for a stage: 'section' or 'section.name' -> value.

    root: the folder of dvc.yaml.
    """
    settings = read_yaml(PARAMS)
    return {key: _setting(settings, key) for key in read_yaml(root / PIPELINE)["stages"][stage].get("params", [])}


def _setting(settings: Any, key: str) -> Any:
    """The value at 'section.name'; None where there is none."""
    for name in key.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings


def _file_state(path: Path) -> tuple[int, int] | None:
    """A file's size in bytes and its modification time in ns; None where it can't be read."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
