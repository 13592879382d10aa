"""A folder and processes that do not outlive the command that made them, however it ends.

A second process waits for the first to close a pipe, which the system does even for one that was killed; then it ends
what is left. It runs this very file, by its path and without the project on its module path.
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

TRIES = 50  # a killed process may write one more file into a folder that is being removed
PAUSE = 0.1  # seconds between tries


class Guard:
    """Inside `with`, `folder` is there and is nobody else's; at its end it is removed, unless keep."""

    def __init__(self, prefix: str, keep: bool = False) -> None:
        self.prefix, self.keep = prefix, keep

    def __enter__(self) -> "Guard":
        self.folder = Path(tempfile.mkdtemp(prefix=self.prefix))
        command = [sys.executable, "-I", __file__, "" if self.keep else str(self.folder)]
        # A session of its own: Ctrl-C in the terminal must not reach it.
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)
        return self

    def watch(self, group: int) -> None:
        """End this process group too."""
        self._tell(group)

    def forget(self, group: int) -> None:
        """The group has ended by itself; its number may soon be another's."""
        self._tell(-group)

    def _tell(self, number: int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def clean_up_after_parent(folder: str) -> None:
    """Wait until nobody can write to standard input any more; then end the groups told there and remove the folder."""
    groups: set[int] = set()
    for line in sys.stdin:
        number = int(line)
        groups = groups | {number} if number > 0 else groups - {-number}
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
    for _ in range(TRIES if folder else 0):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            break
        time.sleep(PAUSE)


if __name__ == "__main__":
    clean_up_after_parent(sys.argv[1])
