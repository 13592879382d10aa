"""Gates: bounds that a change must keep to be merged, given under `gates` in params.yaml."""

import difflib
from dataclasses import dataclass
from typing import Any

from lockstep.core.errors import LockstepError
from lockstep.core.renamed import METRICS, new_name
from lockstep.core.settings import Gate
from lockstep.review.compare import is_number

SHORT_FOR = "evaluate."  # a gate's name may leave this away


@dataclass(frozen=True, slots=True)
class GateResult:
    """One bound of one figure. passed: None where it could not be judged, as the other revision has no such figure."""

    name: str
    rule: str
    before: float | None
    after: float
    passed: bool | None


def check_gates(gates: dict[str, Gate], before: dict[str, Any], after: dict[str, Any]) -> list[GateResult]:
    """Judge every bound. before and after: flat metrics of the other revision and of this one.

    Raises LockstepError for a gate whose figure does not exist: a misspelt gate must not pass for ever.
    """
    results = []
    for name, gate in gates.items():
        full = _full_name(name, after)
        earlier = before.get(full) if is_number(before.get(full)) else None
        for rule, bound in gate.model_dump(exclude_none=True).items():
            passed = _passes(rule, bound, earlier, after[full])
            results.append(GateResult(full, f"{rule} {_shown(bound)}", earlier, after[full], passed))
    return results


def failed(results: list[GateResult]) -> list[GateResult]:
    """The bounds that are broken."""
    return [result for result in results if result.passed is False]


def _passes(rule: str, bound: float | str, before: float | None, after: float) -> bool | None:
    if rule == "max":
        return after <= float(bound)
    if rule == "min":
        return after >= float(bound)
    if before is None:
        return None
    change = after - before if rule == "max_increase" else before - after
    allowed = abs(before) * float(bound[:-1]) / 100 if isinstance(bound, str) else bound
    return change <= allowed


def _full_name(name: str, metrics: dict[str, Any]) -> str:
    for full in (name, SHORT_FOR + name):
        if is_number(metrics.get(full)):
            return full
    meant = _renamed(name) or _closest(name, metrics)
    hint = f"Did you mean {meant}?" if meant else "`make metrics` lists those there are."
    raise LockstepError(f"gates.{name} in params.yaml names no figure.", hint)


def _renamed(name: str) -> str | None:
    """The new name of a figure that was renamed, short where the old one was; else None."""
    if full := new_name(name, METRICS):
        return full
    full = new_name(SHORT_FOR + name, METRICS)
    return full.removeprefix(SHORT_FOR) if full else None


def _closest(name: str, metrics: dict[str, Any]) -> str | None:
    """The name of the figure that is spelt most like this; None where none is."""
    numbers = [key for key, value in metrics.items() if is_number(value)]
    close = difflib.get_close_matches(name, numbers + [key.removeprefix(SHORT_FOR) for key in numbers], n=1)
    return close[0] if close else None


def _shown(bound: float | str) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"
