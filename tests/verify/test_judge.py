"""Verdicts on a rerun: which stage differs first, what other hardware excuses, and the lines that say so."""

from collections.abc import Mapping
from typing import Any

import pytest

from lockstep.review.compare import Change
from lockstep.verify.dvc_lock import (
    Lock,
    LockedStage,
)
from lockstep.verify.judge import (
    Finding,
    changed_base,
    conclusion,
    judge,
    judged_figures,
    machine_changes,
)

LOCK = {
    "prepare": LockedStage({"data/raw/a.csv": "1"}, {"data/prepared": "2.dir", "metrics/prepare.json": "3"}),
    "train": LockedStage(
        {"data/prepared": "2.dir", "models/bases/tiny": "4.dir"},
        {"metrics/train.json": "5", "models/finetuned": "6.dir"},
    ),
    "export": LockedStage({"metrics/train.json": "5", "models/finetuned": "6.dir"}, {"models/export": "7.dir"}),
}
LOSS = Change("tuned.loss", 4.0, 4.05)
FAR = Change("tuned.loss", 4.0, 4.3)


def rerun(**changed: str) -> Lock:
    """LOCK with other hashes, by path with _ for / and no ending; of deps that are outputs too."""

    def hashes(before: Mapping[str, str]) -> dict[str, str]:
        return {path: changed.get(path.replace("/", "_").removesuffix(".json"), old) for path, old in before.items()}

    return {name: LockedStage(hashes(stage.deps), hashes(stage.outs)) for name, stage in LOCK.items()}


def findings(after: Lock, figures: dict[str, list[Change]] | None = None) -> list[Finding]:
    """The verdicts on all stages. figures: on other hardware those of each stage; None: on the same."""
    earlier: dict[str, Finding] = {}
    for stage in LOCK:
        judged = None if figures is None else figures.get(stage, [])
        earlier[stage] = judge(stage, LOCK, after, earlier, judged, lambda out: f"{out}/first")
    return list(earlier.values())


def verdicts(after: Lock, figures: dict[str, list[Change]] | None = None) -> list[str]:
    return [str(finding) for finding in findings(after, figures)]


def test_the_same_hashes_are_bit_exact() -> None:
    assert verdicts(rerun()) == ["bit-exact"] * 3
    assert (
        conclusion(findings(rerun()), 5, "abc1234") == "abc1234 comes out the same, bit for bit: 5 outputs of 3 stages"
    )


def test_the_stage_where_it_began_names_its_file_and_those_after_it_name_that_stage() -> None:
    after = rerun(data_prepared="x.dir", models_finetuned="y.dir", models_export="z.dir")
    assert verdicts(after) == [
        "different: data/prepared/first",
        "different: it reads what prepare wrote",
        "different: it reads what train wrote",
    ]
    last = conclusion(findings(after), 5, "abc1234")
    assert last == "abc1234 does not come out the same: prepare is the first stage that differs, in data/prepared/first"


def test_of_several_stages_that_differ_the_first_is_the_cause() -> None:
    lock = {**LOCK, "export": LockedStage({"a": "1", "z": "1"}, {"models/export": "7"})}
    lock["train"] = LockedStage({"z": "1"}, {"a": "1"})
    lock["prepare"] = LockedStage({}, {"z": "1"})
    after = {
        name: LockedStage(dict.fromkeys(stage.deps, "x"), dict.fromkeys(stage.outs, "x"))
        for name, stage in lock.items()
    }
    earlier = {name: Finding(name, "different") for name in ("prepare", "train")}
    finding = judge("export", lock, after, earlier, None, str)
    assert str(finding) == "different: it reads what prepare wrote"


def test_a_stage_after_one_that_differs_may_still_be_the_same() -> None:
    assert verdicts(rerun(metrics_prepare="x")) == ["different: metrics/prepare.json/first", "bit-exact", "bit-exact"]


def test_several_outputs_that_differ_are_counted() -> None:
    after = rerun(metrics_train="x", models_finetuned="y.dir")
    assert verdicts(after)[1] == "different: metrics/train.json/first and 1 of its other outputs"


def test_an_output_that_is_new_or_gone_is_a_difference() -> None:
    after = dict(rerun(), export=LockedStage(LOCK["export"].deps, {}))
    assert verdicts(after)[2] == "different: models/export/first"


def test_the_same_machine_excuses_nothing() -> None:
    assert verdicts(rerun(models_finetuned="y.dir"))[1] == "different: models/finetuned/first"


def test_another_machine_excuses_losses_that_are_near() -> None:
    after = rerun(models_finetuned="y.dir", models_export="z.dir")
    judged = findings(after, {"train": [LOSS]})
    assert [str(finding) for finding in judged[1:]] == [
        "within tolerance: tuned.loss 4.0 -> 4.05 (+1.25%, 2% is allowed)",
        "within tolerance: it reads what train wrote",
    ]
    assert conclusion(judged, 5, "abc1234") == "abc1234 comes out within 2%, on other hardware or versions"


def test_another_machine_does_not_excuse_losses_that_are_far() -> None:
    after = rerun(models_finetuned="y.dir", models_export="z.dir")
    judged = findings(after, {"train": [LOSS, FAR]})
    assert str(judged[1]) == "different: tuned.loss 4.0 -> 4.3 (+7.50%, 2% is allowed)"
    assert str(judged[2]) == "different: it reads what train wrote"
    assert conclusion(judged, 5, "abc1234").endswith("train is the first stage that differs, in models/finetuned")


def test_another_machine_does_not_excuse_other_data() -> None:
    assert verdicts(rerun(data_prepared="x.dir"), {})[0] == "different: data/prepared/first"


def test_a_figure_that_only_one_run_has_is_not_within() -> None:
    assert verdicts(rerun(models_finetuned="y"), {"train": [Change("validation_loss", 4.0, None)]})[1] == (
        "different: validation_loss 4.0 -> None"
    )


@pytest.mark.parametrize(
    ("before", "after", "within"), [(0.0, 0.0, True), (0.0, 0.1, False), (2.0, 1.97, True), (2.0, 1.95, False)]
)
def test_tolerance_is_a_share_of_the_committed_figure(before: float, after: float, within: bool) -> None:
    judged = findings(rerun(models_finetuned="y.dir"), {"train": [Change("train_loss", before, after)]})
    assert judged[1].verdict == ("within tolerance" if within else "different")


def test_training_is_judged_by_its_losses_and_evaluation_by_both_models() -> None:
    before = {"train_loss": 1.0, "steps": 9, "epochs.0.train_loss": 3.0}
    assert judged_figures("train", before, {"train_loss": 1.5, "steps": 10}) == [Change("train_loss", 1.0, 1.5)]
    names = [
        figure.name for figure in judged_figures("evaluate", {"base.loss": 1.0, "base.f1": 1.0}, {"tuned.loss": 2.0})
    ]
    assert names == ["base.loss", "tuned.loss"]
    assert judged_figures("export", {"loss": 1}, {"loss": 2}) == []


def test_another_machine_is_recognized_by_hardware_and_versions() -> None:
    before: dict[str, Any] = {
        "hardware": {"processor": "A", "threads": 2},
        "versions": {"torch": "1"},
        "base": {"x": "1"},
    }
    after = {"hardware": {"processor": "B", "threads": 2}, "versions": {"torch": "2"}, "base": {"x": "2"}}
    assert machine_changes(before, after) == [Change("processor", "A", "B"), Change("torch", "1", "2")]
    assert machine_changes(before, {**before, "base": {}}) == []
    assert machine_changes({}, after) == []
    assert changed_base(before, after) == "x"
    assert changed_base({}, after) == ""
