"""The receipt of an export: true, complete, and free of places and times."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, Project, hashes
from structure import STAGES, sources
from training_runs import flip_bit

from lockstep.bases.own import add_base
from lockstep.training.environment import LIBRARIES

EXPORT = Path("models/export")
HASHED = [stage for stage in STAGES if stage != "base"]  # of that one's output every byte is hashed


def receipt() -> Any:
    """The receipt of the export."""
    return json.loads((EXPORT / "receipt.json").read_text(encoding="utf-8"))


def under(folder: str) -> dict[str, str]:
    """Path -> hash of each file in a folder."""
    return {f"{folder}/{name}": digest for name, digest in hashes(folder).items()}


def test_it_holds_the_sha256_of_every_file_the_model_was_made_from(after: Project) -> None:
    prepared = under("data/prepared")
    for name in ("leakage.json", "rejects.jsonl", "manifest.json", "reworded.jsonl"):
        del prepared[f"data/prepared/{name}"]
    assert receipt()["data"] == {"data/raw/colours.csv": hashes("data/raw/colours.csv")["."]}
    assert receipt()["splits"] == prepared
    assert receipt()["tokens"] == under("data/tokenized")
    base = under("models/bases/tiny")
    del base["models/bases/tiny/README.md"]
    assert receipt()["base"] == base
    assert receipt()["base_origin"]["from"] == "models/tiny"


def test_it_holds_the_sha256_of_the_code_of_all_stages_but_base(after: Project) -> None:
    code = receipt()["code"]
    files = {path for stage in HASHED for path in sources(ROOT / "stages" / f"{stage}.py")}
    names = {path.relative_to(ROOT).as_posix() for path in files} - {"stages/__init__.py", "lockstep/__init__.py"}
    assert names <= code.keys()
    assert code == {name: hashes(ROOT / name)["."] for name in sorted(code)}


@pytest.mark.parametrize("stage", HASHED)
def test_it_merges_the_provenance_that_each_stage_wrote(after: Project, stage: str) -> None:
    provenance = after.json(f"metrics/provenance/{stage}.json")
    assert f"stages/{stage}.py" in provenance["code"]
    assert provenance["code"].items() <= receipt()["code"].items()
    assert provenance["params"].items() <= receipt()["params"].items()
    assert not [name for name in provenance["code"] if "__pycache__" in name or name.startswith("/")]


def test_it_holds_the_sha256_of_every_file_of_the_export_but_itself(after: Project) -> None:
    weights = receipt()["weights"]
    listed = receipt()["files"] | {name: facts["sha256"] for name, facts in weights.items()}
    assert listed == {name: digest for name, digest in hashes(EXPORT).items() if name != "receipt.json"}
    assert weights["model.safetensors"]["bytes"] == (EXPORT / "model.safetensors").stat().st_size


def test_it_and_the_figures_record_the_hardware_of_training(after: Project) -> None:
    provenance = after.json("metrics/provenance/train.json")
    assert provenance["hardware"].pop("processor")
    assert provenance["hardware"] == {"device": "cpu", "precision": "fp32", "threads": 1, "processes": 1}
    assert after.json("metrics/train.json")["threads"] == 1
    assert receipt()["hardware"] == after.json("metrics/provenance/train.json")["hardware"]
    assert set(receipt()["versions"]) == {"python", *LIBRARIES}


@pytest.mark.parametrize(
    ("section", "values", "stage", "changed"),
    [
        ("prompt", {"loss_on": "all"}, "tokenize", ["prompt.loss_on"]),
        ("export", {"dtype": "bf16"}, "export", ["export.dtype"]),
        ("export", {"hub_private": False}, "export", []),
        ("gates", {"leakage": {"max": 1}}, "export", []),
        ("tracking", {"experiment": "other"}, "export", []),
    ],
)
def test_a_setting_changes_the_hash_of_its_section_and_what_changes_no_bits_has_none(
    after: Project, section: str, values: dict[str, Any], stage: str, changed: list[str]
) -> None:
    before = receipt()["params"]
    after.set(section, **values)
    after.run(*dict.fromkeys([stage, "export"]))
    assert [name for name, digest in receipt()["params"].items() if before[name] != digest] == changed


def documented_command(start: str) -> str:
    """The one line of docs/reliability.md that begins so."""
    [line] = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith(start)]
    return line


def shell(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the current folder, with this Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)


def test_the_documented_command_checks_every_hash_without_dvc(after: Project) -> None:
    for folder in ("stages", "lockstep"):
        Path(folder).symlink_to(ROOT / folder)
    command = documented_command('python -c "import json; r')
    assert (shell(command).returncode, shell(command).stdout) == (0, "")
    flip_bit(Path("data/prepared/train.jsonl"))
    done = shell(command)
    assert (done.returncode, done.stdout) == (1, "data/prepared/train.jsonl: FAILED\n")


def test_the_documented_command_gives_the_hash_of_a_section(after: Project) -> None:
    assert shell(documented_command('python -c "import yaml')).stdout == receipt()["params"]["train"] + "\n"


def test_it_names_no_folder_outside_the_project(after: Project) -> None:
    after.set("data", path=str(after.folder / "data" / "raw" / "colours.csv"))
    shutil.copytree("models/tiny", after.folder.parent / "secret" / "model")
    add_base("mine", str(after.folder.parent / "secret" / "model"))
    after.set("model", base="mine")
    after.run("tokenize", "train", "evaluate", "export")
    text = (EXPORT / "receipt.json").read_text(encoding="utf-8")
    assert str(after.folder) not in text and "secret" not in text
    assert receipt()["base_origin"]["from"] == "model"


def test_of_random_weights_it_holds_no_base(project: Project) -> None:
    project.set(
        "model", base="scratch", scratch={"vocab_size": 300, "context": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
    )
    project.run("prepare", "tokenize", "train")
    assert project.json("metrics/provenance/train.json")["base"] == {}
