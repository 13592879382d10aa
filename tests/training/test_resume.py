"""A run that was stopped, or died, goes on and ends with the same bytes."""

import os
import shutil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import pytest
import torch
from projects import Project
from training_runs import flip_bit, interrupt_after, trained, written

from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError, Stopped
from lockstep.training import callbacks, trainer


@pytest.mark.parametrize(("step", "packing"), [(1, True), (4, False), (6, True), (7, True), (12, True)])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, step: int, packing: bool
) -> None:
    if not packing:  # `after` has been trained with packing
        trained(after, packing=False)
    whole = written()
    interrupt_after(monkeypatch, step)
    with pytest.raises(
        Stopped, match=f"stopped by SIGTERM; saved at step {step} of 12, the next run goes on from there"
    ):
        after.run("train")
    after.run("train")
    assert written() == whole
    assert not list(Path(".checkpoints").iterdir())


def test_stopped_between_two_points_of_the_curve_it_draws_the_same_curve(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "CURVE_POINTS", 3)
    after.run("train")
    whole = Path("metrics/plots/steps.csv").read_text()
    assert len(whole.splitlines()) == 4
    interrupt_after(monkeypatch, 7)
    with pytest.raises(Stopped):
        after.run("train")
    after.run("train")
    assert Path("metrics/plots/steps.csv").read_text() == whole


def test_a_stop_saves_before_it_ends_and_leaves_the_old_model(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written()
    after.set("train", learning_rate=0.02)
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        after.run("train")
    assert written() == before
    [folder] = [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    assert (folder / "checkpoint-4" / "manifest.json").exists()


def test_a_resumed_run_does_not_repeat_its_steps(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    steps: list[int] = []
    whole = callbacks.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        steps.append(state.global_step)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.Progress, "on_step_end", on_step_end)
    after.run("train")
    assert steps == [9, 10, 11, 12]


def test_a_damaged_checkpoint_is_passed_over(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written()
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    flip_bit(next(Path(".checkpoints").glob("*/checkpoint-8/optimizer.pt")))
    after.run("train")
    assert written() == whole


class Planted:
    """What pickle would make of this: a call of os.mkdir."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("planted",)


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
def test_nothing_in_a_checkpoint_is_run(after: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    [last] = Path(".checkpoints").glob("*/checkpoint-8")
    torch.save(Planted(), last / name)
    write_manifest(last)
    with pytest.raises(UnpicklingError, match="Weights only load failed"):
        after.run("train")
    assert not Path("planted").exists()


def best_is_the_first_epoch(project: Project) -> dict[str, dict[str, str]]:
    """Train so that the weights kept are those of an early epoch; what that wrote."""
    project.set("train", epochs=4, keep="best", learning_rate=1.0, lr_schedule="constant", warmup_ratio=0)
    project.run("train")
    assert project.json("metrics/train.json")["kept_epoch"] < 2
    return written()


@pytest.mark.parametrize("name", ["best.safetensors", "checkpoint-14/best.safetensors"])
def test_damaged_best_weights_are_not_taken(after: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    whole = best_is_the_first_epoch(after)
    interrupt_after(monkeypatch, 14)
    with pytest.raises(Stopped):
        after.run("train")
    flip_bit(next(Path(".checkpoints").glob(f"*/{name}")))
    after.run("train")
    assert written() == whole


def test_best_weights_of_an_epoch_that_was_not_saved_are_forgotten(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = best_is_the_first_epoch(after)
    interrupt_after(monkeypatch, 14)
    with pytest.raises(Stopped):
        after.run("train")
    [best] = Path(".checkpoints").glob("*/best.safetensors")
    best.unlink()
    shutil.copy(
        best.parent / "checkpoint-14" / "model.safetensors", best
    )  # as if a later epoch had been better before the kill
    after.run("train")
    assert written() == whole


def test_damage_to_the_best_weights_at_the_very_end_is_told_and_healed_by_another_run(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = best_is_the_first_epoch(after)
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.SaveAndStop, "on_train_end", lambda self, args, *_, **__: damage(args), raising=False)
        with pytest.raises(LockstepError, match=r"checkpoint-24 is damaged\. Run again: training goes on from what is"):
            after.run("train")
    after.run("train")
    assert written() == whole


def damage(args: Any) -> None:
    flip_bit(Path(args.output_dir) / "checkpoint-24" / "best.safetensors")


KILLED_AT = {"before": (trainer.SumLossTrainer, "save_model"), "unsealed": (callbacks.CheckpointFinisher, "on_save")}


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("moment", KILLED_AT)
def test_killed_between_an_evaluation_and_its_complete_checkpoint_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, keep: str, moment: str
) -> None:
    after.set("train", keep=keep, epochs=3)
    after.run("train")
    whole = written()
    owner, method = KILLED_AT[moment]
    original = getattr(owner, method)

    def killed(self: Any, *rest: Any, **named: Any) -> None:
        if len(self.run_state.curves.steps) == 12:  # the end of the second epoch
            raise KeyboardInterrupt
        original(self, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, killed)
        with pytest.raises(KeyboardInterrupt):
            after.run("train")
    assert bool(list(Path(".checkpoints").glob("*/checkpoint-12"))) == (moment == "unsealed")
    after.run("train")
    assert written() == whole


def test_killed_once_the_model_is_written_it_need_not_train_again(
    after: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = written()
    with monkeypatch.context() as patch:
        patch.setattr("lockstep.training.learning_curves.write_curves", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            after.run("train")
    after.run("train")
    assert "goes on from the checkpoint of step 12" in capsys.readouterr().out
    assert written() == whole


def test_a_changed_setting_starts_afresh(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set("train", weight_decay=0.5)
    after.run("train")
    whole = written()
    after.set("train", weight_decay=0.1)
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    after.set("train", weight_decay=0.5)
    after.run("train")
    assert written() == whole


def test_minutes_between_checkpoints_are_kept(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    whole = callbacks.SaveAndStop.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        saved.append(state.global_step)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.SaveAndStop, "on_save", on_save)
    trained(after, checkpoint_minutes=1e-9, epochs=1)
    assert saved == [1, 2, 3, 4, 5, 6]


def test_a_run_that_died_after_early_stopping_ends_the_same(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set(
        "train",
        epochs=30,
        early_stopping_patience=1,
        keep="best",
        learning_rate=0.2,
        lr_schedule="constant",
        warmup_ratio=0,
    )
    after.run("train")
    whole = written()

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "load_weights", dies)
        with pytest.raises(KeyboardInterrupt):
            after.run("train")
    after.run("train")
    assert written() == whole


def test_a_full_disk_is_one_line_and_with_room_it_goes_on(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = written()
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        after.run("train")

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")  # as torch.save does

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        with pytest.raises(LockstepError, match=r"Cannot write \.checkpoints: the disk is full or failing\. Make room"):
            after.run("train")
    after.run("train")
    assert written() == whole
