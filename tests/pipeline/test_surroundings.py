"""The user's own settings and terminal change no output."""

import os
import subprocess
import sys
from pathlib import Path

from structure import ROOT


def output(code: str, **environment: str) -> bytes:
    """The output of a Python program that imports ours."""
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def test_a_character_that_the_terminal_lacks_is_replaced_and_does_not_end_the_stage() -> None:
    code = r"from lockstep.core.errors import run_command; run_command(lambda: print('fell by \u221240%'))"
    assert output(code, PYTHONIOENCODING="ascii") == b"fell by ?40%\n"
    assert output(code, PYTHONIOENCODING="utf-8") == "fell by −40%\n".encode()


def test_charts_are_the_same_whatever_the_user_set_for_matplotlib(tmp_path: Path) -> None:
    code = """
import sys
from lockstep.evaluation.charts import learning_rate, row_changes
points = [{"tokens": 10.0, "learning_rate": 0.1}, {"tokens": 20.0, "learning_rate": 0.2}]
sys.stdout.reconfigure(encoding="utf-8")
print(learning_rate(points), row_changes([-1.0, 0.5]))
"""
    settings = "lines.solid_capstyle: butt\nfigure.dpi: 300\nfont.sans-serif: DejaVu Serif\nxtick.direction: in\naxes.titlesize: 30\n"
    (tmp_path / "matplotlibrc").write_text(settings, encoding="utf-8")
    assert output(code, MATPLOTLIBRC=str(tmp_path / "matplotlibrc")) == output(code)
