"""What is not training: the start of each command, a `make repro` with nothing to do, each stage of the default run.

    python -m benchmarks.startup OUT.json [--rounds 3] [--parts help no_op stages] [--page]

To be run in the project's root after `make repro`. Stages run in a copy of it. Prints the tables for
docs/performance.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.page_section import machine, write_section
from benchmarks.watched import watched
from lockstep.core.errors import LockstepError, run_command

COMMANDS = {  # shown name -> arguments of Python
    "lockstep": ["-m", "lockstep"],
    **{
        name: ["-m", f"stages.{name}"]
        for name in ("prepare", "tokenize", "train", "evaluate", "export", "chat", "serve")
    },
}
STAGES = ("prepare", "tokenize", "evaluate", "export")
NEEDED = ("data", "models", "metrics", "stages", "lockstep", "params.yaml", "dvc.yaml", "dvc.lock")  # by a stage
BIN = Path(sys.executable).parent
REPRO = {  # what `make repro` runs
    "python -m lockstep check": [sys.executable, "-m", "lockstep", "check"],
    "dvc repro": [str(BIN / "dvc"), "repro"],
    "python -m lockstep report": [sys.executable, "-m", "lockstep", "report"],
}


def median(command: list[str], folder: Path, rounds: int) -> dict[str, float]:
    """Median seconds and processor seconds of a command."""
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    costs = [watched(command, folder, {"PATH": path}) for _ in range(rounds)]
    return {
        "seconds": statistics.median(cost.seconds for cost in costs),
        "processor_seconds": statistics.median(cost.processor_seconds for cost in costs),
        "peak_mb": max(cost.peak_mb for cost in costs),
    }


def help_seconds(rounds: int) -> dict[str, Any]:
    """The cost of --help of each command."""
    return {name: median([sys.executable, *module, "--help"], Path(), rounds) for name, module in COMMANDS.items()}


def no_op_seconds(rounds: int) -> dict[str, Any]:
    """The cost of `dvc status`, and of what `make repro` runs, where nothing has changed."""
    status = subprocess.run([BIN / "dvc", "status"], capture_output=True, text=True, check=True).stdout
    if "up to date" not in status:
        raise LockstepError("Files have changed since the last run, so this would be no no-op.", "Run `make repro`.")
    every = {"dvc status": [str(BIN / "dvc"), "status"], **REPRO}
    return {name: median(command, Path(), rounds) for name, command in every.items()}


def stage_seconds(rounds: int) -> dict[str, Any]:
    """The cost of each stage but train, in a copy of the project."""
    with tempfile.TemporaryDirectory(prefix="lockstep-stages-") as temporary:
        for name in NEEDED:
            source, target = Path(name), Path(temporary) / name
            if not source.exists():
                raise LockstepError(f"{name} is missing.", "Run `make repro` first.")
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        return {name: median([sys.executable, "-m", f"stages.{name}"], Path(temporary), rounds) for name in STAGES}


def table(result: dict[str, Any]) -> str:
    """The tables in Markdown."""
    titles = {"help": "`--help` of", "no_op": "with nothing to do", "stages": "stage of the default run"}
    rows = [f"{result['machine']}, medians of {result['rounds']}:"]
    for part, title in titles.items():
        costs = result.get(part, {})
        if costs:
            rows += ["", f"| {title} | seconds | processor seconds | peak MB |", "|---|---|---|---|"]
            rows += [f"| {name} | {' | '.join(map(str, cost.values()))} |" for name, cost in costs.items()]
        if part == "no_op" and costs:
            seconds = sum(costs[name]["seconds"] for name in REPRO)
            rows.append(f"| `make repro`, the three together | {seconds:.2f} | | |")
        elif part == "stages" and costs:
            rows.append(f"| all of these | {sum(cost['seconds'] for cost in costs.values()):.2f} | | |")
    return "\n".join(rows)


def main() -> None:
    """Measure, write OUT.json, print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", nargs="+", choices=("help", "no_op", "stages"), default=("help", "no_op", "stages"))
    parser.add_argument("--page", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    measures = {"help": help_seconds, "no_op": no_op_seconds, "stages": stage_seconds}
    result: dict[str, Any] = {"machine": machine(), "rounds": options.rounds}
    for part in options.parts:
        result[part] = measures[part](options.rounds)
        options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(table(result))
    if options.page:
        write_section("start-up", table(result))


if __name__ == "__main__":
    run_command(main)
