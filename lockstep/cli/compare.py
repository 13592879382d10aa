"""compare: figures, settings, curves and answers of this work tree beside those of another revision, as Markdown.

Compares with the commit where this branch left main, or with the one --against names, and prints what a pull
request's comment should say; --out writes it to a file.
"""

from lockstep.core.entry_point import command_parser


def main() -> None:
    """Write the comparison. Raises LockstepError when there is nothing to compare, or nothing to compare with."""
    parser = command_parser("lockstep compare", __doc__)
    parser.add_argument("--against", metavar="REVISION", help="a commit, tag or branch; default: where HEAD left main")
    parser.add_argument("--branch", metavar="BRANCH", help="compare with where HEAD left this branch; default: main")
    parser.add_argument("--out", metavar="FILE", help="write the Markdown there instead of printing it")
    arguments = parser.parse_args()
    import sys
    from pathlib import Path

    from lockstep.core.atomic_files import read_json, write_text
    from lockstep.core.paths import EVALUATE_METRICS
    from lockstep.core.revisions import merge_base, resolve
    from lockstep.core.settings import load_params
    from lockstep.review.compare import read_snapshot, require_evaluated
    from lockstep.review.gates import check_gates
    from lockstep.review.pr_comment import comment

    params = load_params()
    here = read_snapshot(None)
    require_evaluated(here)
    commit = resolve(arguments.against) if arguments.against else merge_base(arguments.branch)
    name = f"{arguments.against or arguments.branch or 'main'} at {commit[:7]}"
    before = read_snapshot(commit)
    gates = check_gates(params.gates, before.metrics, here.metrics)
    text = comment(before, here, gates, name, read_json(EVALUATE_METRICS, "make repro"))
    if arguments.out:
        write_text(Path(arguments.out), text)
    else:
        sys.stdout.write(text)
