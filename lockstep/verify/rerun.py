"""Runs the whole pipeline again in a clone."""

import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lockstep.core.console import StatusLine
from lockstep.core.errors import LockstepError
from lockstep.verify.clean_clone import clone_environment
from lockstep.verify.cleanup_guard import CleanupGuard

STAGE_STARTS = re.compile(r"Running stage '(.+)':")  # what DVC prints
KEPT_LINES = 50  # of the output, for the reason of a failure


def rerun(project: Path, guard: CleanupGuard) -> Iterator[str]:
    """Run every stage of the project again; yields the name of each when it is done.

    guard: kills DVC if the caller ends first. Raises LockstepError with a stage's own error if the stage fails.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--force"]
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    options |= {"encoding": "utf-8", "errors": "replace", "process_group": 0}
    stage, last_lines = "", deque[str](maxlen=KEPT_LINES)
    # Not in a `with`, which would wait for the end of a run that the caller gives up. The guard ends it.
    process = subprocess.Popen(command, cwd=project, env=clone_environment(project), **options)
    guard.watch(process.pid)
    with StatusLine() as status:
        for line in process.stdout or ():
            if match := STAGE_STARTS.match(line):
                status.clear()
                if stage:
                    yield stage
                stage = match[1]
                status.update(f"{stage:<10}running")
            elif stage and line.startswith(stage) and "%" in line:
                status.update(line.rstrip())
            last_lines.append(line.strip())
    exit_code = process.wait()
    guard.forget(process.pid)
    if exit_code:
        reason = _failure_reason(last_lines)
        raise LockstepError(f"{stage or 'The pipeline'} does not run in a fresh clone: {reason}")
    if stage:
        yield stage


def _failure_reason(lines: deque[str]) -> str:
    """The last error of a stage among lines of output, else the last line that is not an error of DVC's."""
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    others = [line for line in lines if line and not line.startswith("ERROR: ")]
    return (errors or others or ["it said nothing"])[-1]
