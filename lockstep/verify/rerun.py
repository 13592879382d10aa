"""Runs the whole pipeline in a clone, and says what its outputs are made of."""

import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lockstep.core.console import MovingLine
from lockstep.core.errors import LockstepError
from lockstep.review.compare import flat
from lockstep.verify.clean_clone import clone_environment, run_dvc
from lockstep.verify.cleanup_guard import Guard
from lockstep.verify.dvc_lock import LOCK, Hashes, Lock, cached_files, hash_files, parse_lock
from lockstep.verify.judge import name_first

STARTS = re.compile(r"Running stage '(.+)':")


def rerun(project: Path, guard: Guard) -> Iterator[str]:
    """Run every stage of the project anew; yields the name of each when it is done.

    Raises LockstepError when one fails, with its own error.
    """
    command = [sys.executable, "-m", "dvc", "repro", "--force"]
    options: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    options |= {"encoding": "utf-8", "errors": "replace", "process_group": 0}
    running, said = "", deque[str](maxlen=50)
    # Without `with`: that would wait for the end of a run that is to be given up. The guard ends it.
    process = subprocess.Popen(command, cwd=project, env=clone_environment(project), **options)
    guard.watch(process.pid)
    with MovingLine() as line:
        for text in process.stdout or ():
            if match := STARTS.match(text):
                line.clear()
                if running:
                    yield running
                running = match[1]
                line.update(f"{running:<10}running")
            elif running and text.startswith(running) and "%" in text:
                line.update(text.rstrip())
            said.append(text.strip())
    code = process.wait()
    guard.forget(process.pid)
    if code:
        raise LockstepError(f"{running or 'The pipeline'} does not run in a fresh clone: {_reason(said)}")
    if running:
        yield running


def _reason(said: deque[str]) -> str:
    """A stage's own error, else the last thing said that is not DVC's."""
    errors = [text.removeprefix("error: ") for text in said if text.startswith("error: ")]
    others = [text for text in said if text and not text.startswith("ERROR: ")]
    return (errors or others or ["it said nothing"])[-1]


@dataclass(slots=True)
class Outputs:
    """The committed outputs that are in git: hashes of their files, and what their JSON says, by path of the output."""

    files: dict[str, Hashes] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_outputs(project: Path, lock: Lock) -> Outputs:
    """Read those that are there: in a clone in which nothing has run, the ones that git holds."""
    outputs = Outputs()
    for path in [out for stage in lock.values() for out in stage.outs]:
        if (project / path).exists():
            outputs.files[path] = hash_files(project / path)
        if path.endswith(".json"):
            outputs.values[path] = read_values(project / path)
    return outputs


def read_values(path: Path) -> dict[str, Any]:
    """What a JSON file of metrics holds; nothing where there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def read_lock(project: Path) -> Lock:
    """dvc.lock as it is now."""
    return parse_lock((project / LOCK).read_text(encoding="utf-8"))


def first_file(out: str, committed: Mapping[str, str], outputs: Outputs, project: Path) -> str:
    """The first file in an output that is not as committed; of JSON also the first value.

    committed: hashes of a stage's outputs in the committed dvc.lock. project: the clone after the rerun.
    """
    before: Hashes | None = outputs.files.get(out)
    if before is None:
        before = {".": committed[out]} if out in committed and not committed[out].endswith(".dir") else None
    if before is None and out in committed:
        before = cached_files(Path(run_dvc(Path.cwd(), "cache", "dir").stdout.strip()), committed[out])
    file = name_first(out, before, hash_files(project / out))
    was, now = flat(outputs.values.get(out, {})), flat(read_values(project / out)) if out in outputs.values else {}
    name = next((name for name in {**was, **now} if was.get(name) != now.get(name)), None)
    return file if name is None else f"{file} ({name}: {was.get(name)} -> {now.get(name)})"
