"""The clone that is verified: the commit, the data that git does not hold, and what is refused with its name."""

import re
import shutil
from pathlib import Path

import pytest
import yaml
from projects import ROOT
from repositories import commit, git, put

from lockstep.core.errors import LockstepError
from lockstep.review.revisions import resolve
from lockstep.verify.clean_clone import (
    clone_commit,
    committed_lock,
    copy_inputs,
    require_committed,
    switch_off_reports,
)
from lockstep.verify.dvc_lock import LockedStage, inputs_of

LOCK = """
stages:
  prepare:
    deps:
    - {path: data/raw, md5: 1.dir}
    - {path: stages/prepare.py, md5: '2'}
    outs:
    - {path: metrics/prepare.json, md5: '3'}
"""
FILES = {
    "dvc.yaml": "stages: {prepare: {cmd: x}}\n",
    "dvc.lock": LOCK,
    "params.yaml": (ROOT / "params.yaml").read_text(encoding="utf-8"),
    "data/raw/a.csv": "a",
    "stages/prepare.py": "",
    "metrics/prepare.json": "{}",
    "README.md": "",
    ".gitignore": "secret*\n",
}


@pytest.fixture(params=["", "sub/folder/"], ids=["top", "in a larger repository"])
def repository(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit; the current folder is the project in it."""
    project = tmp_path / "repository" / request.param
    project.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repository")
    git("init", "--quiet")
    monkeypatch.chdir(project)
    for name, content in FILES.items():
        put(name, content)
    commit()
    return project


def cloned(tmp_path: Path) -> Path:
    return clone_commit(resolve("HEAD"), tmp_path / "clone")


def test_the_clone_is_the_commit_and_not_what_lies_here(repository: Path, tmp_path: Path) -> None:
    put("README.md")
    put("new.txt")
    project = cloned(tmp_path)
    assert (project / "README.md").read_text() == ""
    assert not (project / "new.txt").exists()
    assert Path("README.md").read_text() == "changed"


def test_the_clone_has_a_cache_of_its_own_whatever_the_project_says(repository: Path, tmp_path: Path) -> None:
    put(".dvc/config", "[cache]\n    dir = /somewhere/shared\n")
    commit()
    project = cloned(tmp_path)
    assert f'dir = "{project}/.dvc/cache"' in (project / ".dvc" / "config.local").read_text()


def test_a_hooks_variables_do_not_lead_back_to_the_repository(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = resolve("HEAD")
    monkeypatch.setenv("GIT_DIR", git("rev-parse", "--absolute-git-dir").strip())
    monkeypatch.setenv("GIT_INDEX_FILE", "nowhere")
    project = clone_commit(head, tmp_path / "clone")
    assert (project / "dvc.yaml").exists()


def test_what_the_pipeline_does_not_read_need_not_be_committed(repository: Path) -> None:
    put("README.md")
    put("notes.txt")
    put("data/raw/more.csv")  # data is brought along
    require_committed(committed_lock(resolve("HEAD")))


@pytest.mark.parametrize("name", ["params.yaml", "dvc.yaml", "dvc.lock", "data/raw/a.csv", "stages/prepare.py", "metrics/prepare.json"])  # fmt: skip
def test_a_changed_file_of_the_pipeline_is_named(repository: Path, name: str) -> None:
    lock = committed_lock(resolve("HEAD"))
    put(name)
    with pytest.raises(LockstepError, match=rf"^Not committed: {re.escape(name)}\. .*`git stash`"):
        require_committed(lock)


def test_a_staged_and_a_deleted_file_are_not_committed_either(repository: Path) -> None:
    lock = committed_lock(resolve("HEAD"))
    put("params.yaml")
    git("add", "params.yaml")
    Path("data/raw/a.csv").unlink()
    with pytest.raises(LockstepError, match=r"Not committed: data/raw/a\.csv, params\.yaml\."):
        require_committed(lock)


def test_code_that_git_does_not_know_is_not_committed(repository: Path) -> None:
    git("rm", "--quiet", "--cached", "stages/prepare.py")
    git("commit", "--quiet", "--message", "gone")
    with pytest.raises(LockstepError, match=r"Not committed: stages/prepare\.py\."):
        require_committed(committed_lock(resolve("HEAD")))


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("dvc.lock", "Run `make repro`, then commit"), ("dvc.yaml", "root folder")],
)
def test_a_commit_without_a_lock_or_a_pipeline_can_not_be_verified(repository: Path, name: str, remedy: str) -> None:
    git("rm", "--quiet", name)
    git("commit", "--quiet", "--message", "gone")
    with pytest.raises(LockstepError, match=rf"^{re.escape(name)} .*{remedy}"):
        committed_lock(resolve("HEAD"))


def test_a_stage_that_has_not_run_is_named(repository: Path) -> None:
    put("dvc.yaml", "stages: {prepare: {cmd: x}, train: {cmd: y}}\n")
    commit()
    with pytest.raises(LockstepError, match=r"^dvc\.lock has no train: .* Run `make repro`"):
        committed_lock(resolve("HEAD"))


def copied(project: Path, tmp_path: Path) -> list[str]:
    return copy_inputs(inputs_of(committed_lock(resolve("HEAD"))), project, tmp_path)


def test_data_that_git_does_not_hold_is_copied_and_named(repository: Path, tmp_path: Path) -> None:
    put("data/raw/untracked.csv", "u")
    put("data/raw/sub/secret.csv", "s")
    Path("data/raw/link.csv").symlink_to(Path("README.md").absolute())
    project = cloned(tmp_path)
    assert copied(project, tmp_path) == ["data/raw (3 of its files)"]
    assert (project / "data/raw/sub/secret.csv").read_text() == "s"
    assert (project / "data/raw/a.csv").read_text() == "a"
    assert not (project / "data/raw/link.csv").is_symlink()


def test_all_in_git_means_nothing_is_copied(repository: Path, tmp_path: Path) -> None:
    assert copied(cloned(tmp_path), tmp_path) == []


def test_data_that_is_nowhere_is_named(repository: Path, tmp_path: Path) -> None:
    shutil.rmtree("data")
    git("commit", "--quiet", "--all", "--message", "gone")
    with pytest.raises(LockstepError, match=r"^data/raw .*`dvc pull`"):
        copied(cloned(tmp_path), tmp_path)


def test_data_above_the_repository_is_refused_and_nothing_is_written_there(repository: Path, tmp_path: Path) -> None:
    project = cloned(tmp_path)
    up = "../" * len(project.relative_to(tmp_path).parts) + "../data.csv"
    with pytest.raises(LockstepError, match=r"/data\.csv lies outside .* data/raw"):
        copy_inputs([up], project, tmp_path)


def test_an_absolute_path_leads_to_the_same_file_from_anywhere(repository: Path, tmp_path: Path) -> None:
    lock = {"prepare": LockedStage({str(tmp_path / "x.csv"): "1"}, {})}
    assert copy_inputs(inputs_of(lock), cloned(tmp_path), tmp_path) == []


def test_the_rerun_neither_tracks_nor_pushes_and_keeps_every_other_setting(repository: Path, tmp_path: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    put("params.yaml", text.replace("push_to_hub: false", "push_to_hub: true"))
    switch_off_reports(Path.cwd())
    before, after = yaml.safe_load(text), yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    assert (after["tracking"].pop("enabled"), before["tracking"].pop("enabled")) == (False, True)
    assert after == before
