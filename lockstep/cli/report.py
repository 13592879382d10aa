"""report: lay out what the stages wrote as one page, metrics/report.html, to be read on a phone and without a network.

`make repro`, `make evaluate` and `make export` end with it; run it again to see what changed since the latest commit.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import LockstepError, run_command


def main() -> None:
    """Write the page. Raises LockstepError when a stage has not run yet."""
    command_parser("lockstep report", __doc__).parse_args()
    from jinja2 import UndefinedError

    from lockstep.core.atomic_files import write_text
    from lockstep.core.console import say
    from lockstep.core.paths import REPORT
    from lockstep.review.report import read_facts, report_html

    try:
        page = report_html(read_facts())
    except (KeyError, UndefinedError) as error:
        raise LockstepError(f"The files in metrics/ are damaged: no {error}.", "Run `make repro` again.") from None
    write_text(REPORT, page)
    say("report", f"{REPORT}: open it in a browser")


if __name__ == "__main__":
    run_command(main)
