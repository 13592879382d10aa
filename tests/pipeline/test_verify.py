"""`make verify` on the real stages: a small project comes out the same, and a seed taken from the clock is found."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from repositories import commit, dvc, dvc_environment, git, make_repository

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A small project in which all stages have run and everything is committed."""
    folder = tmp_path_factory.mktemp("verify") / "project"
    with pytest.MonkeyPatch.context() as patch:
        make_repository(folder, base, patch)
        dvc("repro")
        commit()
    return folder


@pytest.fixture
def inside(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)


def verify() -> tuple[int, list[str], str]:
    command = [sys.executable, "-m", "lockstep", "verify"]
    done = subprocess.run(command, env=dvc_environment(), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_a_small_project_comes_out_bit_exact(inside: None) -> None:
    code, lines, errors = verify()
    assert (code, errors) == (0, "")
    stages = ("base", "evaluate", "export", "prepare", "tokenize", "train")
    assert sorted(lines[1:-1]) == [f"{stage:<10}bit-exact" for stage in stages]
    declared = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"].values()
    outputs = sum(len(stage.get(kind, [])) for stage in declared for kind in ("outs", "metrics", "plots"))
    assert lines[-1].endswith(f"bit for bit: {outputs} outputs of 6 stages")
    assert git("status", "--short") == ""


def test_a_seed_taken_from_the_clock_is_found(inside: None) -> None:
    path = Path("lockstep/training/trainer.py")
    code = path.read_text(encoding="utf-8")
    assert code.count(" seed=setup.seed,") == 1
    path.write_text(code.replace(" seed=setup.seed,", " seed=__import__('time').time_ns() % 2**31,"), encoding="utf-8")
    dvc("repro")
    commit()
    ended, lines, errors = verify()
    assert (ended, errors) == (1, "")
    assert sorted(lines[1:4]) == ["base      bit-exact", "prepare   bit-exact", "tokenize  bit-exact"]
    assert lines[4] == "train     different: metrics/plots/epochs.csv and 3 of its other outputs"
    assert lines[5:7] == [
        "evaluate  different: it reads what train wrote",
        "export    different: it reads what train wrote",
    ]
    assert lines[7].endswith("train is the first stage that differs, in metrics/plots/epochs.csv")
