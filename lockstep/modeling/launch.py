"""Launches a stage in several worker processes under `accelerate launch`, and supervises them until they end.

DVC and the user see only the process they started: a signal to it stops all workers, an error of any worker is
its error, in one line, and when it is killed the workers save and end.
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
from lockstep.modeling.worker_output import WorkerOutput

POLL_SECONDS = 0.1  # between two checks whether the workers have ended or should stop
DISTRIBUTED_TYPES = ("NO", "MULTI_CPU", "MULTI_GPU", "FSDP")  # of Accelerate's, those known to work here
DEFAULT_CONFIG = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "MULTI_GPU",
    "machine_rank": 0,
    "num_machines": 1,
}


def processes_to_launch(num_processes: int | str, config_file: str | None, device: Device) -> int | None:
    """Number of processes to launch, or None if this process should do the work itself, alone or as one of several.

    num_processes, config_file: train.num_processes and train.accelerate_config. Raises LockstepError when they
    disagree.
    """
    if "RANK" in os.environ:
        return None
    config = read_config(config_file)
    if config is not None:
        configured = config["num_processes"]
        if num_processes not in ("auto", configured):
            raise LockstepError(
                f"train.num_processes is {num_processes}, num_processes in {config_file} is {configured}.",
                "Make them equal, or set train.num_processes to auto.",
            )
        return int(configured)
    if num_processes != "auto":
        return int(num_processes) if int(num_processes) > 1 else None
    if device.name in ("cpu", "mps"):
        return None
    import torch

    gpus = torch.cuda.device_count()
    return gpus if gpus > 1 else None


def processes_on_this_machine(num_processes: int | str, config_file: str | None, device: Device) -> int | None:
    """As processes_to_launch, for a stage that runs on this machine only, with the whole model in each process: at most
    one process per GPU, or per core where there is no GPU."""
    count = processes_to_launch(num_processes, config_file, device)
    if count is None:
        return None
    import torch

    gpus = 0 if device.name == "cpu" else torch.cuda.device_count()
    count = min(count, gpus or available_cores())
    return count if count > 1 else None


def read_config(name: str | None) -> dict[str, Any] | None:
    """The content of an Accelerate config file, or None without a name. Raises LockstepError when it can't be used."""
    if name is None:
        return None
    try:
        config = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = "it is not there" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}"
        raise LockstepError(
            f"train.accelerate_config = {name} can't be read: {reason}.", "Make it with `accelerate config`."
        ) from None
    distributed_type = config.get("distributed_type") if isinstance(config, dict) else None
    if distributed_type not in DISTRIBUTED_TYPES or not isinstance(config.get("num_processes"), int):
        raise LockstepError(
            f"{name}: distributed_type is {distributed_type}, or num_processes is missing.",
            f"Lockstep runs {', '.join(DISTRIBUTED_TYPES[2:])} on the number of processes given there.",
        )
    if distributed_type == "FSDP" and (config.get("fsdp_config") or {}).get("fsdp_version") != 2:
        raise LockstepError(f"{name}: fsdp_version is not 2.", "Set fsdp_config.fsdp_version to 2.")
    return config


def launch(stage: str, count: int, config_file: str | None, remedy: str) -> None:
    """Run `python -m stages.<stage>` in `count` worker processes and wait until all have ended.

    config_file: train.accelerate_config. remedy: what to do when a worker was killed.
    Raises Stopped when the workers have stopped after a signal or the death of our parent, LockstepError when one
    failed.
    """
    with tempfile.TemporaryDirectory() as folder, StopRequest() as stop:
        command = _command(stage, count, config_file, Path(folder) / "accelerate.yaml")
        environment = {**os.environ, LAUNCHED_BY: str(os.getpid()), "PYTHONPATH": _python_path()}
        # In a session of its own, so that Ctrl-C in a terminal reaches this process alone, which forwards it.
        launcher = subprocess.Popen(
            command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        output = WorkerOutput(launcher)
        try:
            _supervise(launcher, stage, stop)
        except BaseException:  # a second signal, or worse: nobody waits for a save
            _kill(launcher)
            raise
        output.join()
    output.raise_problem(launcher.returncode, stop.reason, f"{count} that {stage} together", remedy)


def _command(stage: str, count: int, config_file: str | None, default_file: Path) -> list[str]:
    """The `accelerate launch` command of a stage.

    default_file: where to write a config if config_file is None, as Accelerate would read the user's own otherwise.
    """
    config = read_config(config_file)
    if config is None:
        config = {**DEFAULT_CONFIG, "num_processes": count}
        default_file.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = {
        "--config_file": config_file or str(default_file),
        "--num_processes": count,
        "--mixed_precision": "no",  # device.precision decides
        "--dynamo_backend": "no",  # the stage compiles what it wants compiled
        "--num_cpu_threads_per_process": 1,  # set_up sets the number
        "--main_process_port": config.get("main_process_port") or 0,  # 0: any free one
    }
    arguments = [word for option, value in options.items() for word in (option, str(value))]
    if config["distributed_type"] != "FSDP":
        arguments.append("--multi_gpu")  # makes Accelerate use torchrun, on CPUs too
    return [sys.executable, "-m", "accelerate.commands.launch", *arguments, "-m", f"stages.{stage}"]


def _python_path() -> str:
    root = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))


def _supervise(launcher: "subprocess.Popen[str]", stage: str, stop: StopRequest) -> None:
    """Wait until the launcher ends, and forward a request to stop to each worker, once."""
    signalled: set[int] = set()  # process ids
    while launcher.poll() is None:
        if stop.reason:
            for worker in _workers(launcher.pid, stage):
                if worker.pid not in signalled:
                    signalled.add(worker.pid)
                    with suppress(psutil.Error):
                        worker.send_signal(stop.signal)
        time.sleep(POLL_SECONDS)


def _workers(launcher_pid: int, stage: str) -> list[psutil.Process]:
    """The launcher's children that run the stage."""
    with suppress(psutil.Error):
        return [child for child in psutil.Process(launcher_pid).children() if f"stages.{stage}" in child.cmdline()]
    return []


def _kill(launcher: "subprocess.Popen[str]") -> None:
    """Kill the launcher and all processes below it. Files stay whole, as they are written under another name first."""
    processes: list[psutil.Process] = []
    with suppress(psutil.Error):
        processes = [psutil.Process(launcher.pid), *psutil.Process(launcher.pid).children(recursive=True)]
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
    launcher.wait()


@contextmanager
def as_worker() -> Iterator[None]:
    """Around a stage's work. In a worker of `launch`, Stopped is printed and not raised: the launcher kills all workers
    when one exits with an error, and another may still be saving."""
    try:
        yield
    except Stopped as stopped:
        if LAUNCHED_BY not in os.environ:
            raise
        disconnect()
        say_last(f"stopped: {stopped}")
