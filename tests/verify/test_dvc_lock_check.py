"""A dvc.lock as DVC writes it passes; a damaged one is refused with the line or path and what to do."""

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
    - path: outputs
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
    Path("outputs/below").mkdir(parents=True)
    Path("rows.csv").write_text("q,a\n1\n")
    Path("outputs/b").write_text("12")
    Path("outputs/below/a").write_text("3")
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
    Path("outputs/b").unlink()
    check_lock()
    Path("rows.csv").unlink()
    check_lock()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("size: 6", "size; 6", "line 10 "),
        ("seed: 42", "seed; 42", "cut off or damaged"),
        ("    cmd: python", "<<<<<<< HEAD\n    cmd: python", "line 5 "),
        ("'2.0'", "'3.0'", "cut off or damaged"),
        ("stages:", "stagec:", "cut off or damaged"),
        ("cmd:", "cmf:", "cut off or damaged"),
        ("outs:", "oups:", "cut off or damaged"),
        ("path: outputs", "pati: made", "cut off or damaged"),
        ("path: rows.csv", "path: 2024-99-99", "cut off or damaged"),
        ("path: rows.csv", "path: 2024-09-09", "cut off or damaged"),
        ("size: 6", "size: " + "6" * 5000, "cut off or damaged"),
        ("size: 6", "sixe: 6", "rows.csv has an unknown sixe"),
        ("hash: md5", "hash: md4", "rows.csv has .* md4"),
        ("size: 6", "size: v", "rows.csv has a size "),
        ("size: 6", "size: 7", "rows.csv has a wrong size"),
        ("size: 3", "size: 2", "outputs has a wrong size"),
        ("nfiles: 2", "nfiles: 3", "outputs has a wrong size"),
        (".dir", ".fir", "outputs has a hash "),
    ],
)
def test_damage_is_named(lock: str, old: str, new: str, fault: str) -> None:
    Path("dvc.lock").write_text(lock.replace(old, new))
    with pytest.raises(LockstepError, match=rf"^dvc\.lock .*{fault}.* Run `git checkout HEAD dvc\.lock`"):
        check_lock()


def test_bytes_that_are_no_text_are_named(lock: str) -> None:
    Path("dvc.lock").write_bytes(lock.encode().replace(b"seed", b"s\xe5ed"))
    with pytest.raises(LockstepError, match=r"^dvc\.lock .*UTF-8.* Run `git checkout"):
        check_lock()


@pytest.mark.parametrize("flip", [False, True])
def test_whatever_happens_to_it_it_passes_or_is_named(lock: str, flip: bool) -> None:
    content, chance = (ROOT / "dvc.lock").read_bytes(), random.Random(1)
    for _ in range(150):
        index = chance.randrange(len(content))
        flipped = bytes([content[index] ^ 1 << chance.randrange(8)]) + content[index + 1 :]
        Path("dvc.lock").write_bytes(content[:index] + flipped * flip)
        with suppress(LockstepError):
            check_lock()
