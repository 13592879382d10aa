"""Starts a stage in several processes, under `accelerate launch`, and looks after them until they end.

The process that DVC or the user started stays as the one they see: what stops it stops all, what goes wrong in any is
said by it in one line, and when it is gone the others save and end.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from lockstep.core.entry_point import LAUNCHED_BY
from lockstep.core.errors import LockstepError, Stopped, say_last
from lockstep.core.parallel import available_cores
from lockstep.core.settings import Device
from lockstep.modeling.distributed import disconnect
from lockstep.modeling.stopping import StopRequest
from lockstep.modeling.worker_output import Relayed

LOOK_SECONDS = 0.1  # how often we look whether they should stop
KINDS = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP")  # values of distributed_type that are known to work here
PLAIN = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "MULTI_GPU", "machine_rank": 0, "num_machines": 1}


def processes_to_launch(wanted: int | str, config_file: str | None, device: Device) -> int | None:
    """How many processes have to be started; None where this one is to work itself: alone, or as one of them.

    wanted, config_file: train.num_processes and train.accelerate_config. Raises LockstepError when they don't agree.
    """
    if "RANK" in os.environ:
        return None
    config = read_config(config_file)
    if config is not None:
        planned = config["num_processes"]
        if wanted not in ("auto", planned):
            raise LockstepError(
                f"train.num_processes is {wanted}, num_processes in {config_file} is {planned}.",
                "Make them equal, or set train.num_processes to auto.",
            )
        return int(planned)
    if wanted != "auto":
        return int(wanted) if int(wanted) > 1 else None
    if device.name in ("cpu", "mps"):
        return None
    import torch

    gpus = torch.cuda.device_count()
    return gpus if gpus > 1 else None


def processes_on_this_machine(wanted: int | str, config_file: str | None, device: Device) -> int | None:
    """As processes_to_launch, for a stage of which each process holds the whole model and that knows this machine only:
    one for each of its GPUs, or of its cores, is the most."""
    count = processes_to_launch(wanted, config_file, device)
    if count is None:
        return None
    import torch

    gpus = 0 if device.name == "cpu" else torch.cuda.device_count()
    count = min(count, gpus or available_cores())
    return count if count > 1 else None


def read_config(name: str | None) -> dict[str, Any] | None:
    """What an Accelerate config file says, None without a name. Raises LockstepError where it is none that works."""
    if name is None:
        return None
    try:
        config = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}"
        raise LockstepError(
            f"train.accelerate_config = {name} can't be read: {reason}.", "Make it with `accelerate config`."
        ) from None
    kind = config.get("distributed_type") if isinstance(config, dict) else None
    if kind not in KINDS or not isinstance(config.get("num_processes"), int):
        raise LockstepError(
            f"{name}: distributed_type is {kind}, or num_processes is missing.",
            f"Lockstep runs {', '.join(KINDS[2:])} on the number of processes given there.",
        )
    if kind == "FSDP" and (config.get("fsdp_config") or {}).get("fsdp_version") != 2:
        raise LockstepError(f"{name}: fsdp_version is not 2.", "Set fsdp_config.fsdp_version to 2.")
    return config


def launch(stage: str, count: int, config: str | None, remedy: str) -> None:
    """Run `python -m stages.<stage>` in `count` processes and wait for them.

    config: an Accelerate config file. remedy: what to do when one of them was killed.
    Raises Stopped when they have saved after a signal or the death of our parent, LockstepError when one failed: then
    all have ended.
    """
    with tempfile.TemporaryDirectory() as folder, StopRequest() as stop:
        command = _command(stage, count, config, Path(folder) / "accelerate.yaml")
        environment = {**os.environ, LAUNCHED_BY: str(os.getpid()), "PYTHONPATH": _python_path()}
        # A session of its own: Ctrl-C in a terminal reaches us alone, and we tell the others.
        launcher = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        relayed = Relayed(launcher)
        try:
            _look_after(launcher, stage, stop)
        except BaseException:  # asked twice to stop, or worse: nobody waits for a save
            _end(launcher)
            raise
        relayed.join()
    relayed.raise_problem(launcher.returncode, stop.reason, f"{count} that {stage} together", remedy)


def _command(stage: str, count: int, config: str | None, plain: Path) -> list[str]:
    """`accelerate launch` of a stage. plain: where to write a config when there is none: else the user's default one
    would count."""
    given = read_config(config)
    if config is None or given is None:
        given = {**PLAIN, "num_processes": count}
        plain.write_text(yaml.safe_dump(given), encoding="utf-8")
    options = {
        "--config_file": config or str(plain),
        "--num_processes": count,
        "--mixed_precision": "no",  # ours to say, as is compiling
        "--dynamo_backend": "no",
        "--num_cpu_threads_per_process": 1,  # each sets its own
        "--main_process_port": given.get("main_process_port") or 0,  # 0: any that is free
    }
    words = [word for option, value in options.items() for word in (option, str(value))]
    if given["distributed_type"] != "FSDP":
        words.append("--multi_gpu")  # Accelerate's name for torchrun, on CPUs too
    return [sys.executable, "-m", "accelerate.commands.launch", *words, "-m", f"stages.{stage}"]


def _python_path() -> str:
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))


def _look_after(launcher: "subprocess.Popen[str]", stage: str, stop: StopRequest) -> None:
    """Wait for the end of the launcher, and hand a request to stop on to the processes it started, once to each."""
    told: set[int] = set()
    while launcher.poll() is None:
        if stop.reason:
            for process in _started_by(launcher.pid, stage):
                if process.pid not in told:
                    told.add(process.pid)
                    with suppress(psutil.Error):
                        process.send_signal(stop.signal)
        time.sleep(LOOK_SECONDS)


def _started_by(launcher: int, stage: str) -> list[psutil.Process]:
    """The processes that do the work."""
    with suppress(psutil.Error):
        return [child for child in psutil.Process(launcher).children() if f"stages.{stage}" in child.cmdline()]
    return []


def _end(launcher: "subprocess.Popen[str]") -> None:
    """End the launcher and all below it at once; what is on disk stays whole."""
    everyone: list[psutil.Process] = []
    with suppress(psutil.Error):
        everyone = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    for process in everyone:
        with suppress(psutil.Error):
            process.kill()
    launcher.wait()


@contextmanager
def launched() -> Iterator[None]:
    """Around the work of one of the processes: when it is stopped it says so and ends well, as the launcher ends all
    when one ends otherwise, and another may still be saving."""
    try:
        yield
    except Stopped as stopped:
        if LAUNCHED_BY not in os.environ:
            raise
        disconnect()
        say_last(f"stopped: {stopped}")
