"""Gates: bounds under `gates` in params.yaml that a change must keep to be merged."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lockstep.core.errors import LockstepError, did_you_mean
from lockstep.core.renamed import METRICS, new_name
from lockstep.core.settings import Gate
from lockstep.review.compare import is_number

OPTIONAL_PREFIX = "evaluate."  # a gate's name may omit it


@dataclass(frozen=True, slots=True)
class GateResult:
    """One bound of one figure. passed: None for a bound on a change if the other revision lacks the figure."""

    name: str
    rule: str
    before: float | None
    after: float
    passed: bool | None


def check_gates(gates: dict[str, Gate], before: dict[str, Any], after: dict[str, Any]) -> list[GateResult]:
    """Judge every bound. before, after: flat metrics of the other revision and of this one.

    Raises LockstepError for a gate whose figure does not exist, since a misspelt gate must not pass for ever.
    """
    results = []
    for name, gate in gates.items():
        full = _full_name(name, after)
        earlier = before.get(full) if is_number(before.get(full)) else None
        for rule, bound in gate.model_dump(exclude_none=True).items():
            passed = _passes(rule, bound, earlier, after[full])
            results.append(GateResult(full, f"{rule} {_format_bound(bound)}", earlier, after[full], passed))
    return results


def refuse_old_names(gates: Iterable[str]) -> None:
    """Raise LockstepError for a gate that has the old name of a figure. It can be told before there are figures."""
    for name in gates:
        if renamed := _renamed(name):
            raise _no_figure(name, f"Did you mean {renamed}?")


def failed(results: list[GateResult]) -> list[GateResult]:
    """The bounds that are broken."""
    return [result for result in results if result.passed is False]


def _passes(rule: str, bound: float | str, before: float | None, after: float) -> bool | None:
    """Whether a figure keeps a bound. bound: of a change also a share of |before|, such as '2%'."""
    match rule:
        case "max":
            return after <= float(bound)
        case "min":
            return after >= float(bound)
        case "max_increase":
            return None if before is None else after - before <= _allowed_change(bound, before)
        case "max_decrease":
            return None if before is None else before - after <= _allowed_change(bound, before)
    raise AssertionError(f"the rule {rule} is not judged")


def _allowed_change(bound: float | str, before: float) -> float:
    """A bound of a change as a number."""
    return abs(before) * float(bound[:-1]) / 100 if isinstance(bound, str) else bound


def _full_name(name: str, metrics: dict[str, Any]) -> str:
    """The name of a gate's figure in the metrics. Raises LockstepError if there is no such figure."""
    for full in (name, OPTIONAL_PREFIX + name):
        if is_number(metrics.get(full)):
            return full
    refuse_old_names([name])
    raise _no_figure(name, did_you_mean(name, _figure_names(metrics)) or "`make metrics` lists those there are.")


def _no_figure(name: str, remedy: str) -> LockstepError:
    return LockstepError(f"gates.{name} in params.yaml names no figure.", remedy)


def _renamed(name: str) -> str | None:
    """The new name of a figure that was renamed, short where the old one was; else None."""
    if full := new_name(name, METRICS):
        return full
    full = new_name(OPTIONAL_PREFIX + name, METRICS)
    return full.removeprefix(OPTIONAL_PREFIX) if full else None


def _figure_names(metrics: dict[str, Any]) -> list[str]:
    """The names that gates may have: of each figure the full one and the one without OPTIONAL_PREFIX."""
    numbers = [key for key, value in metrics.items() if is_number(value)]
    return numbers + [key.removeprefix(OPTIONAL_PREFIX) for key in numbers]


def _format_bound(bound: float | str) -> str:
    return bound if isinstance(bound, str) else f"{bound:g}"
