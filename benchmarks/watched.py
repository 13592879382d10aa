"""What a command costs: seconds, memory of it and all processes it starts, processor time."""

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Cost:
    """seconds: wall clock. peak_mb: most memory that all processes held at once; pages that several share count once
    where the system tells (Linux), those of mapped files count too. largest_mb: of one process, as the system noted.
    processor_seconds: of all processes and cores together. cores: those per second of wall clock."""

    seconds: float
    processor_seconds: float
    peak_mb: float
    largest_mb: float
    cores: float


def watched(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end. Raises CalledProcessError, with all it said, where it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        peak = [0.0]
        threading.Thread(target=_watch, args=(process.pid, peak), daemon=True).start()
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output=said)
    worked = usage.ru_utime + usage.ru_stime
    largest = usage.ru_maxrss / 1e3  # kilobytes on Linux
    return Cost(
        round(seconds, 2), round(worked, 2), round(max(*peak, largest)), round(largest), round(worked / seconds, 2)
    )


def _watch(pid: int, peak: list[float]) -> None:
    """Note the most memory of a process and its descendants while there are any."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            peak[0] = max(peak[0], sum(map(_megabytes, [root, *root.children(recursive=True)])))
            time.sleep(POLL_SECONDS)
    except psutil.NoSuchProcess:
        return


def _megabytes(process: psutil.Process) -> float:
    try:
        memory = process.memory_full_info()
        return float(getattr(memory, "pss", memory.rss)) / 1e6
    except psutil.Error:
        return 0.0
