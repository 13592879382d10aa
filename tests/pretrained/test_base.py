"""The kinds of base that model.base can name, and what follows from the kind."""

import hashlib
from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.pretrained.base import (
    base_hashes,
    base_kind,
    is_pretrained,
    local_inputs,
    locate_model,
    resolve_base,
)
from lockstep.pretrained.model_folder import is_folder

FOLDERS = ("models/base", "models/not-there", "./nowhere", "../nowhere", "/nowhere", "~/nowhere", "a/b/c", "here")
IDS = ("distilgpt2", "some/one", "not a name!")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current folder with the folders models/base and here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models/base").mkdir(parents=True)
    (tmp_path / "here").mkdir()


def test_a_base_is_scratch_a_folder_or_a_hub_id() -> None:
    assert base_kind("scratch") == "scratch"
    assert {name: base_kind(name) for name in FOLDERS} == dict.fromkeys(FOLDERS, "folder")
    assert {name: base_kind(name) for name in IDS} == dict.fromkeys(IDS, "hub")


def test_a_folder_called_scratch_is_no_base_but_can_be_chatted_with() -> None:
    Path("scratch").mkdir()
    assert base_kind("scratch") == "scratch"
    assert local_inputs("scratch") == []
    assert is_folder("scratch")


def test_only_scratch_has_no_weights_and_only_a_folder_is_an_input_on_this_machine() -> None:
    assert [is_pretrained(base) for base in ("scratch", "./own", "distilgpt2")] == [False, True, True]
    assert [local_inputs(base) for base in ("scratch", "./own", "distilgpt2")] == [[], ["./own"], []]


def test_a_tilde_in_the_name_of_a_folder_is_the_home_folder() -> None:
    assert locate_model("~/own", None) == Path.home() / "own"
    assert locate_model("~no-such-user", None) == Path("~no-such-user")


def test_each_file_of_a_base_is_hashed_under_a_name_that_may_be_published(base: Path) -> None:
    hashes = base_hashes(str(base), None)
    assert list(hashes) == [f"{base.name}/{path.name}" for path in sorted(base.iterdir())]
    weights = (base / "model.safetensors").read_bytes()
    assert hashes[f"{base.name}/model.safetensors"] == hashlib.sha256(weights).hexdigest()
    assert base_hashes("scratch", None) == {}


@pytest.mark.parametrize("name", ["models/base", "./nowhere"])
def test_a_folder_that_is_no_model_is_named(name: str) -> None:
    with pytest.raises(LockstepError, match=rf"model\.base = {name} is no model folder"):
        resolve_base(name, None)


def test_a_folder_has_no_revisions(base: Path) -> None:
    with pytest.raises(LockstepError, match=r"no revision abc\. Set model\.revision to none"):
        resolve_base(str(base), "abc")


def test_a_hub_base_without_network_is_one_clear_line() -> None:
    with pytest.raises(
        LockstepError, match=r"^nobody/nothing is not in the cache.*set model\.base to models/base"
    ) as caught:
        resolve_base("nobody/nothing", None)
    assert "\n" not in str(caught.value)


def test_a_name_that_cannot_be_a_hub_id_is_one_clear_line() -> None:
    with pytest.raises(LockstepError, match=r"^model\.base = not a name!: .*Check the spelling"):
        resolve_base("not a name!", None)
