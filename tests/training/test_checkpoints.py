"""Checkpoints: whole or ignored, kept for one run only, and asked to stop in time."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from projects import ROOT

from lockstep.core.checksums import is_intact
from lockstep.core.entry_point import LAUNCHED_BY
from lockstep.core.errors import Stopped
from lockstep.core.settings import Model
from lockstep.core.stage_deps import stage_deps
from lockstep.modeling import stopping
from lockstep.modeling.device import Hardware
from lockstep.modeling.stopping import StopRequest
from lockstep.training.checkpoints import (
    fingerprint,
    hash_paths,
    keep_latest,
    latest_intact,
    finish_checkpoint,
)
from lockstep.training.runs import training_run

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]


def checkpoint(folder: Path, step: int, complete: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "rng").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes(range(200)))
    (made / "rng" / "state").write_text("4")
    if complete:
        finish_checkpoint(made)
    return made


def test_the_latest_intact_checkpoint_is_found_by_number_and_broken_ones_go(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "rng" / "state").write_text("5")
    checkpoint(tmp_path, 101, complete=False)
    assert latest_intact(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_no_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    assert latest_intact(tmp_path) is None


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    for step in (2, 10, 30):
        checkpoint(tmp_path, step)
    keep_latest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-30"]


def test_a_fingerprint_depends_on_every_setting_name_and_byte(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("1")
    seen = [fingerprint({"x": 1}, [tmp_path / "data"]), fingerprint({"x": 2}, [tmp_path / "data"])]
    (tmp_path / "data" / "a").write_text("2")
    seen.append(fingerprint({"x": 1}, [tmp_path / "data"]))
    (tmp_path / "data" / "a").rename(tmp_path / "data" / "b")
    seen.append(fingerprint({"x": 1}, [tmp_path / "data"]))
    (tmp_path / "data" / "c").write_text("")
    seen += [fingerprint({"x": 1}, [tmp_path / "data"]), fingerprint({"x": 1}, [tmp_path / "missing"])]
    assert len(set(seen)) == len(seen)


def test_a_fingerprint_does_not_depend_on_where_things_lie_or_when(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "data").mkdir(parents=True)
        (tmp_path / place / "data" / "a").write_text("1")
    os.utime(tmp_path / "two" / "data" / "a", (1, 1))
    assert hash_paths([tmp_path / "one" / "data"]) == hash_paths([tmp_path / "two" / "data"])
    assert fingerprint({"a": 1, "b": 2}, []) == fingerprint({"b": 2, "a": 1}, [])


@pytest.fixture
def run_folder(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the data, code and base that a training run depends on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {train: {deps: [stages/train.py, data/tokenized]}}")
    for name in ("stages/train.py", "data/tokenized/rows", "base/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    return tmp_path


def run_of(settings: Any = "x", stop: Any = None, **model: Any) -> AbstractContextManager[Path]:
    chosen = Model.model_validate({**MODEL, "base": "./base", **model})
    return training_run([settings], chosen, stop or StopRequest())


def name_of(settings: Any = "x", **model: Any) -> str:
    with run_of(settings, **model) as folder:
        return folder.name


def test_a_run_has_its_own_folder_for_its_settings_base_data_and_code(run_folder: Path) -> None:
    names = [name_of(), name_of("y"), name_of(dropout=0.3), name_of(Hardware("cpu", "bf16", 2))]
    for name in ("stages/train.py", "data/tokenized/rows", "base/config.json"):
        (run_folder / name).write_text("2")
        names.append(name_of())
    assert len(set(names)) == len(names)
    assert name_of() == names[-1]


def test_a_run_that_ends_well_leaves_nothing(run_folder: Path) -> None:
    with run_of() as folder:
        checkpoint(folder, 1)
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_fails_keeps_its_checkpoints(run_folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), run_of() as folder:
        kept = checkpoint(folder, 1)
        raise ZeroDivisionError
    assert is_intact(kept)


def test_the_same_run_waits_for_the_first_to_end(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def second() -> None:
        with run_of() as folder:
            order.append(f"second, {len(list(folder.iterdir()))} checkpoints")

    with run_of() as folder:
        checkpoint(folder, 1)
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


def test_checkpoints_that_nobody_went_on_with_go_after_a_month(run_folder: Path) -> None:
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
        with run_of():  # while its run goes on nobody's checkpoints are forgotten
            pass
        assert old.exists()
    assert recent.exists()


def test_a_forgotten_run_is_removed_with_its_lock(run_folder: Path) -> None:
    with suppress(ZeroDivisionError), run_of(31) as old:
        raise ZeroDivisionError
    os.utime(old, (0, time.time() - 31 * 86400))
    with run_of():
        pass
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_ends_while_another_looks_for_forgotten_ones_is_passed_over(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with suppress(ZeroDivisionError), run_of(1) as ending:
        raise ZeroDivisionError
    monkeypatch.setattr(time, "time", lambda: shutil.rmtree(ending, ignore_errors=True) or 0.0)
    with run_of(2) as folder:
        assert not ending.exists()
        assert folder.exists()


def test_in_a_copy_that_dvc_made_for_an_experiment_checkpoints_lie_in_the_project(
    run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = name_of()
    copy = run_folder / ".dvc" / "tmp" / "exps" / "tmp1"
    for name in ("dvc.yaml", "stages/train.py", "data/tokenized/rows", "base/config.json"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run_folder / name, copy / name)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("DVC_ROOT", str(run_folder))
    with run_of() as folder:
        assert folder == run_folder / ".checkpoints" / here


def test_the_dvc_root_of_another_project_is_none_of_ours(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(run_folder.parent))
    with run_of() as folder:
        assert folder.parent == Path(".checkpoints")


def test_the_deps_of_a_stage_are_those_of_dvc_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert "data/tokenized" in stage_deps("train")
    assert not [dep for dep in stage_deps("prepare") if "$" in dep]


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "stopped by Ctrl-C")]
)
def test_a_signal_is_noted_once_and_obeyed_at_once_the_second_time(number: int, said: str) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.reason == said
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_among_several_processes_the_same_signal_from_two_sides_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "stopped by SIGTERM"
        monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_one_of_several_processes_notes_that_the_stage_above_its_launcher_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above = psutil.Process(os.getppid()).ppid()
    monkeypatch.setattr(stopping, "PARENT_SECONDS", 0.01)
    for stage, gone in ((above, False), (above + 1, True)):
        monkeypatch.setenv(LAUNCHED_BY, str(stage))
        with StopRequest() as stop:
            threading.Event().wait(0.2)
            assert bool(stop.reason) == gone


def test_one_signal_to_a_stage_that_saves_because_its_parent_died_does_not_cost_the_save() -> None:
    with StopRequest() as stop:
        stop.reason = "the process that started it is gone"
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "the process that started it is gone"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_death_of_the_parent_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PARENT_SECONDS", 0.01)
    with StopRequest() as stop:
        assert stop.reason == ""
        monkeypatch.setattr(os, "getppid", lambda: 1)
        noted = threading.Event()
        while not stop.reason:
            noted.wait(0.01)
    assert stop.reason == "the process that started it is gone"
