"""The folder and the processes of a command are gone after it, even if it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from projects import ROOT

from lockstep.verify.cleanup_guard import CleanupGuard


def test_a_guarded_folder_is_removed_at_the_end_or_kept(tmp_path: Path) -> None:
    with CleanupGuard("lockstep-test-") as guard:
        (guard.folder / "file").write_text("x")
    assert not guard.folder.exists()
    with CleanupGuard("lockstep-test-", keep=True) as guard:
        pass
    guard.folder.rmdir()


SLEEPER = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


GUARDED = f"""
import subprocess, sys, time
from lockstep.verify.cleanup_guard import CleanupGuard
with CleanupGuard("lockstep-test-") as guard:
    child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}], process_group=0)
    guard.watch(child.pid)
    print(child.pid, guard.folder, flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_guarded_process_group_and_folder_go_when_their_maker_is_killed(number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", GUARDED]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as maker:
        assert maker.stdout is not None
        child, folder = maker.stdout.readline().split()
        eventually_has_child(int(child))
        maker.send_signal(number)
    until = time.monotonic() + 10
    while (Path(folder).exists() or group(int(child))) and time.monotonic() < until:
        time.sleep(0.02)
    assert not Path(folder).exists()
    assert group(int(child)) == []


def group(number: int) -> list[int]:
    """Living processes of a process group."""
    pids = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == number and process.status() != psutil.STATUS_ZOMBIE:
                pids.append(process.pid)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return pids


def eventually_has_child(number: int) -> None:
    until = time.monotonic() + 10
    while len(group(number)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(group(number)) == 2


def test_a_group_that_ended_by_itself_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], process_group=0) as other:
        with CleanupGuard("lockstep-test-") as guard:
            guard.watch(other.pid)
            guard.forget(other.pid)
        assert other.poll() is None
        os.killpg(other.pid, signal.SIGKILL)
