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
    """seconds: wall clock. processor_seconds: of all processes and cores together. cores: those per second of wall
    clock. peak_mb: most memory that all processes held at once; pages that several share count once where the system
    tells (Linux), those of mapped files count too. largest_mb: most that one process held."""

    seconds: float
    processor_seconds: float
    cores: float
    peak_mb: float
    largest_mb: float


@dataclass(slots=True)
class Peak:
    """The most memory so far, in megabytes: of all processes together, and of one."""

    together: float = 0.0
    one: float = 0.0

    def look(self, processes: list[psutil.Process]) -> None:
        """Update the peaks with what the processes hold now."""
        together = 0.0
        for process in processes:
            try:
                memory = process.memory_full_info()
                together += getattr(memory, "pss", memory.rss) / 1e6
                self.one = max(self.one, _highest(process.pid) or memory.rss / 1e6)
            except (psutil.Error, OSError):  # it has just ended
                continue
        self.together = max(self.together, together)


def watched(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> Cost:
    """Run a command to its end. Raises CalledProcessError, with its output, where it fails."""
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        peak = Peak()
        watcher = threading.Thread(target=_watch, args=(process.pid, peak), daemon=True)
        watcher.start()
        output = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        watcher.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output=output)
    worked = usage.ru_utime + usage.ru_stime
    together = max(peak.together, peak.one)
    return Cost(round(seconds, 2), round(worked, 2), round(worked / seconds, 2), round(together), round(peak.one))


def _watch(pid: int, peak: Peak) -> None:
    """Note what a process and its descendants hold while there are any."""
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            peak.look([root, *root.children(recursive=True)])
            time.sleep(POLL_SECONDS)
    except psutil.NoSuchProcess:
        return


def _highest(pid: int) -> float | None:
    """The most memory a process ever held, in megabytes, where Linux tells."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(lines[0].split()[1]) * 1024 / 1e6 if lines else None
