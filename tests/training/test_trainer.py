"""The trainer: our settings reach it, a run that was interrupted ends with the same bytes, and errors are one line."""

import ast
import os
from pathlib import Path
from pickle import UnpicklingError
from types import ModuleType
from typing import Any

import pytest
import torch
from projects import Project
from training_runs import STOPS_EARLY, flip_bit, interrupt_after, train_past_the_best_epoch, trained, written
from transformers import TrainingArguments
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError, Stopped
from lockstep.core.settings import load_params
from lockstep.modeling.device import Hardware
from lockstep.training import callbacks, trainer
from lockstep.training.trainable_weights import ModelSize


def test_a_full_gpu_memory_is_refused_with_settings_that_take_less(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.SumLossTrainer, "compute_loss", full)
    with pytest.raises(LockstepError, match=r"GPU is full.*train\.per_device_batch_size.*lora"):
        after.run("train")


def test_only_an_error_while_saving_is_reported_as_a_failed_write(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "rows.arrow")

    for method in ("compute_loss", "evaluate"):
        with monkeypatch.context() as patch, pytest.raises(FileNotFoundError, match=r"rows\.arrow"):
            patch.setattr(trainer.SumLossTrainer, method, unreadable)
            after.run("train")
    monkeypatch.setattr(trainer.SumLossTrainer, "save_model", unreadable)
    with pytest.raises(LockstepError, match=r"Cannot write \.checkpoints"):
        after.run("train")


def test_every_setting_reaches_the_trainer(project: Project, tmp_path: Path) -> None:
    project.set(
        "train",
        gradient_accumulation_steps=3,
        weight_decay=0.15,
        max_grad_norm=0.7,
        warmup_ratio=0.2,
        lr_schedule="cosine",
    )
    setup = trainer.TrainingSetup(load_params().train, Hardware("cpu", "bf16", 1), 0, 7, tmp_path)
    args = trainer.training_arguments(setup)
    assert (args.num_train_epochs, args.per_device_train_batch_size, args.gradient_accumulation_steps) == (2, 8, 3)
    assert (args.learning_rate, args.weight_decay, args.max_grad_norm) == (0.01, 0.15, 0.7)
    assert (args.lr_scheduler_type, args.warmup_steps) == ("cosine", 0.2)
    assert (args.seed, args.data_seed, args.bf16, args.output_dir) == (7, 7, True, str(tmp_path))


@pytest.mark.parametrize(("visible", "used"), [(0, 0), (1, 1), (4, 1)])
def test_a_process_uses_one_gpu_however_many_it_sees(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: int, used: int
) -> None:
    setup = trainer.TrainingSetup(load_params().train, Hardware("cpu", "fp32", 1), 0, 7, tmp_path)
    args = trainer.training_arguments(setup)
    monkeypatch.setattr(TrainingArguments, "n_gpu", visible)
    assert (args.n_gpu, args.train_batch_size) == (used, 8)


