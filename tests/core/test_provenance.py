"""The provenance of a stage: hashes of its code, settings and inputs, the same wherever and whenever it runs."""

import hashlib
import json
from pathlib import Path

import pytest
import yaml
from projects import ROOT
from shipped_settings import changed

from lockstep.core.provenance import code_files, folder_files, settings_hash, stage_provenance, write_provenance


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the shipped settings and one input."""
    monkeypatch.chdir(tmp_path)
    write_params("seed", 42)
    Path("rows.csv").write_text("q,a\n")


def write_params(key: str, value: object) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(changed(key, value)))


def test_the_file_holds_what_is_collected_and_further_entries() -> None:
    provenance = stage_provenance("prepare", {"rows": Path("rows.csv")}, hardware={"device": "cpu"})
    write_provenance("prepare", provenance)
    assert json.loads(Path("metrics/provenance/prepare.json").read_text()) == provenance
    assert list(provenance) == ["code", "params", "inputs", "hardware"]
    assert provenance["inputs"] == {"rows": hashlib.sha256(b"q,a\n").hexdigest()}


def test_a_setting_that_the_stage_reads_changes_its_hash_and_no_other() -> None:
    before = stage_provenance("prepare", {})["params"]
    write_params("split.method", "random")
    after = stage_provenance("prepare", {})["params"]
    assert [key for key in before if before[key] != after[key]] == ["split"]
    write_params("train.epochs", 99)
    assert stage_provenance("prepare", {})["params"]["split"] == before["split"]


def test_settings_that_do_not_matter_are_left_out() -> None:
    every = stage_provenance("prepare", {})["params"]
    assert stage_provenance("prepare", {}, without=("seed",))["params"].keys() == every.keys() - {"seed"}


def test_the_order_of_settings_does_not_matter() -> None:
    assert settings_hash({"a": 1, "b": 2}) == settings_hash({"b": 2, "a": 1}) != settings_hash({"a": 1, "b": 3})


def test_the_code_is_the_stage_and_the_library_that_it_depends_on() -> None:
    files = code_files("prepare")
    assert files == sorted(files)
    assert {"stages/prepare.py", "lockstep/core/nested.py"} <= set(files)
    assert "stages/train.py" not in files
    assert all((ROOT / name).is_file() and "__pycache__" not in name for name in files)


def test_files_of_a_folder_are_named_from_the_project_s_root() -> None:
    Path("out/sub").mkdir(parents=True)
    Path("out/sub/b").write_text("")
    assert folder_files(Path("out")) == {"out/sub/b": Path("out/sub/b")}
