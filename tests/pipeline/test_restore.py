"""Restoring from DVC: the last good model, earlier runs, and bytes that changed on the disk."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from experiments import eventually, kill_training, running, stages
from projects import ROOT, Project, hashes
from repositories import commit, dvc, dvc_environment
from training_runs import flip_bit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KEPT = ("data/prepared", "data/tokenized", "models/finetuned", "models/export", "metrics", "dvc.lock")
ARROW = "data/tokenized/train/data-00000-of-00001.arrow"
WEIGHTS = "models/finetuned/model.safetensors"


def kept() -> dict[str, dict[str, str]]:
    """Hashes of what DVC and git give back."""
    return {name: hashes(name) for name in KEPT}


def make(*targets: str) -> subprocess.CompletedProcess[str]:
    """Run targets of the Makefile with this Python instead of the one that `make setup` would put in .venv."""
    command = ["make", "--file", str(ROOT / "Makefile"), "READY=", *targets]
    options = {"capture_output": True, "text": True, "check": False}
    return subprocess.run(command, env=dvc_environment(), **options)  # type: ignore[call-overload, no-any-return]


def restored() -> dict[str, dict[str, str]]:
    done = make("restore")
    assert done.returncode == 0, done.stderr
    return kept()


def cached(path: str) -> Path:
    """The file in DVC's cache that holds the same bytes as a file of the project."""
    content = Path(path).read_bytes()
    return next(copy for copy in Path(".dvc/cache/files").rglob("*") if copy.is_file() and copy.read_bytes() == content)


@pytest.mark.parametrize("who", ["stage", "dvc"])
def test_the_last_good_model_is_restored_after_a_kill_that_left_none(repository: Project, who: str) -> None:
    before = kept()
    repository.set("train", learning_rate=0.02)
    with running("repro") as process:
        kill_training(who)
        process.wait(timeout=60)
    assert not Path("models/finetuned").exists()
    assert restored() == before
    assert repository.params["train"]["learning_rate"] == 0.02
    assert "learning_rate: 0.02" in Path("params.yaml").read_text()


def test_data_that_the_user_added_to_dvc_is_not_touched(repository: Project) -> None:
    mine = repository.put("data/raw/mine.csv", "question,answer\na,b\n")
    dvc("add", "data/raw/mine.csv")
    commit("Mine")
    mine.chmod(0o644)
    mine.write_text("question,answer\na,c\n")
    restored()
    assert mine.read_text() == "question,answer\na,c\n"


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_model_is_restored(repository: Project, damage: str) -> None:
    before = kept()
    dvc("status")  # from here on DVC knows times and sizes, and believes them
    if damage == "flip":
        flip_bit(Path(WEIGHTS))
    elif damage == "truncate":
        os.truncate(WEIGHTS, 1000)
    else:
        shutil.rmtree("models/finetuned")
        shutil.rmtree("models/export")
    assert restored() == before


def test_a_damaged_lock_is_restored(repository: Project) -> None:
    before = kept()
    os.truncate("dvc.lock", 300)
    assert restored() == before


def test_after_a_finished_change_the_committed_model_is_restored_and_the_change_is_not_lost(
    repository: Project,
) -> None:
    before = kept()
    repository.set("train", epochs=2)
    dvc("repro", "train")
    changed = hashes("models/finetuned")
    assert restored() == before
    assert "is cached - skipping run" in dvc("repro", "train")
    assert hashes("models/finetuned") == changed


def test_a_file_missing_from_the_cache_is_named_with_the_commands_that_bring_it_back(repository: Project) -> None:
    before = hashes("models/finetuned")
    copy = cached(WEIGHTS)
    flip_bit(copy)
    flip_bit(Path(WEIGHTS))
    done = make("restore")
    assert done.returncode != 0
    assert re.search("DVC's cache.*`dvc pull`.*`make repro`", done.stderr)
    dvc("repro", "train")
    assert hashes("models/finetuned") == before


@pytest.mark.parametrize("too", ["the file", "its copy in the cache"])
def test_the_remedy_for_a_flipped_bit_heals_it(repository: Project, too: str) -> None:
    before = kept()
    dvc("status")  # from here on DVC knows times and sizes, and believes them
    copy = cached(ARROW)
    flip_bit(Path(ARROW))
    if too == "its copy in the cache":
        flip_bit(copy)
    repository.set("train", epochs=2)
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "repro", "train"],
        env=dvc_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search(rf"error: {ARROW} .*`make recheck repro`.*\n", done.stderr)
    assert make("recheck").returncode == 0
    dvc("repro", "train")
    assert hashes("data/tokenized") == before["data/tokenized"]
    assert "model.safetensors" in hashes("models/finetuned")


def test_parameters_a_b_a_are_restored_the_third_time_not_trained(repository: Project) -> None:
    first = kept()
    repository.set("train", epochs=2)
    assert "Running stage 'train'" in dvc("repro")
    assert kept() != first
    repository.set("train", epochs=40)
    output = dvc("repro")
    assert "Stage 'train' is cached - skipping run, checking out outputs" in output
    assert re.findall(r"Running stage '(\w+)'", output) == ["evaluate"]  # what it writes is in git, not in DVC's cache
    assert kept() == first


def test_of_two_runs_at_once_the_second_is_refused_and_the_first_finishes(repository: Project) -> None:
    repository.set("train", learning_rate=0.02)
    with running("repro", "train") as first:
        eventually(stages)
        check = repository.command("check")
        assert (check.returncode, check.stdout) == (2, "")
        assert re.fullmatch(rf"error: .*\(process {first.pid}\).* run again\.\n", check.stderr)
        second = subprocess.run(
            [sys.executable, "-m", "dvc", "repro"], env=dvc_environment(), capture_output=True, text=True, check=False
        )
        assert second.returncode != 0
        assert f"is busy, it is being blocked by:\n  (PID {first.pid})" in second.stderr
        assert first.wait(timeout=240) == 0
    assert repository.command("check").returncode == 0
    commit()
