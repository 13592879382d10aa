"""Gates: which bounds hold, which break, and what a wrong gate says."""

from pathlib import Path

import pytest
import yaml
from projects import ROOT

from lockstep.core.errors import LockstepError
from lockstep.core.settings import Gate, check_params
from lockstep.review.gates import check_gates, failed

BEFORE = {"evaluate.tuned.perplexity": 100.0, "evaluate.leakage": 0, "train.generalization_gap": 0.0}


@pytest.mark.parametrize(
    ("gate", "after", "passed"),
    [
        ({"max_increase": "2%"}, 102.0, True),
        ({"max_increase": "2%"}, 102.1, False),
        ({"max_increase": "2%"}, 50.0, True),
        ({"max_increase": 5}, 104.0, True),
        ({"max_increase": 5}, 105.5, False),
        ({"max_decrease": "10%"}, 91.0, True),
        ({"max_decrease": "10%"}, 89.0, False),
        ({"max": 100}, 100.0, True),
        ({"max": 100}, 100.1, False),
        ({"min": 100}, 99.9, False),
    ],
)
def test_a_bound_holds_or_breaks(gate: dict[str, float | str], after: float, passed: bool) -> None:
    (result,) = check_gates({"tuned.perplexity": Gate(**gate)}, BEFORE, {"evaluate.tuned.perplexity": after})
    assert result.passed is passed
    assert result.before == 100.0


def test_every_bound_of_a_gate_is_judged_by_itself() -> None:
    results = check_gates({"leakage": Gate(max=0, min=0, max_increase=1.0)}, BEFORE, {"evaluate.leakage": 1})
    assert [(result.rule, result.passed) for result in results] == [
        ("max 0", False),
        ("min 0", True),
        ("max_increase 1", True),
    ]
    assert [result.rule for result in failed(results)] == ["max 0"]


def test_a_figure_the_other_revision_lacks_is_new_and_breaks_nothing() -> None:
    (result,) = check_gates({"tuned.f1": Gate(max_decrease="1%")}, BEFORE, {"evaluate.tuned.f1": 0.5})
    assert result.passed is None
    assert failed([result]) == []


def test_a_growth_from_nothing_has_no_share_to_hide_in() -> None:
    (result,) = check_gates(
        {"train.generalization_gap": Gate(max_increase="50%")}, BEFORE, {"train.generalization_gap": 0.1}
    )
    assert result.passed is False


def test_a_misspelt_gate_is_an_error_and_no_pass() -> None:
    with pytest.raises(LockstepError, match=r"gates\.tuned\.perplexty .*params\.yaml.* tuned\.perplexity\?"):
        check_gates({"tuned.perplexty": Gate(max=1)}, {}, {"evaluate.tuned.perplexity": 1.0})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({}, "needs one of max, min"),
        ({"max_increase": "2 %%"}, "share such as 2%"),
        ({"max_increase": True}, "share such as 2%"),
        ({"max_decrease": -1}, "share such as 2%"),
    ],
)
def test_an_impossible_gate_is_refused(gate: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Gate.model_validate(gate)


def test_a_misspelt_bound_in_params_is_named() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["gates"] = {"leakage": {"maximum": 0, "max": 1}}
    with pytest.raises(LockstepError, match=r"gates\.leakage\.maximum: .*gates\.leakage\.max\?"):
        check_params(values, Path("params.yaml"))


@pytest.mark.parametrize("rule", Gate.model_fields)
def test_every_rule_that_a_gate_may_have_is_judged(rule: str) -> None:
    gate = Gate.model_validate({rule: 5})
    [broken] = check_gates(
        {"leakage": gate},
        {"evaluate.leakage": 1e9 if rule == "max_decrease" else 0.0},
        {"evaluate.leakage": 1.0 if rule == "min" or rule == "max_decrease" else 9.0},
    )
    assert broken.passed is False
    assert broken.rule == f"{rule} 5"
