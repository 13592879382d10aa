"""Requests to stop: from a signal, or because the parent process died."""

import os
import signal
import time

import psutil
import pytest

from lockstep.core.entry_point import LAUNCHED_BY
from lockstep.modeling import stopping
from lockstep.modeling.stopping import StopRequest


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGTERM, "stopped by SIGTERM"), (signal.SIGINT, "stopped by Ctrl-C")]
)
def test_a_first_signal_requests_a_stop_and_a_second_ends_at_once(number: int, reason: str) -> None:
    before = signal.getsignal(number)
    with StopRequest() as stop:
        os.kill(os.getpid(), number)
        assert stop.reason == reason
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_in_one_of_several_processes_a_signal_that_arrives_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "0")
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "stopped by SIGTERM"
        monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_one_of_several_processes_stops_when_the_stage_above_its_launcher_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    above = psutil.Process(os.getppid()).ppid()
    monkeypatch.setattr(stopping, "PARENT_SECONDS", 0.01)
    for stage, is_stopped in ((above, False), (above + 1, True)):
        monkeypatch.setenv(LAUNCHED_BY, str(stage))
        with StopRequest() as stop:
            time.sleep(0.2)
            assert bool(stop.reason) == is_stopped


def test_a_signal_does_not_end_a_stage_that_saves_because_its_parent_died() -> None:
    with StopRequest() as stop:
        stop.reason = "the process that started it is gone"
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.reason == "the process that started it is gone"
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)


def test_the_death_of_the_parent_requests_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "PARENT_SECONDS", 0.01)
    with StopRequest() as stop:
        assert stop.reason == ""
        monkeypatch.setattr(os, "getppid", lambda: 1)
        while not stop.reason:
            time.sleep(0.01)
    assert stop.reason == "the process that started it is gone"
