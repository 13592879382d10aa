"""A user's own base, from a folder, a GGUF file or the Hub: added by name, pinned in the catalogue, and missed clearly."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from gguf_models import write_gguf
from projects import Project, hashes
from training_runs import flip_bit

from lockstep.bases.catalogue import read_catalogue
from lockstep.bases.ensure import ensure_base
from lockstep.bases.own import add_base
from lockstep.core.errors import LockstepError
from lockstep.pretrained.base import base_folder, base_origin


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A model folder outside the project."""
    folder = tmp_path_factory.mktemp("outside") / "model"
    shutil.copytree(base, folder)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n# Mine\n")
    return folder


def test_a_folder_gets_a_name_and_git_keeps_what_it_was(project: Project, outside: Path) -> None:
    add_base("mine", str(outside))
    entry = read_catalogue()["mine"]
    files = hashes(outside)
    del files["README.md"]
    assert (entry.source, entry.origin, entry.sha256, entry.licence) == ("folder", "model", files, "cc0-1.0")
    assert str(outside.parent) not in Path("models/bases.yaml").read_text()
    assert base_folder("mine") == Path("models/bases/mine")
    assert base_origin("mine")["licence"] == "cc0-1.0"
    assert hashes("models/bases/mine").items() >= hashes(outside).items()


def test_a_gguf_file_gets_a_name_and_trains(project: Project, tmp_path: Path) -> None:
    add_base("mine", str(write_gguf(tmp_path / "mine.gguf")))
    entry = read_catalogue()["mine"]
    assert (entry.source, entry.origin, entry.licence, entry.template) == ("gguf", "mine.gguf", "apache-2.0", "chatml")
    project.set("model", base="mine")
    project.set("train", epochs=1)
    project.run("base", "prepare", "tokenize", "train", "evaluate", "export")
    assert project.json("models/export/receipt.json")["base_origin"] == {
        **{"name": "mine", "licence": "apache-2.0", "source": "gguf", "from": "mine.gguf"},
        **{"sha256": entry.sha256, "conversion": 1},
    }
    card = Path("models/export/README.md").read_text()
    assert "Its base is `mine`, made from the file `mine.gguf`, licence apache-2.0." in card


def test_once_added_the_stage_has_nothing_to_do(project: Project, outside: Path, capsys: Any) -> None:
    add_base("mine", str(outside))
    shutil.rmtree(outside)
    project.set("model", base="mine")
    capsys.readouterr()
    project.run("base")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_missing_or_changed_it_is_one_line_with_the_remedy(project: Project, outside: Path, damage: str) -> None:
    add_base("mine", str(outside))
    if damage == "missing":
        shutil.rmtree("models/bases/mine")
    else:
        flip_bit(Path("models/bases/mine/model.safetensors"))
    with pytest.raises(LockstepError) as caught:
        ensure_base("mine")
    assert str(caught.value) == (
        "The base mine is not whole in models/bases/mine, and model, its source, is not here. "
        "Add it again: `make base NAME=mine FROM=...`, or run `dvc pull base`."
    )
    add_base("mine", str(outside))
    assert ensure_base("mine") is None


def test_a_source_in_the_project_mends_it_unless_it_is_another_now(project: Project) -> None:
    before = hashes("models/bases/tiny")
    flip_bit(Path("models/bases/tiny/model.safetensors"))
    assert str(ensure_base("tiny")).startswith("tiny: ")
    assert hashes("models/bases/tiny") == before
    flip_bit(Path("models/tiny/model.safetensors"))
    assert ensure_base("tiny") is None
    shutil.rmtree("models/bases/tiny")
    with pytest.raises(LockstepError, match=r"^models/tiny/model\.safetensors has another SHA-256.*NAME=tiny FROM"):
        ensure_base("tiny")
    assert not Path("models/bases/tiny").exists()


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        ("scratch", "models/tiny", "NAME = scratch can't be the name"),
        ("a/b", "models/tiny", "NAME = a/b can't be the name"),
        ("../x", "models/tiny", r"NAME = \.\./x can't be the name"),
        ("gpt2", "models/tiny", r"has a base gpt2 already, from gpt2.*FORCE=1"),
        ("mine", "./nowhere", r"\./nowhere: there is no such folder or file"),
        ("mine", "nowhere.gguf", r"nowhere\.gguf: there is no such folder or file"),
        ("mine", "data", r"data is no model folder: config\.json is missing"),
        ("mine", "data/raw/colours.csv", r"colours\.csv is no GGUF file"),
    ],
)
def test_what_can_not_be_added_is_one_line_and_changes_nothing(
    project: Project, name: str, source: str, problem: str
) -> None:
    before = hashes("models")
    with pytest.raises(LockstepError, match=problem) as caught:
        add_base(name, source)
    assert "\n" not in str(caught.value)
    assert hashes("models") == before


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", '{"model_type": "t5"}', "of the kind t5, which does not go on"),
        ("config.json", "{", "config.json is not valid JSON"),
        ("config.json", "{}", "names no model_type"),
        ("model.safetensors", None, r"holds no weights \(\*\.safetensors\)"),
        ("tokenizer.json", None, "has no tokenizer"),
        ("tokenizer.json", "{", "tokenizer of .* can't be loaded"),
    ],
)
def test_a_folder_that_is_no_model_is_refused(
    project: Project, outside: Path, name: str, content: str | None, problem: str
) -> None:
    (outside / name).unlink() if content is None else (outside / name).write_text(content)
    with pytest.raises(LockstepError, match=problem):
        add_base("mine", str(outside))
    assert "mine" not in yaml.safe_load(Path("models/bases.yaml").read_text())


def test_weights_that_are_a_pickle_are_refused(project: Project, outside: Path) -> None:
    (outside / "model.safetensors").rename(outside / "pytorch_model.bin")
    with pytest.raises(LockstepError, match=r"pytorch_model\.bin, a pickle, which may run code"):
        add_base("mine", str(outside))


def test_force_takes_the_place_of_another_base(project: Project, outside: Path) -> None:
    add_base("gpt2", str(outside), force=True)
    assert read_catalogue()["gpt2"].source == "folder"
