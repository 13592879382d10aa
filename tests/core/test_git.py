"""git is run in the current folder; its absence is one clear line, its failure an exit code or an empty text."""

import os
from pathlib import Path

import pytest
from repositories import commit, git

from lockstep.core.errors import LockstepError
from lockstep.core.git import git_output, run_git


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_output_has_no_blanks_around_it() -> None:
    git("init", "--quiet")
    Path("a").write_text("1")
    commit()
    head = git_output("rev-parse", "HEAD")
    assert len(head) == 40 and git("rev-parse", "HEAD") == f"{head}\n"


def test_outside_a_repository_the_output_is_empty_and_the_exit_code_tells() -> None:
    assert git_output("rev-parse", "HEAD") == ""
    done = run_git("rev-parse", "HEAD")
    assert (done.returncode, done.stdout) == (128, "")
    assert "not a git repository" in done.stderr


def test_a_file_name_that_is_no_utf_8_comes_back_as_its_bytes() -> None:
    git("init", "--quiet")
    Path(os.fsdecode(b"a\xff")).write_text("1")
    names = run_git("ls-files", "--others", "-z").stdout
    assert os.fsencode(names) == b"a\xff\0"


def test_git_gets_the_environment_it_is_given() -> None:
    git("init", "--quiet", "elsewhere")
    environment = {**os.environ, "GIT_DIR": "elsewhere/.git"}
    assert run_git("rev-parse", "--git-dir", environment=environment).stdout == "elsewhere/.git\n"


def test_without_git_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LockstepError, match="^git .* Install it"):
        git_output("status")
