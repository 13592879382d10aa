"""A fresh clone gets the model from a remote without training."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import Project, hashes
from repositories import commit, dvc, dvc_environment, git

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def tracked_files() -> dict[str, str]:
    """Hashes of the files that git or DVC tracks."""
    return hashes("models") | hashes("data") | hashes("metrics")


def add_remote(tmp_path: Path) -> None:
    dvc("remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit("remote")


def push_and_clone(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Push, clone elsewhere, pull and enter the clone; returns the hashes of the first project's files."""
    dvc("push", "--quiet", "--all-commits")
    before = tracked_files()
    git("clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    shutil.rmtree(project.folder)  # whatever the clone shows, it got from git and the remote
    monkeypatch.chdir(tmp_path / "clone")
    dvc("pull", "--quiet")
    return before


def test_a_fresh_clone_pulls_the_model_and_answers_without_training(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(tmp_path)
    before = push_and_clone(repository, tmp_path, monkeypatch)
    assert tracked_files() == before
    assert dvc("status").strip() == "Data and pipelines are up to date."
    assert "Running stage" not in dvc("repro")
    chat = subprocess.run(
        [sys.executable, "-m", "stages.chat"],
        input="Which paint does the kettle get?\n",
        env=dvc_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (chat.returncode, chat.stderr) == (0, "")
    assert "paint" in chat.stdout


def test_a_fresh_clone_takes_the_model_of_an_earlier_commit_too(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_remote(tmp_path)
    earlier = tracked_files()
    repository.set("train", epochs=2)
    dvc("repro")
    commit("fewer epochs")
    later = push_and_clone(repository, tmp_path, monkeypatch)
    assert tracked_files() == later != earlier
    git("checkout", "--quiet", "HEAD~1", "--", "params.yaml", "dvc.lock", "metrics")
    dvc("pull", "--quiet")
    assert tracked_files() == earlier
    assert "Running stage" not in dvc("repro")


def test_credentials_stay_out_of_git(repository: Project) -> None:
    dvc("remote", "add", "--default", "storage", "s3://bucket/lockstep")
    dvc("remote", "modify", "--local", "storage", "secret_access_key", "not-to-be-seen")
    commit("remote")
    assert "not-to-be-seen" in Path(".dvc/config.local").read_text()
    assert "not-to-be-seen" not in git("show", "HEAD", "--", ".dvc")
    assert git("ls-files", ".dvc").split() == [".dvc/.gitignore", ".dvc/config"]
