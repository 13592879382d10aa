"""Runs that must end with one clear line and leave everything as it was."""

import sys
from pathlib import Path

import pytest
from projects import command_main, hashes

from lockstep.core.errors import run_command

KEPT = ("data/prepared", "data/tokenized", "models/finetuned", "models/export", "metrics")


def refusal(stage: str, *arguments: str) -> str:
    """Run a command as people do, in this process, and return what it says on standard error.

    Asserts exit code 2, one line, no half-made folder, and that nothing the stages had made has changed.
    """
    made = {name: hashes(name) for name in KEPT if Path(name).exists()}
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        said: list[str] = []
        patch.setattr(sys, "argv", [stage, *arguments])
        patch.setattr(sys.stderr, "write", said.append)
        run_command(command_main(stage))
    assert ended.value.code == 2
    assert {name: hashes(name) for name in KEPT if Path(name).exists()} == made
    assert not list(Path().rglob("*.partial"))
    line = "".join(said)
    assert line.startswith("error: ") and line.endswith("\n")
    assert line[:-1].isprintable(), "one line, and nothing that a terminal takes for a command"
    return line.removeprefix("error: ").rstrip("\n")
