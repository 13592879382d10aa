"""Clones a commit elsewhere, with the inputs that git does not hold, so that it can run again without side effects."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from lockstep.core.checksums import files_below, is_intact
from lockstep.core.console import say
from lockstep.core.errors import LockstepError
from lockstep.core.git import run_git
from lockstep.core.paths import DVC_LOCK, PARAMS, PIPELINE, expand_home
from lockstep.core.provenance import CODE_FOLDERS
from lockstep.core.settings import load_params
from lockstep.pretrained.base import base_origin, base_path, is_pretrained
from lockstep.review.revisions import read_at
from lockstep.verify.dvc_lock import RUN_AND_COMMIT, Lock, inputs_of, parse_lock, producer_of

MAX_NAMES = 5  # in one error
# Variables that would lead git or DVC in the clone back to this repository.
NOT_INHERITED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY", "DVC_ROOT")
CLONE_CONFIG = (
    "[core]\n    analytics = false\n    check_update = false\n    autostage = false\n[cache]\n    dir = {cache}\n"
)


def committed_lock(commit: str) -> Lock:
    """dvc.lock as committed. Raises LockstepError where it is missing, broken or lacks a stage."""
    text, pipeline = read_at(commit, DVC_LOCK), read_at(commit, PIPELINE)
    if pipeline is None:
        raise LockstepError(f"{PIPELINE} is not in this commit.", "Run from the project's root folder.")
    if text is None:
        raise LockstepError(f"{DVC_LOCK} is not in this commit, so nothing says what should come out.", RUN_AND_COMMIT)
    lock = parse_lock(text)
    missing = [stage for stage in yaml.safe_load(pipeline)["stages"] if stage not in lock]
    if missing:
        raise LockstepError(f"{DVC_LOCK} has no {_listing(missing)}: not every stage has run.", RUN_AND_COMMIT)
    return lock


def require_committed(lock: Lock) -> None:
    """Raise LockstepError if a file of the pipeline differs from the commit; data that git does not track may."""
    outs = [out for stage in lock.values() for out in stage.outs]
    paths = [str(path) for path in (PIPELINE, DVC_LOCK, PARAMS)] + inputs_of(lock) + outs
    inside = sorted({path for path in paths if not Path(path).is_absolute() and ".." not in Path(path).parts})
    prefix = _git("rev-parse", "--show-prefix")  # git names files from the repository's top
    status = _git("status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--", *inside)
    changed = [(entry[:2], entry[3:].removeprefix(prefix)) for entry in status.split("\0") if entry]
    uncommitted = [path for state, path in changed if state != "??" or _is_code(path)]
    if uncommitted:
        raise LockstepError(
            f"Not committed: {_listing(uncommitted)}. What is verified is a commit.",
            "Commit it, or `git stash`, then run again.",
        )


def prepare_clone(commit: str, lock: Lock, folder: Path) -> Path:
    """Clone a commit into a folder with all its inputs, ready to run; returns the project's folder in the clone.

    Prints a line for each input that git does not hold. Raises LockstepError if the rerun could not come out the same.
    """
    project = clone_commit(commit, folder / "clone")
    params = load_params(project / PARAMS)
    copy_base(params.model.base, project)
    inputs = inputs_of(lock) + ([params.train.accelerate_config] if params.train.accelerate_config else [])
    for copied in copy_inputs(inputs, project, folder):
        say("verify", f"{copied} is not in git; a copy of what is here goes along")
    require_reproducible(project, lock)
    switch_off_reports(project)
    return project


def clone_commit(commit: str, folder: Path) -> Path:
    """Clone the current repository and check a commit out; returns the project's folder in the clone."""
    top, prefix = _git("rev-parse", "--show-toplevel"), _git("rev-parse", "--show-prefix")
    _git("clone", "--quiet", "--no-checkout", top, str(folder))
    _git("-C", str(folder), "-c", "core.hooksPath=/dev/null", "checkout", "--quiet", "--detach", commit)
    project = folder / prefix
    (project / ".dvc").mkdir(exist_ok=True)
    cache = json.dumps(str(project / ".dvc" / "cache"))
    (project / ".dvc" / "config.local").write_text(CLONE_CONFIG.format(cache=cache), encoding="utf-8")
    return project


def copy_base(base: str, project: Path) -> None:
    """Copy a base that is whole here into the clone, where it would be fetched again; git's own is made there anew."""
    folder = base_path(base)
    if not is_pretrained(base) or not is_intact(folder) or (project / folder).exists():
        return
    origin = base_origin(base)
    if origin["source"] in ("folder", "gguf") and (project / origin["from"]).exists():
        return
    shutil.copytree(folder, project / folder)
    say("verify", f"{folder} is not fetched again; a copy of what is here goes along")


