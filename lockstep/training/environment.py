"""The environment of a training run, with which a resumed run and a rerun elsewhere are compared."""

import platform
from importlib.metadata import version
from typing import Any

from lockstep.core.settings import Model
from lockstep.modeling.device import Hardware, processor
from lockstep.pretrained.base import base_hashes

# Another version of any of these may give other bits. A test compares the list with the imports of the stages.
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
    """Hardware, versions of Python and libraries, and SHA-256 of the base's files.

    Raises LockstepError when the base is missing or damaged, see resolve_base.
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
        "base": base_hashes(model.base, model.revision),
    }
