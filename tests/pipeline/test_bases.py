"""Bases as DVC keeps them: fetched once, changed and changed back, and given to clones and experiments."""

import shutil
from pathlib import Path

import pytest
from projects import Project, hashes, save_base
from repositories import commit, dvc, git, make_repository

from lockstep.bases.own import add_base

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TINY, OTHER = Path("models/bases/tiny"), Path("models/bases/other")


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A repository with two bases, of which `other` has no source any more, as far as the stage tokenize."""
    outside = save_base(tmp_path_factory.mktemp("outside") / "model", 380)
    with pytest.MonkeyPatch.context() as patch:
        project = make_repository(tmp_path_factory.mktemp("bases") / "project", base, patch)
        git("config", "user.name", "tester")
        git("config", "user.email", "tester@example.org")
        add_base("other", str(outside))
        shutil.rmtree(outside)
        project.set("model", base="other")
        dvc("repro", "tokenize")
        commit("other")
        return project.folder


@pytest.fixture
def repository(ready: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of it as the current folder."""
    return Project(tmp_path / "project", base, monkeypatch, like=ready)


def test_nothing_changed_is_nothing_to_do(repository: Project) -> None:
    assert dvc("repro", "tokenize").strip().endswith("up to date.")
    assert git("status", "--short") == ""


def test_another_base_and_back_again_fetches_nothing_and_tokenizes_nothing_twice(repository: Project) -> None:
    first, tokens = hashes(OTHER), hashes("data/tokenized")
    repository.set("model", base="tiny")
    output = dvc("repro", "tokenize")
    assert "Running stage 'base'" in output and "Running stage 'tokenize'" in output
    assert hashes("data/tokenized") != tokens
    assert TINY.is_dir() and hashes(OTHER) == first
    repository.set("model", base="other")
    output = dvc("repro", "tokenize")
    assert "base      " not in output
    assert "Stage 'tokenize' is cached - skipping run" in output
    assert (hashes(OTHER), hashes("data/tokenized")) == (first, tokens)
    assert git("status", "--short") == ""


def test_a_base_that_is_missing_comes_from_dvcs_cache(repository: Project) -> None:
    first = hashes(OTHER)
    shutil.rmtree(OTHER)
    assert "base      other: taken from DVC's cache\n" in dvc("repro", "tokenize")
    assert hashes(OTHER) == first


def test_changed_code_runs_the_stage_again_and_leaves_the_base_alone(repository: Project) -> None:
    first = hashes(OTHER)
    repository.put("lockstep/bases/__init__.py", '"""Changed."""\n')
    output = dvc("repro", "tokenize")
    assert "Running stage 'base'" in output and "base      " not in output
    assert "Running stage 'tokenize'" not in output
    assert hashes(OTHER) == first


def test_a_base_added_to_the_catalogue_reruns_nothing_else(repository: Project) -> None:
    add_base("third", "models/tiny")
    output = dvc("repro", "tokenize")
    assert "Running stage 'base'" in output and "Running stage 'tokenize'" not in output


def remote_clone(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clone the repository after a push to a remote, and enter the clone."""
    dvc("remote", "add", "--default", "storage", str(tmp_path / "storage"))
    commit("remote")
    dvc("push", "--quiet")
    git("clone", "--quiet", str(project.folder), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")


@pytest.mark.parametrize("before", ["nothing", "pull"])
def test_a_clone_gets_the_base_from_the_remote(
    repository: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    first = hashes(OTHER)
    remote_clone(repository, tmp_path, monkeypatch)
    if before == "pull":
        dvc("pull", "--quiet", "base", "prepare", "tokenize")
    output = dvc("repro", "tokenize")
    assert ("base      other: taken from DVC's cache\n" in output) == (before == "nothing")
    assert hashes(OTHER) == first


def test_an_experiment_in_a_folder_of_its_own_gets_the_base_from_the_cache(repository: Project) -> None:
    output = dvc("exp", "run", "--temp", "--set-param", "tokenize.max_length=60", "tokenize")
    assert "Stage 'base' didn't change, skipping" in output
    assert "Running stage 'tokenize'" in output


@pytest.mark.parametrize("name", ["scratch", "tiny"])
def test_a_repro_alone_is_enough(repository: Project, name: str) -> None:
    repository.set("model", base=name)
    for folder in ("models/bases", "data/tokenized"):
        shutil.rmtree(folder)
    dvc("repro", "tokenize")
    assert (Path("models/bases") / name / "manifest.json").exists()
    assert dvc("repro", "tokenize").strip().endswith("up to date.")
