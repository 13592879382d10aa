"""Runs git in the current folder."""

import subprocess
from collections.abc import Mapping

from lockstep.core.errors import LockstepError


def run_git(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a git command to its end, whatever its exit code, and return it with what it wrote.

    environment: the variables it gets; None = those of this process. Its output is read as UTF-8, and bytes that are
    not UTF-8, such as those of a file's name, become lone surrogates. Raises LockstepError where there is no git.
    """
    try:
        return subprocess.run(
            ["git", *arguments],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            check=False,
        )
    except FileNotFoundError:
        raise LockstepError("git is not installed.", "Install it, then run again.") from None


def git_output(*arguments: str) -> str:
    """The output of a git command without blanks around it; '' where it fails, as outside a repository.

    Raises LockstepError where there is no git.
    """
    done = run_git(*arguments)
    return done.stdout.strip() if done.returncode == 0 else ""
