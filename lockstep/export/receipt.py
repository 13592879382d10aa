"""The receipt of an export: hashes of everything it was made from and of its own files.

It holds no time, host or absolute path, so that the same commit on the same hardware writes the same receipt.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lockstep.core.atomic_files import read_json
from lockstep.core.checksums import files_below, sha256_file, sha256_of
from lockstep.core.paths import PROVENANCE

STAGES_BEFORE = ("prepare", "tokenize", "train", "evaluate")  # the stages whose provenance export reads


def read_provenance() -> dict[str, dict[str, Any]]:
    """The provenance of each stage before export, by its name. Raises LockstepError when a stage has not run."""
    return {stage: read_json(PROVENANCE / f"{stage}.json", f"make {stage}") for stage in STAGES_BEFORE}


def make_receipt(folder: Path, stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The content of an export's receipt.json.

    folder: the export, still without its receipt. stages: the provenance of all five, by name.
    """
    weights = sorted(folder.glob("*.safetensors"))
    others = [path for path in files_below(folder) if path not in weights]
    train = stages["train"]
    return {
        "weights": {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in weights},
        "files": sha256_of({path.relative_to(folder).as_posix(): path for path in others}),
        "data": stages["prepare"]["inputs"],
        "splits": stages["tokenize"]["inputs"],
        "tokens": train["inputs"],
        "base": train["base"],
        "base_origin": train["base_origin"],
        "code": _merge(stages, "code"),
        "params": _merge(stages, "params"),
        "hardware": train["hardware"],
        "versions": train["versions"],
    }


def _merge(stages: Mapping[str, Mapping[str, Any]], part: str) -> dict[str, str]:
    """One part of all stages' provenance, merged and sorted; an entry that several stages have is the same in each."""
    merged: dict[str, str] = {}
    for stage in stages.values():
        merged |= stage[part]
    return dict(sorted(merged.items()))
