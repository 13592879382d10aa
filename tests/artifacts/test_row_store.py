"""Rows on disk: the same bytes each time, the same rows back, one clear line when they are damaged."""

import json
from pathlib import Path

import pytest
from projects import hashes

from lockstep.artifacts import row_store
from lockstep.artifacts.row_store import iterate_rows, read_rows, stored_blocks, write_rows
from lockstep.artifacts.rows import Row, RowBlock
from lockstep.core.errors import LockstepError

ROWS = [Row([5, 6, 7, 0], 2, 3), Row([1, 0], 1, 1), Row(list(range(300)), 1, 200)]
BLOCK = RowBlock.of(ROWS)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    sizes = write_rows(tmp_path / "train", iter([BLOCK]))
    assert sizes.tolist() == [[4, 2], [2, 1], [300, 299]]
    assert list(iterate_rows(read_rows(tmp_path / "train"))) == ROWS


def test_the_folder_is_what_datasets_writes_and_nothing_more(tmp_path: Path) -> None:
    write_rows(tmp_path / "train", [BLOCK])
    assert sorted(hashes(tmp_path)) == [
        "train/data-00000-of-00001.arrow",
        "train/dataset_info.json",
        "train/state.json",
    ]


def test_the_same_rows_give_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    for folder in ("one", "another"):
        (tmp_path / folder).mkdir()
        write_rows(tmp_path / folder / "train", [BLOCK] * 700)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "another")
    for file in (tmp_path / "one" / "train").glob("*.json"):
        assert str(tmp_path) not in file.read_text(encoding="utf-8")


def test_how_rows_come_in_blocks_changes_no_byte(tmp_path: Path) -> None:
    for name, sizes in (("one", [2500]), ("two", [1, 999, 1500]), ("three", [0, 7, 2493])):
        blocks = (RowBlock.of((ROWS * 834)[sum(sizes[:n]) : sum(sizes[: n + 1])]) for n in range(len(sizes)))
        write_rows(tmp_path / name, blocks)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") == hashes(tmp_path / "three")


def test_other_rows_have_another_fingerprint(tmp_path: Path) -> None:
    for name, rows in (("one", ROWS), ("two", ROWS[:2])):
        write_rows(tmp_path / name, [RowBlock.of(rows)])
    one, two = (json.loads((tmp_path / name / "state.json").read_text())["_fingerprint"] for name in ("one", "two"))
    assert one != two


def test_rows_are_read_without_mapping_them_from_one_file_or_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_store, "SHARD_BYTES", 100_000)
    write_rows(tmp_path / "train", [RowBlock.of(ROWS * 834)])
    assert len(list((tmp_path / "train").glob("*.arrow"))) > 10
    assert [row for block in stored_blocks(tmp_path / "train") for row in block.rows()] == ROWS * 834
    write_rows(tmp_path / "test", [])
    assert list(stored_blocks(tmp_path / "test")) == []


def test_a_split_without_rows_is_written_and_read(tmp_path: Path) -> None:
    assert write_rows(tmp_path / "validation", []).shape == (0, 2)
    dataset = read_rows(tmp_path / "validation")
    assert (len(dataset), list(iterate_rows(dataset))) == (0, [])


def test_missing_rows_name_the_command_that_writes_them(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"train is missing.* `make tokenize`"):
        read_rows(tmp_path / "train")


@pytest.mark.parametrize("keep", [0, 100, 1200])
def test_a_truncated_file_is_an_error(tmp_path: Path, keep: int) -> None:
    write_rows(tmp_path / "train", [BLOCK])
    path = tmp_path / "train" / "data-00000-of-00001.arrow"
    assert path.stat().st_size > keep
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(LockstepError, match=r"train is damaged.* `make tokenize`"):
        read_rows(tmp_path / "train")


def test_rows_with_other_columns_are_refused(tmp_path: Path) -> None:
    from datasets import Dataset

    Dataset.from_dict({"input_ids": [[1, 2]], "labels": [[1, 2]]}).save_to_disk(tmp_path / "train")
    with pytest.raises(LockstepError, match="train is damaged"):
        read_rows(tmp_path / "train")