@pytest.mark.parametrize("module", [trainer, callbacks])
def test_no_private_name_of_transformers_is_used(module: ModuleType) -> None:
    """Private names may move with every release of Transformers; these files have none, not even of their own."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):  # what a class overrides
            names |= {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            names |= {name.id for item in node.body for name in ast.walk(item) if isinstance(name, ast.Name)}
        if isinstance(node, ast.Call):
            names |= {keyword.arg or "" for keyword in node.keywords}
            names |= {
                text.value for text in node.args if isinstance(text, ast.Constant) and isinstance(text.value, str)
            }
        if isinstance(node, ast.ImportFrom):
            names |= {part for alias in node.names for part in [alias.name, *str(node.module).split(".")]}
    assert {name for name in names if name.startswith("_") and not name.endswith("__")} <= {"_"}


def test_the_model_gets_no_labels_in_training(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], bool]] = []
    forward = GPT2LMHeadModel.forward

    def recording(self: Any, **inputs: Any) -> Any:
        calls.append((sorted(inputs), self.training))
        return forward(self, **inputs)

    monkeypatch.setattr(GPT2LMHeadModel, "forward", recording)
    trained(after, epochs=1, gradient_accumulation_steps=2)
    names = {name for inputs, training_mode in calls if training_mode for name in inputs}
    assert names == {"attention_mask", "input_ids", "position_ids", "use_cache"}


def test_the_disk_needed_covers_three_checkpoints_the_best_weights_and_the_model() -> None:
    assert trainer.disk_needed(ModelSize(parameters=1000, trained_parameters=1000)) == 4 * (3 * 3000 + 1000 + 1000)
    assert trainer.disk_needed(ModelSize(parameters=1000, trained_parameters=10)) == 4 * (3 * 30 + 10 + 1000)


@pytest.mark.parametrize(("schedule", "last"), [("linear", 0.0), ("cosine", 0.0), ("constant", 0.01)])
def test_the_learning_rate_warms_up_and_follows_its_schedule(after: Project, schedule: str, last: float) -> None:
    trained(after, lr_schedule=schedule, warmup_ratio=0.5)
    lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    rates = [float(line[lines[0].index("learning_rate")]) for line in lines[1:]]
    assert rates[:6] == sorted(rates[:6])
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates[-1] == pytest.approx(last, abs=1e-6)


@pytest.mark.parametrize(("step", "packing"), [(1, True), (4, False), (6, True), (7, True), (12, True)])
def test_stopped_anywhere_and_run_again_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch, step: int, packing: bool
) -> None:
    if not packing:  # `after` has been trained with packing
        trained(after, packing=False)
    uninterrupted = written()
    interrupt_after(monkeypatch, step)
    with pytest.raises(Stopped, match=f"SIGTERM; saved at step {step} of 12"):
        after.run("train")
    after.run("train")
    assert written() == uninterrupted
    assert not list(Path(".checkpoints").iterdir())


def test_a_resumed_run_does_not_repeat_its_steps(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    steps: list[int] = []
    original = callbacks.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        steps.append(state.global_step)
        original(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.Progress, "on_step_end", on_step_end)
    after.run("train")
    assert steps == [9, 10, 11, 12]


def test_a_damaged_checkpoint_is_passed_over(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    uninterrupted = written()
    interrupt_after(monkeypatch, 8)
    with pytest.raises(Stopped):
        after.run("train")
    flip_bit(next(Path(".checkpoints").glob("*/checkpoint-8/optimizer.pt")))
    after.run("train")
    assert written() == uninterrupted


class Planted:
    """An object that would create a folder when unpickled."""

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


def test_best_weights_damaged_in_the_last_checkpoint_are_refused_and_trained_again_by_the_next_run(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = train_past_the_best_epoch(after)
    with monkeypatch.context() as patch:
        patch.setattr(
            callbacks.SaveAndStop, "on_train_end", lambda self, args, *_, **__: damage_best(args), raising=False
        )
        with pytest.raises(LockstepError, match=r"checkpoint-24 is damaged\. Run again"):
            after.run("train")
    after.run("train")
    assert written() == uninterrupted


def damage_best(args: Any) -> None:
    """Flip a bit of the best weights in the last checkpoint."""
    flip_bit(Path(args.output_dir) / "checkpoint-24" / "best.safetensors")


def test_killed_once_the_model_is_written_it_does_not_train_again(
    after: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uninterrupted = written()
    with monkeypatch.context() as patch:
        patch.setattr("lockstep.training.learning_curves.write_curves", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            after.run("train")
    after.run("train")
    assert "goes on from the checkpoint of step 12" in capsys.readouterr().out
    assert written() == uninterrupted


def test_killed_after_early_stopping_it_ends_with_the_same_bytes(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    after.set("train", **STOPS_EARLY)
    after.run("train")
    uninterrupted = written()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "load_weights", killed)
        with pytest.raises(KeyboardInterrupt):
            after.run("train")
    after.run("train")
    assert written() == uninterrupted


def test_a_full_disk_is_one_clear_line_and_with_room_the_run_resumes(
    after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    uninterrupted = written()
    interrupt_after(monkeypatch, 4)
    with pytest.raises(Stopped):
        after.run("train")

    def full(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")  # as torch.save does

    with monkeypatch.context() as patch:
        patch.setattr("torch.save", full)
        with pytest.raises(LockstepError, match=r"\.checkpoints.*disk is full.*Make room"):
            after.run("train")
    after.run("train")
    assert written() == uninterrupted
