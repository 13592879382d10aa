"""The train stage on tiny data: what it writes, and that the settings do what they say."""

import ast
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from projects import Project, hashes
from training_runs import FINETUNED, losses, trained, validation_loss, weights, written
from transformers import TrainingArguments
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2LMHeadModel

from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
from lockstep.core.settings import load_params
from lockstep.modeling.device import Hardware
from lockstep.training import callbacks, trainer
from lockstep.training.checkpoints import latest_intact


def test_training_lowers_the_loss_and_writes_model_figures_and_curves(after: Project) -> None:
    metrics = after.json("metrics/train.json")
    assert sorted(hashes("models/finetuned")) == FINETUNED
    assert metrics["validation_loss"] < metrics["epochs"]["0"]["validation_loss"]
    assert list(metrics["epochs"]) == ["0", "1", "2"]
    assert (metrics["steps"], metrics["device"], metrics["precision"], metrics["threads"]) == (12, "cpu", "fp32", 1)
    assert metrics["tokens"] == 2 * after.json("metrics/tokenize.json")["tokens_of_train"]
    assert len(Path("metrics/plots/epochs.csv").read_text().splitlines()) == 4
    assert len(Path("metrics/plots/steps.csv").read_text().splitlines()) == 13
    assert not list(Path(".checkpoints").iterdir())


def test_no_output_holds_a_path_or_a_date(after: Project) -> None:
    here, today = str(after.folder.parent).encode(), time.strftime("%Y-%m-%d").encode()
    for name in ("models/finetuned", "models/export", "metrics", "data/prepared", "data/tokenized"):
        for path in Path(name).rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert here not in content, path
            assert b"/tmp/" not in content, path
            assert today not in content, path


def test_the_same_run_gives_the_same_bytes(after: Project) -> None:
    before = written()
    after.run("train")
    assert written() == before


def test_another_seed_gives_other_weights(after: Project) -> None:
    before = hashes("models/finetuned")["model.safetensors"]
    after.params["seed"] = 7
    after.set("train")
    after.run("train")
    assert hashes("models/finetuned")["model.safetensors"] != before


def test_early_stopping_ends_the_run_and_puts_the_best_weights_back(after: Project) -> None:
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
    metrics = after.json("metrics/train.json")
    losses = {int(epoch): figures["validation_loss"] for epoch, figures in metrics["epochs"].items()}
    best = min(losses, key=losses.__getitem__)
    assert metrics["best_epoch"] == best == max(losses) - 1 < 29
    assert metrics["steps"] == max(losses) * 6
    assert validation_loss() == pytest.approx(losses[best], abs=1e-5)


def test_without_validation_rows_the_last_weights_are_kept(after: Project) -> None:
    after.set("split", train=0.8, validation=0, test=0.2)
    after.run("prepare", "tokenize", "train")
    metrics = after.json("metrics/train.json")
    assert metrics["verdict"] == "no validation split, so overfitting can't be seen"
    assert (metrics["best_epoch"], "generalization_gap" in metrics) == (2, False)


