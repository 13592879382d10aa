"""The receipt of an export: hashes of everything it was made from and of its own files.

It holds no time, host or absolute path, so that the same commit on the same hardware writes the same receipt.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from lockstep.core.hashes import sha256_file, sha256_of
from lockstep.core.paths import SPLITS, TOKENIZED, prepared_split

CODE = Path(__file__).resolve().parents[2]  # the project whose code runs


def make_receipt(
    folder: Path, data: Mapping[str, Path], settings: Mapping[str, Any], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """What receipt.json of a finished export says.

    folder: the export, still without its receipt. data: the files prepare reads, by the names its records give them.
    settings: parts of params.yaml by name. provenance: what metrics/provenance.json holds.
    """
    weights = sorted(folder.glob("*.safetensors"))
    others = sorted(path for path in folder.rglob("*") if path.is_file() and path not in weights)
    tokens = sorted(path for path in TOKENIZED.rglob("*") if path.is_file())
    return {
        "weights": {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in weights},
        "files": sha256_of({path.relative_to(folder).as_posix(): path for path in others}),
        "data": sha256_of(data),
        "splits": sha256_of({path.as_posix(): path for path in map(prepared_split, SPLITS)}),
        "tokens": sha256_of({path.as_posix(): path for path in tokens}),
        "base": provenance["base"],
        "code": sha256_of({name: CODE / name for name in code_files()}),
        "params": {name: settings_hash(value) for name, value in settings.items()},
        "hardware": provenance["hardware"],
        "versions": provenance["versions"],
    }


def code_files() -> list[str]:
    """Every source file that dvc.yaml says a stage depends on, sorted."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    return sorted({dep for stage in stages for dep in stage["deps"] if dep.startswith("stages/")})


def settings_hash(value: Any) -> str:
    """SHA-256 of a part of params.yaml as JSON with sorted keys."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
