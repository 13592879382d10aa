"""Checkpoints: intact or ignored, and named after everything that determines the result."""

import os
from pathlib import Path

from training_runs import write_checkpoint

from lockstep.core.checksums import is_intact
from lockstep.training.checkpoints import fingerprint, hash_paths, keep_latest, latest_intact, link_file


def test_the_latest_intact_checkpoint_is_found_by_number_and_later_broken_ones_are_removed(tmp_path: Path) -> None:
    for step in (9, 10, 100):
        write_checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-100" / "rng" / "state").write_text("5")
    write_checkpoint(tmp_path, 101, complete=False)
    assert latest_intact(tmp_path) == tmp_path / "checkpoint-10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-9"]


def test_a_run_without_checkpoints_has_no_latest(tmp_path: Path) -> None:
    assert latest_intact(tmp_path) is None


def test_all_but_the_latest_are_removed(tmp_path: Path) -> None:
    for step in (2, 10, 30):
        write_checkpoint(tmp_path, step)
    keep_latest(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-30"]


def test_a_fingerprint_depends_on_every_setting_name_and_byte(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("1")
    names = [fingerprint({"x": 1}, [tmp_path / "data"]), fingerprint({"x": 2}, [tmp_path / "data"])]
    (tmp_path / "data" / "a").write_text("2")
    names.append(fingerprint({"x": 1}, [tmp_path / "data"]))
    (tmp_path / "data" / "a").rename(tmp_path / "data" / "b")
    names.append(fingerprint({"x": 1}, [tmp_path / "data"]))
    (tmp_path / "data" / "c").write_text("")
    names += [fingerprint({"x": 1}, [tmp_path / "data"]), fingerprint({"x": 1}, [tmp_path / "missing"])]
    assert len(set(names)) == len(names)


def test_a_fingerprint_does_not_depend_on_where_things_are_or_when(tmp_path: Path) -> None:
    for place in ("one", "two"):
        (tmp_path / place / "data").mkdir(parents=True)
        (tmp_path / place / "data" / "a").write_text("1")
    os.utime(tmp_path / "two" / "data" / "a", (1, 1))
    assert hash_paths([tmp_path / "one" / "data"]) == hash_paths([tmp_path / "two" / "data"])
    assert fingerprint({"a": 1, "b": 2}, []) == fingerprint({"b": 2, "a": 1}, [])


def test_a_checkpoint_with_changed_bytes_or_without_a_manifest_is_not_intact(tmp_path: Path) -> None:
    complete, damaged, without = (write_checkpoint(tmp_path, step) for step in (1, 2, 3))
    (damaged / "model.safetensors").write_bytes(b"other")
    (without / "manifest.json").unlink()
    assert [is_intact(folder) for folder in (complete, damaged, without)] == [True, False, False]


def test_a_linked_file_keeps_its_bytes_when_its_source_is_replaced(tmp_path: Path) -> None:
    source, target, newer = tmp_path / "best", tmp_path / "kept", tmp_path / "newer"
    source.write_text("first")
    target.write_text("older")
    link_file(source, target)
    newer.write_text("second")
    newer.replace(source)
    assert (source.read_text(), target.read_text()) == ("second", "first")
