"""Which device, number format and threads a run uses, resolved once, and what makes it repeatable."""

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

MAPPED_BLOCKS, TRIM_THRESHOLD = -4, -1  # M_MMAP_MAX and M_TRIM_THRESHOLD of malloc.h


@dataclass(frozen=True, slots=True)
class Hardware:
    """device: 'cpu', 'cuda' or 'mps'. precision: 'fp32' or 'bf16' (weights stay fp32). threads: of the CPU, of each of
    the processes that work together."""

    device: str
    precision: str
    threads: int
    processes: int = 1

    def __str__(self) -> str:
        name = torch.cuda.get_device_name() if self.device == "cuda" else self.device.upper()
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{name}, {self.precision}, {f'{self.processes} processes of ' if self.processes > 1 else ''}{threads}"

    def autocast(self) -> torch.autocast:
        """Context in which matrix products run in this precision."""
        return torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def set_up(settings: Device, seed: int, processes: ProcessGroup = SINGLE_PROCESS) -> Hardware:
    """Resolve 'auto', seed every random number generator and switch deterministic algorithms on or off.

    processes: those that work together; the ones on this machine share its threads.
    Raises LockstepError when the wanted device or precision is not there.
    """
    threads = available_cores() if settings.threads == "auto" else settings.threads
    threads = max(1, threads // processes.local_world_size)
    # cuBLAS reads this when CUDA starts; without it its sums may be added up in changing order.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    keep_freed_memory()
    torch.manual_seed(seed)
    device = _device(settings.name)
    # Not only to warn: attention on a GPU takes its repeatable way only where all else would be refused.
    torch.use_deterministic_algorithms(settings.deterministic, warn_only=device != "cuda")
    # Every operation used here writes all it returns; filling memory before that only costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not settings.deterministic
    return Hardware(device, _precision(settings.precision, device), threads, processes.world_size)


def keep_freed_memory() -> None:
    """Have glibc keep large blocks for the next step, which wants as many. Given back and asked for anew, the kernel
    clears each page again: a fifth of a training step's time on a CPU."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library
        return
    mallopt(MAPPED_BLOCKS, 0)
    mallopt(TRIM_THRESHOLD, -1)


def _device(wanted: str) -> str:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[wanted]:
        found = [name for name, is_there in there.items() if is_there]
        raise LockstepError(
            f"device.name is {wanted}, but this machine has {', '.join(found)} only.", "Set it to auto."
        )
    return wanted


def _precision(wanted: str, device: str) -> str:
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device == "cpu" and cpu_has_bf16() else "fp32"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bf16 in hardware (AVX512-BF16 or AMX); emulated bf16 is slower than fp32."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, lambda: False)() for check in checks)


def processor(device: str) -> str:
    """What does the arithmetic: the GPU's name, or the CPU's with the instructions that PyTorch uses of it."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"


def _cpu_name() -> str:
    """Name, and on Linux family and model: a virtual machine's CPU may be called no more than 'AMD EPYC'."""
    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    shown = {"model name": "", "cpu family": "family ", "model": "model ", "CPU implementer": "", "CPU part": "part "}
    return " ".join(label + facts[key] for key, label in shown.items() if key in facts) or platform.machine()
