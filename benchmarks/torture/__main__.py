"""A campaign of faults: each harms one run of a small project, which then has to end with the same bytes.

    python -m benchmarks.torture --faults 100 --seed 1

Prints a table, fault by stage. Exit code 1 when anything was lost, with the folders of those kept.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from benchmarks.torture.faults import Planned, plan
from benchmarks.torture.project import build
from benchmarks.torture.referee import Outcome, Verdict, hold_trial
from benchmarks.torture.table import table, write_docs

SHOWN = 8  # problems of one fault on the screen


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", type=int, default=100, help="how many (100)")
    parser.add_argument("--seed", type=int, default=1, help="of their kinds, stages and moments (1)")
    parser.add_argument("--minutes", type=float, default=60, help="after which no further fault is begun (60)")
    parser.add_argument("--workers", type=int, default=1, help="faults at once (1)")
    parser.add_argument("--only", type=int, nargs="+", help="only the faults with these numbers")
    parser.add_argument("--log", type=Path, help="append each fault with all that was said, a JSON line each")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args(arguments)

    scratch = Path(tempfile.mkdtemp(prefix="torture-"))
    lost = True  # of an accident too the folder is kept
    try:
        faults = [
            fault for fault in plan(options.faults, options.seed) if fault.number in (options.only or [fault.number])
        ]
        verdicts = inject(faults, options, scratch)
        lost = any(verdict.outcome is Outcome.LOST for verdict in verdicts)
    finally:
        if lost:
            print(f"\nWhat is left is in {scratch}.")
        else:
            shutil.rmtree(scratch)
    print(f"\n{table(verdicts)}")
    short = len(faults) - len(verdicts)
    if short:
        print(f"\n{short} of {len(faults)} faults were not injected in {options.minutes:g} minutes.")
    elif options.write_docs and not options.only:
        write_docs(table(verdicts))
    return 1 if lost or short else 0


def inject(faults: list[Planned], options: argparse.Namespace, scratch: Path) -> list[Verdict]:
    """Inject faults, some at once, until the time is up, and tell of each."""
    print("two runs without a fault, for comparison", flush=True)
    campaign = build(scratch)
    until = time.monotonic() + options.minutes * 60

    def hold(fault: Planned) -> Verdict | None:
        if time.monotonic() > until:
            return None
        verdict = hold_trial(campaign, fault, options.seed, scratch)
        line = f"{verdict.number:3} {verdict.seconds:5.1f} s  {verdict.outcome:<11}  {verdict.stage:<8}  {verdict.kind}"
        print("\n".join([line, *(f"{'':12}{problem}" for problem in verdict.problems[:SHOWN])]), flush=True)
        if options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(asdict(verdict)) + "\n")
        return verdict

    with ThreadPoolExecutor(options.workers) as pool:
        return [verdict for verdict in pool.map(hold, faults) if verdict]


if __name__ == "__main__":
    sys.exit(main())
