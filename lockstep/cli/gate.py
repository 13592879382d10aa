"""gate: hold the figures against the bounds under `gates` in params.yaml.

Bounds on a change compare with the commit where this branch left main, or with the one --against names.
Ends with exit code 1 when a bound is broken.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command
from lockstep.review.compare import add_revision_options, read_comparison

BROKEN = 1  # exit code if a gate fails


def main() -> None:
    """Judge the gates, and exit with BROKEN if one fails. Raises LockstepError when there is nothing to compare."""
    parser = command_parser("lockstep gate", __doc__)
    add_revision_options(parser)
    arguments = parser.parse_args()
    import sys

    from lockstep.core.console import say
    from lockstep.core.settings import load_params
    from lockstep.evaluation.verdict import number
    from lockstep.review.gates import check_gates, failed

    params = load_params()
    comparison = read_comparison(arguments.against, arguments.branch)
    results = check_gates(params.gates, comparison.before.metrics, comparison.now.metrics)
    commit = comparison.commit[:7]
    for result in results:
        outcome = {True: "pass", False: "FAIL", None: "new"}[result.passed]
        before = "no figure" if result.before is None else number(result.before)
        say("gate", f"{outcome:<5} {result.name} {number(result.after)} (at {commit}: {before}), {result.rule}")
    broken = failed(results)
    say("gate", f"{len(broken)} of {len(results)} failed" if broken else f"all {len(results)} passed")
    sys.exit(BROKEN if broken else 0)


if __name__ == "__main__":
    run_command(main)
