"""verify: run the last commit again in a clone elsewhere, and say whether the same bits come out.

Nothing of this folder is used but its commit, its .venv and data that git does not hold; DVC's cache is an empty one.
Ends with 0 if every stage is bit-exact, or within tolerance on other hardware; with 1 if one differs; with 2 if
something has to be put right first.
"""

from lockstep.core.entry_point import command_parser
from lockstep.core.errors import run_command

NOT_THE_SAME = 1  # exit code if a stage differs


def main() -> None:
    """Verify HEAD, and exit with NOT_THE_SAME if a stage differs. Raises LockstepError if it can't be verified."""
    parser = command_parser("lockstep verify", __doc__)
    parser.add_argument("--keep", action="store_true", help="leave the clone and say where it is")
    keep = parser.parse_args().keep
    import signal
    import sys

    from lockstep.core.console import say
    from lockstep.review.revisions import resolve
    from lockstep.verify.clean_clone import committed_lock, prepare_clone, require_committed
    from lockstep.verify.cleanup_guard import CleanupGuard
    from lockstep.verify.compare_rerun import compare_rerun
    from lockstep.verify.judge import DIFFERENT, conclusion

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM cleans up and ends as Ctrl-C does
    commit = resolve("HEAD")
    lock = committed_lock(commit)
    require_committed(lock)
    with CleanupGuard("lockstep-verify-", keep) as guard:
        project = prepare_clone(commit, lock, guard.folder)
        say("verify", f"{commit[:7]} runs again from nothing, in a clone")
        findings = compare_rerun(project, lock, guard)
    outputs = sum(len(stage.outs) for stage in lock.values())
    say("verify", conclusion(findings, outputs, commit[:7]))
    if keep:
        say("verify", f"the clone is {project}")
    sys.exit(NOT_THE_SAME if any(finding.verdict == DIFFERENT for finding in findings) else 0)


if __name__ == "__main__":
    run_command(main)
