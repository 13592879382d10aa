"""How a stage ends before its work is done: on SIGTERM, and with the process that started it."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import ROOT

STAGE = f"""
import sys, time
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from lockstep.core.entry_point import run_stage
from lockstep.core.atomic_files import whole_folder

def main():
    with whole_folder(Path("output")) as folder:
        (folder / "half").write_text("1")
        time.sleep(60)

run_stage("train", main)
"""
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stderr=open("errors", "w"))
time.sleep(60)
"""


def eventually(condition: Callable[[], bool]) -> bool:
    """Whether a condition comes true within half a minute."""
    until = time.monotonic() + 30
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def test_sigterm_ends_a_stage_with_what_it_had_half_written_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen([sys.executable, "-c", STAGE], stderr=subprocess.PIPE, text=True) as stage:
        assert eventually(Path("output.partial/half").exists)
        stage.send_signal(signal.SIGTERM)
        errors = stage.communicate(timeout=30)[1]
    assert (stage.returncode, errors) == (130, "stopped: stopped by SIGTERM\n")
    assert list(tmp_path.iterdir()) == []


def test_a_stage_ends_at_once_when_the_process_that_started_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with subprocess.Popen([sys.executable, "-c", PARENT, STAGE]) as parent:
        assert eventually(Path("output.partial/half").exists)
        parent.kill()
    assert eventually(lambda: Path("errors").read_text() == "stopped: the process that started it is gone\n")
    assert not Path("output").exists()
