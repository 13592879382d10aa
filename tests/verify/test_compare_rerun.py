"""What differs between a rerun and the commit: the first file, the first value, the machine and the base."""

from pathlib import Path
from typing import Any

import pytest

from lockstep.verify.compare_rerun import (
    Outputs,
    first_difference,
    name_first_file,
    read_outputs,
    report_surroundings,
)
from lockstep.verify.dvc_lock import LockedStage


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
    assert name_first_file("out", before, after) == named


def test_of_json_the_first_value_that_differs_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text('{"steps": 9, "loss": {"best": 2.5}}')
    outputs = Outputs(files={"train.json": {".": "1"}}, values={"train.json": {"steps": 9, "loss": {"best": 2.0}}})
    assert first_difference("train.json", {}, outputs, tmp_path) == "train.json (loss.best: 2.0 -> 2.5)"


def test_a_single_file_is_known_by_the_hash_in_the_lock(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("2")
    assert first_difference("weights", {"weights": "1"}, Outputs(), tmp_path) == "weights"


def test_only_outputs_that_git_holds_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"loss": 1}')
    (tmp_path / "b.json").write_text("[1]")
    outputs = read_outputs(tmp_path, {"train": LockedStage({}, {"a.json": "1", "b.json": "2", "model": "3.dir"})})
    assert outputs.values == {"a.json": {"loss": 1}, "b.json": {}}
    assert outputs.files.keys() == {"a.json", "b.json"}


@pytest.mark.parametrize(
    ("after", "other_machine", "line"),
    [
        (
            {"versions": {"torch": "2"}, "base": {"x": "1"}},
            True,
            "verify    other hardware or versions: torch 1 -> 2\n",
        ),
        ({"versions": {"torch": "1"}, "base": {"x": "2"}}, False, "verify    the base is another one: x."),
        ({"versions": {"torch": "1"}, "base": {"x": "1"}}, False, ""),
        ({}, False, ""),
    ],
)
def test_other_libraries_and_another_base_are_reported(
    after: dict[str, Any], other_machine: bool, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {"versions": {"torch": "1"}, "base": {"x": "1"}}
    assert report_surroundings(before, after) is other_machine
    printed = capsys.readouterr().out
    assert printed.startswith(line) and bool(printed) == bool(line)
