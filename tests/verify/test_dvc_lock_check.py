"""dvc.lock: as DVC wrote it it passes, damaged it is named with what to do."""

import hashlib
import json
import random
from contextlib import suppress
from pathlib import Path

import pytest
from projects import ROOT

from lockstep.core.errors import LockstepError
from lockstep.verify.dvc_lock_check import check_lock

LOCK = """schema: '2.0'
stages:
  prepare:
    cmd: python -m stages.prepare
    deps:
    - path: rows.csv
      hash: md5
      md5: {file}
      size: 6
    params:
      params.yaml:
        seed: 42
    outs:
    - path: made
      hash: md5
      md5: {folder}.dir
      size: 3
      nfiles: 2
"""


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """dvc.lock in a folder with the files it lists."""
    monkeypatch.chdir(tmp_path)
    Path("made/below").mkdir(parents=True)
    Path("rows.csv").write_text("q,a\n1\n")
    Path("made/b").write_text("12")
    Path("made/below/a").write_text("3")
    listed = [{"md5": md5("12"), "relpath": "b"}, {"md5": md5("3"), "relpath": "below/a"}]
    text = LOCK.format(file=md5("q,a\n1\n"), folder=md5(json.dumps(listed)))
    Path("dvc.lock").write_text(text)
    return text


def test_a_whole_lock_passes(lock: str) -> None:
    check_lock()


def test_the_lock_of_this_project_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    check_lock()


def test_before_the_first_run_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_lock()


def test_files_that_changed_since_or_are_not_there_are_dvcs_business(lock: str) -> None:
    Path("rows.csv").write_text("q,a\n1\n2\n")
    Path("made/b").unlink()
    check_lock()
    Path("rows.csv").unlink()
    check_lock()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("size: 6", "size; 6", "line 10 is not valid YAML"),
        ("seed: 42", "seed; 42", "is cut off or damaged"),
        ("    cmd: python", "<<<<<<< HEAD\n    cmd: python", "line 5 is not valid YAML"),
        ("'2.0'", "'3.0'", "is cut off or damaged"),
        ("stages:", "stagec:", "is cut off or damaged"),
        ("cmd:", "cmf:", "is cut off or damaged"),
        ("outs:", "oups:", "is cut off or damaged"),
        ("path: made", "pati: made", "is cut off or damaged"),
        ("path: rows.csv", "path: 2024-99-99", "is cut off or damaged"),
        ("path: rows.csv", "path: 2024-09-09", "is cut off or damaged"),
        ("size: 6", "size: " + "6" * 5000, "is cut off or damaged"),
        ("size: 6", "sixe: 6", "is damaged: rows.csv has an unknown sixe"),
        ("hash: md5", "hash: md4", "is damaged: rows.csv has an unknown kind of hash, md4"),
        ("size: 6", "size: v", "is damaged: rows.csv has a size that is no number"),
        ("size: 6", "size: 7", "is damaged: rows.csv has a wrong size"),
        ("size: 3", "size: 2", "is damaged: made has a wrong size"),
        ("nfiles: 2", "nfiles: 3", "is damaged: made has a wrong size"),
        (".dir", ".fir", "is damaged: made has a hash that is none"),
    ],
)
def test_damage_is_named(lock: str, old: str, new: str, said: str) -> None:
    Path("dvc.lock").write_text(lock.replace(old, new))
    with pytest.raises(LockstepError) as raised:
        check_lock()
    assert raised.value.message == f"dvc.lock {said}."
    assert raised.value.remedy.startswith("Run `git checkout HEAD dvc.lock`, then again")


def test_bytes_that_are_no_text_are_named(lock: str) -> None:
    Path("dvc.lock").write_bytes(lock.encode().replace(b"seed", b"s\xe5ed"))
    with pytest.raises(LockstepError, match="dvc.lock is not UTF-8 text"):
        check_lock()


@pytest.mark.parametrize("flip", [False, True])
def test_whatever_happens_to_it_it_passes_or_is_named(lock: str, flip: bool) -> None:
    content, chance = (ROOT / "dvc.lock").read_bytes(), random.Random(1)
    for _ in range(150):
        place = chance.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]
        Path("dvc.lock").write_bytes(content[:place] + flipped * flip)
        with suppress(LockstepError):
            check_lock()
