"""How a command ends: its exit code and one line, whichever error ended it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.core.errors import MAKE_ROOM, LockstepError, Stopped, did_you_mean, run_command

ROOT = Path(__file__).parents[2]


def raising(error: BaseException) -> Callable[[], None]:
    def main() -> None:
        raise error

    return main


def test_an_error_reads_as_what_is_wrong_and_what_to_do() -> None:
    assert str(LockstepError("File x is empty.", "Fill it.")) == "File x is empty. Fill it."
    assert str(LockstepError("File x is empty.")) == "File x is empty."


@pytest.mark.parametrize(
    ("error", "code", "parts"),
    [
        (LockstepError("File x is empty.", "Fill it."), 2, ["error: File x is empty. Fill it.\n"]),
        (Stopped("stopped by SIGTERM; saved"), 130, ["stopped: stopped by SIGTERM; saved\n"]),
        (KeyboardInterrupt(), 130, ["stopped\n"]),
        (
            LockstepError("File a\nb\x1b[31m\ud800\u2028 is empty."),
            2,
            ["error: File a\\nb\\x1b[31m\\ud800\\u2028 is empty.\n"],
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..."),
            2,
            ["error: ", "2.00 GiB", "train.per_device_batch_size"],
        ),
        (
            RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch. ..."),
            2,
            ["error: cumsum_cuda_kernel ", "device.deterministic"],
        ),
        (
            MemoryError(),
            2,
            ["error: The memory is full.", "train.per_device_batch_size"],
        ),
    ],
)
def test_each_end_has_its_exit_code_and_one_line(
    error: BaseException, code: int, parts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(raising(error))
    assert ended.value.code == code
    line = capsys.readouterr().err
    assert line.startswith(parts[0]) and all(part in line for part in parts)
    assert line.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(28, "No space left on device", "a/b"), "a/b: No space left on device."),
        (PermissionError(13, "Permission denied"), "a file: Permission denied."),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), "a file: No space left on device."),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0"), "a file: the disk is full or failing."),
        (RuntimeError("[enforce fail at inline_container.cc:747] . open file failed with strerror: Read-only file system"), "a file: Read-only file system."),
    ],
)  # fmt: skip
def test_a_failed_write_is_one_line_whichever_library_failed(
    error: Exception, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_command(raising(error))
    assert (ended.value.code, capsys.readouterr().err) == (2, f"error: Cannot write {named} {MAKE_ROOM}\n")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("epocs", "Did you mean epochs?"), ("seed", "Did you mean seed?"), ("zzz", "")],
)
def test_the_closest_known_word_is_the_one_that_was_meant(word: str, meant: str) -> None:
    assert did_you_mean(word, ["epochs", "seed"]) == meant
    assert did_you_mean(word, ["epochs", "seed"], lead="") == meant.removeprefix("Did you mean ")


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
