"""Runs a stage as it is and says how long some of its functions took.

python -m benchmarks.timed_stage OUT.json prepare lockstep.data.splitting:assign_splits ...
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def timed(function: Callable, seconds: dict[str, float], name: str) -> Callable:
    """The function, adding what each call takes to seconds[name]."""

    def call(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return function(*arguments, **named)
        finally:
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began

    return call


def main() -> None:
    """Run the stage; stages import what they need when they run, so they meet the timed functions."""
    out, stage, *names = sys.argv[1:]
    seconds: dict[str, float] = {}
    for name in names:
        module_name, function = name.split(":")
        module = importlib.import_module(module_name)
        setattr(module, function, timed(getattr(module, function), seconds, function))
    sys.argv[1:] = []
    importlib.import_module(f"stages.{stage}").main()
    Path(out).write_text(json.dumps({name: round(value, 2) for name, value in seconds.items()}) + "\n", "utf-8")


if __name__ == "__main__":
    main()
