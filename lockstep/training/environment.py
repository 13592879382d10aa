"""What training runs on and begins with: other runs, and a rerun elsewhere, are compared with it."""

import platform
from importlib.metadata import version
from typing import Any

from lockstep.core.settings import Model
from lockstep.modeling.device import Hardware, processor
from lockstep.pretrained.base import base_hashes

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
        "base": base_hashes(model.base, model.revision),
    }
