"""Paths: the project behind a copy of DVC's, and a path as it may be published."""

import os
from pathlib import Path

import pytest

from lockstep.core.paths import project_root, shown_path


def test_in_a_copy_that_dvc_made_the_root_is_the_original_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "project" / ".dvc" / "tmp" / "exps" / "tmp1"
    copy.mkdir(parents=True)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    monkeypatch.chdir(copy)
    assert project_root() == tmp_path / "project"
    monkeypatch.chdir(tmp_path / "project")
    assert project_root() == Path()
    monkeypatch.chdir(tmp_path)
    assert project_root() == Path()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("data/raw/a.csv", "data/raw/a.csv"),
        ("./data//raw", "data/raw"),
        ("../secret/a.csv", "a.csv"),
        ("/home/user/secret/a.csv", "a.csv"),
        ("~/secret/a.csv", "a.csv"),
        ("~user/a.csv", "a.csv"),
        ("~$a.csv", "~$a.csv"),
        (os.fsdecode(b"a\xff.csv"), "a�.csv"),
    ],
)
def test_of_a_path_outside_the_project_only_the_name_is_shown(path: str, shown: str) -> None:
    assert shown_path(path) == shown


def test_an_absolute_path_inside_the_project_is_shown_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "data" / "a.csv") == "data/a.csv"
