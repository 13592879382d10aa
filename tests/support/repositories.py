"""Projects that are git repositories with the sources in them, and commands to run git and DVC there."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from projects import ROOT, Project, copy_sources

IDENTITY = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")


def make_repository(folder: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A small project with the sources, as the current folder; nothing is committed and nothing has run."""
    project = Project(folder, base, monkeypatch)
    copy_sources()
    shutil.copy(ROOT / ".gitignore", ".gitignore")
    git("init", "--quiet", "--initial-branch", "main")
    dvc("init", "--quiet")
    return project


def commit(message: str = "change") -> None:
    """Commit everything that git does not ignore."""
    git("add", "--all")
    git("commit", "--quiet", "--message", message)


def git(*arguments: str) -> str:
    """Run git in the current folder; returns its output."""
    done = subprocess.run(["git", *IDENTITY, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc(*arguments: str, **environment: str) -> str:
    """Run DVC in the current folder; returns its output."""
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, env=dvc_environment() | environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dvc_environment() -> dict[str, str]:
    """The environment with this Python first, and with DVC's site cache beside the project, not in the user's folders."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    site = str(Path("../dvc-site").absolute())
    return {
        **os.environ,
        "PATH": path,
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": site,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def put(name: str, content: str = "changed") -> None:
    """Write a file into the current folder."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(content, encoding="utf-8")
