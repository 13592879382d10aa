"""A temporary folder and processes that do not outlive the command that made them, however it ends.

A second process, the cleaner, waits until the pipe from the command is closed, which the system does even for a killed
process. Then it kills the processes and removes the folder. It runs this very file, by its path and without the project
on its module path.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

MAX_REMOVALS = 50  # tries to remove the folder, since a process being killed may still write a file into it
RETRY_SECONDS = 0.1  # between two tries


class CleanupGuard:
    """A context manager with a temporary folder of its own, `folder`, and process groups to kill at its end.

    prefix: of the folder's name. keep: leave the folder there.
    """

    def __init__(self, prefix: str, keep: bool = False) -> None:
        self.prefix, self.keep = prefix, keep

    def __enter__(self) -> "CleanupGuard":
        self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        command = [sys.executable, "-I", __file__, "" if self.keep else str(self.folder)]
        # In a session of its own, so that Ctrl-C in the terminal does not reach it.
        self._cleaner = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        return self

    def watch(self, group: int) -> None:
        """Kill this process group, too, at the end. group: its id."""
        self._send(group)

    def forget(self, group: int) -> None:
        """Leave this process group alone: it has ended, and its id may soon be another's."""
        self._send(-group)

    def _send(self, number: int) -> None:
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.write(f"{number}\n")
        self._cleaner.stdin.flush()

    def __exit__(self, *_: object) -> None:
        assert self._cleaner.stdin is not None
        self._cleaner.stdin.close()
        self._cleaner.wait()


def clean_up_after_parent(folder: str) -> None:
    """Wait for the end of standard input, then kill the process groups named there and remove the folder.

    Each line is the id of a group to kill, or, negative, of one to leave alone. folder: '' if none is to be removed.
    """
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        groups = groups | {number} if number > 0 else groups - {-number}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(MAX_REMOVALS if folder else 0):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(RETRY_SECONDS)


if __name__ == "__main__":
    clean_up_after_parent(sys.argv[1])
