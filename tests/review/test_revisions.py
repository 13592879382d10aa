"""Files of other revisions, and the commit where a branch left main, or one line that says why there is none."""

from pathlib import Path

import pytest
from projects import Project
from repositories import commit, git

from lockstep.core.errors import LockstepError
from lockstep.review.revisions import merge_base, read_at, resolve


def clone_of(folder: Path, *options: str) -> Path:
    """A shallow clone of the current repository."""
    source = f"file://{Path.cwd()}"
    git("-c", "protocol.file.allow=always", "clone", "--quiet", "--depth", "1", *options, source, str(folder))
    return folder


def test_the_commit_where_a_branch_left_main_is_found(branch: Project) -> None:
    assert merge_base() == merge_base("main") == resolve("main") != resolve("HEAD")


def test_a_shallow_clone_is_an_error_and_no_empty_comparison(branch: Project, tmp_path: Path) -> None:
    branch.monkeypatch.chdir(clone_of(tmp_path / "clone", "--no-single-branch"))
    with pytest.raises(LockstepError, match=r"shallow clone.*`git fetch --unshallow.*fetch-depth: 0"):
        merge_base()
    done = branch.command("compare")
    assert (done.returncode, done.stdout) == (2, "")
    assert "shallow clone" in done.stderr


def test_a_shallow_clone_of_one_branch_is_an_error_too(branch: Project, tmp_path: Path) -> None:
    branch.monkeypatch.chdir(clone_of(tmp_path / "clone"))
    with pytest.raises(LockstepError, match="shallow clone without"):
        merge_base("origin/main")
    with pytest.raises(LockstepError, match=r"no revision 0123456.*fetch-depth"):
        resolve("0123456")


def test_a_branch_that_does_not_exist_is_named(branch: Project) -> None:
    with pytest.raises(LockstepError, match=r"no branch trunk .*AGAINST="):
        merge_base("trunk")


def test_outside_git_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LockstepError, match=r"no git repository.*`git init`"):
        merge_base()


def test_a_project_in_a_folder_of_a_repository_finds_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    Path("params.yaml").write_text("seed: 1\n")
    git("init", "--quiet", "..")
    commit("first")
    Path("params.yaml").write_text("seed: 2\n")
    assert read_at("HEAD", Path("params.yaml")) == "seed: 1\n"
    assert read_at(None, Path("params.yaml")) == "seed: 2\n"
    assert read_at("HEAD", Path("other.yaml")) is None
