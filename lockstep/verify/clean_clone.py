"""A commit as a fresh clone elsewhere, with the inputs that git does not hold, ready to be run without side effects."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.checksums import files_below
from lockstep.core.errors import LockstepError
from lockstep.core.git import run_git
from lockstep.core.paths import PARAMS
from lockstep.core.provenance import CODE_FOLDERS
from lockstep.review.revisions import read_at
from lockstep.verify.dvc_lock import LOCK, MADE_BY, Lock, inputs_of, maker_of, parse_lock

PIPELINE = Path("dvc.yaml")
SHOWN = 5  # names in one error
# Nothing that points at the repository we stand in, or says that DVC is running us, may reach git or DVC in the clone.
NOT_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "DVC_ROOT")
QUIET = "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n[cache]\n    dir = {cache}\n"


def committed_lock(commit: str) -> Lock:
    """dvc.lock as committed. Raises LockstepError where it is missing or names not every stage."""
    text, pipeline = read_at(commit, LOCK), read_at(commit, PIPELINE)
    if pipeline is None:
        raise LockstepError(f"{PIPELINE} is not in this commit.", "Run from the project's root folder.")
    if text is None:
        raise LockstepError(f"{LOCK} is not in this commit, so nothing says what should come out.", MADE_BY)
    lock = parse_lock(text)
    missing = [stage for stage in yaml.safe_load(pipeline)["stages"] if stage not in lock]
    if missing:
        raise LockstepError(f"{LOCK} has no {_list(missing)}: not every stage has run.", MADE_BY)
    return lock


def require_committed(lock: Lock) -> None:
    """Raise LockstepError where a file of the pipeline differs from the commit. Data that git does not know may."""
    outs = [out for stage in lock.values() for out in stage.outs]
    paths = [str(path) for path in (PIPELINE, LOCK, PARAMS)] + inputs_of(lock) + outs
    inside = sorted({path for path in paths if not Path(path).is_absolute() and ".." not in Path(path).parts})
    prefix = _git("rev-parse", "--show-prefix")  # git names files from the repository's top
    said = _git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *inside)
    changed = [(entry[:2], entry[3:].removeprefix(prefix)) for entry in said.split("\0") if entry]
    wrong = [path for state, path in changed if state != "??" or _is_code(path)]
    if wrong:
        raise LockstepError(
            f"Not committed: {_list(wrong)}. What is verified is a commit.",
            "Commit it, or `git stash`, then run again.",
        )


def clone_commit(commit: str, folder: Path) -> Path:
    """Clone the repository we are in and check a commit out; returns this project's place in the clone."""
    top, prefix = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "--show-prefix")
    _git("clone", "--quiet", "--no-checkout", top, str(folder))
    _git("-C", str(folder), "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit)
    project = folder / prefix
    (project / ".dvc").mkdir(exist_ok=True)
    cache = json.dumps(str(project / ".dvc" / "cache"))
    (project / ".dvc" / "config.local").write_text(QUIET.format(cache=cache), encoding="utf-8")
    return project


def bring_inputs(inputs: Iterable[str], project: Path, folder: Path) -> list[str]:
    """Copy what stages read and git does not hold; returns what was brought along.

    inputs: paths as dvc.lock has them. project: its place in the clone. folder: nothing is written outside it.
    Raises LockstepError where an input is nowhere, or lies where the clone can't have it.
    """
    brought = []
    for name in inputs:
        source, target = Path(name).expanduser(), project / name
        if _is_code(name) or source.is_absolute():
            continue  # code must be in git, as `require_reproducible` sees; an absolute path leads to the same place
        if not target.resolve().is_relative_to(folder.resolve()):
            raise LockstepError(f"{name} lies outside the project.", "Put it into data/raw, or give its absolute path.")
        files = [file for file in files_below(source) if not (project / file).exists()]
        for file in files:
            place = project / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)  # a link that leads nowhere from here
            shutil.copy2(file, place)
        if files:
            brought.append(name if source.is_file() else f"{name} ({len(files)} of its files)")
        elif not target.exists():
            raise _nowhere(name)
    return brought


def require_reproducible(project: Path, lock: Lock) -> None:
    """Raise LockstepError where the clone has other inputs, settings or figures than dvc.lock tells of."""
    done = run_dvc(project, "status", "--json")
    try:
        status: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise LockstepError(f"DVC can't read this commit: {reason}") from None
    odd: list[str] = []
    for stage, reasons in status.items():
        for reason in reasons:
            odd += _changed(reason, stage, lock)
            tracked = reason.get("changed outs", {}) if stage.endswith(".dvc") else {}
            for name in tracked:
                if not (project / name).exists():
                    raise _nowhere(name)
    if odd:
        raise LockstepError(f"{LOCK} is not that of this commit; changed since: {_list(dict.fromkeys(odd))}.", MADE_BY)


def switch_off_reports(project: Path) -> None:
    """Have the rerun neither push to the Hub nor write into a tracker. No output depends on these settings."""
    path = project / PARAMS
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["tracking"]["enabled"] = False
    params["export"]["push_to_hub"] = False
    path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")


def run_dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a DVC command that ends soon."""
    command = [sys.executable, "-m", "dvc", *arguments]
    options: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "check": False}
    return subprocess.run(command, cwd=project, env=clone_environment(project), **options)


def clone_environment(project: Path) -> dict[str, str]:
    """Our environment, with this Python first on PATH, and DVC's notes about files beside its cache."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return _kept_environment() | {
        "PATH": path,
        "DVC_SITE_CACHE_DIR": str(project / ".dvc" / "site"),
        "PYTHONUNBUFFERED": "1",
    }


def _changed(reason: Any, stage: str, lock: Lock) -> list[str]:
    """What one entry of DVC's status says is not as locked; that outputs of stages are not there is as it should be."""
    if reason == "changed command":
        return [f"{PIPELINE} ({stage})"]
    if not isinstance(reason, dict):
        return []
    found = [path for path, state in reason.get("changed outs", {}).items() if state != "not in cache"]
    for path, state in reason.get("changed deps", {}).items():
        if isinstance(state, dict):
            found += [f"{path} ({key})" for key in state]
        elif not (state == "deleted" and maker_of(path, lock)):
            found.append(path)
    return found


def _nowhere(name: str) -> LockstepError:
    return LockstepError(f"{name} is neither in git nor here.", "Get it, with `dvc pull` or otherwise.")


def _is_code(path: str) -> bool:
    return path.startswith(CODE_FOLDERS)


def _list(names: Iterable[str]) -> str:
    every = list(names)
    return ", ".join(every[:SHOWN]) + (f" and {len(every) - SHOWN} more" if len(every) > SHOWN else "")


def _kept_environment() -> dict[str, str]:
    """Our environment without the variables that lead back to the repository we stand in."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def _git(*arguments: str) -> str:
    done = run_git(*arguments, environment=_kept_environment())
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise LockstepError(f"git {arguments[0]} failed: {reason}")
    return done.stdout.rstrip("\n")
