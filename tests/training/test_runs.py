"""A training run: its folder of checkpoints, its lock, and how long both are kept."""

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import ROOT, Project
from training_runs import interrupt_after, write_checkpoint, written

from lockstep.core.checksums import is_intact
from lockstep.core.errors import Stopped
from lockstep.core.settings import Model
from lockstep.core.stage_deps import stage_deps
from lockstep.modeling.device import Hardware
from lockstep.modeling.stopping import StopRequest
from lockstep.training.runs import training_run

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]


@pytest.fixture
def run_folder(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data, code and base that a training run depends on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {train: {deps: [stages/train.py, data/tokenized]}}")
    for name in ("stages/train.py", "data/tokenized/rows", "models/bases/mine/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    return tmp_path


def run_of(settings: Any = "x", stop: Any = None, **model: Any) -> AbstractContextManager[Path]:
    validated = Model.model_validate({**MODEL, "base": "mine", **model})
    return training_run([settings], validated, stop or StopRequest())


def name_of(settings: Any = "x", **model: Any) -> str:
    with run_of(settings, **model) as folder:
        return folder.name


def test_a_run_has_its_own_folder_for_its_settings_base_data_and_code(run_folder: Path) -> None:
    names = [name_of(), name_of("y"), name_of(dropout=0.3), name_of(Hardware("cpu", "bf16", 2))]
    for name in ("stages/train.py", "data/tokenized/rows", "models/bases/mine/config.json"):
        (run_folder / name).write_text("2")
        names.append(name_of())
    assert len(set(names)) == len(names)
    assert name_of() == names[-1]


def test_a_finished_run_leaves_nothing(run_folder: Path) -> None:
    with run_of() as folder:
        write_checkpoint(folder, 1)
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_fails_keeps_its_checkpoints(run_folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_of() as folder:
        kept = write_checkpoint(folder, 1)
        raise ZeroDivisionError
    assert is_intact(kept)


def test_the_same_run_waits_for_the_first_to_end(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with run_of() as folder:
            order.append(f"second, {len(list(folder.iterdir()))} checkpoints")

    with run_of() as folder:
        write_checkpoint(folder, 1)
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting for it to end" not in capsys.readouterr().out:
            thread.join(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second, 0 checkpoints"]
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_waits_can_be_stopped(run_folder: Path) -> None:
    stop = StopRequest()
    stop.reason = "stopped by SIGTERM"
    with run_of(), ThreadPoolExecutor() as other:
        error = other.submit(lambda: run_of(stop=stop).__enter__()).exception()
    assert isinstance(error, Stopped)
    assert str(error) == "stopped by SIGTERM while it waited for another process"


def test_checkpoints_that_no_run_resumed_are_removed_after_a_month(run_folder: Path) -> None:
    folders = []
    for days in (31, 29):
        with suppress(ZeroDivisionError), run_of(days) as folder:
            raise ZeroDivisionError
        os.utime(folder, (0, time.time() - days * 86400))
        folders.append(folder)
    with run_of(31) as folder:
        assert folder.exists()
    old, recent = folders
    with run_of(31):
        os.utime(old, (0, 0))
        with run_of():  # the old run is going on, so its checkpoints stay
            pass
        assert old.exists()
    assert recent.exists()


def test_a_run_interrupted_long_ago_is_removed_with_its_lock(run_folder: Path) -> None:
    with suppress(ZeroDivisionError), run_of(31) as old:
        raise ZeroDivisionError
    os.utime(old, (0, time.time() - 31 * 86400))
    with run_of():
        pass
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_ends_while_another_looks_for_old_ones_is_passed_over(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with suppress(ZeroDivisionError), run_of(1) as ending:
        raise ZeroDivisionError
    monkeypatch.setattr(time, "time", lambda: shutil.rmtree(ending, ignore_errors=True) or 0.0)
    with run_of(2) as folder:
        assert not ending.exists()
        assert folder.exists()


def test_an_experiment_that_dvc_runs_in_a_copy_keeps_its_checkpoints_in_the_project(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = name_of()
    copy = run_folder / ".dvc" / "tmp" / "exps" / "tmp1"
    for file in ("dvc.yaml", "stages/train.py", "data/tokenized/rows", "models/bases/mine/config.json"):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run_folder / file, copy / file)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(run_folder))
    with run_of() as folder:
        assert folder == run_folder / ".checkpoints" / name


def test_the_dvc_root_of_another_project_is_ignored(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(run_folder.parent))
    with run_of() as folder:
        assert folder.parent == Path(".checkpoints")


def test_a_run_depends_on_the_deps_that_dvc_yaml_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "data/tokenized" in stage_deps("train")
    assert not [dep for dep in stage_deps("prepare") if "$" in dep]


def test_a_changed_setting_starts_a_run_of_its_own(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set("train", weight_decay=0.5)
    after.run("train")
    uninterrupted = written()
    after.set("train", weight_decay=0.1)
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    after.set("train", weight_decay=0.5)
    after.run("train")
    assert written() == uninterrupted
