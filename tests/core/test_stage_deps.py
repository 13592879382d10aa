"""The inputs of a stage must not change until it ends, for DVC hashes them only then."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from projects import Project
from training_runs import interrupt_after, trained, written

from lockstep.core.entry_point import run_stage
from lockstep.core.errors import LockstepError, Stopped
from lockstep.core.stage_deps import Inputs
from lockstep.training import trainer

PIPELINE = """
stages:
  train:
    cmd: exec python -m stages.train
    deps: ["${data.path}", rows, stages/train.py]
    params: [seed, train, split.near]
"""
PARAMS = "seed: 1\ndata: {path: raw.csv}\nsplit: {near: 0.6, method: hash}\ntrain: {epochs: 2, lora: {rank: 4}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train"])
    for name, text in {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMS,
        "raw.csv": "1",
        "rows/a/b": "1",
        "other": "",
    }.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)
    return tmp_path


def replaced(old: str, new: str) -> Callable[[], Any]:
    return lambda: Path("params.yaml").write_text(PARAMS.replace(old, new))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda: None, None),
        (lambda: Path("other").write_text("2"), None),
        (replaced("hash", "random"), None),  # a setting this stage does not read
        (replaced("seed: 1", "seed:   1  # the same"), None),
        (replaced("seed: 1", "seed: 2"), "params.yaml: seed"),
        (replaced("near: 0.6", "near: 0.7"), "params.yaml: split.near"),
        (replaced("rank: 4", "rank: 8"), "params.yaml: train.lora.rank"),
        (replaced("lora: {rank: 4}", "lora: {}"), "params.yaml: train.lora.rank"),
        (replaced("epochs: 2", "epochs: 2, steps: 5"), "params.yaml: train.steps"),
        (lambda: Path("raw.csv").write_text("12"), "raw.csv"),
        (lambda: os.utime("raw.csv", (5, 5)), "raw.csv"),
        (lambda: Path("rows/a/b").unlink(), "rows/a/b"),
        (lambda: Path("rows/a/c").write_text("1"), "rows/a/c"),
        (lambda: (Path("stages").mkdir(), Path("stages/train.py").write_text("")), "stages/train.py"),
    ],
)
def test_what_changed_while_a_stage_ran_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[], Any], named: str | None
) -> None:
    if named is None:
        run_stage("train", lambda: change())
        return
    with pytest.raises(SystemExit) as ended:
        run_stage("train", lambda: change())
    line = capsys.readouterr().err
    assert (ended.value.code, line.count("\n")) == (2, 1)
    assert line.startswith(f"error: {named} ")
    assert "Run again" in line


def test_a_folder_without_a_pipeline_has_no_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Inputs.of("train").require_unchanged()


def test_a_setting_changed_while_training_costs_no_step_once_it_is_put_back(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(after)
    whole, run = written(), trainer.run

    def changed_meanwhile(trainer: Any) -> None:
        run(trainer)
        after.set("train", learning_rate=0.5)

    monkeypatch.setattr(trainer, "run", changed_meanwhile)
    with pytest.raises(LockstepError, match=r"^params\.yaml: train\.learning_rate .*Run again"):
        after.run("train")
    monkeypatch.setattr(trainer, "run", run)
    after.set("train", learning_rate=0.01)
    interrupt_after(monkeypatch, 1)  # it does not come to a first step again
    after.run("train")
    assert written() == whole
    with pytest.raises(Stopped):  # as one that begins anew does
        after.run("train")
