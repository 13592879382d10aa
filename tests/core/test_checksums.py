"""The manifest of a folder: a change of any byte is noticed, and refused in one line with the remedy."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from projects import Project, hashes
from training_runs import flip_bit

from lockstep.core.checksums import (
    check_manifest,
    files_below,
    hash_file,
    is_intact,
    md5_file,
    sha256_file,
    write_manifest,
)
from lockstep.core.errors import LockstepError


def folder(path: Path, complete: bool = True) -> Path:
    """A folder with two files and, if complete, a manifest."""
    (path / "rng").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(bytes(range(200)))
    (path / "rng" / "state").write_text("4")
    if complete:
        write_manifest(path)
    return path


def test_a_folder_with_a_manifest_is_intact(tmp_path: Path) -> None:
    assert is_intact(folder(tmp_path / "out"))


@pytest.mark.parametrize("bit", [0, 777, 1599])
def test_one_flipped_bit_is_noticed(tmp_path: Path, bit: int) -> None:
    path = folder(tmp_path / "out") / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert not is_intact(tmp_path / "out")


@pytest.mark.parametrize("size", [0, 1, 199])
def test_a_truncated_file_is_noticed(tmp_path: Path, size: int) -> None:
    os.truncate(folder(tmp_path / "out") / "model.safetensors", size)
    assert not is_intact(tmp_path / "out")


def test_a_missing_file_is_noticed(tmp_path: Path) -> None:
    (folder(tmp_path / "out") / "rng" / "state").unlink()
    assert not is_intact(tmp_path / "out")


@pytest.mark.parametrize("content", [None, "", "[]", "{", '{"model.safetensors": 3}', '"x"'])
def test_without_a_readable_manifest_a_folder_is_not_intact(tmp_path: Path, content: str | None) -> None:
    out = folder(tmp_path / "out", complete=False)
    if content is not None:
        (out / "manifest.json").write_text(content)
    assert not is_intact(out)


def test_the_manifest_lists_sizes_and_hashes_under_relative_names(tmp_path: Path) -> None:
    listed = json.loads((folder(tmp_path / "out") / "manifest.json").read_text())
    assert sorted(listed) == ["model.safetensors", "rng/state"]
    assert listed["model.safetensors"][0] == 200


def test_a_folder_that_is_not_there_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(LockstepError, match=r"tokenized .*`make tokenize`"):
        check_manifest(tmp_path / "tokenized", "tokenize")


def test_files_that_the_manifest_does_not_list_do_no_harm(tmp_path: Path) -> None:
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
    with pytest.raises(LockstepError, match=rf"^{name} .* {wrote} .*`make recheck repro`"):
        after.run(stage)
    assert hashes("metrics") == before


@pytest.mark.parametrize(("stage", "wrote", "name"), [INPUTS[1], INPUTS[5]])
@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_file_stops_it_too(after: Project, stage: str, wrote: str, name: str, kept: int) -> None:
    os.truncate(name, kept)
    with pytest.raises(LockstepError, match=rf"^{name} .* {wrote} .*`make recheck repro`"):
        after.run(stage)


def test_hashes_are_those_of_the_usual_tools(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_file(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()
    assert md5_file(tmp_path / "x") == "900150983cd24fb0d6963f7d28e17f72"
    assert hash_file(tmp_path / "x") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()


def test_files_are_walked_in_order_without_what_python_or_an_editor_left(tmp_path: Path) -> None:
    for name in ("b", "a/c", "__pycache__/x.pyc", "a/c~", ".b.swp", "a/.#c", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert files_below(tmp_path) == [tmp_path / "a/c", tmp_path / "b"]
    assert files_below(tmp_path / "b") == [tmp_path / "b"]
    assert files_below(tmp_path / "nothing") == []
