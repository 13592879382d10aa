"""Files and folders that appear completely or not at all, and the JSON and CSV in them."""

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from lockstep.core import atomic_files
from lockstep.core.atomic_files import (
    figure,
    read_json,
    read_points,
    require_space,
    whole_file,
    whole_folder,
    write_json,
    write_json_lines,
    write_points,
    write_text,
)
from lockstep.core.errors import LockstepError


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_file_takes_its_name_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "note.txt"
    with whole_file(path) as file:
        file.write("a\nb")
        file.flush()
        assert names(path.parent) == ["note.txt.partial"]
    assert path.read_bytes() == b"a\nb"
    assert names(path.parent) == ["note.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="stop"), whole_file(path, "wb") as file:
        file.write(b"new")
        raise ValueError("stop")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_library_that_cannot_write_its_file_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    with (
        pytest.raises(LockstepError, match=r"/model: No space left on device\. Make room"),
        whole_folder(tmp_path / "model"),
    ):
        raise Exception("I/O error: No space left on device (os error 28)")  # as safetensors does
    assert names(tmp_path) == []


def test_another_fault_while_a_folder_is_filled_comes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), whole_folder(tmp_path / "model"):
        raise KeyError("wte")


def test_a_full_disk_is_one_clear_line_and_the_old_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "note.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(LockstepError, match=r"note\.txt: No space left on device\. Make room"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["note.txt"]


def test_a_folder_takes_its_name_only_when_the_block_ends_well(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out", "out/sub", "out/sub/a"]


def test_a_folder_replaces_what_was_there_before(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with whole_folder(tmp_path / "out") as folder:
            (folder / name).write_text(name)
    assert names(tmp_path) == ["out", "out/b"]


def test_a_failed_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("1")
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out") as folder:
        (folder / "b").write_text("2")
        raise KeyboardInterrupt
    assert names(tmp_path) == ["out", "out/a"]


def test_a_folder_is_replaced_at_once_not_file_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / "out" / name).mkdir(parents=True)
    remove = shutil.rmtree

    def killed_while_removing(path: Path, ignore_errors: bool = False) -> None:
        if path.exists():
            assert not (tmp_path / "out").exists() or names(tmp_path / "out") == ["c"]
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", killed_while_removing)
    with whole_folder(tmp_path / "out") as folder:
        (folder / "c").write_text("new")
    assert names(tmp_path) == ["out", "out/c"]


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half").write_text("x")
    (tmp_path / "out.old.partial" / "deep").mkdir(parents=True)
    with whole_folder(tmp_path / "out") as folder:
        assert names(folder) == []
    assert names(tmp_path) == ["out"]


def test_a_folder_on_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "sync_file", full_disk)
    with (
        pytest.raises(LockstepError, match=r"out: No space left"),
        whole_folder(tmp_path / "out") as folder,
    ):
        (folder / "a").write_text("1")
    assert names(tmp_path) == []


def test_a_place_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(LockstepError, match=r"taken/x\.json: "):
        write_json(tmp_path / "taken" / "x.json", 1)


def test_json_keeps_its_order_and_refuses_what_is_no_number(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"b": 1, "a": "é"})
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "é"\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["b"] == 1


def test_json_lines_are_one_value_a_line(tmp_path: Path) -> None:
    write_json_lines(tmp_path / "x.jsonl", [{"a": "line\nbreak"}, {"a": "ü"}])
    assert (tmp_path / "x.jsonl").read_text(encoding="utf-8") == '{"a": "line\\nbreak"}\n{"a": "ü"}\n'


@pytest.mark.parametrize(
    ("content", "named"),
    [(None, r"x\.json is missing"), (b"{", r"x\.json line 1 "), (b'"\xff"', r"x\.json ")],
)
def test_json_that_is_missing_or_broken_says_what_makes_it(tmp_path: Path, content: bytes | None, named: str) -> None:
    if content is not None:
        (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(LockstepError, match=f"{named}.*`make x`"):
        read_json(tmp_path / "x.json", "make x")


def test_points_are_read_as_they_were_written_to_six_digits(tmp_path: Path) -> None:
    write_points(tmp_path / "x.csv", [{"step": 1, "loss": 2.123456789}, {"loss": 3.0, "step": 2}])
    assert (tmp_path / "x.csv").read_text() == "step,loss\n1,2.12346\n2,3\n"
    assert read_points(tmp_path / "x.csv", "make x") == [{"step": 1.0, "loss": 2.12346}, {"step": 2.0, "loss": 3.0}]


@pytest.mark.parametrize("content", [None, "step,loss\n1,x\n", "step,loss\n1\n", "step,loss\n1,2,3\n"])
def test_points_that_are_missing_or_no_numbers_say_what_makes_them(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "x.csv").write_text(content)
    with pytest.raises(LockstepError, match=r"x\.csv .*`make x`"):
        read_points(tmp_path / "x.csv", "make x")


@pytest.mark.parametrize(
    ("value", "shown"), [(1.23456789, 1.23457), (123456789.0, 123457000.0), (0.0, 0.0), (1e-9 / 3, 3.33333e-10)]
)
def test_figures_have_six_significant_digits(value: float, shown: float) -> None:
    assert figure(value) == shown


def test_too_little_disk_says_how_much_is_needed(tmp_path: Path) -> None:
    require_space(tmp_path / "not" / "there" / "yet", 1)
    with pytest.raises(LockstepError, match=r"out: 1000000000000 MB .* \d+ MB .*Make room"):
        require_space(tmp_path / "out", 10**18)


def test_written_files_may_be_read_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) & 0o400
