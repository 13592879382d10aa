"""Verdicts on a rerun: which bits differ, where it began, what other hardware excuses, and the words for it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lockstep.core.errors import LockstepError
from lockstep.review.compare import Change
from lockstep.verify.dvc_lock import (
    Lock,
    LockedStage,
    cached_files,
    differing,
    hash_files,
    inputs_of,
    maker_of,
    parse_lock,
)
from lockstep.verify.judge import (
    Finding,
    changed_base,
    conclusion,
    judge,
    judged_figures,
    machine_changes,
    name_first,
)

LOCK = {
    "prepare": LockedStage({"data/raw/a.csv": "1"}, {"data/prepared": "2.dir", "metrics/prepare.json": "3"}),
    "train": LockedStage(
        {"data/prepared": "2.dir", "models/base": "4.dir"}, {"metrics/train.json": "5", "models/finetuned": "6.dir"}
    ),
    "export": LockedStage({"metrics/train.json": "5", "models/finetuned": "6.dir"}, {"models/export": "7.dir"}),
}
LOCK_TEXT = """
schema: '2.0'
stages:
  prepare:
    cmd: python -m stages.prepare
    deps:
    - path: data/raw/a.csv
      hash: md5
      md5: '1'
      size: 3
    outs:
    - path: data/prepared
      hash: md5
      md5: 2.dir
