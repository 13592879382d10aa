"""Start-up and shutdown shared by all stages: --help, signal handling, exit codes."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from lockstep.core.errors import INTERRUPTED, LockstepError, Stopped, run_command

PARENT = os.getppid()  # id of the process that started this one; another id later means that it has ended
PARENT_SECONDS = 0.2  # between two checks that the parent is alive
LAUNCHED_BY = "LOCKSTEP_LAUNCHED_BY"  # environment variable: process id of the stage that launched this worker


def parse_no_arguments(name: str, text: str | None) -> None:
    """Show the stage's docstring for --help, refuse any other argument, and set the environment of its libraries."""
    command_parser(f"stages.{name}", text).parse_args()
    set_environment()


class _Parser(argparse.ArgumentParser):
    """argparse's parser, whose errors are one line like all others."""

    def error(self, message: str) -> NoReturn:
        raise LockstepError(f"{message[0].upper()}{message[1:]}.", f"`{self.prog} --help` lists what there is.")


def command_parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE` whose --help shows a docstring as it is written."""
    return _Parser(prog=f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def set_environment() -> None:
    """Set what OpenMP reads once, when torch is loaded: how its threads wait for each other."""
    # By default a waiting OpenMP thread spins. On cores that other programs use too, this made training four times
    # slower; a sleeping thread costs next to nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def run_stage(name: str, main: Callable[[], None]) -> None:
    """Run a stage's main() and exit as run_command does.

    SIGTERM ends the stage after half-written output is removed. The death of its parent ends it at once: DVC, when
    killed, leaves its stages running, and the next `dvc repro` would start another that writes the same files. (While
    stopping.StopRequest is active, it handles both, so that training saves first.) A stage whose inputs changed while
    it ran fails.
    """
    signal.signal(signal.SIGTERM, _stop)
    watch_parent(_end_orphan, PARENT_SECONDS, until=threading.Event())
    run_command(lambda: _main_on_unchanged_inputs(name, main))


def _main_on_unchanged_inputs(name: str, main: Callable[[], None]) -> None:
    if sys.argv[1:]:  # --help, or an argument that main refuses
        return main()
    from lockstep.core.stage_deps import Inputs

    inputs = Inputs.of(name)
    main()
    inputs.require_unchanged()
    return None


def watch_parent(on_orphaned: Callable[[], None], seconds: float, until: threading.Event) -> None:
    """Check in a thread whether this process is an orphan, every `seconds` until the event is set.

    on_orphaned: called at each check that finds it so.
    """

    def watch() -> None:
        while not until.wait(seconds):
            if is_orphan():
                on_orphaned()

    threading.Thread(target=watch, daemon=True).start()


def is_orphan() -> bool:
    """Whether this process has lost its parent or, as one of several workers, the stage that launched them."""
    if os.getppid() != PARENT:
        return True
    stage = os.environ.get(LAUNCHED_BY)
    if stage is None:
        return False
    import psutil

    try:
        return psutil.Process(PARENT).ppid() != int(stage)
    except psutil.Error:
        return True


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped("stopped by SIGTERM")


def _end_orphan() -> None:
    if signal.getsignal(signal.SIGTERM) is not _stop:
        return  # StopRequest is active and stops the stage in its own time
    print("stopped: the process that started it is gone", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # without clean-up: the next run may already be writing to the folders it would remove
