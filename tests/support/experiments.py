"""DVC running a project's stages as processes of their own, and killing them."""

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


def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition comes true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A DVC command under way in the current folder; what it says goes to the file `said`."""
    command = [sys.executable, "-m", "dvc", *arguments]
    with (
        open("../said", "ab") as said,
        subprocess.Popen(command, env=dvc_environment(), stdout=said, stderr=said) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def said() -> str:
    """What commands under `running` have printed."""
    return Path("../said").read_text(encoding="utf-8")


def stages(name: str = "train") -> list[psutil.Process]:
    """ProcessGroup of this project that run a stage, in the project itself or in copies that DVC made of it."""
    here = str(Path.cwd())
    return [
        process
        for process in psutil.process_iter(["cmdline", "environ"])
        if (process.info["cmdline"] or [])[-2:] == ["-m", f"stages.{name}"]
        and (process.info["environ"] or {}).get("DVC_ROOT") == here
    ]


def kill_training(who: str) -> None:
    """Kill the train stage, or the DVC that started it, once a checkpoint is there; wait until the stage is gone."""
    eventually(lambda: list(Path(".checkpoints").glob("*/checkpoint-*/manifest.json")))
    [stage] = stages()
    (stage if who == "stage" else stage.parent()).kill()
    eventually(lambda: not stage.is_running() or stage.status() == psutil.STATUS_ZOMBIE)


def run_in_queue(*names: str) -> None:
    """Start the queue's workers, one for each experiment. They outlive the command, and would hold its pipes open."""
    with running("queue", "start", "--jobs", str(len(names))) as command:
        assert command.wait(timeout=PATIENCE) == 0, said()


def state(name: str) -> str:
    """What the queue says of the latest experiment of this name: Queued, Running, Failed or Success."""
    found = [line.split()[-1] for line in dvc("queue", "status").splitlines() if line.split()[1:2] == [name]]
    return found[-1] if found else ""


def end_workers() -> None:
    """Kill what the queue left running for this project."""
    here = Path.cwd()
    for process in psutil.process_iter(["cmdline", "cwd"]):
        folder = process.info["cwd"]
        if folder and Path(folder).is_relative_to(here) and process.pid != os.getpid():
            process.kill()