"""
LOSS = Change("tuned.loss", 4.0, 4.05)
FAR = Change("tuned.loss", 4.0, 4.3)


def rerun(**changed: str) -> Lock:
    """LOCK with other hashes, by path with _ for / and no ending; of deps that are outputs too."""

    def hashes(before: Mapping[str, str]) -> dict[str, str]:
        return {path: changed.get(path.replace("/", "_").removesuffix(".json"), old) for path, old in before.items()}

    return {name: LockedStage(hashes(stage.deps), hashes(stage.outs)) for name, stage in LOCK.items()}


def findings(after: Lock, figures: dict[str, list[Change]] | None = None) -> list[Finding]:
    """The verdicts on all stages. figures: on other hardware those of each stage; None: on the same."""
    found: dict[str, Finding] = {}
    for stage in LOCK:
        judged = None if figures is None else figures.get(stage, [])
        found[stage] = judge(stage, LOCK, after, found, judged, lambda out: f"{out}/first")
    return list(found.values())


def said(after: Lock, figures: dict[str, list[Change]] | None = None) -> list[str]:
    return [str(finding) for finding in findings(after, figures)]


def test_the_same_hashes_are_bit_exact() -> None:
    assert said(rerun()) == ["bit-exact"] * 3
    assert (
        conclusion(findings(rerun()), 5, "abc1234") == "abc1234 comes out the same, bit for bit: 5 outputs of 3 stages"
    )


def test_the_stage_where_it_began_names_its_file_and_those_after_it_name_that_stage() -> None:
    after = rerun(data_prepared="x.dir", models_finetuned="y.dir", models_export="z.dir")
    assert said(after) == [
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
    found = judge("export", lock, after, earlier, None, str)
    assert str(found) == "different: it reads what prepare wrote"


def test_a_stage_after_one_that_differs_may_still_be_the_same() -> None:
    assert said(rerun(metrics_prepare="x")) == ["different: metrics/prepare.json/first", "bit-exact", "bit-exact"]


def test_several_outputs_that_differ_are_counted() -> None:
    after = rerun(metrics_train="x", models_finetuned="y.dir")
    assert said(after)[1] == "different: metrics/train.json/first and 1 of its other outputs"


def test_an_output_that_is_new_or_gone_is_a_difference() -> None:
    after = dict(rerun(), export=LockedStage(LOCK["export"].deps, {}))
    assert said(after)[2] == "different: models/export/first"


def test_the_same_machine_excuses_nothing() -> None:
    assert said(rerun(models_finetuned="y.dir"))[1] == "different: models/finetuned/first"


def test_another_machine_excuses_losses_that_are_near() -> None:
    after = rerun(models_finetuned="y.dir", models_export="z.dir")
    found = findings(after, {"train": [LOSS]})
    assert [str(finding) for finding in found[1:]] == [
        "within tolerance: tuned.loss 4.0 -> 4.05 (+1.25%, 2% is allowed)",
        "within tolerance: it reads what train wrote",
    ]
    assert conclusion(found, 5, "abc1234") == "abc1234 comes out within 2%, on other hardware or versions"


def test_another_machine_does_not_excuse_losses_that_are_far() -> None:
    after = rerun(models_finetuned="y.dir", models_export="z.dir")
    found = findings(after, {"train": [LOSS, FAR]})
    assert str(found[1]) == "different: tuned.loss 4.0 -> 4.3 (+7.50%, 2% is allowed)"
    assert str(found[2]) == "different: it reads what train wrote"
    assert conclusion(found, 5, "abc1234").endswith("train is the first stage that differs, in models/finetuned")


def test_another_machine_does_not_excuse_other_data() -> None:
    assert said(rerun(data_prepared="x.dir"), {})[0] == "different: data/prepared/first"


def test_a_figure_that_only_one_run_has_is_not_within() -> None:
    assert said(rerun(models_finetuned="y"), {"train": [Change("validation_loss", 4.0, None)]})[1] == (
        "different: validation_loss 4.0 -> None"
    )


@pytest.mark.parametrize(
    ("before", "after", "within"), [(0.0, 0.0, True), (0.0, 0.1, False), (2.0, 1.97, True), (2.0, 1.95, False)]
)
def test_tolerance_is_a_share_of_the_committed_figure(before: float, after: float, within: bool) -> None:
    found = findings(rerun(models_finetuned="y.dir"), {"train": [Change("train_loss", before, after)]})
    assert found[1].verdict == ("within tolerance" if within else "different")


def test_training_is_judged_by_its_losses_and_evaluation_by_both_models() -> None:
    before = {"train_loss": 1.0, "steps": 9, "epochs.0.train_loss": 3.0}
    assert judged_figures("train", before, {"train_loss": 1.5, "steps": 10}) == [Change("train_loss", 1.0, 1.5)]
    names = [
        figure.name for figure in judged_figures("evaluate", {"base.loss": 1.0, "base.f1": 1.0}, {"tuned.loss": 2.0})
    ]
    assert names == ["base.loss", "tuned.loss"]
    assert judged_figures("export", {"loss": 1}, {"loss": 2}) == []


def test_another_machine_is_told_by_hardware_and_versions() -> None:
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


@pytest.mark.parametrize(
    ("before", "after", "named"),
    [
        ({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "x", "c": "y"}, "out/b"),
        ({"a": "1"}, {"a": "1", "b": "2"}, "out/b (not there before)"),
        ({"a": "1"}, {}, "out/a (not written this time)"),
        ({".": "1"}, {".": "2"}, "out"),
        (None, {"a": "1"}, "a file in out"),
    ],
)
def test_the_first_file_that_differs_is_named(before: dict[str, str] | None, after: dict[str, str], named: str) -> None:
    assert name_first("out", before, after) == named


def test_a_lock_says_what_stages_read_and_wrote() -> None:
    lock = parse_lock(LOCK_TEXT)
    assert lock == {"prepare": LockedStage({"data/raw/a.csv": "1"}, {"data/prepared": "2.dir"})}
    assert differing({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == ["a", "c", "d"]


def test_inputs_are_what_no_stage_writes_not_even_as_part_of_a_folder() -> None:
    lock = {
        "one": LockedStage({"raw": "1"}, {"made": "2"}),
        "two": LockedStage({"made/part.csv": "3", "made2": "4"}, {}),
    }
    assert inputs_of(lock) == ["made2", "raw"]
    assert (maker_of("made/part.csv", lock), maker_of("made2", lock)) == ("one", None)


@pytest.mark.parametrize(
    "text", ["", "[]", "stages: [", "stages: {a: 3}", "stages: {a: {deps: [3]}}", "stages: {a: 2024-99-99}"]
)
def test_a_broken_lock_is_one_clear_line(text: str) -> None:
    with pytest.raises(LockstepError, match=r"dvc\.lock is broken\. Delete it\. Run `make repro`, then commit"):
        parse_lock(text)


def test_files_of_a_folder_are_known_from_dvcs_cache(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "md5" / "ab"
    folder.mkdir(parents=True)
    (folder / "cd.dir").write_text(json.dumps([{"md5": "1", "relpath": "train/data.arrow"}]))
    assert cached_files(tmp_path, "abcd.dir") == {"train/data.arrow": "1"}
    assert cached_files(tmp_path, "ab00.dir") is None
    (folder / "cd.dir").write_text("[1")
    assert cached_files(tmp_path, "abcd.dir") is None


def test_files_are_hashed_as_dvc_does(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x").write_bytes(b"abc")
    assert hash_files(tmp_path) == {"sub/x": "900150983cd24fb0d6963f7d28e17f72"}
    assert hash_files(tmp_path / "sub" / "x") == {".": "900150983cd24fb0d6963f7d28e17f72"}
    assert hash_files(tmp_path / "nothing") == {}
