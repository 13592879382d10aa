"""The environment of a training run, as its provenance records it."""

import platform
import sys
from importlib.metadata import version

from projects import ROOT, Project, hashes
from structure import STAGES, closure, imported_names

from lockstep.core.settings import load_params
from lockstep.modeling.device import Hardware
from lockstep.training.environment import LIBRARIES, training_environment

# Third-party packages of the stages that can't change the bits, by the name they are imported by.
NEUTRAL = {"dvc", "filelock", "huggingface_hub", "mlflow", "psutil", "pydantic", "ruamel", "yaml"}
IMPORTED_AS = {
    "bs4": "beautifulsoup4",
    "charset_normalizer": "charset-normalizer",
    "rouge_score": "rouge-score",
    "sklearn": "scikit-learn",
}


def test_every_library_that_can_change_the_bits_is_listed() -> None:
    files = {path for stage in STAGES for path in closure(ROOT / "stages" / f"{stage}.py")}
    names = {name.split(".")[0] for path in files for name in imported_names(path)}
    others = names - set(sys.stdlib_module_names) - NEUTRAL - {"stages", "lockstep", "run_by_path"}
    trainer = {"accelerate"}  # Transformers' Trainer is built on it
    assert {IMPORTED_AS.get(name, name) for name in others} | trainer == set(LIBRARIES)


def test_hardware_versions_and_the_base_are_recorded(project: Project) -> None:
    environment = training_environment(Hardware("cpu", "fp32", 3), load_params().model)
    assert environment["hardware"].pop("processor")
    assert environment["hardware"] == {"device": "cpu", "precision": "fp32", "threads": 3, "processes": 1}
    assert environment["versions"]["torch"] == version("torch")
    assert platform.python_version().startswith(environment["versions"]["python"])
    files = {name: digest for name, digest in hashes("models/bases/tiny").items() if name != "README.md"}
    assert environment["base"] == {f"models/bases/tiny/{name}": digest for name, digest in files.items()}
    assert environment["base_origin"]["name"] == "tiny"


def test_random_weights_have_no_base(project: Project) -> None:
    project.set("model", base="scratch")
    assert training_environment(Hardware("cpu", "fp32", 1), load_params().model)["base"] == {}