def test_accumulated_small_batches_equal_one_large_batch(after: Project) -> None:
    after.set("model", dropout=0)
    large, small = (
        losses(after, per_device_batch_size=8 // part, gradient_accumulation_steps=part, epochs=1) for part in (1, 4)
    )
    assert len(large) == 6
    assert small == pytest.approx(large, abs=1e-4)


def test_packed_training_equals_padded_training(after: Project) -> None:
    after.set("model", dropout=0)
    packed, padded = (losses(after, packing=packing, epochs=1) for packing in (True, False))
    assert padded == pytest.approx(packed, abs=1e-4)


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradient_checkpointing_gives_the_same_bytes_with_dropout_too(
    after: Project, method: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    after.set("model", dropout=0.3)
    after.set("device", precision=precision)
    trained(after, method=method, epochs=1)
    before = written()["models/finetuned"]
    forwards: list[int] = []
    layer = GPT2MLP.forward
    monkeypatch.setattr(GPT2MLP, "forward", lambda *args: forwards.append(1) or layer(*args))
    trained(after, gradient_checkpointing=True)
    assert len(forwards) > 2 * 2 * 6  # two layers, six steps, each twice; evaluation comes on top
    assert written()["models/finetuned"] == before


def test_bf16_trains_on_a_cpu_too_and_keeps_fp32_weights(after: Project) -> None:
    exact = after.json("metrics/train.json")["validation_loss"]
    after.set("device", precision="bf16")
    after.run("train")
    metrics = after.json("metrics/train.json")
    assert metrics["precision"] == "bf16"
    assert metrics["validation_loss"] == pytest.approx(exact, rel=0.05)
    assert {weight.dtype for weight in weights().values()} == {torch.float32}


@pytest.mark.parametrize("points", [100, 1])  # of the curve: the loss is looked at there, and before each save
def test_a_loss_that_is_no_number_is_one_clear_line(
    after: Project, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    monkeypatch.setattr(callbacks, "CURVE_POINTS", points)
    after.set("train", learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0)
    with pytest.raises(LockstepError, match=r"loss is not a number any more\. Lower train\.learning_rate"):
        after.run("train")
    assert sorted(hashes("models/finetuned")) == FINETUNED
    [folder] = [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    assert latest_intact(folder) is None  # none of its checkpoints can be resumed


def test_a_full_gpu_says_what_takes_less(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.SumLossTrainer, "compute_loss", full)
    with pytest.raises(
        LockstepError, match=r"The memory of the GPU is full\. Halve train\.per_device_batch_size .* lora"
    ):
        after.run("train")


def test_only_a_failed_save_is_told_as_one(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "No such file or directory", "rows.arrow")

    for method in ("compute_loss", "evaluate"):
        with monkeypatch.context() as patch, pytest.raises(FileNotFoundError, match=r"rows\.arrow"):
            patch.setattr(trainer.SumLossTrainer, method, unreadable)
            after.run("train")
    monkeypatch.setattr(trainer.SumLossTrainer, "save_model", unreadable)
    with pytest.raises(LockstepError, match=r"Cannot write \.checkpoints: No such file"):
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


def test_the_count_of_targets_leaves_no_label_to_the_model(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[list[str], bool]] = []
    forward = GPT2LMHeadModel.forward

    def watched(self: Any, **inputs: Any) -> Any:
        calls.append((sorted(inputs), self.training))
        return forward(self, **inputs)

    monkeypatch.setattr(GPT2LMHeadModel, "forward", watched)
    trained(after, epochs=1, gradient_accumulation_steps=2)
    names = {name for inputs, training_mode in calls if training_mode for name in inputs}
    assert names == {"attention_mask", "input_ids", "position_ids", "use_cache"}


@pytest.mark.parametrize(("schedule", "last"), [("linear", 0.0), ("cosine", 0.0), ("constant", 0.01)])
def test_the_learning_rate_warms_up_and_follows_its_schedule(after: Project, schedule: str, last: float) -> None:
    trained(after, lr_schedule=schedule, warmup_ratio=0.5)
    lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    rates = [float(line[lines[0].index("learning_rate")]) for line in lines[1:]]
    assert rates[:6] == sorted(rates[:6])
    assert max(rates) == pytest.approx(0.01, rel=0.2)
    assert rates[-1] == pytest.approx(last, abs=1e-6)


def test_tokenized_data_that_is_wrong_is_refused_before_training(after: Project) -> None:
    from lockstep.artifacts.row_store import write_rows
    from lockstep.artifacts.rows import Row, RowBlock

    write_rows(Path("data/tokenized/train"), [RowBlock.of([Row([1, 2, 3], 1, 1)])])
    write_manifest(Path("data/tokenized"))
    with pytest.raises(LockstepError, match="Row 0 of the tokenized data does not end in one supervised end-of-text"):
        after.run("train")


def test_too_little_disk_is_said_before_training(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.core.atomic_files.free_bytes", lambda path: 10_000)
    with pytest.raises(LockstepError, match=r"Too little disk for \.checkpoints: 2 MB are needed, 0 MB are free"):
        after.run("train")


def test_training_before_tokenizing_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"data/tokenized is missing\. Run `make tokenize` first"):
        project.run("train")
