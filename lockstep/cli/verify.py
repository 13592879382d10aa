"""verify: run the last commit again in a clone elsewhere, and say whether the same bits come out.

Nothing of this folder is used but its commit, its .venv and data that git does not hold; DVC's cache is an empty one.
Ends with 0 if every stage is bit-exact, or within tolerance on other hardware; with 1 if one differs; with 2 if
something has to be put right first.
"""

from typing import TYPE_CHECKING

from lockstep.core.entry_point import command_parser

if TYPE_CHECKING:
    from pathlib import Path

    from lockstep.verify.cleanup_guard import Guard
    from lockstep.verify.dvc_lock import Lock
    from lockstep.verify.judge import Finding

NOT_THE_SAME = 1  # exit code


def main() -> None:
    """Verify HEAD. Raises LockstepError for what the user can put right."""
    parser = command_parser("lockstep verify", __doc__)
    parser.add_argument("--keep", action="store_true", help="leave the clone and say where it is")
    keep = parser.parse_args().keep
    import signal
    import sys

    from lockstep.core.console import say
    from lockstep.review.revisions import resolve
    from lockstep.verify.clean_clone import committed_lock, require_committed
    from lockstep.verify.cleanup_guard import Guard
    from lockstep.verify.judge import DIFFERENT, conclusion

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends as Ctrl-C does: cleaned up
    commit = resolve("HEAD")
    lock = committed_lock(commit)
    require_committed(lock)
    with Guard("lockstep-verify-", keep) as guard:
        project = prepare_clone(commit, lock, guard)
        say("verify", f"{commit[:7]} runs again from nothing, in a clone")
        findings = compare_rerun(project, lock, guard)
    outputs = sum(len(stage.outs) for stage in lock.values())
    say("verify", conclusion(findings, outputs, commit[:7]))
    if keep:
        say("verify", f"the clone is {project}")
    sys.exit(NOT_THE_SAME if any(finding.verdict == DIFFERENT for finding in findings) else 0)


def prepare_clone(commit: str, lock: "Lock", guard: "Guard") -> "Path":
    """The project in a fresh clone, with all inputs. Raises LockstepError where it could not come out the same."""
    from lockstep.core.console import say
    from lockstep.core.paths import PARAMS
    from lockstep.core.settings import load_params
    from lockstep.pretrained.base import local_inputs
    from lockstep.verify.clean_clone import bring_inputs, clone_commit, require_reproducible, switch_off_reports
    from lockstep.verify.dvc_lock import inputs_of

    project = clone_commit(commit, guard.folder / "clone")
    params = load_params(project / PARAMS)
    inputs = inputs_of(lock) + local_inputs(params.model.base)
    inputs += [params.train.accelerate_config] if params.train.accelerate_config else []
    for brought in bring_inputs(inputs, project, guard.folder):
        say("verify", f"{brought} is not in git; a copy of what is here goes along")
    require_reproducible(project, lock)
    switch_off_reports(project)
    return project


def compare_rerun(project: "Path", lock: "Lock", guard: "Guard") -> "list[Finding]":
    """Run the clone's pipeline and say the verdict on each stage when it is done."""
    from lockstep.core.console import say
    from lockstep.core.paths import TRAIN_PROVENANCE
    from lockstep.review.compare import flat
    from lockstep.verify.judge import JUDGED, changed_base, judge, judged_figures, machine_changes, told_change
    from lockstep.verify.rerun import first_file, read_lock, read_outputs, read_values, rerun

    outputs = read_outputs(project, lock)
    provenance = outputs.values.get(str(TRAIN_PROVENANCE), {})
    findings: dict[str, Finding] = {}
    elsewhere = False
    for stage in rerun(project, guard):
        if str(TRAIN_PROVENANCE) in lock[stage].outs:
            here = read_values(project / TRAIN_PROVENANCE)
            changed = machine_changes(provenance, here)
            elsewhere = bool(changed)
            if changed:
                say("verify", f"other hardware or versions: {', '.join(map(told_change, changed))}")
            if base := changed_base(provenance, here):
                say("verify", f"the base is another one: {base}. model.revision pins a base of the Hub")
        figures = None
        if elsewhere:
            path = str(JUDGED[stage][0]) if stage in JUDGED else ""
            figures = judged_figures(stage, flat(outputs.values.get(path, {})), flat(read_values(project / path)))
        committed = lock[stage].outs
        named = lambda out, committed=committed: first_file(out, committed, outputs, project)  # noqa: E731
        findings[stage] = judge(stage, lock, read_lock(project), findings, figures, named)
        say(stage, str(findings[stage]))
    return list(findings.values())
