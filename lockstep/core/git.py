"""Runs git in the current folder."""

import subprocess
from collections.abc import Mapping

from lockstep.core.errors import LockstepError


def run_git(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a git command and return its exit code and output. Raises LockstepError where git is not installed.

    environment: its environment variables; None: those of this process. The output is decoded as UTF-8; other bytes,
    as file names may have, become lone surrogates.
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
    """The output of a git command without surrounding whitespace; '' where it fails, for example outside a repository.

    Raises LockstepError where git is not installed.
    """
    done = run_git(*arguments)
    return done.stdout.strip() if done.returncode == 0 else ""
