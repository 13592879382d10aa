"""Files of other git revisions, and which revision a change is to be compared with."""

from pathlib import Path

from lockstep.core.errors import LockstepError
from lockstep.core.git import git_output, run_git

MAIN_BRANCHES = ("origin/main", "main", "origin/master", "master")
DEEPEN = "Fetch the whole history: `git fetch --unshallow origin main`, or `fetch-depth: 0` for actions/checkout."
NAME_ONE = "Name a revision: AGAINST=<commit>."


def merge_base(main: str | None = None) -> str:
    """The commit at which HEAD left `main` (None: the first of MAIN_BRANCHES there is), as 40 hex digits.

    Raises LockstepError where there is no repository, no such branch, or the history does not reach back so far: an
    empty comparison must not look like one without changes.
    """
    _require_repository()
    branch = main or next((name for name in MAIN_BRANCHES if _commit(name)), None)
    if branch is None or not _commit(branch):
        if is_shallow():
            raise LockstepError(f"This is a shallow clone without {branch or 'a branch main'} to compare with.", DEEPEN)
        raise LockstepError(f"There is no branch {branch or 'main'} to compare with.", NAME_ONE)
    found = git_output("merge-base", "HEAD", branch)
    if not found:
        if is_shallow():
            raise LockstepError(
                f"This is a shallow clone: it does not hold the commit where HEAD left {branch}.", DEEPEN
            )
        raise LockstepError(f"HEAD and {branch} have no commit in common.", NAME_ONE)
    return found


def resolve(revision: str) -> str:
    """The commit a revision names, as 40 hex digits. Raises LockstepError when there is none."""
    _require_repository()
    commit = _commit(revision)
    if not commit:
        hint = DEEPEN if is_shallow() else "`git log --oneline` lists those there are."
        raise LockstepError(f"There is no revision {revision} here.", hint)
    return commit


def read_at(revision: str | None, path: Path) -> str | None:
    """The text of a file in a commit (None: in the work tree); None where it is not there."""
    if revision is None:
        return path.read_text(encoding="utf-8") if path.is_file() else None
    # ./ makes git read the path from the current folder, so that a project may be a folder of a larger repository.
    done = run_git("show", f"{revision}:./{path.as_posix()}")
    return done.stdout if done.returncode == 0 else None


def has_commits() -> bool:
    """Whether this is a git repository with at least one commit."""
    return bool(_commit("HEAD"))


def is_shallow() -> bool:
    """Whether the history was cut off when the repository was cloned."""
    return git_output("rev-parse", "--is-shallow-repository") == "true"


def _require_repository() -> None:
    if not has_commits():
        raise LockstepError("This is no git repository with a commit in it.", "Run `git init` and commit the project.")


def _commit(revision: str) -> str:
    return git_output("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
