"""Runs the commands that are not stages of the pipeline: `python -m lockstep COMMAND`.

Each command is a file of lockstep/cli with a `main()` and a docstring that begins `name: what it does`.
"""

import ast
import importlib
import sys
from pathlib import Path

from lockstep.core.errors import LockstepError, did_you_mean, run_command

COMMANDS = sorted(path.stem for path in (Path(__file__).parent / "cli").glob("[a-z]*.py"))
USAGE = "usage: python -m lockstep COMMAND [--help]"


def main() -> None:
    """Run the command that the first argument names. Raises LockstepError if there is no such command."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(help_text())
        return
    if name not in COMMANDS:
        remedy = did_you_mean(name, COMMANDS) or f"There are {', '.join(COMMANDS)}."
        raise LockstepError(f"There is no command {name}.", remedy)
    sys.argv = [f"python -m lockstep {name}", *arguments]
    importlib.import_module(f"lockstep.cli.{name}").main()


def help_text() -> str:
    """The usage, and every command with the first line of its docstring."""
    lines = [f"  {name:<10}{summary(name)}" for name in COMMANDS]
    return "\n".join([USAGE, "", "commands:", *lines, "", "`python -m lockstep COMMAND --help` says more about one."])


def summary(name: str) -> str:
    """The first line of a command's docstring, read without importing the command."""
    source = (Path(__file__).parent / "cli" / f"{name}.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    return docstring.split("\n", 1)[0].removeprefix(f"{name}: ")


if __name__ == "__main__":
    run_command(main)
