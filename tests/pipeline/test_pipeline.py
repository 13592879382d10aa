"""The pipeline as DVC runs it: nothing changed means nothing to do, and a changed setting reruns what reads it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from projects import ROOT, TRAINED, Project, copy_sources, hashes

pytestmark = [pytest.mark.slow]

CHANGES = {  # export reads other stages' settings from their provenance, which changes only once they have run
    "tracking.experiment": [],
    "export.dtype": ["export"],
    "generation.max_new_tokens": ["evaluate", "export"],
    "evaluate.show": ["evaluate"],
    "train.learning_rate": ["train"],
    "prompt.loss_on": ["tokenize"],
    "split.near_duplicate_threshold": ["prepare"],
    "seed": ["evaluate", "prepare", "train"],
}
VALUES = {
    "tracking.experiment": "other",
    "export.dtype": "fp16",
    "prompt.loss_on": "all",
    "split.near_duplicate_threshold": 0.7,
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A project with the sources, in which `dvc repro` has run."""
    folder = tmp_path_factory.mktemp("repository") / "project"
    with pytest.MonkeyPatch.context() as patch:
        project = Project(folder, base, patch)
        project.put("data/raw/corrections.jsonl", "")
        copy_sources()
        dvc("init", "--no-scm")
        output = dvc("repro")
        assert all(f"Running stage '{stage}'" in output for stage in TRAINED)
    return folder


def dvc(*arguments: str) -> str:
    """Run DVC in the current folder; returns its output."""
    places = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    caches = {"DVC_SITE_CACHE_DIR": str(Path("../dvc-site").absolute()), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, env={**os.environ, **places, **caches}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(repository)
    return repository


def test_a_second_run_has_nothing_to_do(inside: Path) -> None:
    before = hashes("dvc.lock")
    assert "Data and pipelines are up to date." in dvc("repro")
    assert hashes("dvc.lock") == before


def test_a_forced_run_gives_the_same_lock_byte_for_byte(inside: Path) -> None:
    before = hashes("dvc.lock") | hashes("metrics")
    shutil.rmtree(".dvc/tmp", ignore_errors=True)
    dvc("repro", "--force", "--no-run-cache")
    assert hashes("dvc.lock") | hashes("metrics") == before


def changed_stages() -> list[str]:
    """Stages that DVC would run for a reason of their own, not because of an output before them."""
    status = json.loads(dvc("status", "--json"))
    return sorted(
        stage
        for stage, reasons in status.items()
        if any("params.yaml" in reason.get("changed deps", {}) for reason in reasons if isinstance(reason, dict))
    )


@pytest.mark.parametrize("key", CHANGES)
def test_a_changed_setting_reruns_exactly_the_stages_that_read_it(inside: Path, key: str) -> None:
    before = Path("params.yaml").read_text(encoding="utf-8")
    params = yaml.safe_load(before)
    values = params
    *sections, name = key.split(".")
    for section in sections:
        values = values[section]
    values[name] = VALUES.get(key, values[name] * 2)
    Path("params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    try:
        assert changed_stages() == CHANGES[key]
    finally:
        Path("params.yaml").write_text(before, encoding="utf-8")


def test_sigterm_ends_a_running_command_with_its_work_saved_and_the_next_ends_with_the_same_bytes(
    after: Project,
) -> None:
    after.set("train", epochs=40, checkpoint_minutes=0.001)
    after.run("train")
    uninterrupted = hashes("models/finetuned") | hashes("metrics/train.json")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-m", "stages.train"], env=environment, stderr=subprocess.PIPE, text=True
    ) as run:
        until = time.monotonic() + 60
        while not list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json")) and time.monotonic() < until:
            time.sleep(0.02)
        run.send_signal(signal.SIGTERM)
        error = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert error.startswith("stopped: ")
    assert "saved at step " in error
    assert error.count("\n") == 1
    after.run("train")
    assert hashes("models/finetuned") | hashes("metrics/train.json") == uninterrupted


def test_a_stage_whose_parent_dies_saves_and_ends(after: Project) -> None:
    after.set("train", epochs=4000, checkpoint_minutes=0.001)
    parent = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'stages.train'], stderr=open('errors', 'w'))\n"
        "open('child', 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", parent], env=environment) as process:
        assert eventually(lambda: bool(list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json"))))
        process.kill()
    assert eventually(lambda: "the process that started it is gone" in Path("errors").read_text())


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False
