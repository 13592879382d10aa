"""What every stage does before anything heavy is loaded, and how it ends before its work is done."""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from lockstep.core.errors import INTERRUPTED, Stopped, run_command

PARENT = os.getppid()  # the process that started us, as long as it lives
PARENT_SECONDS = 0.2  # how often we look whether it does
LAUNCHED_BY = "LOCKSTEP_LAUNCHED_BY"  # environment variable: the process that core.launch runs in


def describe(name: str, text: str | None) -> None:
    """Answer --help with the stage's docstring, refuse arguments it does not take, and set the environment."""
    command_parser(f"stages.{name}", text).parse_args()
    set_environment()


def command_parser(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m MODULE` whose --help shows a docstring as it is written."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def set_environment() -> None:
    """How threads wait for each other; OpenMP reads it once, when torch is loaded."""
    # OpenMP's threads spin while they wait for each other. On cores that other programs use too, that made training
    # four times slower; sleeping instead costs next to nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def run_stage(name: str, main: Callable[[], None]) -> None:
    """Run a stage's main() and exit as run_command does. SIGTERM ends it with what it had half written removed; the
    death of the process that started it ends it at once. Where what the stage reads changed meanwhile, it has failed.

    DVC killed leaves its stages running, and the next `dvc repro` starts another that writes the same files. While
    training saves first, see checkpoints.StopRequest, that decides.
    """
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    run_command(lambda: _main_on_unchanged_inputs(name, main))


def _main_on_unchanged_inputs(name: str, main: Callable[[], None]) -> None:
    if sys.argv[1:]:  # --help, or arguments that main refuses
        return main()
    from lockstep.core.stage_deps import Inputs

    inputs = Inputs.of(name)
    main()
    inputs.require_unchanged()
    return None


def is_orphan() -> bool:
    """Whether the process that started this one is gone, or that which launched this one as one of several."""
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


def _end_with_parent() -> None:
    while not is_orphan() or signal.getsignal(signal.SIGTERM) is not _stop:
        time.sleep(PARENT_SECONDS)
    print("stopped: the process that started it is gone", file=sys.stderr, flush=True)
    os._exit(INTERRUPTED)  # not by way of the main thread: that would tidy away what the next run may be writing by now
