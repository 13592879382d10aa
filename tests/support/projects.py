"""Small projects in folders of their own, in which tests run the real stages on a two-layer model."""

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TRAINED = ("prepare", "tokenize", "train", "evaluate", "export")
CONTEXT = 256
THINGS = (
    "kettle lantern bridge violin harbour meadow pencil glacier orchard compass saddle tunnel anchor biscuit candle"
)
CATALOGUE = """gpt2: {source: hub, from: gpt2, revision: abc, licence: MIT, template: none, about: GPT-2.}
"""
COLOURS = "amber green violet silver scarlet"
SMALL: dict[str, dict[str, Any]] = {
    "data": {"path": "data/raw/colours.csv"},
    "tokenize": {"max_length": 64, "block_size": 32},
    "device": {"name": "cpu", "precision": "fp32", "threads": 1},
    "prompt": {"system": "auto"},
    "model": {"base": "tiny"},
    "train": {"epochs": 2, "per_device_batch_size": 8, "learning_rate": 0.01, "keep": "last"},
    "evaluate": {"show": 2, "generate": 4, "generate_known": 3, "bootstrap_resamples": 100},
    "generation": {"max_new_tokens": 8, "lookup": 0},
    "tracking": {"enabled": False},
}


def colour_rows(count: int) -> list[tuple[str, str]]:
    """Questions of different lengths with their answers, all different."""
    things, colours = THINGS.split(), COLOURS.split()
    return [
        (
            f"Which paint does the {things[i % 15]} of {things[(i // 15 + 7 * i) % 15]}{i} get{' today' * (i % 3)}?",
            f"It gets {colours[i % 5]} paint{', number ' + str(i) if i % 2 else ''}.",
        )
        for i in range(count)
    ]


def save_base(folder: Path, vocabulary: int = 400) -> Path:
    """Write a GPT-2 of two layers with random weights, and a tokenizer trained on colour_rows."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config

    from lockstep.modeling.model import save_model
    from lockstep.pretrained.tokenizer import set_pad_token, train_tokenizer

    texts = [f"Question: {question}\nAnswer: {answer}" for question, answer in colour_rows(60)]
    tokenizer = train_tokenizer(texts, vocabulary, CONTEXT)
    set_pad_token(tokenizer, None)
    torch.manual_seed(3)
    shape = {"n_positions": CONTEXT, "n_embd": 32, "n_layer": 2, "n_head": 2}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **shape)
    save_model(AutoModelForCausalLM.from_config(config), tokenizer, folder)
    return folder


def copy_sources() -> None:
    """Copy the sources and .dvcignore into the current folder."""
    for folder in ("stages", "lockstep"):
        shutil.copytree(ROOT / folder, folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dvcignore", ".dvcignore")


def command_line(name: str) -> list[str]:
    """The command line of a stage, the chat, the server or another command."""
    is_stage = (ROOT / "stages" / f"{name}.py").exists()
    return [sys.executable, "-m", *([f"stages.{name}"] if is_stage else ["lockstep", name])]


def command_main(name: str) -> Callable[[], None]:
    """The main() of a stage or another command."""
    package = "stages" if (ROOT / "stages" / f"{name}.py").exists() else "lockstep.cli"
    main: Callable[[], None] = importlib.import_module(f"{package}.{name}").main
    return main


class Project:
    """A folder with params.yaml as shipped but smaller, dvc.yaml, presets, data and a base model."""

    def __init__(self, folder: Path, base: Path, monkeypatch: pytest.MonkeyPatch, like: Path | None = None) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # nothing here has to outlive a power cut
        if like is not None:
            shutil.copytree(like, folder)
            monkeypatch.chdir(folder)
            self.params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
            return
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")
        shutil.copytree(ROOT / "presets", "presets")
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for section, values in SMALL.items():
            self.set(section, **values)
        rows = [f'"{question}","{answer}"' for question, answer in colour_rows(60)]
        self.put("data/raw/colours.csv", "\n".join(["question,answer", *rows]) + "\n")
        self.put("data/raw/corrections.jsonl", "")
        self.add_base(base)

    def add_base(self, source: Path, name: str = "tiny") -> None:
        """Give the project a base, as the stage leaves it; its source lies in models/NAME, as the embedded base does."""
        from lockstep.bases.own import add_base

        shutil.copytree(source, f"models/{name}")
        if not Path("models/bases.yaml").exists():
            self.put("models/bases.yaml", CATALOGUE)
        add_base(name, f"models/{name}", force=True)

    def set(self, section: str, **values: Any) -> None:
        """Change settings of one section of params.yaml."""
        self.params[section].update(values)
        Path("params.yaml").write_text(yaml.safe_dump(self.params, sort_keys=False), encoding="utf-8")

    def put(self, name: str, content: str) -> Path:
        """Write a file."""
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        return path

    def run(self, *stages: str) -> None:
        """Run stages in this process, one after the other."""
        for stage in stages:
            self.monkeypatch.setattr(sys, "argv", [stage])
            command_main(stage)()

    def command(self, stage: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a stage or another command as people do."""
        return subprocess.run(
            [*command_line(stage), *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, name: str) -> Any:
        """The value in a JSON file."""
        return json.loads(Path(name).read_text(encoding="utf-8"))


def hashes(folder: str | Path) -> dict[str, str]:
    """Name -> hash of each file in a folder and below it, or of the one file."""
    root = Path(folder)
    files = sorted(path for path in root.rglob("*") if path.is_file()) if root.is_dir() else [root]
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
