"""compare: figures, settings and answers of this work tree beside those of another revision, as Markdown.

Compares with the commit where this branch left main, or with the one --against names, and prints what a pull
request's comment should say; --out writes it to a file.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command
from lockstep.review.compare import add_revision_options, read_comparison


def main() -> None:
    """Write the comparison. Raises LockstepError when there is nothing to compare, or nothing to compare with."""
    parser = command_parser("lockstep compare", __doc__)
    add_revision_options(parser)
    parser.add_argument("--out", metavar="FILE", help="write the Markdown there instead of printing it")
    arguments = parser.parse_args()
    import sys
    from pathlib import Path

    from lockstep.core.atomic_files import read_json, write_text
    from lockstep.core.paths import EVALUATE_METRICS
    from lockstep.core.settings import load_params
    from lockstep.review.gates import check_gates
    from lockstep.review.pr_comment import comment

    params = load_params()
    comparison = read_comparison(arguments.against, arguments.branch)
    gates = check_gates(params.gates, comparison.before.metrics, comparison.now.metrics)
    text = comment(comparison, gates, read_json(EVALUATE_METRICS, "make repro"))
    if arguments.out:
        write_text(Path(arguments.out), text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    run_command(main)