def copy_inputs(inputs: Iterable[str], project: Path, folder: Path) -> list[str]:
    """Copy the inputs that git does not hold into the clone; returns their names.

    inputs: paths as dvc.lock has them. project: the project's folder in the clone. folder: nothing is written outside
    it. Raises LockstepError if an input does not exist, or lies where the clone can't have it.
    """
    copied = []
    for name in inputs:
        source, target = expand_home(name), project / name
        if _is_code(name) or source.is_absolute():
            continue  # code must be in git, as `require_reproducible` sees; an absolute path leads to the same place
        if not target.resolve().is_relative_to(folder.resolve()):
            raise LockstepError(f"{name} lies outside the project.", "Put it into data/raw, or give its absolute path.")
        files = [file for file in files_below(source) if not (project / file).exists()]
        for file in files:
            copy = project / file
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.unlink(missing_ok=True)  # a link whose target does not exist in the clone
            shutil.copy2(file, copy)
        if files:
            copied.append(name if source.is_file() else f"{name} ({len(files)} of its files)")
        elif not target.exists():
            raise _missing_input(name)
    return copied


def require_reproducible(project: Path, lock: Lock) -> None:
    """Raise LockstepError if inputs, settings or figures in the clone differ from those in dvc.lock."""
    done = run_dvc(project, "status", "--json")
    try:
        status: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        raise LockstepError(f"DVC can't read this commit: {reason}") from None
    changed: list[str] = []
    for stage, reasons in status.items():
        for reason in reasons:
            changed += _changed_paths(reason, stage, lock)
            tracked = reason.get("changed outs", {}) if stage.endswith(".dvc") else {}
            for name in tracked:
                if not (project / name).exists():
                    raise _missing_input(name)
    if changed:
        names = _listing(dict.fromkeys(changed))
        raise LockstepError(f"{DVC_LOCK} is not that of this commit; changed since: {names}.", RUN_AND_COMMIT)


def switch_off_reports(project: Path) -> None:
    """Keep the rerun from pushing to the Hub and from being tracked. No output depends on these settings."""
    path = project / PARAMS
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["tracking"]["enabled"] = False
    params["export"]["push_to_hub"] = False
    path.write_text(yaml.safe_dump(params, sort_keys=False, allow_unicode=True), encoding="utf-8")


def run_dvc(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a short DVC command in a project; returns its exit code and output."""
    command = [sys.executable, "-m", "dvc", *arguments]
    options: dict[str, Any] = {"capture_output": True, "encoding": "utf-8", "errors": "replace", "check": False}
    return subprocess.run(command, cwd=project, env=clone_environment(project), **options)


def clone_environment(project: Path) -> dict[str, str]:
    """The environment for DVC in the clone: this Python first on PATH, and DVC's index of files beside its cache."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return _inherited_environment() | {
        "PATH": path,
        "DVC_SITE_CACHE_DIR": str(project / ".dvc" / "site"),
        "PYTHONUNBUFFERED": "1",
    }


def _changed_paths(reason: Any, stage: str, lock: Lock) -> list[str]:
    """The paths and settings that one entry of DVC's status reports as changed.

    Outputs of stages are expected to be missing in a clone in which nothing has run.
    """
    if reason == "changed command":
        return [f"{PIPELINE} ({stage})"]
    if not isinstance(reason, dict):
        return []
    changed = [path for path, state in reason.get("changed outs", {}).items() if state != "not in cache"]
    for path, state in reason.get("changed deps", {}).items():
        if isinstance(state, dict):
            changed += [f"{path} ({key})" for key in state]
        elif not (state == "deleted" and producer_of(path, lock)):
            changed.append(path)
    return changed


def _missing_input(name: str) -> LockstepError:
    return LockstepError(f"{name} is neither in git nor here.", "Get it, with `dvc pull` or otherwise.")


def _is_code(path: str) -> bool:
    return path.startswith(CODE_FOLDERS)


def _listing(names: Iterable[str]) -> str:
    """The first MAX_NAMES names, and how many more there are."""
    every = list(names)
    more = len(every) - MAX_NAMES
    return ", ".join(every[:MAX_NAMES]) + (f" and {more} more" if more > 0 else "")


def _inherited_environment() -> dict[str, str]:
    """This process's environment without NOT_INHERITED."""
    return {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}


def _git(*arguments: str) -> str:
    done = run_git(*arguments, environment=_inherited_environment())
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise LockstepError(f"git {arguments[0]} failed: {reason}")
    return done.stdout.rstrip("\n")
