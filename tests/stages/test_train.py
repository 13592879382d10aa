"""The train stage on tiny data: what it writes, and that the settings do what they say."""

import time
from pathlib import Path

import pytest
import torch
from projects import Project, hashes
from training_runs import FINETUNED, STOPS_EARLY, losses, trained, validation_loss, weights, written
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP

from lockstep.artifacts.row_store import write_rows
from lockstep.artifacts.rows import Row, RowBlock
from lockstep.core.checksums import write_manifest
from lockstep.core.errors import LockstepError
from lockstep.training import callbacks
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
    after.set("train", **STOPS_EARLY)
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


@pytest.mark.parametrize("points", [100, 1])  # of the curve: there and before each save the loss is checked
def test_a_loss_that_is_not_finite_is_one_clear_line(
    after: Project, monkeypatch: pytest.MonkeyPatch, points: int
) -> None:
    monkeypatch.setattr(callbacks, "CURVE_POINTS", points)
    after.set("train", learning_rate=1e30, max_grad_norm=1e30, warmup_ratio=0)
    with pytest.raises(LockstepError, match=r"loss is not a number.*train\.learning_rate"):
        after.run("train")
    assert sorted(hashes("models/finetuned")) == FINETUNED
    [folder] = [path for path in Path(".checkpoints").iterdir() if path.is_dir()]
    assert latest_intact(folder) is None  # none of its checkpoints can be resumed


def test_wrong_labels_are_refused_before_training(after: Project) -> None:
    write_rows(Path("data/tokenized/train"), [RowBlock.of([Row([1, 2, 3], 1, 1)])])
    write_manifest(Path("data/tokenized"))
    with pytest.raises(LockstepError, match="Row 0 .*end-of-text"):
        after.run("train")


def test_too_little_disk_is_refused_before_training(after: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.core.atomic_files.free_bytes", lambda path: 10_000)
    with pytest.raises(LockstepError, match=r"\.checkpoints: 2 MB are needed"):
        after.run("train")


def test_training_before_tokenizing_says_what_to_run(project: Project) -> None:
    with pytest.raises(LockstepError, match=r"data/tokenized is missing.*`make tokenize`"):
        project.run("train")
