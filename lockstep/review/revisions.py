"""Reads files of other git revisions, and finds the revision to compare a change with."""

from pathlib import Path

from lockstep.core.errors import LockstepError
from lockstep.core.git import git_output, run_git

MAIN_BRANCHES = ("origin/main", "main", "origin/master", "master")
FETCH_HISTORY = (
    "Fetch the whole history: `git fetch --unshallow origin main`, or `fetch-depth: 0` for actions/checkout."
)
NAME_REVISION = "Name a revision: AGAINST=<commit>."


def merge_base(main: str | None = None) -> str:
    """The commit at which HEAD left `main`, as 40 hex digits. main: None for the first of MAIN_BRANCHES that exists.

    Raises LockstepError if there is no repository or branch, or the history does not reach back so far: an empty
    comparison must not look like one without changes.
    """
    _require_repository()
    branch = main or next((name for name in MAIN_BRANCHES if _commit(name)), None)
    if branch is None or not _commit(branch):
        if is_shallow():
            raise LockstepError(
                f"This is a shallow clone without {branch or 'a branch main'} to compare with.", FETCH_HISTORY
            )
        raise LockstepError(f"There is no branch {branch or 'main'} to compare with.", NAME_REVISION)
    base = git_output("merge-base", "HEAD", branch)
    if not base:
        if is_shallow():
            raise LockstepError(
                f"This is a shallow clone: it does not hold the commit where HEAD left {branch}.", FETCH_HISTORY
            )
        raise LockstepError(f"HEAD and {branch} have no commit in common.", NAME_REVISION)
    return base


def resolve(revision: str) -> str:
    """The commit that a revision names, as 40 hex digits. Raises LockstepError if there is none."""
    _require_repository()
    commit = _commit(revision)
    if not commit:
        hint = FETCH_HISTORY if is_shallow() else "`git log --oneline` lists those there are."
        raise LockstepError(f"There is no revision {revision} here.", hint)
    return commit


def read_at(revision: str | None, path: Path) -> str | None:
    """The text of a file in a commit, or (None) in the work tree; None if the file does not exist there."""
    if revision is None:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    # ./ makes git read the path from the current folder, so that a project may be a folder of a larger repository.
    done = run_git("show", f"{revision}:./{path.as_posix()}")
    return done.stdout if done.returncode == 0 else None


def has_commits() -> bool:
    """Whether this is a git repository with at least one commit."""
    return bool(_commit("HEAD"))


def is_shallow() -> bool:
    """Whether the repository was cloned without its whole history."""
    return git_output("rev-parse", "--is-shallow-repository") == "true"


def _require_repository() -> None:
    if not has_commits():
        raise LockstepError("This is no git repository with a commit in it.", "Run `git init` and commit the project.")


def _commit(revision: str) -> str:
    return git_output("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
