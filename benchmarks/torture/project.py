"""The project that is harmed: small, with the real stages, its DVC cache, and a run of it that nothing interrupted.

The story behind it: the whole pipeline ran and was committed; then rows were added, and every stage has to run again.
For each stage there is a folder as it was just before that stage of the second run. The cache in it also knows how the
stages after that one ended, so that a fault costs its own stage and not those behind it: DVC restores them when, and
only when, the bytes it gets are those of the run without a fault.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("prepare", "tokenize", "train", "evaluate", "export")
CACHE = Path(".dvc/cache")
SMALL: dict[str, dict[str, Any]] = {
    "data": {"path": "data/raw/paint.csv"},
    "tokenize": {"max_length": 64, "block_size": 32},
    "model": {"base": "scratch"},
    "device": {"name": "cpu", "precision": "fp32", "threads": 1},
    "train": {
        "epochs": 6,
        "per_device_batch_size": 8,
        "learning_rate": 0.01,
        "keep": "best",
        "checkpoint_minutes": 0.002,
    },
    "evaluate": {"show": 2, "generate": 4, "bootstrap_resamples": 100},
    "generation": {"max_new_tokens": 8},
    "tracking": {"enabled": False},
}
SHAPE = {"vocab_size": 400, "context": 128, "n_layer": 2, "n_head": 2, "n_embd": 64}
THINGS = ("kettle", "lantern", "bridge", "violin", "harbour", "meadow", "pencil", "glacier", "orchard", "compass")
COLOURS = ("amber", "green", "violet", "silver", "scarlet")
# What may differ from a run without a fault: places where tools keep their state, and a page that `make repro` lays
# out anew each time.
OWN_STATE = (".git", ".dvc/tmp", ".dvc/cache", "mlflow.db", "mlartifacts", "mlruns", "metrics/report.html")
TRACKER_STATE = ".checkpoints/pipeline_run.json"  # as long as MLflow is asked to take the run


@dataclass(frozen=True)
class Reference:
    """What a run without a fault leaves. files: name -> hash. cache: names of DVC's objects. status: what git says."""

    files: dict[str, str]
    cache: frozenset[str]
    status: str


@dataclass(frozen=True)
class Campaign:
    """templates: stage -> folder just before it. whole, stage: stage -> seconds that `dvc repro`, and the stage in it,
    took from there. tracker: a database of MLflow."""

    templates: dict[str, Path]
    whole: dict[str, float]
    stage: dict[str, float]
    reference: Reference
    tracker: Path


def environment(scratch: Path) -> dict[str, str]:
    """Variables in which every command runs: this Python first on PATH, no network, DVC's index inside `scratch`."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(scratch / "dvc-site"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "HF_HUB_OFFLINE": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "PYTHONDONTWRITEBYTECODE": "1",
        "SHELL": "/bin/sh",  # DVC runs a stage's command in it, and a plain one stays between them
        "TOKENIZERS_PARALLELISM": "false",
    }


def run(folder: Path, *command: str) -> str:
    """Run a command that has to end well, and return what it says."""
    done = subprocess.run(
        command, cwd=folder, env=environment(folder.parent), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def rows(first: int, last: int) -> str:
    """Lines of a CSV file, none like another."""
    lines = []
    for i in range(first, last):
        thing, place = THINGS[i % 10], THINGS[(i // 10 + 3 * i) % 10]
        question = f"Which paint does the {thing} of the {place} number {i} get{' today' * (i % 3)}?"
        lines.append(f'"{question}","It gets {COLOURS[i % 5]} paint{f", number {i}" if i % 2 else ""}."\n')
    return "".join(lines)


def lay_out(folder: Path, count: int) -> None:
    """A project as cloned, smaller, with `count` rows; nothing has run in it."""
    folder.mkdir(parents=True)
    for code in ("stages", "lockstep"):
        shutil.copytree(ROOT / code, folder / code, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", "Makefile", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "models").mkdir()
    shutil.copy(ROOT / "models" / "bases.yaml", folder / "models" / "bases.yaml")
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "data" / "raw" / "paint.csv").write_text("question,answer\n" + rows(0, count))
    (folder / "data" / "raw" / "corrections.jsonl").write_text("")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for section, values in SMALL.items():
        params[section].update(values)
    params["model"]["scratch"] = SHAPE
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(folder, "git", "init", "--quiet", "--initial-branch=main")
    run(folder, "dvc", "init", "--quiet")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    run(folder, "dvc", "config", "--local", "core.check_update", "false")


def commit(folder: Path, message: str) -> None:
    """Commit everything git does not ignore."""
    run(folder, "git", "add", "--all")
    author = ("-c", "user.name=torture", "-c", "user.email=torture@example.org")
    run(folder, "git", *author, "commit", "--quiet", "--message", message)


def build(scratch: Path, count: int = 60, added: int = 20) -> Campaign:
    """Run the pipeline twice and keep the folder before each stage of the second run."""
    project = scratch / "project"
    lay_out(project, count)
    run(project, "dvc", "repro", "--quiet")
    commit(project, "A first run")
    with (project / "data" / "raw" / "paint.csv").open("a") as file:
        file.write(rows(count, count + added))
    commit(project, "Rows added")
    templates, new = {}, {}
    whole: dict[str, float] = {}
    alone: dict[str, float] = {}
    for stage in STAGES:
        templates[stage] = scratch / "templates" / stage
        shutil.copytree(project, templates[stage], symlinks=True)
        before, began = set(files_in(project / CACHE)), time.monotonic()
        run(project, "dvc", "repro", "--quiet", stage)
        whole[stage] = time.monotonic() - began
        new[stage] = set(files_in(project / CACHE)) - before
        began = time.monotonic()
        run(project, "python", "-m", f"stages.{stage}")
        alone[stage] = time.monotonic() - began
    for stage, template in templates.items():
        for name in set(files_in(project / CACHE)) - new[stage] - set(files_in(template / CACHE)):
            target = template / CACHE / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(project / CACHE / name, target)
    return Campaign(templates, whole, alone, look_at(project), tracker(scratch))


def tracker(scratch: Path) -> Path:
    """An empty database of MLflow; making one takes a while."""
    path = scratch / "mlflow.db"
    code = "import sys, mlflow; mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_experiment('lockstep')"
    run(scratch / "project", "python", "-c", code, f"sqlite:///{path}")
    return path


def look_at(project: Path) -> Reference:
    """The state of a project, to be compared."""
    cache = frozenset(name for name in files_in(project / CACHE) if not name.startswith("runs/"))
    return Reference(hashes(project), cache, run(project, "git", "status", "--porcelain"))


def files_in(folder: Path) -> Iterator[str]:
    """Names of all files below a folder, relative to it."""
    for root, _, names in os.walk(folder):
        for name in names:
            yield (Path(root) / name).relative_to(folder).as_posix()


def hashes(project: Path) -> dict[str, str]:
    """Name -> hash of each file that a run without a fault determines; folders without files too."""
    found = {}
    for root, folders, names in os.walk(project):
        place = Path(root).relative_to(project)
        folders[:] = [name for name in folders if (place / name).as_posix() not in OWN_STATE]
        names = [name for name in names if (place / name).as_posix() not in (*OWN_STATE, TRACKER_STATE)]
        if not folders and not names:
            found[f"{place.as_posix()}/"] = "empty"
        for name in names:
            path = (place / name).as_posix()
            found[path] = hashlib.sha256((project / path).read_bytes()).hexdigest()
    return found
