"""A run that was stopped, or died, goes on and ends with the same bytes."""

from pathlib import Path
from typing import Any

import pytest
from projects import Project
from training_runs import interrupt_after, trained, written

from stages.core import callbacks, training
from stages.core.errors import Stopped


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
    assert (folder / "checkpoint-4" / "sealed.json").exists()


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
    [last] = Path(".checkpoints").glob("*/checkpoint-8")
    content = bytearray((last / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (last / "optimizer.pt").write_bytes(content)
    after.run("train")
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
    whole = callbacks.Saver.on_save

    def on_save(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        saved.append(state.global_step)
        whole(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.Saver, "on_save", on_save)
    trained(after, checkpoint_minutes=1e-9, epochs=1)
    assert saved == [1, 2, 3, 4, 5, 6]


def test_a_run_that_died_after_early_stopping_ends_the_same(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    after.set("train", epochs=30, early_stopping=1, keep="best", learning_rate=0.2, schedule="constant", warmup=0)
    after.run("train")
    whole = written()

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "load_weights", dies)
        with pytest.raises(KeyboardInterrupt):
            after.run("train")
    after.run("train")
    assert written() == whole
