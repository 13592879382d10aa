"""dvc.lock is read as stages with the hashes of their inputs and outputs."""

import json
from pathlib import Path

import pytest

from lockstep.core.errors import LockstepError
from lockstep.verify.dvc_lock import (
    LockedStage,
    cached_files,
    differing,
    hash_files,
    inputs_of,
    parse_lock,
    producer_of,
)

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


def test_a_lock_says_what_stages_read_and_wrote() -> None:
    lock = parse_lock(LOCK_TEXT)
    assert lock == {"prepare": LockedStage({"data/raw/a.csv": "1"}, {"data/prepared": "2.dir"})}
    assert differing({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"}) == ["a", "c", "d"]


def test_inputs_are_what_no_stage_writes_not_even_as_part_of_a_folder() -> None:
    lock = {
        "one": LockedStage({"raw": "1"}, {"rows": "2"}),
        "two": LockedStage({"rows/part.csv": "3", "rows2": "4"}, {}),
    }
    assert inputs_of(lock) == ["raw", "rows2"]
    assert (producer_of("rows/part.csv", lock), producer_of("rows2", lock)) == ("one", None)


@pytest.mark.parametrize(
    "text", ["", "[]", "stages: [", "stages: {a: 3}", "stages: {a: {deps: [3]}}", "stages: {a: 2024-99-99}"]
)
def test_a_broken_lock_is_one_clear_line(text: str) -> None:
    with pytest.raises(LockstepError, match=r"^dvc\.lock .*Run `make repro`, then commit"):
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
