"""The manifest of a folder: any change of any byte is seen, and told in one line with what heals it."""

import json
import os
from pathlib import Path

import pytest
from projects import Project, hashes
from training_runs import flip_bit

from lockstep.core.checksums import check_manifest, is_intact, write_manifest
from lockstep.core.errors import LockstepError


def folder(made: Path, complete: bool = True) -> Path:
    (made / "rng").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(bytes(range(200)))
    (made / "rng" / "state").write_text("4")
    if complete:
        write_manifest(made)
    return made


def test_a_sealed_folder_is_whole(tmp_path: Path) -> None:
    assert is_intact(folder(tmp_path / "out"))


@pytest.mark.parametrize("bit", [0, 777, 1599])
def test_one_flipped_bit_breaks_the_seal(tmp_path: Path, bit: int) -> None:
    path = folder(tmp_path / "out") / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert not is_intact(tmp_path / "out")


@pytest.mark.parametrize("size", [0, 1, 199])
def test_a_truncated_file_breaks_the_seal(tmp_path: Path, size: int) -> None:
    os.truncate(folder(tmp_path / "out") / "model.safetensors", size)
    assert not is_intact(tmp_path / "out")


def test_a_missing_file_breaks_the_seal(tmp_path: Path) -> None:
    (folder(tmp_path / "out") / "rng" / "state").unlink()
    assert not is_intact(tmp_path / "out")


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"model.safetensors": 3}', '"x"'])
def test_without_a_readable_seal_a_folder_is_not_whole(tmp_path: Path, content: str | None) -> None:
    made = folder(tmp_path / "out", complete=False)
    if content is not None:
        (made / "manifest.json").write_text(content)
    assert not is_intact(made)


def test_the_seal_lists_sizes_and_hashes_under_relative_names(tmp_path: Path) -> None:
    listed = json.loads((folder(tmp_path / "out") / "manifest.json").read_text())
    assert sorted(listed) == ["model.safetensors", "rng/state"]
    assert listed["model.safetensors"][0] == 200


def test_a_folder_that_is_not_there_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"tokenized is missing\. Run `make tokenize` first\."):
        check_manifest(tmp_path / "tokenized", "tokenize")


def test_files_that_nobody_sealed_do_no_harm(tmp_path: Path) -> None:
    (folder(tmp_path / "out") / ".DS_Store").write_text("x")
    check_manifest(tmp_path / "out", "tokenize")


INPUTS = [
    ("tokenize", "prepare", "data/prepared/train.jsonl"),
    ("train", "tokenize", "data/tokenized/train/data-00000-of-00001.arrow"),
    ("train", "tokenize", "data/tokenized/tokenizer/tokenizer.json"),
    ("evaluate", "prepare", "data/prepared/test.jsonl"),
    ("evaluate", "tokenize", "data/tokenized/test/data-00000-of-00001.arrow"),
    ("evaluate", "train", "models/finetuned/model.safetensors"),
    ("export", "train", "models/finetuned/model.safetensors"),
]


@pytest.mark.parametrize(("stage", "wrote", "name"), INPUTS)
def test_one_flipped_bit_in_what_a_stage_reads_stops_it_with_one_line(
    after: Project, stage: str, wrote: str, name: str
) -> None:
    before = hashes("metrics")
    flip_bit(Path(name))
    said = f"{name} is not what {wrote} wrote\\. Run `make recheck repro` to make it again\\."
    with pytest.raises(LockstepError, match=said):
        after.run(stage)
    assert hashes("metrics") == before


@pytest.mark.parametrize(("stage", "wrote", "name"), [INPUTS[1], INPUTS[5]])
@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_file_stops_it_with_the_same_line(
    after: Project, stage: str, wrote: str, name: str, kept: int
) -> None:
    os.truncate(name, kept)
    with pytest.raises(LockstepError, match=f"{name} is not what {wrote} wrote"):
        after.run(stage)
