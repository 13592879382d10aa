"""Lines that a stage prints: its result, warnings, and progress in a terminal and elsewhere."""

import io
import sys

import pytest

from lockstep.core import console
from lockstep.core.console import ProgressLine, duration, say, warn


def test_a_stage_says_its_name_and_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    say("train", "done")
    warn("disk is slow")
    assert capsys.readouterr() == ("train     done\n", "warning: disk is slow\n")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90061, "25 h 01 min"),
    ],
)
def test_durations_are_read_at_a_glance(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds on a clock that a test moves by hand."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_progress_is_a_plain_line_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressLine("train", 100) as line:
        for step in range(1, 41):
            clock[0] += 1
            line.advance(step, "epoch 1,")
    assert capsys.readouterr().out == (
        "train      15%  epoch 1,  1 min 25 s left\ntrain      30%  epoch 1,  1 min 10 s left\n"
    )


def test_in_a_terminal_one_line_is_written_over_and_taken_away(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    with ProgressLine("train", 10) as line:
        clock[0] += 5
        line.advance(5, "half,")
        clock[0] += 0.1
        line.advance(6, "too soon,")
    assert screen.getvalue() == "\r\x1b[2Ktrain      50%  half,  5 s left\r\x1b[2K"


def test_after_a_resume_the_time_left_counts_only_what_was_done_since(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    line = ProgressLine("train", 100, start=80)
    clock[0] += 20
    line.advance(80, "nothing new,")
    clock[0] += 20
    line.advance(90, "ten steps in 40 s,")
    assert "  0 s left" in capsys.readouterr().out.splitlines()[0]
