"""The environment of a training run: hardware, versions of libraries, and hashes of the base's files."""

import platform
from importlib.metadata import version
from typing import Any

from lockstep.core.settings import Model
from lockstep.modeling.device import Hardware, processor
from lockstep.pretrained.base import base_hashes, base_origin

# Another version of any of these may give other bits; a test compares the list with what the stages import.
LIBRARIES = (
    "accelerate",
    "beautifulsoup4",
    "charset-normalizer",
    "datasets",
    "gguf",
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
    """Hardware, versions of Python and libraries, SHA-256 of the base's files, and where the base is from.

    Raises LockstepError when the base is missing or damaged, see base_folder.
    """
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
        "base": base_hashes(model.base),
        "base_origin": base_origin(model.base),
    }
