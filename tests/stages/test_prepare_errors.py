"""How prepare ends on bad input: code 2, one line, earlier outputs kept. The lines themselves: tests/cases/."""

import subprocess
import sys
from pathlib import Path

import pytest
from preparing import ROOT, Project, csv_of, faq

from lockstep.core.errors import LockstepError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_failure_leaves_what_was_made_before(project: Project) -> None:
    project.put("data.csv", csv_of(faq(9)))
    project.run()
    before = {path: path.read_bytes() for path in sorted(Path().rglob("*.json*"))}
    project.put("data.csv", csv_of(faq(9)) + "one,two,three\n")
    with pytest.raises(LockstepError, match="line 11"):
        project.run()
    assert {path: path.read_bytes() for path in sorted(Path().rglob("*.json*"))} == before
    assert not Path("data/prepared.partial").exists()


def stage(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True)


def test_command_ends_with_code_2_and_one_line(project: Project) -> None:
    project.put("data.csv", "name,age\nAnn,3\n")
    with pytest.raises(LockstepError):
        project.run()
    done = stage("-m", "stages.prepare")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: data/raw/data.csv: no column")
    assert done.stderr.count("\n") == 1


def test_help_loads_nothing_heavy() -> None:
    done = stage("-X", "importtime", "-m", "stages.prepare", "--help")
    assert done.returncode == 0
    assert "rejects.jsonl" in done.stdout
    assert not any(name in done.stderr for name in ("numpy", "pandas", "pydantic", "torch"))


def test_stage_never_loads_torch(project: Project) -> None:
    project.put("data.csv", csv_of(faq(5)))
    project.run()
    code = (
        "import sys; sys.argv = ['prepare']; from stages.prepare import main; main(); sys.exit('torch' in sys.modules)"
    )
    assert stage("-c", code).returncode == 0
