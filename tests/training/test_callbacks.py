"""The callbacks of the training loop: when a checkpoint is written and complete, and when training stops."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from projects import Project
from training_runs import epochs_of, interrupt_after, trained, written
from transformers import TrainerControl, TrainerState

from lockstep.core.errors import Stopped
from lockstep.modeling.distributed import SINGLE_PROCESS
from lockstep.modeling.stopping import StopRequest
from lockstep.training import callbacks, trainer
from lockstep.training.learning_curves import Curves


def test_early_stopping_ends_training_once_patience_is_over() -> None:
    curves, control = Curves(patience=2), TrainerControl()
    for losses, stops in (((4.0, 2.0, 2.5), False), ((4.0, 2.0, 2.5, 2.4), True)):
        curves.epochs = epochs_of(*losses)
        callbacks.EarlyStopping(curves).on_evaluate(None, TrainerState(), control)
        assert control.should_training_stop is stops


@pytest.mark.parametrize(("step", "saves"), [(3, True), (5, False)])  # an epoch has five steps
def test_a_requested_stop_saves_at_once_but_after_the_evaluation_at_the_end_of_an_epoch(step: int, saves: bool) -> None:
    stop, control = StopRequest(), TrainerControl()
    stop.reason = "stopped by SIGTERM"
    state: Any = SimpleNamespace(global_step=step, max_steps=10, num_train_epochs=2)
    callback = callbacks.SaveAndStop(60, stop, SINGLE_PROCESS)
    callback.on_step_end(None, state, control)
    assert control.should_save is saves
    with pytest.raises(Stopped, match=f"SIGTERM; saved at step {step} of 10"):
        callback.on_save(None, state, control)


def test_a_stop_saves_before_it_ends_and_leaves_the_old_model(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    before = written()
    after.set("train", learning_rate=0.02)
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        after.run("train")
    assert written() == before
    [folder] = [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    assert (folder / "checkpoint-4" / "manifest.json").exists()


KILLED_AT = {
    "before saving": (trainer.SumLossTrainer, "save_model"),
    "without manifest": (callbacks.CheckpointFinisher, "on_save"),
}


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("moment", KILLED_AT)
def test_killed_between_an_evaluation_and_its_complete_checkpoint_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, keep: str, moment: str
) -> None:
    after.set("train", keep=keep, epochs=3)
    after.run("train")
    uninterrupted = written()
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
    assert bool(list(Path(".checkpoints").glob("*/checkpoint-12"))) == (moment == "without manifest")
    after.run("train")
    assert written() == uninterrupted


def test_a_checkpoint_is_written_after_so_many_minutes(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    original = callbacks.SaveAndStop.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        saved.append(state.global_step)
        original(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.SaveAndStop, "on_save", on_save)
    trained(after, checkpoint_minutes=1e-9, epochs=1)
    assert saved == [1, 2, 3, 4, 5, 6]
