"""The state that a run keeps beside Trainer's: running loss, curves and best weights survive an interruption."""

import shutil
from pathlib import Path

import pytest
import torch
from projects import Project
from training_runs import flip_bit, interrupt_after, train_past_the_best_epoch, written

from lockstep.core.errors import LockstepError, Stopped
from lockstep.modeling.distributed import SINGLE_PROCESS
from lockstep.training import callbacks
from lockstep.training.learning_curves import Curves
from lockstep.training.run_state import LossMeter, RunState


def meter_of(*batches: tuple[float, int, int]) -> LossMeter:
    """A meter with batches of (summed loss, targets, tokens)."""
    meter = LossMeter("cpu")
    for nll, targets, tokens in batches:
        meter.add(torch.tensor(nll), targets, tokens)
    return meter


def test_the_mean_weighs_targets_and_starts_anew_while_tokens_go_on() -> None:
    meter = meter_of((6.0, 2, 10), (2.0, 6, 10))
    assert meter.take_mean(SINGLE_PROCESS) == (1.0, 20)
    meter.add(torch.tensor(3.0), 1, 5)
    assert meter.take_mean(SINGLE_PROCESS) == (3.0, 25)


def test_a_run_state_is_read_back_from_its_checkpoint(tmp_path: Path) -> None:
    state = RunState(tmp_path, meter_of((1.5, 3, 7)), Curves(0), SINGLE_PROCESS)
    state.curves.steps.append({"step": 1, "loss": 2.0})
    state.best_weights.write_text("best")
    (tmp_path / "checkpoint-1").mkdir()
    state.save(tmp_path / "checkpoint-1")
    (tmp_path / "later").write_text("of a later epoch, without a checkpoint")
    (tmp_path / "later").replace(state.best_weights)
    resumed = RunState(tmp_path, LossMeter("cpu"), Curves(0), SINGLE_PROCESS)
    resumed.load(tmp_path / "checkpoint-1")
    assert resumed.meter.state_dict() == state.meter.state_dict() == {"nll": 1.5, "targets": 3, "tokens": 7}
    assert resumed.curves.steps == state.curves.steps
    assert resumed.best_weights.read_text() == "best"


@pytest.mark.parametrize("nll", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_neither_reported_nor_saved(tmp_path: Path, nll: float) -> None:
    state = RunState(tmp_path, meter_of((nll, 1, 1)), Curves(0), SINGLE_PROCESS)
    with pytest.raises(LockstepError, match=r"loss is not a number.*train\.learning_rate"):
        state.save(tmp_path)
    with pytest.raises(LockstepError, match=r"train\.learning_rate"):
        state.meter.take_mean(SINGLE_PROCESS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["best.safetensors", "checkpoint-14/best.safetensors"])
def test_damaged_best_weights_are_not_used(after: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    uninterrupted = train_past_the_best_epoch(after)
    interrupt_after(monkeypatch, 14)
    with pytest.raises(Stopped):
        after.run("train")
    flip_bit(next(Path(".checkpoints").glob(f"*/{name}")))
    after.run("train")
    assert written() == uninterrupted


def test_best_weights_of_an_epoch_without_a_checkpoint_are_dropped(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = train_past_the_best_epoch(after)
    interrupt_after(monkeypatch, 14)
    with pytest.raises(Stopped):
        after.run("train")
    [best] = Path(".checkpoints").glob("*/best.safetensors")
    best.unlink()
    # As if a later epoch had been better before the kill:
    shutil.copy(best.parent / "checkpoint-14" / "model.safetensors", best)
    after.run("train")
    assert written() == uninterrupted


def test_stopped_between_two_points_of_the_curve_it_draws_the_same_curve(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "CURVE_POINTS", 3)
    after.run("train")
    uninterrupted = Path("metrics/plots/steps.csv").read_text()
    assert len(uninterrupted.splitlines()) == 4
    interrupt_after(monkeypatch, 7)
    with pytest.raises(Stopped):
        after.run("train")
    after.run("train")
    assert Path("metrics/plots/steps.csv").read_text() == uninterrupted
