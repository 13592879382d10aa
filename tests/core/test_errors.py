"""Exit codes and the lines a person sees."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.core import console
from lockstep.core.console import ProgressLine, duration, say, warn
from lockstep.core.errors import LockstepError, Stopped, run_command

ROOT = Path(__file__).parents[2]


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_an_error_reads_as_what_is_wrong_and_what_to_do() -> None:
    assert str(LockstepError("File x is empty.", "Fill it.")) == "File x is empty. Fill it."
    assert str(LockstepError("File x is empty.")) == "File x is empty."


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (LockstepError("File x is empty.", "Fill it."), 2, "error: File x is empty. Fill it.\n"),
        (Stopped("stopped by SIGTERM; saved"), 130, "stopped: stopped by SIGTERM; saved\n"),
        (KeyboardInterrupt(), 130, "stopped\n"),
        (
            LockstepError("File a\nb\x1b[31m\ud800\u2028 is empty."),
            2,
            "error: File a\\nb\\x1b[31m\\ud800\\u2028 is empty.\n",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
            2,
            "error: The memory is full: 2.00 GiB more are needed. Close other programs, lower train.per_device_batch_size, or take a smaller model.\n",
        ),
        (
            RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch. ..."),
            2,
            "error: cumsum_cuda_kernel has no repeatable way on this GPU. Set device.deterministic to false.\n",
        ),
        (
            MemoryError(),
            2,
            "error: The memory is full. Close other programs, lower train.per_device_batch_size, or take a smaller model.\n",
        ),
    ],
)
def test_each_end_has_its_exit_code_and_one_line(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(raising(error))
    assert ended.value.code == code
    assert capsys.readouterr().err == said


ROOM = "Make room or give write permission there, then run again.\n"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "a/b"), "Cannot write a/b: No space left on device."),
        (PermissionError(13, "Permission denied"), "Cannot write a file: Permission denied."),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), "Cannot write a file: No space left on device."),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "Cannot write a file: the disk is full or failing."),
        (RuntimeError("[enforce fail at inline_container.cc:747] . open file failed with strerror: Read-only file system"), "Cannot write a file: Read-only file system."),
    ],
)  # fmt: skip
def test_a_failed_write_is_one_line_whichever_library_failed(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(raising(error))
    assert (ended.value.code, capsys.readouterr().err) == (2, f"error: {said} {ROOM}")


def test_a_command_that_ends_well_just_returns() -> None:
    run_command(lambda: None)


@pytest.mark.parametrize(
    "error", [ZeroDivisionError(), FileNotFoundError(2, "No such file"), RuntimeError("os error 2")]
)
def test_a_fault_of_ours_is_not_hidden(error: Exception) -> None:
    with pytest.raises(type(error)):
        run_command(raising(error))


@pytest.mark.parametrize(
    ("work", "code"),
    [
        ("[print('x' * 1000, flush=True) for _ in range(10000)]", 141),  # nobody reads on, which is no success
        ("[say('train', 'x' * 1000) for _ in range(10000)]", 0),  # a stage goes on and does its work
        ("[say('gate', 'x' * 1000) for _ in range(10000)] and sys.exit(1)", 1),
    ],
)
def test_a_reader_that_goes_away_ends_a_command_quietly(work: str, code: int) -> None:
    code_to_run = (
        "import sys\nfrom lockstep.core.console import say\nfrom lockstep.core.errors import run_command\n"
        f"run_command(lambda: {work})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code_to_run], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert (process.wait(30), process.stderr.read()) == (code, b"")
    process.stderr.close()


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
