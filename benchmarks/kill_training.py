"""Kill training at random steps, run it again, and compare what comes out with a run that was left alone.

    python -m benchmarks.kill_training --kills 20 --processes 2 --seed 1

Trains a small model on made-up rows in a temporary folder. Each time the stage and all it started get SIGKILL, at a
moment drawn by lot: while a step runs, or while a checkpoint is being written. A line is printed for each kill, and how
many ended with the same bytes; the exit code is 1 when one did not.
"""

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
OUTPUTS = ("models/finetuned", "metrics/train.json", "metrics/plots")
ROWS, EPOCHS, BATCH_ROWS = 130, 2, 8  # rows of data; rows in one step of all processes
GIVE_UP = 300.0  # seconds
CHANGES: dict[str, dict[str, Any]] = {
    "data": {"path": "data/raw/rows.csv"},
    "tokenize": {"max_length": 64, "block_size": 64},
    "model": {
        "base": "scratch",
        "dropout": 0.1,
        "scratch": {"vocab_size": 320, "context": 64, "n_layer": 2, "n_head": 2, "n_embd": 32},
    },
    "device": {"name": "cpu", "precision": "fp32", "threads": 1},
    "tracking": {"enabled": False},
}


def main() -> None:
    """Run the campaign the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="how often to kill (20)")
    parser.add_argument("--processes", type=int, default=1, help="that train together (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_project(Path(folder), wanted.processes)
        same = campaign(Path(folder), wanted.kills, random.Random(wanted.seed))
    print(f"{same} of {wanted.kills} identical, {wanted.processes} process{'es' * (wanted.processes > 1)}")
    sys.exit(same != wanted.kills)


def make_project(folder: Path, processes: int) -> None:
    """A folder with data and settings, prepared and tokenized."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in CHANGES.items():
        params[section] |= values
    params["train"] |= {"epochs": EPOCHS, "per_device_batch_size": BATCH_ROWS // processes, "num_processes": processes}
    params["train"] |= {"learning_rate": 0.01, "checkpoint_minutes": 1e-4}
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/corrections.jsonl").touch()
    rows = [f"What is {n} plus {n * n % 17}{' in words' * (n % 3)}?,It is {n + n * n % 17}." for n in range(ROWS)]
    (folder / "data/raw/rows.csv").write_text("\n".join(["question,answer", *rows]) + "\n", encoding="utf-8")
    for stage in ("prepare", "tokenize"):
        subprocess.run(command(stage), cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)


def campaign(folder: Path, kills: int, lots: random.Random) -> int:
    """Kill and run again `kills` times; returns how often the outputs were those of the uninterrupted run."""
    began = time.monotonic()
    finish(folder)
    seconds = time.monotonic() - began
    expected, steps = outputs(folder), last_step(folder)
    print(f"left alone: {steps} steps, {seconds:.0f} s", flush=True)
    same = 0
    for number in range(1, kills + 1):
        step, writing, delay = lots.randint(1, steps - 1), lots.random() < 0.5, lots.random() * 0.3
        left = kill_at(folder, step, writing, delay)
        finish(folder)
        identical = outputs(folder) == expected
        same += identical
        moment = "while its checkpoint was written" if writing else f"{delay:.2f} s after its checkpoint"
        print(f"{number:3}: step {step:2}, {moment}; {left}; {'identical' if identical else 'DIFFERENT'}", flush=True)
    return same


def kill_at(folder: Path, step: int, writing: bool, delay: float) -> str:
    """Start training, kill it and all processes it started, and describe the checkpoints that are left.

    writing: kill as soon as the checkpoint of this step is begun, else `delay` seconds after it is complete.
    """
    shutil.rmtree(folder / ".checkpoints", ignore_errors=True)
    stage = subprocess.Popen(
        command("train"), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until = time.monotonic() + GIVE_UP
    while not any(reached(path, step, complete=not writing) for path in checkpoints(folder)):
        if stage.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"training ended, or did not get on, before step {step}")
        time.sleep(0.001)
    time.sleep(0 if writing else delay)
    everyone = psutil.Process(stage.pid).children(recursive=True)
    for process in [psutil.Process(stage.pid), *everyone]:
        process.kill()
    stage.wait()
    psutil.wait_procs(everyone)
    complete = [number_of(path) for path in checkpoints(folder) if (path / "manifest.json").exists()]
    broken = len(checkpoints(folder)) - len(complete)
    return f"whole checkpoints {sorted(complete)}, broken {broken}"


def checkpoints(folder: Path) -> list[Path]:
    """The folders of checkpoints, complete or not."""
    return list(folder.glob(".checkpoints/*/checkpoint-*"))


def number_of(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def reached(checkpoint: Path, step: int, complete: bool) -> bool:
    """Whether a checkpoint is of this step or a later one; with `complete`, whether it has a manifest too."""
    return number_of(checkpoint) >= step and (not complete or (checkpoint / "manifest.json").exists())


def finish(folder: Path) -> None:
    """Run training to its end."""
    subprocess.run(command("train"), cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)


def outputs(folder: Path) -> dict[str, str]:
    """Name -> hash of everything training wrote."""
    files: Sequence[Path] = [path for name in OUTPUTS for path in sorted([folder / name, *(folder / name).rglob("*")])]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.is_file()
    }


def last_step(folder: Path) -> int:
    """Steps of the finished run."""
    return int(yaml.safe_load((folder / "metrics/train.json").read_text(encoding="utf-8"))["steps"])


def command(stage: str) -> list[str]:
    """How to run a stage."""
    return [sys.executable, "-m", f"stages.{stage}"]


def environment() -> dict[str, str]:
    """For a stage that runs in a folder of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    main()
