"""Checkpoints: whole or ignored, kept for one run only, and asked to stop in time."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from projects import ROOT

from stages.core import checkpoints
from stages.core.checkpoints import (
    StopRequest,
    fingerprint,
    hash_paths,
    is_whole,
    keep_latest,
    latest_whole,
    seal,
)
from stages.core.errors import LockstepError
from stages.core.hardware import Hardware
from stages.core.params import Model
from stages.core.processes import LAUNCHED_BY
from stages.core.runs import stage_deps, training_run

MODEL = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["model"]


def checkpoint(folder: Path, step: int, sealed: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    (made / "rng").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes(range(200)))
    (made / "rng" / "state").write_text("4")
    if sealed:
        seal(made)
    return made


def test_a_sealed_checkpoint_is_whole(tmp_path: Path) -> None:
    assert is_whole(checkpoint(tmp_path, 1))


@pytest.mark.parametrize("bit", [0, 777, 1599])
def test_one_flipped_bit_breaks_the_seal(tmp_path: Path, bit: int) -> None:
    path = checkpoint(tmp_path, 1) / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert not is_whole(tmp_path / "checkpoint-1")


@pytest.mark.parametrize("size", [0, 1, 199])
def test_a_truncated_file_breaks_the_seal(tmp_path: Path, size: int) -> None:
    os.truncate(checkpoint(tmp_path, 1) / "model.safetensors", size)
    assert not is_whole(tmp_path / "checkpoint-1")


def test_a_missing_file_breaks_the_seal(tmp_path: Path) -> None:
    (checkpoint(tmp_path, 1) / "rng" / "state").unlink()
    assert not is_whole(tmp_path / "checkpoint-1")


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"model.safetensors": 3}', '"x"'])
def test_without_a_readable_seal_a_checkpoint_is_not_whole(tmp_path: Path, content: str | None) -> None:
    made = checkpoint(tmp_path, 1, sealed=False)
    if content is not None:
        (made / "sealed.json").write_text(content)
    assert not is_whole(made)


def test_the_latest_whole_checkpoint_is_found_by_number_and_broken_ones_go(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "rng" / "state").write_text("5")
    checkpoint(tmp_path, 101, sealed=False)
    assert latest_whole(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_no_checkpoint_is_no_checkpoint(tmp_path: Path) -> None:
    assert latest_whole(tmp_path) is None


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


def name_of(settings: Any = "x", **model: Any) -> str:
    with training_run([settings], Model.model_validate({**MODEL, "base": "./base", **model})) as folder:
        return folder.name


def test_a_run_has_its_own_folder_for_its_settings_base_data_and_code(run_folder: Path) -> None:
    names = [name_of(), name_of("y"), name_of(dropout=0.3), name_of(Hardware("cpu", "bf16", 2))]
    for name in ("stages/train.py", "data/tokenized/rows", "base/config.json"):
        (run_folder / name).write_text("2")
        names.append(name_of())
    assert len(set(names)) == len(names)
    assert name_of() == names[-1]


def test_a_run_that_ends_well_leaves_nothing(run_folder: Path) -> None:
    with training_run(["x"], Model.model_validate({**MODEL, "base": "./base"})) as folder:
        checkpoint(folder, 1)
    assert list((run_folder / ".checkpoints").iterdir()) == []


def test_a_run_that_fails_keeps_its_checkpoints(run_folder: Path) -> None:
    settings = Model.model_validate({**MODEL, "base": "./base"})
    with pytest.raises(ZeroDivisionError), training_run(["x"], settings) as folder:
        kept = checkpoint(folder, 1)
        raise ZeroDivisionError
    assert is_whole(kept)


def test_the_same_run_cannot_go_on_twice(run_folder: Path) -> None:
    settings = Model.model_validate({**MODEL, "base": "./base"})
    with training_run(["x"], settings) as folder:
        second = (
            "from filelock import FileLock, Timeout\n"
            f"try: FileLock({str(folder) + '.lock'!r}, timeout=0).acquire()\n"
            "except Timeout: print('locked')"
        )
        done = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, check=True)
        assert done.stdout == "locked\n"
        said = r"This very training run is going on in another process\. Wait for it to end\."
        with pytest.raises(LockstepError, match=said), training_run(["x"], settings):
            pass
        assert folder.exists()


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
        monkeypatch.setattr(checkpoints, "ECHO_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_one_of_several_processes_notes_that_the_stage_above_its_launcher_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above = psutil.Process(os.getppid()).ppid()
    monkeypatch.setattr(checkpoints, "PARENT_SECONDS", 0.01)
    for stage, gone in ((above, False), (above + 1, True)):
        monkeypatch.setenv(LAUNCHED_BY, str(stage))
        with StopRequest() as stop:
            threading.Event().wait(0.2)
            assert bool(stop.reason) == gone


def test_the_death_of_the_parent_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "PARENT_SECONDS", 0.01)
    with StopRequest() as stop:
        assert stop.reason == ""
        monkeypatch.setattr(os, "getppid", lambda: 1)
        noted = threading.Event()
        while not stop.reason:
            noted.wait(0.01)
    assert stop.reason == "the process that started it is gone"


def test_the_seal_lists_sizes_and_hashes_under_relative_names(tmp_path: Path) -> None:
    listed = json.loads((checkpoint(tmp_path, 1) / "sealed.json").read_text())
    assert sorted(listed) == ["model.safetensors", "rng/state"]
    assert listed["model.safetensors"][0] == 200
