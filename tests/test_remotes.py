"""A remote gives a fresh clone the model without training."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import Project, hashes
from repositories import commit, dvc, dvc_environment, git

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def held() -> dict[str, str]:
    """Hashes of what git and DVC give back; the report is laid out anew from it."""
    every = hashes("models") | hashes("data") | hashes("metrics")
    return {name: digest for name, digest in every.items() if name != "report.html"}


def pushed_and_cloned(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Push to a folder as the remote, clone elsewhere, pull; what the first project holds. The clone is entered."""
    dvc("remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit("remote")
    dvc("push", "--quiet", "--run-cache")
    before = held()
    git("clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    shutil.rmtree(project.folder)  # whatever the clone shows, it got from git and the remote
    monkeypatch.chdir(tmp_path / "clone")
    dvc("pull", "--quiet", "--run-cache")
    return before


def test_a_fresh_clone_pulls_the_model_and_answers_without_training(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pushed_and_cloned(repository, tmp_path, monkeypatch)
    assert held() == before
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


def test_a_fresh_clone_takes_an_earlier_run_from_the_remote_too(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.set("train", epochs=2)
    dvc("repro", "train")
    fewer = hashes("models/finetuned")
    repository.set("train", epochs=40)
    dvc("repro", "train")
    pushed_and_cloned(repository, tmp_path, monkeypatch)
    text = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(text.replace("epochs: 40", "epochs: 2"), encoding="utf-8")
    assert "Running stage" not in dvc("repro", "--pull", "train")
    assert hashes("models/finetuned") == fewer


def test_credentials_stay_out_of_git(repository: Project) -> None:
    dvc("remote", "add", "--default", "storage", "s3://bucket/lockstep")
    dvc("remote", "modify", "--local", "storage", "secret_access_key", "not-to-be-seen")
    commit("remote")
    assert "not-to-be-seen" in Path(".dvc/config.local").read_text()
    assert "not-to-be-seen" not in git("show", "HEAD", "--", ".dvc")
    assert git("ls-files", ".dvc").split() == [".dvc/.gitignore", ".dvc/config"]
