"""Pushing to the Hub and loading from it, with the Hub's own client against a server on loopback."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import TOKEN, Hub, Repository, local_hub
from projects import ROOT, Project, hashes
from training_runs import flip_bit

from lockstep.bases.catalogue import read_catalogue
from lockstep.bases.ensure import ensure_base
from lockstep.bases.own import add_base
from lockstep.core.errors import LockstepError
from lockstep.pretrained.base import base_origin, resolve_model
from lockstep.pretrained.hub import check_push, push_folder

pytestmark = [pytest.mark.enable_socket]

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens
PUSH_AND_LOAD = """
import sys
sys.argv = ["export"]
from stages import chat, export
export.main()
import torch
from lockstep.chat.load_export import load_assistant
from lockstep.modeling.model import load_model
loaded, here = load_assistant("me/mine"), load_model("models/export", "here")
ids = torch.arange(40)[None]
with torch.no_grad():
    same = torch.equal(load_model(loaded.engine.model.name_or_path, "me/mine")(ids).logits, here(ids).logits)
answers = [chat.generate_response("Which paint?", name) for name in ("me/mine", "models/export")]
print("same logits:", same, "same answer:", answers[0] == answers[1] != "")
"""


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A Hub without repositories."""
    with local_hub() as hub:
        yield hub


