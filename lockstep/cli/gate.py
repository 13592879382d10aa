"""gate: hold the figures against the bounds under `gates` in params.yaml.

Bounds on a change compare with the commit where this branch left main, or with the one --against names.
Ends with exit code 1 when a bound is broken.
"""

from lockstep.core.entry_point import command_parser

BROKEN = 1  # exit code when a gate fails


def main() -> None:
    """Judge the gates. Raises LockstepError when there is nothing to judge or to compare with."""
    parser = command_parser("lockstep gate", __doc__)
    parser.add_argument("--against", metavar="REVISION", help="a commit, tag or branch; default: where HEAD left main")
    parser.add_argument("--branch", metavar="BRANCH", help="compare with where HEAD left this branch; default: main")
    arguments = parser.parse_args()
    import sys

    from lockstep.core.console import say
    from lockstep.core.revisions import merge_base, resolve
    from lockstep.core.settings import load_params
    from lockstep.evaluation.verdict import number
    from lockstep.review.compare import read_snapshot, require_evaluated
    from lockstep.review.gates import check_gates, failed

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
