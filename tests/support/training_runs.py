"""Helpers for tests of training: run the train stage, interrupt it, read and damage what it leaves."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from projects import Project, hashes
from safetensors.torch import load_file

from lockstep.modeling.device import Hardware
from lockstep.modeling.model import load_model
from lockstep.modeling.scoring import score_rows
from lockstep.training import callbacks
from lockstep.training.checkpoints import finish_checkpoint

STOPS_EARLY: dict[str, Any] = {  # settings of train with which the validation loss soon rises, and training ends
    "epochs": 30,
    "early_stopping_patience": 1,
    "keep": "best",
    "learning_rate": 0.2,
    "lr_schedule": "constant",
    "warmup_ratio": 0,
}
WRITTEN = ("models/finetuned", "metrics/train.json", "metrics/plots")
FINETUNED = [
    "config.json",
    "generation_config.json",
    "manifest.json",
    "model.safetensors",
    "prompt.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def written() -> dict[str, dict[str, str]]:
    """Hashes of the files that the train stage writes, but for its provenance."""
    return {name: hashes(name) for name in WRITTEN}


def weights() -> dict[str, torch.Tensor]:
    """The weights of the fine-tuned model."""
    return load_file("models/finetuned/model.safetensors")


def trained(project: Project, **settings: Any) -> dict[str, torch.Tensor]:
    """The weights after training with some settings changed."""
    project.set("train", **settings)
    project.run("train")
    return weights()


def losses(project: Project, **settings: Any) -> list[float]:
    """Training loss at each step, with some settings changed."""
    trained(project, **settings)
    head, *lines = [line.split(",") for line in Path("metrics/plots/steps.csv").read_text().splitlines()]
    return [float(line[head.index("loss")]) for line in lines]


def interrupt_after(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process SIGTERM, once, when a step is done."""
    original = callbacks.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == step:
            monkeypatch.setattr(callbacks.Progress, "on_step_end", original)
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, args, state, control, **rest)

    monkeypatch.setattr(callbacks.Progress, "on_step_end", on_step_end)


def flip_bit(path: Path) -> None:
    """Change one bit in the middle of a file, and nothing else that a look at the file would show."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_checkpoint(folder: Path, step: int, complete: bool = True) -> Path:
    """A checkpoint with made-up files in a run's folder; an incomplete one has no manifest."""
    checkpoint = folder / f"checkpoint-{step}"
    (checkpoint / "rng").mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(bytes(range(200)))
    (checkpoint / "rng" / "state").write_text("4")
    if complete:
        finish_checkpoint(checkpoint)
    return checkpoint


def train_past_the_best_epoch(project: Project) -> dict[str, dict[str, str]]:
    """Train so that the weights of an early epoch are kept; returns the hashes of what that wrote."""
    project.set("train", epochs=4, keep="best", learning_rate=1.0, lr_schedule="constant", warmup_ratio=0)
    project.run("train")
    assert project.json("metrics/train.json")["kept_epoch"] < 2
    return written()


def epochs_of(*validation: float | None) -> list[dict[str, float]]:
    """Points of the epoch curve with these validation losses."""
    return [
        {"epoch": number, "tokens": 10 * number, "train_loss": 3.0 - number / 10}
        | ({"validation_loss": loss} if loss is not None else {})
        for number, loss in enumerate(validation)
    ]


def validation_loss() -> float:
    """The validation loss of the fine-tuned model."""
    from lockstep.artifacts.row_store import read_rows

    rows = read_rows(Path("data/tokenized/validation"))
    model = load_model("models/finetuned", "finetuned")
    return score_rows(model, [rows[index] for index in range(len(rows))], Hardware("cpu", "fp32", 1), 0).loss
