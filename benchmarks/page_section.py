"""Figures of a benchmark in docs/performance.md, between its markers, with the machine they are of."""

import os
import platform
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[1] / "docs/performance.md"
PROCESSORS = Path("/proc/cpuinfo")


def machine() -> str:
    """'AMD EPYC, 2 cores, 25 GB of memory': what this runs on."""
    lines = PROCESSORS.read_text(encoding="utf-8").splitlines() if PROCESSORS.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 1e9:.0f} GB of memory"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put Markdown between `<!-- NAME: begin -->` and `<!-- NAME: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end, maxsplit=1)[1]
    page.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")
