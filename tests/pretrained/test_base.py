"""The base as stages see it, in its folder, and models to talk to by their names."""

import hashlib
import shutil
from pathlib import Path

import pytest
from projects import Project, hashes
from training_runs import flip_bit

from lockstep.core.errors import LockstepError
from lockstep.pretrained.base import (
    base_folder,
    base_hashes,
    base_origin,
    is_pretrained,
    local_inputs,
    locate_model,
    resolve_model,
)
from lockstep.pretrained.model_folder import is_folder

TINY = Path("models/bases/tiny")
FOLDERS = ("models/tiny", "models/not-there", "./nowhere", "../nowhere", "/nowhere", "~/nowhere", "a/b/c", "here")
IDS = ("distilgpt2", "some/one", "not a name!")


@pytest.fixture(autouse=True)
def here(project: Project) -> None:
    """A project with the base `tiny`, as the current folder, and a folder `here` in it."""
    (project.folder / "here").mkdir()


def test_a_model_to_talk_to_is_a_folder_or_a_hub_id() -> None:
    assert {name: is_folder(name) for name in FOLDERS} == dict.fromkeys(FOLDERS, True)
    assert {name: is_folder(name) for name in IDS} == dict.fromkeys(IDS, False)


def test_only_scratch_has_no_weights_and_no_input() -> None:
    assert [is_pretrained(base) for base in ("scratch", "tiny", "some/one")] == [False, True, True]
    assert [local_inputs(base) for base in ("scratch", "some/one")] == [[], ["models/bases/some/one"]]


def test_a_tilde_in_the_name_of_a_folder_is_the_home_folder() -> None:
    assert locate_model("~/own", None) == Path.home() / "own"
    assert locate_model("~no-such-user", None) == Path("~no-such-user")


def test_each_file_of_a_base_that_is_read_is_hashed_under_its_path() -> None:
    found = base_hashes("tiny")
    assert found == {f"{TINY}/{name}": digest for name, digest in hashes(TINY).items() if name != "README.md"}
    weights = (TINY / "model.safetensors").read_bytes()
    assert found[f"{TINY}/model.safetensors"] == hashlib.sha256(weights).hexdigest()
    assert base_hashes("scratch") == {}


def test_a_base_says_where_it_is_from() -> None:
    origin = base_origin("tiny")
    assert (origin["name"], origin["source"], origin["from"], origin["licence"]) == (
        *("tiny", "folder", "models/tiny"),
        "unknown",
    )
    assert base_origin("scratch") == {"name": "scratch", "source": "scratch"}


def test_a_base_that_is_missing_damaged_or_a_path_is_one_line_with_the_remedy() -> None:
    with pytest.raises(LockstepError, match=r"^models/bases/gpt2 is missing\. Run `make base NAME=gpt2` first\.$"):
        base_folder("gpt2")
    with pytest.raises(LockstepError, match=r"^model\.base = \./mine is a path, .*NAME=mine FROM=\./mine"):
        base_folder("./mine")
    flip_bit(TINY / "model.safetensors")
    with pytest.raises(LockstepError, match=rf"^{TINY}/model\.safetensors is not what base wrote\. .*NAME=tiny"):
        base_folder("tiny")
    shutil.rmtree(TINY)
    with pytest.raises(LockstepError, match="is missing"):
        base_hashes("tiny")


@pytest.mark.parametrize("name", ["models/none", "./nowhere"])
def test_a_folder_that_is_no_model_is_named(name: str) -> None:
    with pytest.raises(LockstepError, match=rf"^{name} is no model folder"):
        resolve_model(name, None)


def test_a_folder_has_no_revisions(base: Path) -> None:
    with pytest.raises(LockstepError, match=r"no revision abc\. Leave it out"):
        resolve_model(str(base), "abc")


def test_a_hub_model_without_network_is_one_clear_line() -> None:
    with pytest.raises(LockstepError, match=r"^nobody/nothing is not in the cache.*`make preset NAME=tiny`") as caught:
        resolve_model("nobody/nothing", None)
    assert "\n" not in str(caught.value)


def test_a_name_that_cannot_be_a_hub_id_is_one_clear_line() -> None:
    with pytest.raises(LockstepError, match=r"^No folder .* has the name not a name!\. Check the spelling"):
        resolve_model("not a name!", None)
