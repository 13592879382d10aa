"""The verdict on a stage that ran again: the same bits, figures within tolerance on other hardware, or different."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lockstep.core.nested import flatten
from lockstep.core.paths import EVALUATE_METRICS, TRAIN_METRICS
from lockstep.review.compare import Change, changes
from lockstep.verify.dvc_lock import Lock, differing, producer_of

BIT_EXACT, WITHIN_TOLERANCE, DIFFERENT = "bit-exact", "within tolerance", "different"

# Largest relative difference of a loss on other hardware: it rounds differently, and training amplifies that.
# docs/reliability.md has the measurements.
TOLERANCE = 0.02
JUDGED_FIGURES = {  # stage -> its file of metrics, and the figures in it that are held against TOLERANCE
    "train": (TRAIN_METRICS, ("train_loss", "validation_loss")),
    "evaluate": (EVALUATE_METRICS, ("base.loss", "tuned.loss", "base.bits_per_byte", "tuned.bits_per_byte")),
}
HARDWARE_INDEPENDENT = (
    "prepare",
    "base",
    "tokenize",
)  # stages without arithmetic that hardware could round differently


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one stage.

    reason: the figures compared, or what differs. file: the first that differs, if the difference began in this stage.
    """

    stage: str
    verdict: str
    reason: str = ""
    file: str = ""

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict


def judge(
    stage: str,
    before: Lock,
    after: Lock,
    earlier: Mapping[str, Finding],
    figures: Sequence[Change] | None,
    first_file: Callable[[str], str],
) -> Finding:
    """The verdict on a stage.

    before, after: dvc.lock as committed and as the rerun wrote it. earlier: the findings on the stages before. figures:
    those of JUDGED_FIGURES if the rerun used other hardware or libraries; None if it used the same, where only the same
    bits are accepted. first_file: returns the first file that differs in an output.
    """
    outs = differing(before[stage].outs, after[stage].outs)
    if not outs:
        return Finding(stage, BIT_EXACT)
    changed = {producer_of(dep, before) for dep in differing(before[stage].deps, after[stage].deps)}
    causes = [name for name in before if name in changed]
    different = [name for name in causes if earlier[name].verdict == DIFFERENT]
    if different:
        return Finding(stage, DIFFERENT, f"it reads what {different[0]} wrote")
    if figures is not None and stage not in HARDWARE_INDEPENDENT:
        beyond = [figure for figure in figures if not is_within_tolerance(figure)]
        listing = ", ".join(map(_describe_figure, beyond or figures))
        reason = listing or f"it reads what {causes[0] if causes else 'train'} wrote"
        return Finding(stage, DIFFERENT if beyond else WITHIN_TOLERANCE, reason, outs[0] if beyond else "")
    file = first_file(outs[0])
    others = f" and {len(outs) - 1} of its other outputs" if len(outs) > 1 else ""
    return Finding(stage, DIFFERENT, file + others, file)


def is_within_tolerance(figure: Change) -> bool:
    """Whether a figure of the rerun is within TOLERANCE of the committed one."""
    return figure.before == figure.after or (figure.share is not None and abs(figure.share) <= TOLERANCE)


def judged_figures(stage: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The figures by which a stage is judged on other hardware. before, after: its metrics, flat."""
    _, names = JUDGED_FIGURES.get(stage, ("", ()))
    return [Change(name, before.get(name), after.get(name)) for name in names if name in before or name in after]


def machine_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """The differences in hardware and library versions.

    before, after: metrics/provenance/train.json, or {} if there is none; then no difference in bits is excused.
    """
    if not before or not after:
        return []
    return changes(_machine(before), _machine(after))


def _machine(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The hardware and library versions in a provenance, flat."""
    return flatten({**provenance.get("hardware", {}), **provenance.get("versions", {})})


def changed_base(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The first file of the base model that has changed; '' if none has. before, after: as in machine_changes."""
    names = differing(before.get("base", {}), after.get("base", {})) if before and after else []
    return names[0] if names else ""


def conclusion(findings: Sequence[Finding], outputs: int, commit: str) -> str:
    """The last line that verify prints. outputs: the number of outputs compared."""
    different = [finding for finding in findings if finding.verdict == DIFFERENT]
    if different:
        first = different[0]
        return f"{commit} does not come out the same: {first.stage} is the first stage that differs, in {first.file}"
    if any(finding.verdict == WITHIN_TOLERANCE for finding in findings):
        return f"{commit} comes out within {TOLERANCE:.0%}, on other hardware or versions"
    return f"{commit} comes out the same, bit for bit: {outputs} outputs of {len(findings)} stages"


def describe_change(change: Change) -> str:
    """'torch 2.12.0 -> 2.13.0'."""
    return f"{change.name} {change.before} -> {change.after}"


def _describe_figure(figure: Change) -> str:
    """'tuned.loss 3.72 -> 3.73 (+0.27%, 2% is allowed)'."""
    share = "" if figure.share is None else f" ({figure.share:+.2%}, {TOLERANCE:.0%} is allowed)"
    return describe_change(figure) + share
