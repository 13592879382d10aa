"""The start of commands is timed."""

import sys
from pathlib import Path

from benchmarks import startup


def test_the_median_of_some_runs_is_taken(tmp_path: Path) -> None:
    assert startup.median([sys.executable, "-c", "pass"], tmp_path, 3)["seconds"] < 30
    assert "train" in startup.COMMANDS
