"""The device, precision and threads of a run, resolved once, and the switches that make it deterministic."""

import ctypes
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from lockstep.core.errors import LockstepError
from lockstep.core.parallel import available_cores
from lockstep.core.settings import Device
from lockstep.modeling.distributed import SINGLE_PROCESS, ProcessGroup

M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1  # parameters of mallopt, from malloc.h


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a run computes on.

    device: 'cpu', 'cuda' or 'mps'. precision: of matrix products, 'fp32' or 'bf16'; weights are fp32 in both. threads:
    CPU threads of each process. processes: number of processes that work together.
    """

    device: str
    precision: str
    threads: int
    processes: int = 1

    def __str__(self) -> str:
        name = torch.cuda.get_device_name() if self.device == "cuda" else self.device.upper()
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{name}, {self.precision}, {f'{self.processes} processes of ' if self.processes > 1 else ''}{threads}"

    def autocast(self) -> torch.autocast:
        """A context in which matrix products are computed in this precision."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def set_up(settings: Device, seed: int, processes: ProcessGroup = SINGLE_PROCESS) -> Hardware:
    """Resolve 'auto', seed torch's random number generators and switch deterministic algorithms on or off.

    processes: the group that works together; its processes on this machine share the threads.
    Raises LockstepError when this machine has no such device.
    """
    threads = available_cores() if settings.threads == "auto" else settings.threads
    threads = max(1, threads // processes.local_world_size)
    # Read by cuBLAS when CUDA starts. Without it, the order of its sums may change from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(seed)
    device = _device(settings.name)
    # On a GPU more than a warning: attention uses its deterministic kernel only where others would be refused.
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=device != "cuda")
    # No operation used here returns memory it has not written, so filling it first would only cost time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not settings.deterministic
    return Hardware(device, _precision(settings.precision, device), threads, processes.world_size)


def keep_freed_memory() -> None:
    """Make glibc keep large freed blocks, as the next step allocates as many. The kernel would clear each page again,
    which takes a fifth of a training step's time on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, -1)


def _device(name: str) -> str:
    is_available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if is_available[device])
    if not is_available[name]:
        devices = [device for device, available in is_available.items() if available]
        raise LockstepError(
            f"device.name is {name}, but this machine has {', '.join(devices)} only.", "Set it to auto."
        )
    return name


def _precision(precision: str, device: str) -> str:
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device == "cpu" and cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware, with AVX512-BF16 or AMX. Emulated, it is slower than fp32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def processor(device: str) -> str:
    """The name of the GPU, or that of the CPU with the instruction set that PyTorch uses."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _cpu_name() -> str:
    """The CPU's name, on Linux with family and model, as a virtual machine's may be just 'AMD EPYC'."""
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    labels = {"model name": "", "cpu family": "family ", "model": "model ", "CPU implementer": "", "CPU part": "part "}
    return " ".join(label + facts[key] for key, label in labels.items() if key in facts) or platform.machine()
