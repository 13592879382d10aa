"""report: lay out what the stages wrote as one page, metrics/report.html, to be read on a phone and without a network.

`make evaluate` ends with it; run it again to see what changed since the latest commit.
"""

if __name__ == "__main__" and not __package__:  # run by path, this folder's tokenize.py hides Python's own
    import sys

    sys.stderr.write("error: Run it as `python -m lockstep report` from the project's root.\n")
    sys.exit(2)

import argparse

from lockstep.core.errors import LockstepError, run_command


def main() -> None:
    """Write the page. Raises LockstepError when a stage has not run yet."""
    parser = argparse.ArgumentParser(prog="python -m lockstep report", description=__doc__)
    parser.add_argument("--quiet", action="store_true", help="say nothing when it is written")
    quiet = parser.parse_args().quiet
    from jinja2 import UndefinedError

    from lockstep.core.console import say
    from lockstep.core.atomic_files import write_text
    from lockstep.core.paths import REPORT
    from lockstep.review.report import report_html
    from lockstep.review.report_facts import read_facts

    try:
        page = report_html(read_facts())
    except (KeyError, UndefinedError) as error:
        raise LockstepError(f"The files in metrics/ are damaged: no {error}.", "Run `make repro` again.") from None
    write_text(REPORT, page)
    if not quiet:
        say("report", f"{REPORT}: open it in a browser")


if __name__ == "__main__":
    run_command(main)
