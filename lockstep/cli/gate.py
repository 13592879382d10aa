"""gate: hold the figures against the bounds under `gates` in params.yaml.

Bounds on a change compare with the commit where this branch left main, or with the one --against names.
Ends with exit code 1 when a bound is broken.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m lockstep gate` from the project's root.\n")
    sys.exit(2)

import argparse

from lockstep.core.errors import run_command

BROKEN = 1  # exit code when a gate fails


def main() -> None:
    """Judge the gates. Raises LockstepError when there is nothing to judge or to compare with."""
    parser = argparse.ArgumentParser(prog="python -m lockstep gate", description=__doc__)
    parser.add_argument("--against", metavar="REVISION", help="a commit, tag or branch; default: where HEAD left main")
    parser.add_argument("--branch", metavar="BRANCH", help="compare with where HEAD left this branch; default: main")
    arguments = parser.parse_args()
    import sys

    from lockstep.review.compare import read_snapshot, require_evaluated
    from lockstep.core.console import say
    from lockstep.review.gates import check_gates, failed
    from lockstep.core.settings import load_params
    from lockstep.core.revisions import merge_base, resolve
    from lockstep.evaluation.verdict import number

    params = load_params()
    here = read_snapshot(None)
    require_evaluated(here)
    commit = resolve(arguments.against) if arguments.against else merge_base(arguments.branch)
    results = check_gates(params.gates, read_snapshot(commit).metrics, here.metrics)
    for result in results:
        word = {True: "pass", False: "FAIL", None: "new"}[result.passed]
        before = "no figure" if result.before is None else number(result.before)
        say("gate", f"{word:<5} {result.name} {number(result.after)} (at {commit[:7]}: {before}), {result.rule}")
    broken = failed(results)
    say("gate", f"{len(broken)} of {len(results)} failed" if broken else f"all {len(results)} passed")
    sys.exit(BROKEN if broken else 0)


if __name__ == "__main__":
    run_command(main)
