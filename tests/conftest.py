"""Shared by all tests: no network, one thread, a two-layer base model, and projects that run real stages."""

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Read by the libraries when they are imported, so set before any test module is.
os.environ.update(
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HOME=tempfile.mkdtemp(prefix="lockstep-tests-"),
    MLFLOW_DISABLE_TELEMETRY="true",
)
for name in ("HF_TOKEN", "HF_ENDPOINT", "HUGGING_FACE_HUB_TOKEN"):
    os.environ.pop(name, None)

import preparing  # noqa: E402  (after the environment is set)
from projects import TRAINED, Project, save_base  # noqa: E402  (after the environment is set)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=80, database=None)
settings.load_profile("repeatable")  # the same examples each time: what fails here fails elsewhere

LOOPBACK = ["127.0.0.1", "::1"]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Block sockets; `@pytest.mark.enable_socket` lets a test connect to this machine, and to no other."""
    config.option.disable_socket = True
    config.option.allow_unix_socket = True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Browsers last, and those kept open for the whole session after all others: while one is open, nothing else in
    its process can run an event loop."""
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None) + ("browser" in item.path.parts))


@pytest.fixture(autouse=True)
def only_this_machine(request: pytest.FixtureRequest) -> None:
    """Tests that may use sockets reach loopback only."""
    from pytest_socket import socket_allow_hosts

    if request.node.get_closest_marker("enable_socket"):
        socket_allow_hosts(LOOPBACK, allow_unix_socket=True)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a GPT-2 of two layers and width 32, random weights, and a byte-level BPE learnt from its texts."""
    folder = save_base(tmp_path_factory.mktemp("models") / "base")
    import lockstep.training.trainer  # noqa: F401  # the last of the heavy imports

    gc.collect()
    gc.freeze()  # Trainer collects garbage at each start; half a million objects of the libraries need no second look
    return folder


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> "PreTrainedTokenizerFast":
    """The tokenizer of `base`; not to be changed."""
    from lockstep.pretrained.tokenizer import load_tokenizer

    return load_tokenizer(base, "base")


@pytest.fixture
def model(base: Path) -> "PreTrainedModel":
    """The model of `base`, a fresh one for each test."""
    from lockstep.modeling.model import load_model

    return load_model(base, "base")


@pytest.fixture
def project(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with small data and settings, as the current folder; nothing has run in it."""
    return Project(tmp_path, base, monkeypatch)


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project in which prepare has run; to be copied, not changed."""
    with pytest.MonkeyPatch.context() as patch:
        project = preparing.Project(tmp_path_factory.mktemp("good"), patch)
        project.put("good.csv", preparing.csv_of(preparing.faq(12)))
        project.run()
        Path("data/raw/good.csv").unlink()
        return project.folder


@pytest.fixture
def prepared(tmp_path: Path, good_run: Path, monkeypatch: pytest.MonkeyPatch) -> preparing.Project:
    """A copy of `good_run` as the current folder."""
    shutil.copytree(good_run, tmp_path, dirs_exist_ok=True)
    return preparing.Project(tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Iterator[Path]:
    """A project in which all stages up to export have run once; to be copied, not changed."""
    with pytest.MonkeyPatch.context() as patch:
        project = Project(tmp_path_factory.mktemp("finished"), base, patch)
        project.run(*TRAINED)
        yield project.folder


@pytest.fixture
def after(tmp_path: Path, base: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `finished` as the current folder."""
    return Project(tmp_path / "copy", base, monkeypatch, like=finished)


@pytest.fixture(scope="session")
def committed(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A git repository in which `dvc repro` has run and was committed; to be copied, not changed."""
    from repositories import commit, dvc, git, make_repository

    with pytest.MonkeyPatch.context() as patch:
        project = make_repository(tmp_path_factory.mktemp("committed") / "project", base, patch)
        git("config", "user.name", "tester")
        git("config", "user.email", "tester@example.org")
        project.set("train", epochs=40, checkpoint_minutes=0.001)
        dvc("repro", "--quiet")
        commit()
        return project.folder


@pytest.fixture
def repository(tmp_path: Path, base: Path, committed: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of `committed` as the current folder."""
    return Project(tmp_path / "project", base, monkeypatch, like=committed)
