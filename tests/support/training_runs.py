"""Runs of the train stage, interrupted and not, for the tests of what they leave."""

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
    return {name: hashes(name) for name in WRITTEN}


def weights() -> dict[str, torch.Tensor]:
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
    whole = callbacks.Progress.on_step_end

    def on_step_end(self: Any, args: Any, state: Any, control: Any, **rest: Any) -> None:
        if state.global_step == step:
            monkeypatch.setattr(callbacks.Progress, "on_step_end", whole)
            os.kill(os.getpid(), signal.SIGTERM)
        whole(self, args, state, control, **rest)

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


def validation_loss() -> float:
    from lockstep.artifacts.row_store import read_rows

    rows = read_rows(Path("data/tokenized/validation"))
    model = load_model("models/finetuned", "finetuned")
    return score_rows(model, [rows[index] for index in range(len(rows))], Hardware("cpu", "fp32", 1), 0).loss