@pytest.fixture
def reached(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The Hub, set as the one that this process uses, with a cache of the test's own."""
    use(hub.url, monkeypatch, tmp_path / "cache")
    return hub


def use(url: str, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Set in this process what the variables of `environment` set in a new one."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_TOKEN", TOKEN)


def environment(hub: Hub) -> dict[str, str]:
    """Environment variables that point the unmodified client to the server."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_TOKEN": TOKEN,
        "HF_HOME": str(Path("hub-home").absolute()),
        "PYTHONPATH": str(ROOT),
    }


def small_export(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("# mine\n")
    (folder / "model.safetensors").write_bytes(bytes(range(250)) * 20)
    return folder


def test_what_is_pushed_loads_back_and_answers_the_same(after: Project, hub: Hub) -> None:
    after.set("export", push_to_hub=True, hub_repo="me/mine", hub_private=True)
    after.set("tracking", enabled=False)
    done = subprocess.run(
        [sys.executable, "-c", PUSH_AND_LOAD],
        env={**os.environ, **environment(hub)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "same logits: True same answer: True"
    repository = hub.repositories["me/mine"]
    assert repository.private
    assert repository.files == {name: Path("models/export", name).read_bytes() for name in hashes("models/export")}
    assert repository.large == {"model.safetensors"}
    assert f"export    {hub.url}/me/mine: " in done.stdout
    assert no_file_holds_the_token()
    assert TOKEN not in done.stdout + done.stderr


def no_file_holds_the_token() -> bool:
    """Whether no file below the current folder contains the token."""
    return not [path for path in Path().rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("token", "repo", "problem"),
    [
        ("", "me/mine", r"HF_TOKEN.*Export a Hub token"),
        (TOKEN, "none", r"export\.hub_repo.*Set it to owner/name"),
        (TOKEN, "a/b/c", r"export\.hub_repo.*Set it to owner/name"),
    ],
)
def test_without_token_or_name_no_request_is_sent_and_nothing_written(
    after: Project, reached: Hub, monkeypatch: pytest.MonkeyPatch, token: str, repo: str, problem: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    before = hashes("models/export")
    after.set("export", push_to_hub=True, hub_repo=repo, dtype="fp16")
    with pytest.raises(LockstepError, match=problem):
        after.run("export")
    assert reached.requests == []
    assert hashes("models/export") == before


def test_nothing_goes_to_the_hub_unless_push_to_hub_is_true(after: Project, reached: Hub) -> None:
    after.set("export", hub_repo="me/mine")
    after.run("export")
    assert reached.requests == []


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_private_if_hub_private_is_true(tmp_path: Path, reached: Hub, private: bool) -> None:
    url = push_folder(small_export(tmp_path / "export"), "team/mine", private)
    assert url == f"{reached.url}/team/mine"
    assert reached.repositories["team/mine"].private is private
    assert sorted(reached.repositories["team/mine"].files) == ["README.md", "config.json", "model.safetensors"]


def test_a_name_without_owner_is_the_users_own(tmp_path: Path, reached: Hub) -> None:
    push_folder(small_export(tmp_path / "export"), "mine", True)
    assert list(reached.repositories) == ["me/mine"]


def test_nothing_is_uploaded_to_a_public_repository_if_hub_private_is_true(tmp_path: Path, reached: Hub) -> None:
    reached.repositories["me/mine"] = Repository(private=False)
    with pytest.raises(LockstepError, match=r"me/mine is public.*export\.hub_private"):
        push_folder(small_export(tmp_path / "export"), "me/mine", True)
    assert reached.repositories["me/mine"].files == {}


def test_a_second_push_replaces_weights_and_keeps_other_files(tmp_path: Path, reached: Hub) -> None:
    earlier = {"model-00001-of-00002.safetensors": b"1", "chat_template.jinja": b"2", "LICENSE": b"mine"}
    reached.repositories["me/mine"] = Repository(True, earlier)
    push_folder(small_export(tmp_path / "export"), "me/mine", True)
    assert sorted(reached.repositories["me/mine"].files) == ["LICENSE", "README.md", "config.json", "model.safetensors"]


def test_files_that_stay_at_home_are_not_uploaded_and_go_where_they_were(tmp_path: Path, reached: Hub) -> None:
    reached.repositories["me/mine"] = Repository(True, {"lookup.jsonl": b"{}"})
    folder = small_export(tmp_path / "export")
    (folder / "lookup.jsonl").write_text('{"question": "Why?", "answer": "So."}')
    push_folder(folder, "me/mine", True, left_out=["lookup.jsonl"])
    assert sorted(reached.repositories["me/mine"].files) == ["README.md", "config.json", "model.safetensors"]
    push_folder(folder, "me/mine", True)
    assert "lookup.jsonl" in reached.repositories["me/mine"].files


@pytest.mark.parametrize(
    ("part", "status"), [("repos/create", 403), ("/commit/", 403), ("/objects/", 403), ("preupload", 404)]
)
def test_a_refusal_is_one_clear_line_without_the_token(tmp_path: Path, reached: Hub, part: str, status: int) -> None:
    reached.refuse[part] = status
    with pytest.raises(LockstepError, match="^The Hub did not take me/mine: .+ is complete") as caught:
        push_folder(small_export(tmp_path / "export"), "me/mine", True)
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_wrong_token_is_one_clear_line(tmp_path: Path, reached: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_one")
    with pytest.raises(LockstepError, match="^The Hub did not take me/mine: ") as caught:
        push_folder(small_export(tmp_path / "export"), "me/mine", True)
    assert "hf_wrong_one" not in str(caught.value)
    assert reached.repositories == {}


def test_a_hub_that_cannot_be_reached_is_one_clear_line_and_the_export_stays(
    after: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(NOBODY, monkeypatch, tmp_path / "cache")
    before = hashes("models/export")
    after.set("export", push_to_hub=True, hub_repo="me/mine")
    with pytest.raises(LockstepError, match="^The Hub did not take me/mine: .+ models/export.*is complete"):
        after.run("export")
    assert capfd.readouterr() == ("", "")
    assert hashes("models/export").keys() == before.keys()
    assert no_file_holds_the_token()


def test_a_base_comes_from_the_hub_once_and_then_from_the_cache(base: Path, reached: Hub) -> None:
    files = {path.name: path.read_bytes() for path in base.iterdir()}
    reached.repositories["me/tiny"] = Repository(False, {**files, "pytorch_model.bin": b"pickle", "big.onnx": b"x"})
    folder = resolve_model("me/tiny", None)
    assert hashes(folder) == hashes(base)
    assert resolve_model("me/tiny", reached.repositories["me/tiny"].commit) == folder
    reached.refuse["/"] = 503
    assert resolve_model("me/tiny", reached.repositories["me/tiny"].commit) == folder


def test_a_base_of_the_hub_trains(project: Project, base: Path, reached: Hub) -> None:
    reached.repositories["me/tiny"] = Repository(False, {path.name: path.read_bytes() for path in base.iterdir()})
    project.set("model", base="me/tiny", revision=reached.repositories["me/tiny"].commit)
    project.run("prepare", "base", "tokenize", "train")
    assert json.loads(Path("models/finetuned/config.json").read_text())["n_layer"] == 2


def test_weights_damaged_in_the_cache_are_refused_until_they_are_fetched_anew(
    project: Project, base: Path, reached: Hub
) -> None:
    reached.repositories["me/tiny"] = Repository(False, {path.name: path.read_bytes() for path in base.iterdir()})
    project.set("model", base="me/tiny", revision=reached.repositories["me/tiny"].commit)
    stored = (resolve_model("me/tiny", None) / "model.safetensors").resolve()
    flip_bit(stored)
    with pytest.raises(LockstepError, match=f"model.safetensors of me/tiny.*Delete {re.escape(str(stored))}"):
        project.run("base")
    assert not Path("models/bases/me").exists()
    stored.unlink()
    project.run("base")
    assert hashes("models/bases/me/tiny").items() >= hashes(base).items()


def test_the_newest_revision_is_recorded_and_stays_until_another_is_asked_for(
    project: Project, base: Path, reached: Hub
) -> None:
    reached.repositories["me/tiny"] = Repository(False, {path.name: path.read_bytes() for path in base.iterdir()})
    first = reached.repositories["me/tiny"].commit
    project.set("model", base="me/tiny")
    project.run("base")
    assert base_origin("me/tiny")["revision"] == first
    reached.repositories["me/tiny"].files["extra.json"] = b"{}"
    project.run("base")
    assert base_origin("me/tiny")["revision"] == first
    project.set("model", revision=reached.repositories["me/tiny"].commit)
    project.run("base")
    assert base_origin("me/tiny")["revision"] == reached.repositories["me/tiny"].commit


def test_a_base_of_the_hub_gets_a_name_of_its_own(project: Project, base: Path, reached: Hub) -> None:
    reached.repositories["me/tiny"] = Repository(False, {path.name: path.read_bytes() for path in base.iterdir()})
    add_base("mine", "me/tiny")
    entry = read_catalogue()["mine"]
    assert (entry.source, entry.origin, entry.revision) == ("hub", "me/tiny", reached.repositories["me/tiny"].commit)
    assert entry.sha256 == hashes(base)
    reached.refuse["/"] = 503
    assert ensure_base("mine") is None


def test_a_misspelt_base_that_the_hub_does_not_have_names_the_one_that_was_meant(
    project: Project, reached: Hub
) -> None:
    with pytest.raises(LockstepError, match=r"the name tinny\. Did you mean the base tiny\?"):
        ensure_base("tinny")


def test_a_base_from_a_hub_that_cannot_be_reached_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(NOBODY, monkeypatch, tmp_path)
    with pytest.raises(LockstepError, match="^me/tiny is not in the cache.*Go online"):
        resolve_model("me/tiny", None)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "revision", "problem"),
    [
        ("me/nothing", None, r"has the name me/nothing\."),
        ("me/tiny", "1" * 40, "me/tiny at revision 1{40}"),
        ("me/tiny", "v9", r"me/tiny at revision v9.*model\.revision"),
    ],
)
def test_a_base_the_hub_does_not_have_is_one_clear_line(
    reached: Hub, name: str, revision: str | None, problem: str
) -> None:
    reached.repositories["me/tiny"] = Repository(False, {"config.json": b"{}"})
    with pytest.raises(LockstepError, match=problem) as caught:
        resolve_model(name, revision)
    assert "\n" not in str(caught.value)


def test_a_private_base_needs_the_token(reached: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    reached.repositories["me/tiny"] = Repository(True, {"config.json": b"{}"})
    monkeypatch.setenv("HF_TOKEN", "hf_wrong_one")
    with pytest.raises(LockstepError, match="has the name me/tiny.*HF_TOKEN"):
        resolve_model("me/tiny", None)


def test_a_full_disk_is_not_taken_for_a_missing_network(reached: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    with pytest.raises(LockstepError, match="no room for me/tiny.*set HF_HOME"):
        resolve_model("me/tiny", None)


def test_a_push_needs_a_name_and_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    check_push("me/mine")
    with pytest.raises(LockstepError, match=r"export\.hub_repo"):
        check_push("")
