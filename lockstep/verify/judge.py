"""Whether a stage that ran again wrote the same bits, and in what words to say it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.core.paths import EVALUATE_METRICS, TRAIN_METRICS
from lockstep.review.compare import Change, changes, flat
from lockstep.verify.dvc_lock import Hashes, Lock, differing, maker_of

BIT_EXACT, WITHIN, DIFFERENT = "bit-exact", "within tolerance", "different"

# Arithmetic on other hardware rounds differently, and training amplifies it. What a loss may then differ by, as a share
# of itself; docs/reliability.md says what was seen.
TOLERANCE = 0.02
JUDGED = {
    "train": (TRAIN_METRICS, ("train_loss", "validation_loss")),
    "evaluate": (EVALUATE_METRICS, ("base.loss", "tuned.loss", "base.bits_per_byte", "tuned.bits_per_byte")),
}
ANYWHERE = ("prepare", "tokenize")  # no arithmetic that hardware could round differently: the same bits everywhere


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one stage. about: figures, or what differs. file: the first that differs, where it began here."""

    stage: str
    verdict: str
    about: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}{': ' if self.about else ''}{self.about}"


def judge(
    stage: str,
    before: Lock,
    after: Lock,
    earlier: Mapping[str, Finding],
    figures: Sequence[Change] | None,
    first_file: Callable[[str], str],
) -> Finding:
    """The verdict on a stage.

    before, after: dvc.lock as committed and as the rerun wrote it. earlier: verdicts on the stages before. figures:
    those of JUDGED, if the rerun was on other hardware or with other libraries; None on the same, where only the same
    bits will do. first_file: names the first file that differs in an output.
    """
    outs = differing(before[stage].outs, after[stage].outs)
    if not outs:
        return Finding(stage, BIT_EXACT)
    changed = {maker_of(dep, before) for dep in differing(before[stage].deps, after[stage].deps)}
    causes = [name for name in before if name in changed]
    wrong = [name for name in causes if earlier[name].verdict == DIFFERENT]
    if wrong:
        return Finding(stage, DIFFERENT, f"it reads what {wrong[0]} wrote")
    if figures is not None and stage not in ANYWHERE:
        beyond = [figure for figure in figures if not is_within(figure)]
        told = ", ".join(map(_told, beyond or figures)) or f"it reads what {causes[0] if causes else 'train'} wrote"
        return Finding(stage, DIFFERENT if beyond else WITHIN, told, outs[0] if beyond else "")
    file = first_file(outs[0])
    others = f" and {len(outs) - 1} of its other outputs" if len(outs) > 1 else ""
    return Finding(stage, DIFFERENT, file + others, file)


def is_within(figure: Change) -> bool:
    """Whether a figure of the rerun is within TOLERANCE of the committed one."""
    return figure.before == figure.after or (figure.share is not None and abs(figure.share) <= TOLERANCE)


def judged_figures(stage: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The figures by which a stage is judged on other hardware. before, after: its metrics, flat."""
    _, names = JUDGED.get(stage, ("", ()))
    return [Change(name, before.get(name), after.get(name)) for name in names if name in before or name in after]


def machine_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What differs in hardware and library versions.

    before, after: metrics/provenance/train.json, or {} where there is none; then nothing excuses other bits.
    """
    if not before or not after:
        return []
    parts = [flat({**said.get("hardware", {}), **said.get("versions", {})}) for said in (before, after)]
    return changes(parts[0], parts[1])


def changed_base(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The first file of the base model that is another than it was; '' if none is."""
    names = differing(before.get("base", {}), after.get("base", {})) if before and after else []
    return names[0] if names else ""


def name_first(out: str, before: Hashes | None, after: Hashes) -> str:
    """The first file that differs in an output. before, after: hashes of its files; before is None if unknown."""
    if before is None:
        return f"a file in {out}"
    name = next(iter(differing(before, after)), ".")
    path = out if name == "." else f"{out}/{name}"
    if name not in after:
        return f"{path} (not written this time)"
    return path if name in before else f"{path} (not there before)"


def conclusion(findings: Sequence[Finding], outputs: int, commit: str) -> str:
    """The last line. outputs: how many were compared."""
    wrong = [finding for finding in findings if finding.verdict == DIFFERENT]
    if wrong:
        first = wrong[0]
        return f"{commit} does not come out the same: {first.stage} is the first stage that differs, in {first.file}"
    if any(finding.verdict == WITHIN for finding in findings):
        return f"{commit} comes out within {TOLERANCE:.0%}, on other hardware or versions"
    return f"{commit} comes out the same, bit for bit: {outputs} outputs of {len(findings)} stages"


def told_change(change: Change) -> str:
    """'torch 2.12.0 -> 2.13.0'."""
    return f"{change.name} {change.before} -> {change.after}"


def _told(figure: Change) -> str:
    """'tuned.loss 3.72 -> 3.73 (+0.27%, 5% is allowed)'."""
    by = "" if figure.share is None else f" ({figure.share:+.2%}, {TOLERANCE:.0%} is allowed)"
    return told_change(figure) + by
