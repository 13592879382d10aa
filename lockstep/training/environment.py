"""The environment of a training run: hardware, versions of libraries, and hashes of the base's files."""

import platform
from importlib.metadata import version
from typing import Any

from lockstep.core.checksums import sha256_of
from lockstep.core.paths import shown_path
from lockstep.core.settings import Model
from lockstep.modeling.device import Hardware, processor
from lockstep.pretrained.hub import WEIGHT_FILES, is_folder, resolve_base
from lockstep.pretrained.tokenizer import SCRATCH

# Another version of any of these may give other bits; a test compares the list with what the stages import.
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


def training_environment(hardware: Hardware, model: Model) -> dict[str, Any]:
    """Hardware, versions of libraries, and SHA-256 of the base's files. Raises LockstepError when there is no base."""
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
    name = shown_path(folder) if is_folder(model.base) else model.base
    files = sorted({path for pattern in WEIGHT_FILES for path in folder.glob(pattern)})
    return sha256_of({f"{name}/{path.name}": path for path in files})
