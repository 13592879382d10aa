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
from pathlib import Path

from benchmarks.torture.faults import Planned, plan
from benchmarks.torture.project import build
from benchmarks.torture.referee import Outcome, Verdict, hold_trial
from benchmarks.torture.table import table, write_docs


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
    print("two runs without a fault, for comparison", flush=True)
    campaign = build(scratch)
    faults = [fault for fault in plan(options.faults, options.seed) if fault.number in (options.only or [fault.number])]
    until = time.monotonic() + options.minutes * 60

    def hold(fault: Planned) -> Verdict | None:
        if time.monotonic() > until:
            return None
        verdict = hold_trial(campaign, fault, options.seed, scratch)
        print(f"{verdict.number:3} {verdict.seconds:5.1f} s  {verdict.outcome:<11}  {verdict.stage:<8}  {verdict.kind}")
        for problem in verdict.problems[:8]:
            print(f"{'':12}{problem}")
        sys.stdout.flush()
        if options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(verdict.as_dict()) + "\n")
        return verdict

    with ThreadPoolExecutor(options.workers) as pool:
        verdicts = [verdict for verdict in pool.map(hold, faults) if verdict]
    result = table(verdicts)
    print(f"\n{result}")
    lost = [verdict for verdict in verdicts if verdict.outcome is Outcome.LOST]
    if lost:
        print(f"\nThe folders of those lost are in {scratch}.")
    else:
        shutil.rmtree(scratch)
    if len(verdicts) < len(faults):
        print(f"\nOnly {len(verdicts)} of {len(faults)} faults were injected in {options.minutes:g} minutes.")
    elif options.write_docs and not options.only:
        write_docs(result)
    return 1 if lost or len(verdicts) < len(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
