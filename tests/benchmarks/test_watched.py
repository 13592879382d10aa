"""What a command costs, with the processes that it starts."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.watched import watched


def test_a_command_is_watched_with_the_processes_it_starts(tmp_path: Path) -> None:
    child = "import time; kept = b'x' * 60_000_000; time.sleep(1)"
    cost = watched(
        [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"], tmp_path
    )
    assert cost.seconds > 1
    assert 60 < cost.largest_mb <= cost.peak_mb < 300
    assert cost.cores < 1


def test_a_command_that_fails_is_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError) as error:
        watched([sys.executable, "-c", "import sys; sys.exit('no such thing')"], tmp_path)
    assert (error.value.returncode, error.value.output) == (1, "no such thing\n")
