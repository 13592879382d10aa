"""Reads damaged files, as many as the time allows, and reports each that ends in anything but rows or a clear error.

    python -m benchmarks.fuzz_readers --minutes 2 --seed 1

A finding is an exception other than LockstepError, a message longer than anybody reads, more than SECONDS for a small
file, or MEMORY more than before. Every input follows from the seed and its number: `--only 1234` reads that one again.
"""

import argparse
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from benchmarks.fuzz_inputs import befallen, settings, whole_file
from lockstep.core.errors import LockstepError, one_line
from lockstep.core.settings import Data
from lockstep.data.cleaned_rows import CHUNK_ROWS, clean_chunk
from lockstep.data.readers import ReadCounts, read_rows
from lockstep.data.sources import Source

SECONDS = 5  # of CPU time for one file
LARGEST = 1 << 18  # bytes of one file
MEMORY = 300  # MB that one file may take
IN_MEMORY = Path("/dev/shm")  # a thousand small files a second wear a disk
LONGEST_MESSAGE = 700  # characters
SHIPPED = yaml.safe_load(Path(__file__).parents[1].joinpath("params.yaml").read_text(encoding="utf-8"))["data"]


class TooLong(BaseException):
    """An input took more than SECONDS."""


@dataclass(slots=True)
class Tally:
    """Counts of outcomes by the suffix of the file, and the findings."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    @property
    def inputs(self) -> int:
        """How many were read."""
        return sum(self.outcomes.values())


def make(seed: int, number: int) -> tuple[str, bytes, dict[str, Any]]:
    """(ending, bytes, settings) of one input."""
    rng = random.Random(f"{seed} {number}")
    ending, content = whole_file(rng)
    for _ in range(rng.choice([0, 0, 1, 1, 1, 1, 2, 3])):
        content = befallen(rng, content)
    return ending, content[:LARGEST], settings(rng)


def read(folder: Path, ending: str, content: bytes, changed: dict[str, Any]) -> int:
    """Read one file as the prepare stage does, up to the cleaned rows; returns how many rows there are.

    Raises LockstepError as the readers do.
    """
    corrections = ending == ".corrections"
    path = folder / f"data{'.jsonl' if corrections else ending}"
    path.write_bytes(content)
    kind = "text" if ending == ".md" or (ending == ".txt" and "header" not in changed) else "qa"
    data = Data(**{**SHIPPED, **changed})
    rows = list(read_rows([Source(path, path.name, corrections)], kind, data, ReadCounts()))
    lines = len(content) if "encoding" in changed else content.count(b"\n") + content.count(b"\r") + 1
    if not all(1 <= row.line <= lines for row in rows):
        raise AssertionError("a row has a line that the file has not")
    for begin in range(0, len(rows), CHUNK_ROWS):
        chunk = clean_chunk(rows[begin : begin + CHUNK_ROWS], kind, data.html)
        if len(chunk.arrays.line) + len(chunk.rejects) != len(rows[begin : begin + CHUNK_ROWS]):
            raise AssertionError("rows are neither kept nor rejected")
    return len(rows)


def try_one(folder: Path, seed: int, number: int, tally: Tally) -> None:
    """Read one input and count how it ended."""
    ending, content, changed = make(seed, number)
    before, began = peak_memory(), time.process_time()
    problem = ""
    try:
        with limited(), redirect_stdout(StringIO()):
            outcome = "rows" if read(folder, ending, content, changed) else "no rows"
    except LockstepError as error:
        outcome, message = "refused", str(error)
        if len(one_line(message)) > LONGEST_MESSAGE:
            problem = f"a message of {len(message)} characters: {message[:200]!r}"
    except (Exception, TooLong) as error:
        outcome, problem = "finding", one_line("".join(traceback.format_exception_only(error)).strip())[:300]
        problem += f" at {Path(traceback.extract_tb(error.__traceback__)[-1].filename).name}"
    if time.process_time() - began > SECONDS and not problem:
        problem = f"{time.process_time() - began:.1f} s"
    if peak_memory() - before > MEMORY:
        problem += f" {peak_memory() - before} MB"
    tally.outcomes[ending, "finding" if problem else outcome] += 1
    if problem:
        tally.findings.append(f"--seed {seed} --only {number} ({ending}, {len(content)} bytes, {changed}): {problem}")


@contextmanager
def limited() -> Iterator[None]:
    """Raise TooLong when the block takes more than twice SECONDS."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise TooLong

    usual = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 2 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, usual)


def peak_memory() -> int:
    """MB this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def fuzz(seed: int, first: int, seconds: float, most: int = sys.maxsize) -> Tally:
    """Read inputs from number `first` on, until the time is over or `most` are read."""
    tally = Tally()
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        for number in range(first, first + most):
            if time.monotonic() > end:
                break
            try_one(Path(folder), seed, number, tally)
    return tally


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz_readers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one input; the file is left in the current folder")
    options = parser.parse_args()
    if options.only is not None:
        ending, content, _ = make(options.seed, options.only)
        Path(f"fuzz-{options.seed}-{options.only}{ending}").write_bytes(content)
    tally = fuzz(options.seed, options.only or 0, options.minutes * 60, 1 if options.only is not None else sys.maxsize)
    for finding in tally.findings:
        print(finding)
    endings = sorted({ending for ending, _ in tally.outcomes})
    print("| file | inputs | rows | no rows | refused | findings |\n|---|---|---|---|---|---|")
    for ending in endings:
        counts = [tally.outcomes[ending, outcome] for outcome in ("rows", "no rows", "refused", "finding")]
        print(f"| {ending} | {sum(counts):,} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    print(f"{tally.inputs:,} inputs, {len(tally.findings)} findings")
    with suppress(BrokenPipeError):
        sys.exit(bool(tally.findings))


if __name__ == "__main__":
    main()
