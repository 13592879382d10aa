"""What training began with and ran on, kept in git beside its figures: other runs are compared with it."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lockstep.modeling.device import Hardware, processor
from lockstep.core.hashes import sha256_of
from lockstep.pretrained.hub import WEIGHT_FILES, is_folder, resolve_base
from lockstep.core.settings import Model
from lockstep.pretrained.tokenizer import SCRATCH

# Whatever of these has another version may give other bits; a test compares the list with what the stages import.
LIBRARIES = (
    "accelerate",
    "beautifulsoup4",
    "charset-normalizer",
    "datasets",
    "jinja2",
    "matplotlib",
    "numpy",
    "pandas",
    "peft",
    "pyarrow",
    "rensa",
    "rouge-score",
    "sacrebleu",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


def provenance(hardware: Hardware, model: Model) -> dict[str, Any]:
    """What metrics/provenance.json holds. Raises LockstepError when the base can't be found."""
    return {
        "hardware": {
            "device": hardware.device,
            "processor": processor(hardware.device),
            "precision": hardware.precision,
            "threads": hardware.threads,
            "processes": hardware.processes,
        },
        "versions": {"python": ".".join(platform.python_version_tuple()[:2])}
        | {library: version(library) for library in LIBRARIES},
        "base": base_hashes(model),
    }


def base_hashes(model: Model) -> dict[str, str]:
    """SHA-256 of each file of the base that is read, under the base's name and its own; none for random weights."""
    if model.base == SCRATCH:
        return {}
    folder = resolve_base(model.base, model.revision)
    outside = is_folder(model.base) and (folder.is_absolute() or ".." in folder.parts)
    name = folder.name if outside else Path(model.base).as_posix()
    files = sorted({path for pattern in WEIGHT_FILES for path in folder.glob(pattern)})
    return sha256_of({f"{name}/{path.name}": path for path in files})
