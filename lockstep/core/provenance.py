"""What a stage was made from: hashes of its code, its settings and the files it read, in metrics/provenance/.

Each stage writes its own; export puts them together as the receipt of the model. They hold no time, host or absolute
path, so that the same commit writes the same bytes. They are metrics and no part of a stage's output folder: there, a
changed comment would run all stages after it again.
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

CODE = Path(__file__).resolve().parents[2]  # the project whose code runs
CODE_FOLDERS = ("lockstep/", "stages/")


def write_provenance(
    stage: str, inputs: Mapping[str, Path], without: Collection[str] = (), **more: Any
) -> dict[str, Any]:
    """Write metrics/provenance/<stage>.json and return what it holds: SHA-256 of each file of the stage's code, of each
    of its settings as JSON, and of each input.

    inputs: what the stage read besides code and settings, by the names that are to be shown. without: settings that do
    not decide what comes out. more: further entries.
    """
    settings = {key: value for key, value in declared_settings(stage, CODE).items() if key not in without}
    provenance = {
        "code": sha256_of({name: CODE / name for name in code_files(stage)}),
        "params": {key: settings_hash(value) for key, value in settings.items()},
        "inputs": sha256_of(inputs),
        **more,
    }
    write_json(PROVENANCE / f"{stage}.json", provenance)
    return provenance


def code_files(stage: str) -> list[str]:
    """Every source file below the code that dvc.yaml says a stage depends on, from the project's root."""
    code = [dep for dep in stage_deps(stage, CODE) if dep.startswith(CODE_FOLDERS)]
    return sorted(path.relative_to(CODE).as_posix() for dep in code for path in files_below(CODE / dep))


def settings_hash(value: Any) -> str:
    """SHA-256 of a part of params.yaml as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def folder_files(folder: Path) -> dict[str, Path]:
    """Every file in a folder of the project and below it, by its path."""
    return {path.as_posix(): path for path in files_below(folder)}
