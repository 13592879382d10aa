"""The receipt of an export: true, free of places and times, and held against the weights before anybody talks to them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from projects import ROOT, Project, hashes
from structure import STAGES, closure, imported_names, sources

from lockstep.chat.load_export import check_hashes, check_sizes
from lockstep.core.errors import LockstepError
from lockstep.training.environment import LIBRARIES
from stages import chat

EXPORT = Path("models/export")
WEIGHTS = EXPORT / "model.safetensors"
# Third-party packages of the stages that have no say in the bits, by the name they are imported by.
NEUTRAL = {"dvc", "filelock", "huggingface_hub", "mlflow", "psutil", "pydantic", "ruamel", "yaml"}
IMPORTED_AS = {
    "bs4": "beautifulsoup4",
    "charset_normalizer": "charset-normalizer",
    "rouge_score": "rouge-score",
    "sklearn": "scikit-learn",
}


def receipt() -> Any:
    return json.loads((EXPORT / "receipt.json").read_text(encoding="utf-8"))


def under(folder: str) -> dict[str, str]:
    return {f"{folder}/{name}": digest for name, digest in hashes(folder).items()}


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_it_holds_the_sha256_of_every_file_the_model_was_made_from(after: Project) -> None:
    said, prepared = receipt(), under("data/prepared")
    for name in ("leakage.json", "rejects.jsonl", "manifest.json"):
        del prepared[f"data/prepared/{name}"]
    assert said["data"] == {"data/raw/colours.csv": hashes("data/raw/colours.csv")["."]}
    assert said["splits"] == prepared
    assert said["tokens"] == under("data/tokenized")
    assert said["base"] == under("models/base")


def test_it_holds_the_sha256_of_the_code_of_all_stages(after: Project) -> None:
    code = receipt()["code"]
    files = {path for stage in STAGES for path in sources(ROOT / "stages" / f"{stage}.py")}
    names = {path.relative_to(ROOT).as_posix() for path in files} - {"stages/__init__.py", "lockstep/__init__.py"}
    assert names <= code.keys()
    assert code == {name: hashes(ROOT / name)["."] for name in sorted(code)}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_says_itself_what_it_was_made_from(after: Project, stage: str) -> None:
    provenance = after.json(f"metrics/provenance/{stage}.json")
    assert f"stages/{stage}.py" in provenance["code"]
    assert provenance["code"].items() <= receipt()["code"].items()
    assert provenance["params"].items() <= receipt()["params"].items()
    assert not [name for name in provenance["code"] if "__pycache__" in name or name.startswith("/")]


def test_it_holds_the_sha256_of_every_file_of_the_export_but_itself(after: Project) -> None:
    said = receipt()
    listed = said["files"] | {name: facts["sha256"] for name, facts in said["weights"].items()}
    assert listed == {name: digest for name, digest in hashes(EXPORT).items() if name != "receipt.json"}
    assert said["weights"]["model.safetensors"]["bytes"] == WEIGHTS.stat().st_size


def test_it_and_the_figures_say_what_training_ran_on(after: Project) -> None:
    provenance = after.json("metrics/provenance/train.json")
    assert provenance["hardware"].pop("processor")
    assert provenance["hardware"] == {"device": "cpu", "precision": "fp32", "threads": 1, "processes": 1}
    assert after.json("metrics/train.json")["threads"] == 1
    assert receipt()["hardware"] == after.json("metrics/provenance/train.json")["hardware"]
    assert set(receipt()["versions"]) == {"python", *LIBRARIES}


def test_every_library_that_can_change_the_bits_has_its_version_in_it() -> None:
    files = {path for stage in STAGES for path in closure(ROOT / "stages" / f"{stage}.py")}
    names = {name.split(".")[0] for path in files for name in imported_names(path)}
    others = names - set(sys.stdlib_module_names) - NEUTRAL - {"stages", "lockstep", "run_by_path"}
    trainer = {"accelerate"}  # does the work below Transformers' Trainer
    assert {IMPORTED_AS.get(name, name) for name in others} | trainer == set(LIBRARIES)


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


def in_docs(start: str) -> str:
    """The one command in docs/reliability.md that begins so."""
    [line] = [line for line in (ROOT / "docs" / "reliability.md").read_text().splitlines() if line.startswith(start)]
    return line


def shell(command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)


def test_the_documented_command_checks_every_hash_without_dvc(after: Project) -> None:
    for folder in ("stages", "lockstep"):
        Path(folder).symlink_to(ROOT / folder)
    checked = in_docs('python -c "import json; r')
    assert (shell(checked).returncode, shell(checked).stdout) == (0, "")
    flip(Path("data/prepared/train.jsonl"))
    done = shell(checked)
    assert (done.returncode, done.stdout) == (1, "data/prepared/train.jsonl: FAILED\n")


def test_the_documented_command_gives_the_hash_of_a_section(after: Project) -> None:
    assert shell(in_docs('python -c "import yaml')).stdout == receipt()["params"]["train"] + "\n"


def test_it_names_no_folder_outside_the_project(after: Project) -> None:
    after.set("data", path=str(after.folder / "data" / "raw" / "colours.csv"))
    after.set("model", base=str(after.folder / "models" / "base"))
    after.run("train", "export")
    assert str(after.folder) not in (EXPORT / "receipt.json").read_text(encoding="utf-8")
    assert "models/base/model.safetensors" in receipt()["base"]


def test_random_weights_have_no_base(project: Project) -> None:
    project.set(
        "model", base="scratch", scratch={"vocab_size": 300, "context": 64, "n_layer": 1, "n_head": 2, "n_embd": 16}
    )
    project.run("prepare", "tokenize", "train")
    assert project.json("metrics/provenance/train.json")["base"] == {}


def test_weights_with_one_wrong_bit_are_refused_in_one_line(after: Project) -> None:
    flip(WEIGHTS)
    done = after.command("chat", "--question", "Which paint?")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: models/export/model.safetensors is not the file of receipt.json beside it: its SHA-256 is another. "
        "Take it back with `dvc checkout --force models/export`, or make it anew with `make export`; "
        "if you changed it on purpose, delete receipt.json.\n"
    )


def test_a_pipe_is_told_of_the_weights_and_not_of_its_first_line(after: Project) -> None:
    flip(WEIGHTS)
    done = shell("echo Hello | python -m stages.chat")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: models/export/model.safetensors is not the file of receipt.json beside it: ")


def test_the_server_refuses_them_too(after: Project) -> None:
    flip(WEIGHTS)
    done = after.command("serve", "--port", "0")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: models/export/model.safetensors is not the file of receipt.json beside it: ")
    assert done.stderr.count("\n") == 1


def test_weights_cut_short_are_refused_before_anything_is_loaded(after: Project) -> None:
    whole = WEIGHTS.read_bytes()
    WEIGHTS.write_bytes(whole[:-1])
    with pytest.raises(LockstepError, match=rf"{len(whole):,} bytes were exported, {len(whole) - 1:,} are here\. Take"):
        chat.check_model("models/export")


def test_weights_that_are_missing_or_too_many_are_named(after: Project) -> None:
    WEIGHTS.rename(EXPORT / "other.safetensors")
    with pytest.raises(LockstepError, match=r"export/model\.safetensors is not the file .* it is missing\."):
        check_sizes(EXPORT)
    WEIGHTS.write_bytes((EXPORT / "other.safetensors").read_bytes())
    with pytest.raises(LockstepError, match=r"export/other\.safetensors is not the file .* it is not listed there\."):
        check_sizes(EXPORT)


def test_a_model_somewhere_else_is_refused_with_a_remedy_that_fits(after: Project) -> None:
    EXPORT.rename("models/mine")
    flip(Path("models/mine/model.safetensors"))
    with pytest.raises(LockstepError, match=r"another\. Get the model again; if you changed it on purpose, delete rec"):
        check_hashes(Path("models/mine"))


@pytest.mark.parametrize(
    "content", [None, "[]", '{"weights": 3}', '{"weights": {"model.safetensors": "x"}}', '{"a": 1}']
)
def test_a_model_without_a_receipt_of_ours_may_be_talked_to(after: Project, content: str | None) -> None:
    (EXPORT / "receipt.json").unlink()
    if content is not None:
        (EXPORT / "receipt.json").write_text(content)
    flip(WEIGHTS)
    check_sizes(EXPORT)
    check_hashes(EXPORT)


def test_a_receipt_that_is_no_json_is_one_clear_line(after: Project) -> None:
    (EXPORT / "receipt.json").write_text("{")
    with pytest.raises(LockstepError, match=r"models/export/receipt\.json line 1 is not valid JSON"):
        chat.check_model("models/export")
