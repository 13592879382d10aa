"""Compares what a rerun writes with what was committed, stage by stage."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lockstep.core.console import say
from lockstep.core.nested import flatten
from lockstep.core.paths import DVC_LOCK, TRAIN_PROVENANCE
from lockstep.review.compare import Change
from lockstep.verify.clean_clone import run_dvc
from lockstep.verify.cleanup_guard import CleanupGuard
from lockstep.verify.dvc_lock import Hashes, Lock, cached_files, differing, hash_files, parse_lock
from lockstep.verify.judge import (
    JUDGED_FIGURES,
    Finding,
    changed_base,
    describe_change,
    judge,
    judged_figures,
    machine_changes,
)
from lockstep.verify.rerun import rerun

Values = dict[str, Any]  # the content of a JSON file


@dataclass(slots=True)
class Outputs:
    """The committed outputs that git holds.

    files: path of an output -> hashes of its files. values: path of a JSON file -> its content.
    """

    files: dict[str, Hashes] = field(default_factory=dict)
    values: dict[str, Values] = field(default_factory=dict)


def compare_rerun(project: Path, lock: Lock, guard: CleanupGuard) -> list[Finding]:
    """Run the pipeline of a clone; judges and prints each stage when it is done.

    project: the project's folder in the clone. lock: dvc.lock as committed. Raises LockstepError if a stage fails.
    """
    outputs = read_outputs(project, lock)
    findings: dict[str, Finding] = {}
    other_machine = False
    for stage in rerun(project, guard):
        committed = lock[stage].outs
        if str(TRAIN_PROVENANCE) in committed:
            before = outputs.values.get(str(TRAIN_PROVENANCE), {})
            other_machine = report_surroundings(before, read_values(project / TRAIN_PROVENANCE))
        figures = _figures(stage, outputs, project) if other_machine else None
        first_file = partial(first_difference, committed=committed, outputs=outputs, project=project)
        findings[stage] = judge(stage, lock, read_lock(project), findings, figures, first_file)
        say(stage, str(findings[stage]))
    return list(findings.values())


def report_surroundings(before: Values, after: Values) -> bool:
    """Print changes of the hardware, the libraries and the base; returns whether hardware or libraries have changed.

    before, after: metrics/provenance/train.json as committed and as the rerun wrote it.
    """
    changed = machine_changes(before, after)
    if changed:
        say("verify", f"other hardware or versions: {', '.join(map(describe_change, changed))}")
    if base := changed_base(before, after):
        say("verify", f"the base is another one: {base}. model.revision pins a base of the Hub")
    return bool(changed)


def _figures(stage: str, outputs: Outputs, project: Path) -> list[Change]:
    """The figures by which a stage is judged on other hardware; none for a stage that is not in JUDGED_FIGURES."""
    if stage not in JUDGED_FIGURES:
        return []
    path, _ = JUDGED_FIGURES[stage]
    return judged_figures(stage, flatten(outputs.values.get(str(path), {})), flatten(read_values(project / path)))


def read_outputs(project: Path, lock: Lock) -> Outputs:
    """Read the outputs that exist: in a clone in which nothing has run, those that git holds."""
    outputs = Outputs()
    for path in [out for stage in lock.values() for out in stage.outs]:
        if (project / path).exists():
            outputs.files[path] = hash_files(project / path)
        if path.endswith(".json"):
            outputs.values[path] = read_values(project / path)
    return outputs


def read_values(path: Path) -> Values:
    """The content of a JSON file of metrics; empty if there is none."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def read_lock(project: Path) -> Lock:
    """dvc.lock as it is now. Raises LockstepError where it is broken."""
    return parse_lock((project / DVC_LOCK).read_text(encoding="utf-8"))


def first_difference(out: str, committed: Mapping[str, str], outputs: Outputs, project: Path) -> str:
    """The first file in an output that is not as committed and, of a JSON file, the first value.

    committed: hashes of the stage's outputs in the committed dvc.lock. project: the clone after the rerun.
    """
    before: Hashes | None = outputs.files.get(out)
    if before is None and out in committed:
        if committed[out].endswith(".dir"):
            cache = run_dvc(Path.cwd(), "cache", "dir").stdout.strip()
            before = cached_files(Path(cache), committed[out])
        else:
            before = {".": committed[out]}
    file = name_first_file(out, before, hash_files(project / out))
    if out not in outputs.values:
        return file
    old, new = flatten(outputs.values[out]), flatten(read_values(project / out))
    name = next((name for name in {**old, **new} if old.get(name) != new.get(name)), None)
    return file if name is None else f"{file} ({name}: {old.get(name)} -> {new.get(name)})"


def name_first_file(out: str, before: Hashes | None, after: Hashes) -> str:
    """The first file that differs in an output. before, after: hashes of its files; before is None if unknown."""
    if before is None:
        return f"a file in {out}"
    name = next(iter(differing(before, after)), ".")
    path = out if name == "." else f"{out}/{name}"
    if name not in after:
        return f"{path} (not written this time)"
    return path if name in before else f"{path} (not there before)"
