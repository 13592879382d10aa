"""Runs a command that must fail, and asserts that it ends in one clear line and changes nothing."""

import sys
from pathlib import Path

import pytest
from projects import command_main, hashes

from lockstep.core.errors import run_command

KEPT = ("data/prepared", "data/tokenized", "models/finetuned", "models/export", "metrics")


def refusal(stage: str, *arguments: str) -> str:
    """Run a command in this process and return its error line, without 'error: '.

    Asserts exit code 2, a single line, no partial folder, and that no output of an earlier stage has changed.
    """
    before = {name: hashes(name) for name in KEPT if Path(name).exists()}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        written: list[str] = []
        patch.setattr(sys, "argv", [stage, *arguments])
        patch.setattr(sys.stderr, "write", written.append)
        run_command(command_main(stage))
    assert ended.value.code == 2
    assert {name: hashes(name) for name in KEPT if Path(name).exists()} == before
    assert not list(Path().rglob("*.partial"))
    line = "".join(written)
    assert line.startswith("error: ") and line.endswith("\n")
    assert line[:-1].isprintable(), "one line, and nothing that a terminal takes for a command"
    return line.removeprefix("error: ").rstrip("\n")
