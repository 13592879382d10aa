"""The stderr of the processes of a launched stage: warnings are passed on, errors are reported once all have ended."""

import re
import signal
import subprocess
import sys
import threading
from collections import defaultdict, deque

from lockstep.core.errors import LockstepError, Stopped

MAX_KEPT_LINES = 400  # the last ones are enough for torchrun's table and the tracebacks before it
WARNING, ERROR, STOPPED = "warning: ", "error: ", "stopped"  # beginnings of the lines that stages write
# In the traceback of a process that failed only because another one was gone.
LOST_CONNECTION = ("Connection closed by peer", "Connection reset by peer", "NCCL", "ProcessGroup")
EXIT_CODE = re.compile(r"rank\s*: (\d+) .*\n\s*exitcode\s*: (-?\d+)")  # in torchrun's table of failures
ROOT_CAUSE = "Root Cause"  # in torchrun's table, before the entry of the process that failed first
RANK_LINE = re.compile(r"\[rank(\d+)\]: (.*)")  # a line of a traceback


class WorkerOutput(threading.Thread):
    """Reads the launcher's stderr, which all worker processes share, to its end."""

    def __init__(self, launcher: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.stderr = launcher.stderr
        self.warnings: set[str] = set()
        self.error = self.stopped = ""
        self.other_lines: deque[str] = deque(maxlen=MAX_KEPT_LINES)
        self.start()

    def run(self) -> None:
        for line in self.stderr or ():
            line = line.rstrip("\n")
            if line.startswith(WARNING):
                if line not in self.warnings:  # every process may print it
                    self.warnings.add(line)
                    print(line, file=sys.stderr, flush=True)
            elif line.startswith(ERROR):
                self.error = self.error or line.removeprefix(ERROR)
            elif line.startswith(STOPPED):
                self.stopped = max(self.stopped, line.removeprefix(STOPPED).removeprefix(": "), key=len)
            else:
                self.other_lines.append(line)

    def raise_problem(self, exit_code: int, reason: str, workers: str, remedy: str) -> None:
        """Raise Stopped or LockstepError, as a stage in one process would, if the workers were stopped or failed.

        exit_code: the launcher's. reason: why it was asked to stop, or "". workers: what the error calls them, such as
        "2 that train together". remedy: what to do when one of them was killed or failed.
        """
        if self.error:
            raise LockstepError(self.error)
        if self.stopped and (reason or exit_code == 0):  # else torchrun stopped the others because one had failed
            raise Stopped(self.stopped)
        if exit_code == 0:
            return
        if reason:
            raise Stopped(f"{reason}; nothing new was saved")
        raise LockstepError(self._cause(workers), remedy)

    def _cause(self, workers: str) -> str:
        """Which process failed first, and why. Its traceback is printed."""
        # torchrun lists the first failure last. Processes that don't end in time are killed by it, so several may be.
        others, _, root_cause = "\n".join(self.other_lines).partition(ROOT_CAUSE)
        codes = [(int(rank), int(code)) for part in (root_cause, others) for rank, code in EXIT_CODE.findall(part)]
        killed = [(rank, -code) for rank, code in codes if code < 0 and code != -signal.SIGTERM]
        if killed:
            rank, number = killed[0]
            name = signal.Signals(number).name
            hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
            return f"Process {rank} of the {workers} was killed ({name}{hint})."
        tracebacks = self._tracebacks()
        if not tracebacks:
            print("\n".join(self.other_lines), file=sys.stderr)
            return f"The {workers} ended unexpectedly."
        causes = [rank for rank, text in tracebacks.items() if not any(word in text for word in LOST_CONNECTION)]
        rank = next(iter(causes or tracebacks))
        print(tracebacks[rank], file=sys.stderr)
        last_line = tracebacks[rank].rpartition("\n")[2]
        return f"Process {rank} of the {workers} failed: {last_line.rstrip('.')}."

    def _tracebacks(self) -> dict[int, str]:
        """Rank -> the lines that torchrun marked as its."""
        lines: dict[int, list[str]] = defaultdict(list)
        for line in self.other_lines:
            if match := RANK_LINE.match(line):
                lines[int(match[1])].append(match[2])
        return {rank: "\n".join(own) for rank, own in lines.items()}
