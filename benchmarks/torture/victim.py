"""The run that is harmed: `dvc repro` in a session of its own, watched, hit at a chosen moment, and waited for."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.torture.project import environment

POLL = 0.005  # seconds between two looks for a process
PATIENCE = 300.0  # seconds after which a run counts as hung


class TooLateError(Exception):
    """The run ended before the moment that was chosen for it."""


@dataclass(frozen=True)
class Ending:
    """How a run ended: exit code (negative: the signal that killed it) and all it said."""

    code: int
    text: str


class Victim:
    """One `dvc repro` of a project. limit: called in the new process before it begins."""

    def __init__(self, project: Path, limit: Callable[[], None] | None = None) -> None:
        self.said = tempfile.TemporaryFile()  # noqa: SIM115  # not a pipe: what outlives the run would keep that open
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=project,
            env=environment(project.parent),
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=limit,
        )

    def stage(self, name: str) -> psutil.Process:
        """The process of a stage, as soon as it is there. Raises TooLateError when the run ends without it."""
        while self.process.poll() is None:
            try:
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    if f"stages.{name}" in child.cmdline():
                        return child
            except psutil.Error:
                pass  # a process that ended while we looked
            time.sleep(POLL)
        raise TooLateError

    def sleep(self, seconds: float) -> None:
        """Let the run go on for a while. Raises TooLateError when it ends meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise TooLateError
            time.sleep(min(POLL, max(until - time.monotonic(), 0)))

    def send_to_group(self, number: int) -> None:
        """What a terminal does on Ctrl-C: the signal reaches every process of the run."""
        os.killpg(self.process.pid, number)

    def wait(self) -> Ending:
        """Wait for DVC itself to end; what it started may outlive it."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.send_to_group(signal.SIGKILL)
            code = self.process.wait()
            return Ending(code, f"{self.text()}\nhung for {PATIENCE:.0f} s")
        return Ending(code, self.text())

    def text(self) -> str:
        """All it has said so far."""
        self.said.seek(0)
        return self.said.read().decode(errors="replace")


def pipeline(project: Path) -> Ending:
    """What `make repro` runs: the check of the settings, then DVC."""
    checked = subprocess.run(
        ["python", "-m", "lockstep", "check"],
        cwd=project,
        env=environment(project.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    if checked.returncode:
        return Ending(checked.returncode, checked.stdout.decode(errors="replace"))
    return Victim(project).wait()


def strays(project: Path) -> list[psutil.Process]:
    """ProcessGroup that work in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(project):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def wait_for_strays(project: Path, seconds: float) -> list[psutil.Process]:
    """Give what a run left behind time to end; returns what is still there."""
    until = time.monotonic() + seconds
    while (left := strays(project)) and time.monotonic() < until:
        time.sleep(0.1)
    return left
