"""The provenance of a stage: hashes of its code, its settings and the files it read, in metrics/provenance/.

Each stage writes its own file; export collects them into the model's receipt. They hold no time, host or absolute
path, so the same commit writes the same bytes. In a stage's output folder a changed comment in the code would make
every later stage run again. dvc.yaml has them as metrics, since DVC's run cache keeps no stage with another uncached
output.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from lockstep.core.atomic_files import write_json
from lockstep.core.checksums import files_below, sha256_of
from lockstep.core.paths import PROVENANCE
from lockstep.core.stage_deps import declared_settings, stage_deps

CODE_ROOT = Path(__file__).resolve().parents[2]  # the project whose code is running
CODE_FOLDERS = ("lockstep/", "stages/")


def stage_provenance(
    stage: str, inputs: Mapping[str, Path], without: Collection[str] = (), **more: Any
) -> dict[str, Any]:
    """What metrics/provenance/<stage>.json says.

    It holds the SHA-256 of each file of the stage's code, of each of its settings as JSON, and of each input.

    inputs: the files that the stage read besides code and settings, by the names to show. without: settings that do
    not influence the output. more: further entries. Raises LockstepError where dvc.yaml or params.yaml can't be read.
    """
    settings = {key: value for key, value in declared_settings(stage, CODE_ROOT).items() if key not in without}
    return {
        "code": sha256_of({name: CODE_ROOT / name for name in code_files(stage)}),
        "params": {key: settings_hash(value) for key, value in settings.items()},
        "inputs": sha256_of(inputs),
        **more,
    }


def write_provenance(stage: str, provenance: Mapping[str, Any]) -> None:
    """Write what stage_provenance returned to metrics/provenance/<stage>.json."""
    write_json(PROVENANCE / f"{stage}.json", provenance)


def code_files(stage: str) -> list[str]:
    """Every file of the code that dvc.yaml says a stage depends on, relative to the project's root, sorted."""
    deps = [dep for dep in stage_deps(stage, CODE_ROOT) if dep.startswith(CODE_FOLDERS)]
    return sorted(path.relative_to(CODE_ROOT).as_posix() for dep in deps for path in files_below(CODE_ROOT / dep))


def settings_hash(value: Any) -> str:
    """SHA-256 of a part of params.yaml as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_files(folder: Path) -> dict[str, Path]:
    """Path -> file, for every file in a folder of the project and below it."""
    return {path.as_posix(): path for path in files_below(folder)}
