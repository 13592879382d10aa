"""What is reported of the processes of a launched stage, by what they wrote to stderr."""

import io
from types import SimpleNamespace

import pytest

from lockstep.core.errors import LockstepError, Stopped
from lockstep.modeling.worker_output import WorkerOutput

TABLE = "  rank      : {} (local_rank: 0)\n  exitcode  : {} (pid: 7)\n"  # an entry of torchrun's table of failures


def report(text: str, exit_code: int = 1, reason: str = "") -> None:
    output = WorkerOutput(SimpleNamespace(stderr=io.StringIO(text)))  # type: ignore[arg-type]
    output.join()
    output.raise_problem(exit_code, reason, "2 that train together", "Run again: it goes on.")


def test_warnings_are_passed_on_once_and_noise_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    report("warning: a\nUserWarning: b\nwarning: a\nwarning: c\n", exit_code=0)
    assert capsys.readouterr().err == "warning: a\nwarning: c\n"


def test_an_error_that_several_processes_report_is_raised_once_in_their_words() -> None:
    with pytest.raises(LockstepError, match=r"^x is missing\. Make it\.$"):
        report("error: x is missing. Make it.\nTraceback ...\nerror: x is missing. Make it.\n")


def test_a_stop_is_a_stop_whether_training_had_begun_or_not() -> None:
    with pytest.raises(Stopped, match=r"^stopped by SIGTERM; saved at step 3 of 9$"):
        report("stopped\nstopped: stopped by SIGTERM; saved at step 3 of 9\n", exit_code=0)
    with pytest.raises(Stopped, match=r"^stopped by Ctrl-C; nothing new was saved$"):
        report("Traceback\nKeyboardInterrupt\n", reason="stopped by Ctrl-C")


def test_a_killed_process_is_named_whatever_the_others_report() -> None:
    text = "[rank0]: RuntimeError: Connection closed by peer\n" + TABLE.format(0, 1) + TABLE.format(1, -9)
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 .* was killed \(SIGKILL, .*Run again: it goes on"):
        report(text)


def test_of_several_killed_processes_the_first_is_named() -> None:
    table = f"Failures:\n{TABLE.format(0, -9)}----\nRoot Cause (first observed failure):\n{TABLE.format(1, -9)}"
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 .* was killed \(SIGKILL"):
        report(table)


def test_processes_that_torchrun_stopped_after_another_was_killed_are_no_stop() -> None:
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 .* was killed"):
        report("stopped: stopped by SIGTERM\n" + TABLE.format(1, -9))


def test_a_process_that_failed_is_named_with_its_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    text = "[rank0]: RuntimeError: Connection closed by peer\n[rank1]: Traceback:\n[rank1]: MemoryError: too big\n"
    with pytest.raises(LockstepError, match=r"^Process 1 of the 2 that train together failed: MemoryError: too big\."):
        report(text + TABLE.format(0, 1) + TABLE.format(1, 1))
    assert capsys.readouterr().err == "Traceback:\nMemoryError: too big\n"
