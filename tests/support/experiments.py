"""Helpers for tests in which DVC runs stages as processes: start DVC, find its stages, kill them, read its queue."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from repositories import dvc, dvc_environment

PATIENCE = 120.0  # seconds
OUTPUT = Path("../output")  # beside the project, whose files DVC compares


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition is true; fails after PATIENCE."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A DVC command under way in the current folder, whose output goes to the file OUTPUT."""
    command = [sys.executable, "-m", "dvc", *arguments]
    with (
        OUTPUT.open("ab") as output,
        subprocess.Popen(command, env=dvc_environment(), stdout=output, stderr=output) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def printed() -> str:
    """The output so far of all commands under `running`."""
    return OUTPUT.read_text(encoding="utf-8")


def stages(name: str = "train") -> list[psutil.Process]:
    """The processes that run a stage, in this project or in a copy that DVC made of it."""
    here = str(Path.cwd())
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [])[-2:] == ["-m", f"stages.{name}"]
        and (process.info["environ"] or {}).get("DVC_ROOT") == here
    ]


def kill_training(who: str) -> None:
    """Kill the train stage, or the DVC that started it, after its first checkpoint; wait until the stage has ended.

    who: 'stage' or 'dvc'.
    """
    eventually(lambda: list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json")))
    [stage] = stages()
    (stage if who == "stage" else stage.parent()).kill()
    eventually(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)


def run_in_queue(*names: str) -> None:
    """Start the queue's workers, one for each experiment. They outlive the command and would keep its pipes open."""
    with running("queue", "start", "--jobs", str(len(names))) as command:
        assert command.wait(timeout=PATIENCE) == 0, printed()


def state(name: str) -> str:
    """The state in the queue of the latest experiment of this name: Queued, Running, Failed or Success; '' for none."""
    states = [line.split()[-1] for line in dvc("queue", "status").splitlines() if line.split()[1:2] == [name]]
    return states[-1] if states else ""


def kill_workers() -> None:
    """Kill the processes that the queue left in this project."""
    here = Path.cwd()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        folder = process.info["cwd"]
        if folder and Path(folder).is_relative_to(here) and process.pid != os.getpid():
            process.kill()
