"""Renamed settings and metrics: an old name is refused with the new one, and old commits are read under new names."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from projects import ROOT, Project
from repositories import commit, git

from lockstep.core.errors import LockstepError
from lockstep.core.nested import flatten
from lockstep.core.renamed import DROPPED, METRICS, SETTINGS, new_name, with_new_names
from lockstep.core.settings import Gate, check_params
from lockstep.review.compare import changes, read_snapshot
from lockstep.review.gates import OPTIONAL_PREFIX, check_gates

SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
MEASURED = flatten(
    {name: json.loads((ROOT / f"metrics/{name}.json").read_text(encoding="utf-8")) for name in ("train", "evaluate")}
)


def nested(values: dict[str, Any]) -> dict[str, Any]:
    """{'section.key': value} as sections."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        inside = result
        for section in sections:
            inside = inside.setdefault(section, {})
        inside[key] = value
    return result


def with_old_names(values: dict[str, Any], table: dict[str, str]) -> dict[str, Any]:
    """The sections as they were written before the renaming."""
    return nested(with_new_names(flatten(values), {new: old for old, new in table.items()}))


def is_measured(name: str) -> bool:
    return any(f"{known}.".startswith(f"{name}.") for known in MEASURED)


@pytest.mark.parametrize(("old", "new"), SETTINGS.items())
def test_an_old_setting_is_refused_with_its_new_name(old: str, new: str) -> None:
    assert new in flatten(SHIPPED)
    assert old not in flatten(SHIPPED)
    values = flatten(SHIPPED)
    values[old] = values.pop(new)
    with pytest.raises(LockstepError) as caught:
        check_params(nested({name: values[name] for name in values if not name.startswith("gates.")}) | {"gates": {}})
    assert caught.value.message.count(new) == 1  # the same key is not called missing besides
    assert f"{old}: " in caught.value.message
    assert f"did you mean {new}?" in caught.value.message


@pytest.mark.parametrize(("key", "reason"), DROPPED.items())
def test_a_setting_that_no_longer_exists_is_refused_with_the_reason(key: str, reason: str) -> None:
    with pytest.raises(LockstepError) as caught:
        check_params(nested(flatten(SHIPPED) | {key: True}))
    assert f"{key} is no longer a setting: {reason}, delete the line" in caught.value.message


@pytest.mark.parametrize(("old", "new"), METRICS.items())
def test_a_gate_by_an_old_metric_is_refused_with_its_new_name(old: str, new: str) -> None:
    assert is_measured(new)
    assert not is_measured(old)
    for name, meant in ((old, new), (old.removeprefix(OPTIONAL_PREFIX), new.removeprefix(OPTIONAL_PREFIX))):
        with pytest.raises(LockstepError) as caught:
            check_gates({name: Gate(max=1)}, MEASURED, MEASURED)
        assert caught.value.message.startswith(f"gates.{name} in params.yaml ")
        assert caught.value.remedy.endswith(f" {meant}?")


@pytest.mark.parametrize(
    ("gate", "meant"),
    [
        ("tuned.stopped", "tuned.eos_rate"),
        ("evaluate.change.loss_low", "evaluate.delta.loss_low"),
        ("change.gap", "delta.generalization_gap"),
        ("over_nearest.f1", "vs_retrieval.f1"),
    ],
)
def test_a_gate_on_a_figure_of_a_renamed_section_is_refused_with_its_new_name(gate: str, meant: str) -> None:
    with pytest.raises(LockstepError, match=rf"gates\.{gate} .* {meant}\?"):
        check_gates({gate: Gate(max=1)}, MEASURED, MEASURED)


def test_only_whole_names_are_renamed_and_the_order_stays() -> None:
    assert new_name("train.batch_size_of_all", SETTINGS) is None
    assert new_name("evaluate.changes", METRICS) is None
    values = {"evaluate.nearest.f1": 1, "evaluate.leakage": 0, "train.gap": 2}
    assert list(with_new_names(values, METRICS).items()) == [
        ("evaluate.retrieval.f1", 1),
        ("evaluate.leakage", 0),
        ("train.generalization_gap", 2),
    ]


def test_a_commit_from_before_the_renaming_is_compared_under_the_new_names(after: Project) -> None:
    metrics = {name: after.json(f"metrics/{name}.json") for name in ("train", "evaluate")}
    new_params = Path("params.yaml").read_text(encoding="utf-8")
    for name, values in with_old_names(metrics, METRICS).items():
        Path(f"metrics/{name}.json").write_text(json.dumps(values))
    Path("params.yaml").write_text(yaml.safe_dump(with_old_names(after.params, SETTINGS), sort_keys=False))
    assert "stopped" in after.json("metrics/evaluate.json")["tuned"]
    git("init", "--quiet")
    commit("old names")
    Path("params.yaml").write_text(new_params)
    after.set("train", per_device_batch_size=4)
    metrics["evaluate"]["tuned"]["eos_rate"] = 0.125
    for name, values in metrics.items():
        Path(f"metrics/{name}.json").write_text(json.dumps(values))
    before, here = read_snapshot("HEAD"), read_snapshot(None)
    (setting,) = changes(before.params, here.params)
    assert (setting.name, setting.before, setting.after) == ("train.per_device_batch_size", 8, 4)
    assert [(figure.name, figure.after) for figure in changes(before.metrics, here.metrics)] == [
        ("evaluate.tuned.eos_rate", 0.125)
    ]
