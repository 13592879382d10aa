"""What the processes of a launched stage say on stderr: warnings are passed on, the rest is judged when they end."""

import re
import signal
import subprocess
import sys
import threading
from collections import deque

from lockstep.core.errors import LockstepError, Stopped

KEPT_LINES = 400
WARNING, ERROR, STOPPED = "warning: ", "error: ", "stopped"
TOLD = ("Connection closed by peer", "Connection reset by peer", "NCCL", "ProcessGroup")  # another process is gone
ENDED = re.compile(r"rank\s*: (\d+) .*\n\s*exitcode\s*: (-?\d+)")  # in torchrun's table of failures
OF_PROCESS = re.compile(r"\[rank(\d+)\]: (.*)")  # a line of a traceback


class Relayed(threading.Thread):
    """Reads the launcher's stderr, which all its processes share, to the end."""

    def __init__(self, launcher: "subprocess.Popen[str]") -> None:
        super().__init__(daemon=True)
        self.source = launcher.stderr
        self.warnings: set[str] = set()
        self.error = self.stopped = ""
        self.kept: deque[str] = deque(maxlen=KEPT_LINES)
        self.start()

    def run(self) -> None:
        for line in self.source or ():
            line = line.rstrip("\n")
            if line.startswith(WARNING):
                if line not in self.warnings:  # each process may give it
                    self.warnings.add(line)
                    print(line, file=sys.stderr, flush=True)
            elif line.startswith(ERROR):
                self.error = self.error or line.removeprefix(ERROR)
            elif line.startswith(STOPPED):
                self.stopped = max(self.stopped, line.removeprefix(STOPPED).removeprefix(": "), key=len)
            else:
                self.kept.append(line)

    def raise_problem(self, exit_code: int, reason: str, together: str, remedy: str) -> None:
        """Raise what went wrong, if anything did, as the stage would have alone: Stopped or LockstepError.

        exit_code: the launcher's. reason: why it was asked to stop, if it was. together: "2 that train together".
        remedy: what to do when one of them was killed or failed.
        """
        if self.error:
            raise LockstepError(self.error)
        if self.stopped and (reason or exit_code == 0):  # else torchrun stopped the others because one had failed
            raise Stopped(self.stopped)
        if exit_code == 0:
            return
        if reason:
            raise Stopped(f"{reason}; nothing new was saved")
        raise LockstepError(self._cause(together), remedy)

    def _cause(self, together: str) -> str:
        """Which process failed first, and why; a traceback is printed."""
        codes = {int(number): int(code) for number, code in ENDED.findall("\n".join(self.kept))}
        killed = [number for number, code in codes.items() if code < 0 and code != -signal.SIGTERM]
        if killed:
            name = signal.Signals(-codes[killed[0]]).name
            want = ", perhaps for want of memory" if name == "SIGKILL" else ""
            return f"Process {killed[0]} of the {together} was killed ({name}{want})."
        said: dict[int, list[str]] = {}
        for line in self.kept:
            if found := OF_PROCESS.match(line):
                said.setdefault(int(found[1]), []).append(found[2])
        own = [number for number, lines in said.items() if not any(word in "\n".join(lines) for word in TOLD)]
        for number in own or said:
            print("\n".join(said[number]), file=sys.stderr)
            return f"Process {number} of the {together} failed: {said[number][-1].rstrip('.')}."
        print("\n".join(self.kept), file=sys.stderr)
        return f"The {together} ended unexpectedly."
